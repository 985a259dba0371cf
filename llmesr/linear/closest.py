"""How close few candidates are to the closest item of each history."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.ids import PAD

_WORTH = 32
"""So many cosines of a product cost what copying the vector of an item does."""


def closest(vectors: Tensor, sequences: Tensor, items: Tensor) -> Tensor:
    """The highest cosine to an item of the history: (B, L) and (B, C), or (C,) for all users the same, -> (B, C).

    ``vectors`` (N + 1, E) are of unit length or zero. -inf after an empty history.
    """
    read, inverse = torch.unique(sequences, return_inverse=True)  # (R,), (B, L)
    wanted, column = torch.unique(items, return_inverse=True)  # (W,)
    if items.dim() > 1 and len(read) * len(wanted) > _WORTH * (items.numel() + sequences.numel()):
        cosines = F.embedding(items, vectors) @ F.embedding(sequences, vectors).transpose(1, 2)  # (B, C, L)
        return cosines.masked_fill_((sequences == PAD)[:, None, :], -torch.inf).amax(2)
    table = vectors.index_select(0, read) @ vectors.index_select(0, wanted).T  # (R, W)
    same = items.dim() == 1
    table = table[:, column] if same else table
    best = torch.full((len(sequences), column.shape[-1]), -torch.inf, device=vectors.device)
    for step in range(sequences.shape[1]):  # (B, L, C) never exists, and padding costs nothing
        rows = (sequences[:, step] != PAD).nonzero()[:, 0]
        at = inverse[rows, step]
        found = table.index_select(0, at) if same else table[at[:, None], column[rows]]
        best[rows] = torch.maximum(best[rows], found)
    return best


def each(vectors: Tensor, history: Tensor, items: Tensor) -> Tensor:
    """The cosines to every item of a history: (H, D) and (H, C), or (C,) for all the same, -> (H, D, C). -inf for
    padding."""
    if items.dim() > 1:
        cosines = F.embedding(history, vectors) @ F.embedding(items, vectors).transpose(1, 2)
    else:
        read, at = torch.unique(history, return_inverse=True)  # (R,), (H, D)
        cosines = F.embedding(at, vectors.index_select(0, read) @ vectors.index_select(0, items).T)
    return cosines.masked_fill_((history == PAD)[:, :, None], -torch.inf)
