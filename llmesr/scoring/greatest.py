"""The greatest of many numbers, without sorting them."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 32
_TILE = 512 * BLOCK
"""Rows of a table that are multiplied at once: their products stay in a processor's cache."""


def best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` greatest of every row of (B, N + 1), best first: values and columns, (B, k) each.

    Among the k blocks of columns with the greatest maxima: they hold the k greatest.
    """
    return scores.topk(k, dim=1) if scores.shape[1] < 2 * k * BLOCK else _among(scores, _maxima(scores), k)


def best_products(vectors: Tensor, table: Tensor, k: int, products: Tensor) -> tuple[Tensor, Tensor]:
    """The ``k`` greatest products of each of ``vectors`` (n, E) with the rows of ``table`` (N + 1, E), greatest first,
    as float32, and their rows, (n, k) each. ``products`` (n, N + 1) is overwritten.

    The maxima of blocks are taken while a part of the products is in the cache: to go over all of them again takes as
    long as to multiply in bfloat16.
    """
    maxima = []
    for start in range(0, len(table), _TILE):
        part = vectors @ table[start : start + _TILE].T
        products[:, start : start + _TILE] = part
        maxima.append(_maxima(part.float()))
    if len(table) < 2 * k * BLOCK:
        return products.float().topk(k, dim=1)
    return _among(products, torch.cat(maxima, 1), k)


def _maxima(scores: Tensor) -> Tensor:
    """Of whole blocks of columns: (B, N) -> (B, N // BLOCK)."""
    whole = scores.shape[1] // BLOCK
    return scores[:, : whole * BLOCK].view(len(scores), whole, BLOCK).amax(2)


def _among(scores: Tensor, maxima: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """:func:`best`, of scores with these maxima."""
    rows, size, whole = len(scores), scores.shape[1], maxima.shape[1]
    block = maxima.topk(k, dim=1).indices  # (B, k)
    columns = (block[:, :, None] * BLOCK + torch.arange(BLOCK, device=scores.device)).view(rows, -1)
    columns = torch.cat([columns, torch.arange(whole * BLOCK, size, device=scores.device).expand(rows, -1)], 1)
    value, at = scores.gather(1, columns).float().topk(k, dim=1)
    return value, columns.gather(1, at)
