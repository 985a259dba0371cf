"""A blend whose members are weighed once more by small trees: what one score means may depend on the others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from llmesr.ids import PAD
from llmesr.models.blend import BlendScorer

CELLS = 2**20
"""Numbers that are looked at together: features times users times items."""
LEAST_SPREAD = 1e-3
"""Of the scores of an item among users: a member that says the same to all of them says nothing of anybody."""
CONTEXT = ("popularity", "history length", "popularity of the history", "popularity of the last item")
"""What trees know besides the scores of the members."""


class Usual(NamedTuple):
    """What members say of each item to users at large, after :func:`standardised`: mean and standard deviation,
    (M, N + 1) each. Against it one sees that a score is high for this item, which popular ones have by habit."""

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, total: Tensor, squares: Tensor, users: int) -> Usual:
        """From the sums over ``users``, (M, N + 1) float64 each."""
        mean = total / users
        spread = (squares / users - mean**2).clamp(min=0).sqrt().clamp(min=LEAST_SPREAD)
        return cls(mean.float(), spread.float())

    def to(self, device: torch.device | str) -> Usual:
        return Usual(self.mean.to(device), self.spread.to(device))

    def beyond(self, scores: Tensor, items: Tensor | slice) -> Tensor:
        """How many standard deviations beyond the usual: scores (M, B, C) of ``items`` (B, C), or of all."""
        return (scores - self._of(self.mean, items)) / self._of(self.spread, items)

    @staticmethod
    def _of(table: Tensor, items: Tensor | slice) -> Tensor:
        return table[:, None, items] if isinstance(items, slice) else table[:, items]


class Trees:
    """The sum of T complete binary trees of depth D. The children of node n are 2n + 1 and, where its feature lies
    above its cut, 2n + 2."""

    def __init__(self, features: Tensor, cuts: Tensor, values: Tensor) -> None:
        """``features`` (T, 2^D - 1) int64 and ``cuts`` of the inner nodes; ``values`` (T, 2^(D + 1) - 1) of all nodes.
        A tree says the value of the leaf that it ends in."""
        self.features, self.cuts, self.values = features, cuts, values
        self.depth = (values.shape[1] + 1).bit_length() - 2

    def to(self, device: torch.device | str) -> Trees:
        return Trees(self.features.to(device), self.cuts.to(device), self.values.to(device))

    def first(self, rounds: int) -> Trees:
        """The first ``rounds`` of them."""
        return Trees(self.features[:rounds], self.cuts[:rounds], self.values[:rounds])

    def score(self, known: Tensor) -> Tensor:
        """(F, R) features of R candidates -> (R,)."""
        total = known.new_zeros(known.shape[1])
        inner = self.features.shape[1]
        for features, cuts, values in zip(self.features.tolist(), self.cuts.tolist(), self.values, strict=True):
            above = [known[feature] > cut for feature, cut in zip(features, cuts, strict=True)]
            total += values[inner:].index_select(0, _leaf(above, 0, self.depth).int())
        return total

    def shares(self, known: Tensor) -> tuple[Tensor, Tensor]:
        """What each feature adds, (F, R), and what all candidates have alike (): together the score, exactly.

        Each step down a tree changes its value, which is credited to the feature that decided the step (Saabas 2014;
        not Shapley values: the order of the steps counts).
        """
        added = torch.zeros_like(known)
        for features, cuts, values in zip(self.features, self.cuts, self.values, strict=True):
            path = self._path(known, features, cuts)
            for node, child in pairwise(path):
                added.scatter_add_(0, features[node][None], (values[child] - values[node])[None])
        return added, self.values[:, 0].sum()

    def _path(self, known: Tensor, features: Tensor, cuts: Tensor) -> list[Tensor]:
        """The nodes (R,) that candidates come through, the root first."""
        above = known[features] > cuts[:, None]  # (2^D - 1, R)
        path = [torch.zeros(known.shape[1], dtype=torch.long, device=known.device)]
        for _ in range(self.depth):
            node = path[-1]
            path.append(2 * node + 1 + above.gather(0, node[None])[0])
        return path


def _leaf(above: Sequence[Tensor], node: int, depth: int) -> Tensor:
    """Which of the 2^depth leaves below ``node`` candidates end in, (R,): small numbers, since there are many."""
    if depth == 1:
        return above[node].byte()
    right = _leaf(above, 2 * node + 2, depth - 1) + 2 ** (depth - 1)
    return torch.where(above[node], right, _leaf(above, 2 * node + 1, depth - 1))


class BoostedScorer:
    """score(u, i) = blend(u, i) + trees(features of u and i)."""

    def __init__(self, blend: BlendScorer, trees: Trees, log_counts: Tensor, usual: Usual) -> None:
        """``log_counts`` (N + 1,): log(1 + n) of the training interactions of items; ``usual``: what the members say of
        them to users at large."""
        self.blend, self.trees, self.log_counts, self.usual = blend, trees, log_counts, usual
        self.n_items = blend.n_items

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) right-padded histories -> (B, N + 1)."""
        scores = self.blend.of_members(sequences, users)
        total = self.blend.summed(scores)
        rows = max(1, CELLS // (many_features(len(scores)) * (self.n_items + 1)))
        for start in range(0, len(sequences), rows):
            at = slice(start, start + rows)
            known = features([s[at] for s in scores], self.log_counts, sequences[at], self.usual)
            total[at] += self.trees.score(known.flatten(1)).view(known.shape[1:])
        return total

    @torch.inference_mode()
    def shares(self, sequence: Tensor, users: Tensor | None, items: Tensor) -> tuple[list[Tensor], Tensor]:
        """Of one history (1, L) and ``items`` (C,): what each member adds, by its weight and in the trees, and what
        is left: popularity, the history, and what all candidates have alike; (C,) each."""
        scores = self.blend.of_members(sequence, users)
        known = features(scores, self.log_counts, sequence, self.usual)[:, 0, items]
        added, alike = self.trees.shares(known)
        own, bias = self.blend.shares(sequence, users, items)
        within, beyond, about = added.split([len(own), len(own), len(CONTEXT)])
        members = [share + level + more for share, level, more in zip(own, within, beyond, strict=True)]
        return members, bias + about.sum(0) + alike


def many_features(members: int) -> int:
    """F, how many features there are for so many members."""
    return 2 * members + len(CONTEXT)


def features(scores: Sequence[Tensor], log_counts: Tensor, sequences: Tensor, usual: Usual) -> Tensor:
    """(F, B, N + 1): of each member its scores (B, N + 1), brought to mean 0 and spread 1 over the catalogue of each
    user; how far these lie beyond what is usual for the item; then :data:`CONTEXT`."""
    within = torch.stack([standardised(s) for s in scores])
    return torch.cat([within, usual.beyond(within, slice(None)), context(log_counts, sequences)])


def context(log_counts: Tensor, sequences: Tensor) -> Tensor:
    """(4, B, N + 1) :data:`CONTEXT` of histories (B, L)."""
    read = sequences != PAD  # (B, L)
    length = read.sum(1).clamp(min=1)
    chosen = log_counts[sequences] * read
    last = chosen.gather(1, length[:, None] - 1)[:, 0]
    of_users = (torch.log(length.float()), chosen.sum(1) / length, last)
    wide = (len(sequences), len(log_counts))
    return torch.stack([log_counts.expand(wide), *(part[:, None].expand(wide) for part in of_users)])


def standardised(scores: Tensor) -> Tensor:
    """(B, N + 1) with mean 0 and standard deviation 1 over the items of each row; the padding is left out of both."""
    items = scores[:, 1:].float()
    spread, mean = torch.std_mean(items, dim=1, correction=0, keepdim=True)
    return (scores.float() - mean) / spread.clamp(min=1e-6)
