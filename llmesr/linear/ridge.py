"""EASE in closed form, all items at once: one inverse.

    min over B of tr((I - B)' A (I - B)) + ridge * |B|^2   with   diag(B) = 0,   A = G + a K

is solved by P = (A + ridge I)^-1 and B = I - P / diag(P) by column (Steck 2019, "Embarrassingly shallow autoencoders
for sparse data"). With the kernel K of item text it is the closed form of a linear model with side information
(Jeunen et al. 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor

from llmesr.linear.evidence import Evidence
from llmesr.linear.weights import Weights

MARGIN = 1e-3
"""Share of the ridge that the smallest eigenvalue keeps after a repair."""


def dense(evidence: Evidence, ridge: float) -> Weights:
    """The weights between all N items, (N + 1, N + 1), in float64 inside: N^3 steps and 24 N^2 bytes.

    ``content`` of the result is what the kernels' right-hand side contributes: with item j left out, column j is
    A^-1 (g_j + k_j), which falls into A^-1 g_j and A^-1 k_j.
    """
    every = torch.arange(evidence.size, device=evidence.device)
    text = evidence.content(every)
    matrix = evidence.behaviour(every).double()
    if text is not None:
        matrix += text
    factor, shift = repaired(matrix, ridge)
    del matrix
    inverse = torch.cholesky_inverse(factor)
    del factor
    diagonal = inverse.diagonal().clone()
    content = None
    if text is not None:
        content = _share(inverse, evidence.times_counts(inverse).T, ridge + shift, text.diagonal())
    weights = inverse.div_(-diagonal).fill_diagonal_(0.0)
    weights[0], weights[:, 0] = 0.0, 0.0
    return Weights.dense(weights.float(), content, shift=shift)


def columns(evidence: Evidence, items: Tensor, ridge: float) -> tuple[Tensor, Tensor | None]:
    """The columns of :func:`dense` that belong to ``items`` (S,), and their ``content``: (N + 1, S) each, by one
    factorisation and a solution for each column."""
    every = torch.arange(evidence.size, device=evidence.device)
    text = evidence.content(every)
    matrix = evidence.behaviour(every).double()
    if text is not None:
        matrix += text
    factor, _ = repaired(matrix, ridge)
    at = (items, torch.arange(len(items), device=evidence.device))
    unit = torch.zeros(evidence.size, len(items), dtype=torch.float64, device=evidence.device)
    unit[at] = 1.0
    own = torch.cholesky_solve(unit, factor)
    content = None
    if text is not None:
        right = text[:, items].double()
        right[at] = 0.0
        solved = torch.cholesky_solve(right, factor)
        content = _without_own(solved - own * (solved[at] / own[at]), at)
    return _without_own(-own / own[at], at), content


def _without_own(found: Tensor, at: tuple[Tensor, Tensor]) -> Tensor:
    """In float32, with nothing for padding and for an item from itself."""
    found[at] = 0.0
    found[0] = 0.0
    return found.float()


def _share(inverse: Tensor, counted: Tensor, damping: float, own: Tensor) -> Tensor:
    """Column j: (A without j)^-1 of column j of the kernel K, whose diagonal ``own`` (N + 1,) is left out.

    By the inverse of a bordered matrix, (A without j)^-1 v = P v - P_j (P v)_j / P_jj. Since P (G + K + damping I) = I,
    P K is known from ``counted`` = P G, which is quick as G is sparse.
    """
    solved = counted.neg().sub_(inverse * (damping + own))
    solved.diagonal().add_(1.0)
    solved -= inverse * (solved.diagonal() / inverse.diagonal())
    solved[0], solved[:, 0] = 0.0, 0.0
    return solved.fill_diagonal_(0.0).float()


def repaired(matrix: Tensor, ridge: float) -> tuple[Tensor, float]:
    """The Cholesky factor of ``matrix`` + ridge I, and how much more had to be added to the diagonal (0 as a rule).

    Cut-off cosines may leave a kernel with negative eigenvalues; where they outweigh counts and ridge together, the
    diagonal is raised until the smallest eigenvalue is ``MARGIN`` of the ridge.
    """
    damped = matrix.clone()
    damped.diagonal().add_(ridge)
    factor, failed = torch.linalg.cholesky_ex(damped)
    if not bool(failed):
        return factor, 0.0
    shift = float(MARGIN * ridge - torch.linalg.eigvalsh(damped)[0])
    damped.diagonal().add_(shift)
    return torch.linalg.cholesky(damped), shift
