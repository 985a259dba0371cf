"""Rows of item tables put in place, for items whose text changes or that come in later."""

from __future__ import annotations

import torch
from torch import Tensor


def placed(table: Tensor, items: Tensor, rows: Tensor) -> Tensor:
    """A copy of ``table``, whose last row is the mask, with ``rows`` (S, ...) at ``items`` (S,), and as many rows more
    as the greatest of them asks for."""
    mask = len(table) - 1
    more = max(0, int(items.max()) - mask + 1) if len(items) else 0
    empty = table.new_zeros((more, *table.shape[1:]))
    grown = torch.cat([table[:mask], empty, table[mask:]])
    grown[items] = rows.to(grown.dtype)
    return grown
