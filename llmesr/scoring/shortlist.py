"""The best items under a policy without the content term of the whole catalogue: few candidates, scored exactly.

The cosines of an item with a large catalogue are too many to be kept, and too dear to be made for every request. What
is kept of an item are its nearest others; all that are not among them are at most as close as the last of them. That
bounds every score from above, and the candidates with the highest bounds are scored exactly. The best of them are the
best of all as soon as no bound that is left exceeds the last of them (the threshold algorithm of Fagin, Lotem and Naor
2001, "Optimal aggregation algorithms for middleware"); until then there are more candidates, at last the whole
catalogue.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from llmesr.scoring.content import ContentTerm
from llmesr.scoring.greatest import best

FIRST, MORE = 32, 4
"""Candidates at first beside those that are wanted, and by what they grow where that is not enough."""
SHARE = 0.1
"""Of the catalogue; where more candidates were needed all items are scored."""
ROUNDING = 1e-6
"""By how much bounds are raised, relative to the greatest: both sides are sums of rounded numbers."""


def best_with_content(
    scores: Tensor, slope: Tensor, term: ContentTerm, sequences: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """The ``k`` greatest of ``scores + slope * content`` of every row, best first: values and columns, (B, k) each.

    ``scores`` (B, N + 1) are without the content term, -inf for what must not be shown; ``slope`` (N + 1,) weighs it.
    """
    upper = _bounds(scores, slope, term, sequences)

    def scored(rows: Tensor, candidates: Tensor) -> Tensor:
        content = term.of(sequences[rows], candidates)
        return torch.addcmul(scores[rows].gather(1, candidates), slope[candidates], content)

    def whole(rows: Tensor) -> Tensor:
        return torch.addcmul(scores[rows], slope, term.score(sequences[rows]))

    return narrowed(upper, scored, whole, k)


def narrowed(
    upper: Tensor, scored: Callable[[Tensor, Tensor], Tensor], whole: Callable[[Tensor], Tensor], k: int
) -> tuple[Tensor, Tensor]:
    """The ``k`` highest scores of every row, best first, and their columns, (B, k) each, where ``upper`` (B, N + 1) is
    nowhere below a score.

    ``scored`` gives the scores (b, C) of few columns (b, C) of some rows (b,), ``whole`` those of all columns.
    """
    found = torch.empty(len(upper), k, device=upper.device)
    columns = torch.empty(len(upper), k, dtype=torch.int64, device=upper.device)
    left, many = torch.arange(len(upper), device=upper.device), k + FIRST
    while len(left) and many <= SHARE * upper.shape[1]:
        bound, candidate = best(upper if len(left) == len(upper) else upper[left], many)
        exact = scored(left, candidate)
        found[left], at = exact.topk(k, dim=1)
        columns[left] = candidate.gather(1, at)
        left = left[found[left, -1] < bound[:, -1] + ROUNDING * bound[:, 0].abs()]
        many *= MORE
    if len(left):
        found[left], columns[left] = best(whole(left), k)
    return found, columns


def _bounds(scores: Tensor, slope: Tensor, term: ContentTerm, sequences: Tensor) -> Tensor:
    """(B, N + 1) none below ``scores + slope * content``."""
    bound, owner, item, cosine = term.listed(sequences)
    rise, fall = slope.clamp(min=0), (-slope).clamp(min=0)  # a cosine is -1 at the least
    base = scores + fall if bool(fall.any()) else scores
    upper = torch.addcmul(base, rise, bound[:, None])
    closer = cosine > bound[owner]
    owner, item, cosine = owner[closer], item[closer], cosine[closer]
    raised = base[owner, item] + rise[item] * cosine
    upper.view(-1).scatter_reduce_(0, owner * scores.shape[1] + item, raised, "amax")
    return upper
