"""What users prefer, learned from text (preference parsing of P2Rec, 2406.00333).

Items fall into latent categories by who chooses them; a user's preference is the share of each category in the training
history; the text model learns it from that history's text. So behaviour comes into the space of texts by way of users,
where ``co_chosen`` takes pairs of items.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmesr.config import FinetuneConfig
from llmesr.data.unit_rows import unit_rows
from llmesr.semantic.co_chosen import told_apart
from llmesr.semantic.contrastive import Copies, Loss
from llmesr.semantic.history_prompts import HistoryPrompts

NONE = -1
"""The category of an item that nobody chose in training, or that has no text."""
DRAWN = 4
"""Items drawn from a history at every step where a user's text is that of the items (``users=mean``)."""
HEAD = 50.0
"""How much faster the head moves than the updates: it begins from nothing, they from a model that can read."""
_DRAWN, _PARTNER = 5, 6


@dataclass(frozen=True)
class Preferences:
    """Rows to train on are users, rows to judge by are held-out items.

    ``histories``: for each user the items (rows of ``copies``) that a text is made of, oldest first, none held out;
    ``categories`` (N,), :data:`NONE` or 0..K-1; ``prompts`` write a user's text, which without them is that of items.
    """

    copies: Copies
    histories: list[np.ndarray]
    categories: np.ndarray
    prompts: HistoryPrompts | None
    chance = 0.5

    @cached_property
    def count(self) -> int:
        """K."""
        return int(self.categories.max()) + 1

    def pairs(self, rows: np.ndarray, step: int) -> tuple[list[str], list[str]]:
        """The texts of users ``rows``, and nothing beside them; at step 0 held-out items and others of their
        categories."""
        if step == 0:
            own = [self.copies.pair(int(item), 0)[0] for item in rows]
            return own, [self.copies.pair(self.partner(int(item)), 0)[1] for item in rows]
        if self.prompts is not None:
            return self.prompts.of([self.histories[user] for user in rows]), []
        return [text for user in rows for text in self._drawn(int(user), step)], []

    def beside(self, rows: np.ndarray, step: int) -> Tensor:
        """(B, K) the preferences of users ``rows``; at step 0 (B, B) bool: items of one category are no strangers."""
        if step == 0:
            own = self.categories[rows]
            same = own[:, None] == own[None]
            np.fill_diagonal(same, False)
            return torch.from_numpy(same)
        return torch.from_numpy(np.stack([self.preference(int(user)) for user in rows]))

    def preference(self, user: int) -> np.ndarray:
        """(K,) the share of each category in what is read of ``user``."""
        own = self.categories[self.histories[user]]
        return (np.bincount(own, minlength=self.count) / len(own)).astype(np.float32)

    def partner(self, item: int) -> int:
        """Another row of the category of ``item``, the same whenever it is asked for."""
        others = np.setdiff1d(np.flatnonzero(self.categories == self.categories[item]), [item])
        return int(np.random.default_rng([self.copies.seed, _PARTNER, item]).choice(others))

    def loss(self, _: FinetuneConfig, width: int, /) -> PreferenceLoss:
        """For vectors of ``width`` E."""
        return PreferenceLoss(width, self.count)

    def accuracy(self, x: Tensor, y: Tensor, same: Tensor | None) -> float:
        """How often a held-out item is nearer to one of its category than to one of another; chance is 1/2."""
        assert same is not None
        return told_apart(x, y, same)

    def _drawn(self, user: int, step: int) -> list[str]:
        rng = np.random.default_rng([self.copies.seed, _DRAWN, step, user])
        drawn = rng.choice(self.histories[user], DRAWN)
        return [self.copies.pair(int(item), step)[0] for item in drawn]


class PreferenceLoss(Loss):
    """Cross-entropy between the preference of a user and the head's softmax over K categories.

    A user is a unit vector, or the mean of those of several texts. The head is linear and begins at nothing, which
    makes all categories alike.
    """

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(count, width))

    def forward(self, x: Tensor, _: Tensor | None = None, beside: Tensor | None = None) -> Tensor:
        """``x`` (B * n, E) texts, n for each user in ``beside`` (B, K)."""
        assert beside is not None
        users = unit_rows(x.float()).view(len(beside), -1, x.shape[1]).mean(1)  # (B, E)
        return F.cross_entropy(F.linear(users, HEAD * self.weight), beside)
