"""The greatest numbers of every row of a wide matrix."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 32


def best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` greatest of every row of (B, N + 1), best first: values and columns, (B, k) each.

    Among the k blocks of columns with the greatest maxima: they hold the k greatest.
    """
    users, size = scores.shape
    whole = size // BLOCK
    if whole < 2 * k:
        return scores.topk(k, dim=1)
    head = scores[:, : whole * BLOCK].view(users, whole, BLOCK)
    block = head.amax(2).topk(k, dim=1).indices  # (B, k)
    columns = (block[:, :, None] * BLOCK + torch.arange(BLOCK, device=scores.device)).view(users, -1)
    columns = torch.cat([columns, torch.arange(whole * BLOCK, size, device=scores.device).expand(users, -1)], 1)
    value, at = scores.gather(1, columns).topk(k, dim=1)
    return value, columns.gather(1, at)
