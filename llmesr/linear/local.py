"""EASE on each item's strongest others: for any number of items, in blocks, with a sparse result.

Item j is explained by the ``neighbours`` items with the greatest evidence together with it, C:

    B[C, j] = (A[C, C] + ridge I)^-1 A[C, j],   j not in C

which is the regularised regression of EASE with fewer variables (fsSLIM; Ning and Karypis 2011, "SLIM: sparse linear
methods for top-n recommender systems"). With all other items in C it is EASE itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llmesr.linear.evidence import Evidence
from llmesr.linear.ridge import MARGIN
from llmesr.linear.weights import Columns

AT_ONCE = 2**24
"""Numbers in the largest tensor of a block (64 MB): memory does not grow with the number of items times this."""


def solve(evidence: Evidence, items: Tensor, *, ridge: float, neighbours: int) -> Columns:
    """The weights of ``items`` (b,) on their strongest others. The same for an item in whatever block it stands."""
    most = min(neighbours, evidence.size - 2)
    widest = max((k.vectors.shape[1] for k in evidence.kernels), default=1)
    looked_at = evidence.size if evidence.near is None else evidence.looked_at * widest
    together = max(1, min(AT_ONCE // (most * max(most, widest)), AT_ONCE // looked_at))
    return Columns.joined([_block(evidence, part, ridge, most) for part in torch.split(items, together)])


def _block(evidence: Evidence, items: Tensor, ridge: float, most: int) -> Columns:
    chosen, known, said = evidence.strongest(items, most)  # (b, M); padding is alone: its weight comes out as 0
    right = known[:, :, None] if said is None else torch.stack([known, said], dim=2)  # (b, M, 1 or 2)
    weights, shifted = _solved(evidence.among(chosen), right, ridge)
    return Columns(
        items=chosen.int(),
        weights=weights.sum(2),
        content=weights[:, :, 1].contiguous() if said is not None else None,
        shifted=shifted,
    )


def _solved(matrix: Tensor, right: Tensor, ridge: float) -> tuple[Tensor, int]:
    """(b, M, M) and (b, M, R) -> (b, M, R), and how many matrices had to be made positive definite first."""
    matrix.diagonal(dim1=1, dim2=2).add_(ridge)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    bad = failed.nonzero()[:, 0]
    if len(bad):
        lowest = torch.linalg.eigvalsh(matrix[bad].double())[:, 0]
        raised = matrix[bad]
        raised.diagonal(dim1=1, dim2=2).add_((MARGIN * ridge - lowest).float()[:, None])
        factor[bad] = torch.linalg.cholesky(raised.double()).float()
    return torch.cholesky_solve(right, factor), len(bad)
