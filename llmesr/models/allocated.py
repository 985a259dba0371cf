"""A model whose best items stand in the order of a second one, for the users who are handed over."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from llmesr.ids import PAD
from llmesr.models.scorers import Scorer


class AllocatedScorer:
    """The scores of ``first``, bit for bit, but for weak users: what their best items score is dealt out again, in the
    order of ``second``. Whoever is not known keeps the scores of ``first``."""

    def __init__(
        self, first: Scorer, second: Scorer, weak: Tensor, candidates: int, pasts: Callable[[Tensor], Tensor]
    ) -> None:
        """``weak`` (U,) bool; ``candidates``: how many of the best are re-ordered; ``pasts``: users (R,) -> (R, H) what
        no list of theirs holds, of which the models may read the newest alone."""
        self.first, self.second, self.weak, self.pasts = first, second, weak, pasts
        self.n_items = first.n_items
        self.candidates = min(candidates, first.n_items)

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) right-padded histories -> (B, N + 1)."""
        scores = self.first.score(sequences, users)
        if users is None:
            return scores
        rows = (self.weak[users.clamp(min=0)] & (users >= 0)).nonzero()[:, 0]
        if not len(rows):
            return scores
        scores = scores.float().clone()
        seen = scores[rows].scatter(1, sequences[rows], -torch.inf).scatter(1, self.pasts(users[rows]), -torch.inf)
        seen[:, PAD] = -torch.inf
        values, items = seen.topk(self.candidates, dim=1)  # (R, n)
        items = items.masked_fill(torch.isneginf(values), PAD)
        order = in_order_of(self.second.score(sequences[rows], users[rows]).float().gather(1, items), items)
        scores[rows] = dealt(scores[rows], items.gather(1, order))
        return scores


def in_order_of(scores: Tensor, items: Tensor) -> Tensor:
    """(R, n) the places of ``items`` (R, n) by falling ``scores`` (R, n), equal ones as they stood, padding last."""
    lowest = torch.finfo(scores.dtype).min
    shown = torch.where(torch.isneginf(scores), lowest, scores).masked_fill(items == PAD, -torch.inf)
    return shown.argsort(dim=1, descending=True, stable=True)


def dealt(scores: Tensor, items: Tensor) -> Tensor:
    """(R, N + 1) with what ``items`` (R, n) score dealt out among them from the first to the last."""
    values = scores.gather(1, items).masked_fill(items == PAD, -torch.inf).sort(1, descending=True).values
    return scores.scatter(1, items, _apart(values))


def _apart(values: Tensor) -> Tensor:
    """(R, n) falling values, the equal ones among them raised by as little as there is: ties would undo an order."""
    upwards = torch.tensor(torch.inf, device=values.device, dtype=values.dtype)
    for place in range(values.shape[1] - 2, -1, -1):
        values[:, place] = torch.maximum(values[:, place], torch.nextafter(values[:, place + 1], upwards))
    return values
