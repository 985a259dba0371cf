"""Rows of numbers in 8 bits each and a scale for the row."""

from __future__ import annotations

import torch
from torch import Tensor

AT_ONCE = 65_536
"""Rows that are worked on at once."""


def quantised(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(S, E) -> (S, E) int8 and (S,) float32 scales: each row in 255 steps from minus to plus its greatest number.

    What :func:`restored` makes of them is at most half a step from the row.
    """
    scales = torch.zeros(len(rows), device=rows.device)
    codes = torch.empty(rows.shape, dtype=torch.int8, device=rows.device)
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE].float()
        scale = some.abs().amax(dim=1) / 127
        scales[start : start + AT_ONCE] = scale
        codes[start : start + AT_ONCE] = (some / torch.where(scale > 0, scale, 1.0)[:, None]).round()
    return codes, scales


def restored(codes: Tensor, scales: Tensor) -> Tensor:
    """(..., E) int8 and (...) scales -> (..., E) float32."""
    return codes * scales[..., None]
