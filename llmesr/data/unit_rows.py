"""Vectors of length 1, of which a product of two is their cosine."""

from __future__ import annotations

from typing import overload

import numpy as np
from torch import Tensor
from torch.nn import functional as F


@overload
def unit_rows(vectors: np.ndarray) -> np.ndarray: ...
@overload
def unit_rows(vectors: Tensor) -> Tensor: ...
def unit_rows(vectors: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """Rows (..., E) at length 1, float32, on the same device. A zero row has no direction and stays zero, so that its
    cosine with everything is 0."""
    if isinstance(vectors, Tensor):
        return F.normalize(vectors.float(), dim=-1)
    vectors = np.ascontiguousarray(vectors, np.float32)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms == 0, 1, norms)
