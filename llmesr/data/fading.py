"""How much every item of a history counts: the newest most."""

from __future__ import annotations

import torch
from torch import Tensor

from llmesr.ids import PAD


def fading(sequences: Tensor, decay: float) -> Tensor:
    """(B, L) right-padded -> (B, L): 1 for the newest item, ``decay`` for the one before it, and so on; 0 padding."""
    real = sequences != PAD
    back = real.sum(1, keepdim=True) - 1 - torch.arange(sequences.shape[1], device=sequences.device)
    return torch.where(real, decay ** back.clamp(min=0).float(), 0.0)
