"""What ranks the items that a linear model leaves at zero: how popular they are, and how close their text is.

A sparse linear score is 0 for most of the catalogue, so that strangers to a history tie with one another. Two small
summands order them, with weights found on validation and stored with the model.
"""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor

from llmesr.ids import PAD
from llmesr.linear.closest import closest


class Fallback:
    """popularity * log(1 + n_i) / log(1 + max n) + content * max over the history of cos(h, i)."""

    def __init__(
        self,
        item_counts: Tensor,
        *,
        popularity: float = 0.0,
        content: float = 0.0,
        vectors: Tensor | None = None,
    ) -> None:
        """``item_counts`` (N + 1,) training interactions; ``vectors`` (N + 1, E) of unit length or zero."""
        if content and vectors is None:
            raise ValueError("a content weight needs the vectors of the items")
        self.popularity, self.content = popularity, content
        logs = torch.log1p(item_counts.float())
        self.popular = logs / logs.max().clamp(min=1e-12)  # (N + 1,) 0 to 1
        self.vectors = vectors

    def parted(self) -> tuple[Fallback, Fallback]:
        """Popularity alone, and content alone."""
        popular, near = copy(self), copy(self)
        popular.content, near.popularity = 0.0, 0.0
        return popular, near

    def add_to(self, scores: Tensor, sequences: Tensor) -> Tensor:
        """``scores`` (B, N + 1) with both summands added, in place."""
        if self.popularity:
            scores.add_(self.popularity * self.popular)
        if self.content:
            scores.add_(self.nearest(sequences), alpha=self.content)
        return scores

    def nearest(self, sequences: Tensor) -> Tensor:
        """(B, L) -> (B, N + 1) the highest cosine to an item of the history, at least 0."""
        vectors = self._known()
        read, inverse = torch.unique(sequences, return_inverse=True)  # (R,), (B, L)
        similar = vectors[read] @ vectors.T  # (R, N + 1); padding is a zero row
        best = similar[inverse[:, 0]].clamp(min=0)
        for step in range(1, sequences.shape[1]):  # a running maximum: (B, L, N) never exists
            torch.maximum(best, similar[inverse[:, step]], out=best)
        return best

    def of(self, sequences: Tensor, candidates: Tensor) -> Tensor:
        """Both summands of few candidates: (B, L) and (B, C), or (C,) for all users the same, -> (B, C)."""
        popular = (self.popularity * self.popular[candidates]).expand(len(sequences), -1)
        if not self.content:
            return popular
        return popular + self.content * closest(self._known(), sequences, candidates).clamp(min=0)

    def parts(self, sequences: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """The popularity summand (B, C), and the content summand (B, C, L) at the item of the history it is due to:
        the nearest one, the newest of several."""
        popular = self.popularity * self.popular[candidates]
        nearest = torch.zeros(*candidates.shape, sequences.shape[1], device=sequences.device)
        if self.content:
            vectors = self._known()
            cosines = vectors[candidates] @ vectors[sequences].transpose(1, 2)  # (B, C, L)
            cosines = cosines.masked_fill((sequences == PAD)[:, None, :], 0.0).clamp(min=0)
            at = cosines.shape[2] - 1 - cosines.flip(2).argmax(2, keepdim=True)
            nearest.scatter_(2, at, self.content * cosines.gather(2, at))
        return popular, nearest

    def _known(self) -> Tensor:
        if self.vectors is None:
            raise ValueError("this fallback was made without vectors")
        return self.vectors
