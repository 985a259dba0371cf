"""From the states of tokens to one vector per text. Correct with padding on either side."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["mean", "last", "cls"]


def pool(states: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """``states`` (B, L, E) and ``mask`` (B, L), 1 at real tokens -> (B, E).

    ``mean`` over real tokens, the ``last`` real token, or the first real token (``cls``).
    """
    if how == "mean":
        weight = mask.to(torch.float32)  # (B, L)
        total = torch.einsum("ble,bl->be", states.to(torch.float32), weight)
        return total / weight.sum(1, keepdim=True).clamp(min=1)
    steps = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)  # (B, L)
    real = mask.bool()
    position = steps.masked_fill(~real, -1).amax(1) if how == "last" else real.to(torch.uint8).argmax(1)
    rows = torch.arange(len(states), device=states.device)
    return states[rows, position.clamp(min=0)].to(torch.float32)
