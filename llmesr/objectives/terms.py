"""The weighted terms a method is trained with, each wrapping one of the loss functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.config import DEFAULT_NEGATIVES
from llmesr.data.row_file import RowFile
from llmesr.models.code_tree import CodeDecoder
from llmesr.objectives import distillation, next_item
from llmesr.objectives.base import EncodedBatch, Objective, States
from llmesr.objectives.contrastive import soft_contrastive

BASE_ROWS = 256
"""Positions that a base scores at once where few items are asked for."""


class NextItem(Objective):
    """Predict the item at each position: ce, bce, gbce or sampled softmax."""

    name = "next_item"
    weight = 1.0
    up_to: Tensor | None  # (N + 1,) the chance that popularity draws this item or one before it

    def __init__(
        self,
        *,
        loss: str,
        negatives: int | None,
        calibration: float,
        popular: float = 0.0,
        item_counts: Tensor | None = None,
    ) -> None:
        """Of the negatives of the sampled softmax the share ``popular`` is drawn in proportion to ``item_counts``
        (N + 1,), the others uniformly."""
        super().__init__()
        self.loss = loss
        self.negatives = negatives or DEFAULT_NEGATIVES.get(loss, 0)
        self.calibration = calibration
        self.popular = popular
        up_to = None if item_counts is None or not popular else (item_counts.double() / item_counts.sum()).cumsum(0)
        self.register_buffer("up_to", up_to, persistent=False)

    def examples(self, batch: EncodedBatch) -> int:
        return len(batch.targets)

    def draw(self, owners: Tensor, n_items: int, sample: Callable[[Tensor, int], Tensor]) -> Tensor:
        """The negatives: (K,) for all positions of the sampled softmax, (P, K) of each for the binary losses."""
        if self.loss != "sampled":
            return sample(owners, self.negatives)
        many = min(self.negatives, n_items)
        popular = round(self.popular * many)
        uniform = torch.randint(1, n_items + 1, (many - popular,), device=owners.device)
        if not popular:
            return uniform
        if self.up_to is None:
            raise ValueError("negatives are drawn by popularity, and how often items were chosen was not given")
        by_chance = torch.rand(popular, dtype=torch.float64, device=owners.device) * self.up_to[-1]
        return torch.cat([uniform, torch.searchsorted(self.up_to, by_chance, right=True).clamp(max=n_items)])

    def expected(self, drawn: Tensor, n_items: int) -> Tensor:
        """(K,) how often a batch draws each of ``drawn`` on average."""
        popular = round(self.popular * len(drawn))
        uniform = torch.full(drawn.shape, (len(drawn) - popular) / n_items, device=drawn.device)
        if self.up_to is None:
            return uniform
        return uniform + popular * (self.up_to[drawn] - self.up_to[drawn - 1]).float()

    def forward(self, batch: EncodedBatch) -> Tensor:
        n_items = batch.model.n_items
        if self.loss == "ce":
            weight = None if batch.model.base is None else batch.model.base()
            return next_item.cross_entropy(batch.hidden, batch.model.candidates(), batch.targets, batch.base, weight)
        positive = (batch.hidden * batch.model.embed_items(batch.targets)).sum(-1)  # (P,)
        positive = positive + self._based(batch, batch.targets[:, None])[:, 0]
        drawn = batch.drawn.get(self.name)
        drawn = self.draw(batch.owners, n_items, batch.sample) if drawn is None else drawn
        if self.loss == "sampled":
            clash = drawn == batch.targets[:, None]
            rows = batch.model.embed_items(drawn)
            added = self._based(batch, drawn.expand(len(positive), -1))
            return next_item.sampled_softmax(
                batch.hidden, positive, rows, clash, expected=self.expected(drawn, n_items), added=added
            )
        negative = torch.einsum("pd,pkd->pk", batch.hidden, batch.model.embed_items(drawn))
        negative = negative + self._based(batch, drawn)
        if self.loss == "bce":
            return next_item.binary_cross_entropy(positive, negative)
        return next_item.generalised_binary_cross_entropy(
            positive, negative, n_items=n_items, calibration=self.calibration
        )

    @staticmethod
    def _based(batch: EncodedBatch, items: Tensor) -> Tensor:
        """(P, K) items -> what the base adds to their scores; 0 without one."""
        if batch.base is None or batch.model.base is None:
            return torch.zeros((), device=items.device).expand(items.shape)
        rows = [slice(start, start + BASE_ROWS) for start in range(0, max(len(items), 1), BASE_ROWS)]
        found = torch.cat([batch.base(some).gather(1, items[some]) for some in rows])
        added: Tensor = batch.model.base() * found
        return added


class Distillation(Objective):
    """alpha * distance to the mean representation of similar users (LLM-ESR eq. 8).

    Teachers are the model's own representations without gradient, encoded for all users at once
    every so often and gathered per batch, instead of ten more encodings per user and step.
    """

    name = "distillation"
    similar: Tensor
    teachers: Tensor | None

    def __init__(self, *, similar: Tensor, kind: str, weight: float, every: int, most: int | None = None) -> None:
        """``similar`` (U, K) users, -1 where there are fewer than K; ``every`` steps, 0 = per epoch. ``most``: users
        that are told from each other at once, by the contrastive one: a batch of as many positions as others may hold
        many times as many users, each pair of whom would take memory."""
        super().__init__()
        self.weight = weight
        self.kind = kind
        self.every = every
        self.most = most
        self.register_buffer("similar", similar, persistent=False)  # (U, K)
        self.register_buffer("teachers", None, persistent=False)  # (U + 1, V * D) where they are in memory
        self.file: RowFile | None = None  # the same where they are not

    def refresh(self, step: int, represent_all: Callable[[], States]) -> None:
        """Encode the teachers anew at the start of an epoch, and every so many steps where that is asked for."""
        if step == 0 or (self.every and step % self.every == 0):
            self.teachers = None  # gone before there are new ones: they are as large as all users' states
            self._take(represent_all())

    def _take(self, states: States) -> None:
        self.file = states if isinstance(states, RowFile) else None
        self.teachers = None if isinstance(states, RowFile) else states.to(self.similar.device)

    def state(self) -> dict[str, States]:
        """The teachers: encoded again, they would be those of another step."""
        found = self.teachers if self.file is None else self.file
        return {} if found is None else {self.name: found}

    def load(self, state: Mapping[str, States]) -> None:
        if self.name in state:
            self._take(state[self.name])

    def examples(self, batch: EncodedBatch) -> Tensor:
        return (self.similar[batch.users] >= 0).any(1).sum()

    def forward(self, batch: EncodedBatch) -> Tensor:
        similar = self.similar[batch.users]  # (B, K)
        known = (similar >= 0).any(1)
        means = self._means(torch.where(similar >= 0, similar, len(self.similar)))
        if self.kind == "contrastive":
            return distillation.contrastive(batch.user_states, means, known, most=self.most)
        return distillation.mse(batch.user_states, means.to(batch.user_states.dtype), known)

    def _means(self, users: Tensor) -> Tensor:
        """(B, K) users, or nobody -> (B, V * D) the means of their teachers. Out of a file each is read once."""
        if self.file is not None:
            with_nobody = F.pad(users.flatten(), (0, 1), value=len(self.similar))  # who has the last row, once more
            asked, place = torch.unique(with_nobody, return_inverse=True)
            rows = torch.from_numpy(self.file[asked.cpu().numpy()]).to(users.device)
            users = place[:-1].view_as(users)
        elif self.teachers is not None:
            rows = self.teachers
        else:
            raise RuntimeError("refresh() must be called before the first step")
        return F.embedding_bag(users, rows, mode="mean", padding_idx=len(rows) - 1).float()


class Balance(Objective):
    """K * sum over the K experts of (mean share)^2, less 1: 0 where the router uses all alike, K - 1 where only one.

    Without it the router settles on whichever expert learns first (Laser).
    """

    name = "balance"

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def examples(self, batch: EncodedBatch) -> int:
        return len(batch.users)

    def forward(self, batch: EncodedBatch) -> Tensor:
        reader: Any = batch.model.encoders[0]  # of a model whose prefix is made by experts
        shares: Tensor = reader.experts.shares
        return len(shares) * shares.square().sum() - 1


class NextCodes(Objective):
    """Write the codes of the item at each position: minus its log-probability (TIGER).

    Every so many epochs the codes are made anew, from the texts beside what the model knows of who chose an item: the
    mean state of those users (TTDS, whose ids are "dynamic"). A code keeps its vector and moves with its group.
    """

    name = "next_codes"
    weight = 1.0
    text: Tensor
    pairs: Tensor

    def __init__(self, decoder: CodeDecoder, *, text: Tensor, pairs: Tensor, every: int) -> None:
        """``text`` (N + 1, E); ``pairs`` (2, n): who chose what in training; ``every`` 0 leaves the codes alone."""
        super().__init__()
        self.decoders = (decoder,)  # not a part of this module
        self.every = every
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("pairs", pairs, persistent=False)

    def examples(self, batch: EncodedBatch) -> int:
        return len(batch.targets)

    def forward(self, batch: EncodedBatch) -> Tensor:
        return -self.decoders[0].log_probability(batch.hidden, batch.targets).mean()

    def refresh(self, step: int, represent_all: Callable[[], States]) -> None:
        """New codes at the start of an epoch, where it is time."""
        if step:
            return
        begun = int(self.decoders[0].epochs)
        self.decoders[0].epochs += 1
        if begun and self.every and begun % self.every == 0:
            found = represent_all()
            states = torch.from_numpy(found.whole()).to(self.text.device) if isinstance(found, RowFile) else found
            states = states.float()
            users, items = self.pairs
            total = states.new_zeros(len(self.text), states.shape[1]).index_add_(0, items, states[users])
            times = torch.bincount(items, minlength=len(total)).clamp(min=1)[:, None]
            self.decoders[0].recode(self.text[1:], (total / times)[1:])


class Alignment(Objective):
    """alpha * contrastive loss between adapted items and an id-only run's items (LLMEmb eq. 9).

    The published loss takes its soft targets from inner products. Our item vectors are shorter than one, so those
    targets are all but uniform, and the loss stays at chance whatever is learned; cosines do not depend on length.
    """

    name = "alignment"
    reference: Tensor

    def __init__(self, *, reference: Tensor, weight: float, temperature: float, cosine: bool = False) -> None:
        """``reference`` (N + 1, D) item embeddings of the id-only run, row i = item i. ``cosine``: InfoNCE over cosines
        in place of the published loss."""
        super().__init__()
        self.register_buffer("reference", reference, persistent=False)
        self.weight = weight
        self.temperature = temperature
        self.cosine = cosine

    def examples(self, batch: EncodedBatch) -> int:
        return len(torch.unique(batch.targets))

    def forward(self, batch: EncodedBatch) -> Tensor:
        items = torch.unique(batch.targets)  # one row per positive item, or it would be its own negative
        ours, theirs = batch.model.embed_items(items), self.reference[items]
        targets: Literal["soft", "hard"] = "hard" if self.cosine else "soft"
        return soft_contrastive(ours, theirs, self.temperature, normalise=self.cosine, targets=targets)
