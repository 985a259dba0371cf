"""Two halves of the users of validation: what is fitted on one is judged by the other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def halved(users: np.ndarray, n_users: int, seed: int) -> tuple[Tensor, tuple[np.ndarray, np.ndarray]]:
    """Two random halves of ``users`` (in rising order), and for each of all users (U,) the half it is in."""
    first = np.sort(np.random.default_rng(seed).choice(users, len(users) // 2, replace=False))
    second = np.setdiff1d(users, first)
    fold = torch.zeros(n_users, dtype=torch.long)
    fold[second] = 1
    return fold, (first, second)
