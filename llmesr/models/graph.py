"""Item vectors spread over the graph of users and items, before anything is learned (LightGCN, He et al. 2020, eq. 8).

ELMRec (2409.19979) gives a language model such vectors beside its tokens; here a table starts from them.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
import torch
from torch import Tensor


def spread(vectors: Tensor, chosen: sparse.csr_matrix, *, steps: int, weight: float = 1.0) -> Tensor:
    """(N, D) vectors of items 1..N -> (1 - weight) * own + weight * the mean of those after 0 to ``steps`` steps.

    ``chosen`` (U, N + 1) are zeros and ones. A step goes from items to their users and back, each way divided by the
    roots of both degrees; users have no vectors of their own. An item that nobody chose keeps its vector. The whole
    is stretched to the mean square length that it had, so that a start is as strong as without. With 0 steps or weight
    0 the vectors come back as they are.
    """
    if not steps or not weight:
        return vectors
    edges = chosen[:, 1:].astype(np.float64)
    users, items = (np.asarray(edges.sum(axis)).ravel() for axis in (1, 0))
    edges = sparse.diags(_inverse_root(users)) @ edges @ sparse.diags(_inverse_root(items))
    own = vectors.detach().cpu().double().numpy()
    alone = (items == 0)[:, None]
    step, total = own, own.copy()
    for _ in range(steps):
        step = np.where(alone, own, edges.T @ (edges @ step))
        total += step
    mixed = (1 - weight) * own + weight * total / (steps + 1)
    mixed *= np.sqrt(np.square(own).sum() / max(np.square(mixed).sum(), 1e-24))
    return torch.from_numpy(mixed).to(vectors)


def _inverse_root(degrees: np.ndarray) -> np.ndarray:
    """1 / sqrt(degree), 0 where there is no edge."""
    return np.asarray(np.where(degrees > 0, 1 / np.sqrt(np.maximum(degrees, 1)), 0.0))
