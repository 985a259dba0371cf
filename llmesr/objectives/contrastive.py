"""In-batch contrastive losses between two views of the same rows (LLMEmb, Liu et al. 2025)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F


def soft_contrastive(
    x: torch.Tensor,
    y: torch.Tensor,
    temperature: float | torch.Tensor,
    *,
    reference: torch.Tensor | None = None,
    normalise: bool = False,
    targets: Literal["soft", "hard"] = "soft",
    detach_targets: bool = False,
    barred: torch.Tensor | None = None,
) -> torch.Tensor:
    """Symmetric contrastive loss between ``x`` and ``y``, both (B, E); row i of one belongs to row i of the other.

    ``logits = X Y^T / tau``; with soft targets ``T = softmax(tau * (X X^T + Y Y^T) / 2)`` row by row, so that rows
    that are alike are not pushed apart; the loss is the mean over both directions of ``CE(logits, T)`` (LLMEmb,
    equations of SCFT and of the alignment). ``targets="hard"`` is the identity instead (InfoNCE).

    The published method does NOT normalise: inner products of raw vectors are what makes ``T`` close to the
    identity. With ``normalise=True`` all products lie in [-1, 1], so ``tau < 1`` flattens soft targets to nearly
    uniform and the loss then rewards collapse; combine it with hard targets. The published code also lets the
    gradient flow through ``T`` (``detach_targets=False``). It transposes ``T`` for the second direction, whose
    rows then do not sum to one; here both directions use proper distributions (``X X^T + Y Y^T`` is symmetric).

    ``reference`` (B, R), when given, defines the targets in place of ``x`` and ``y``:
    ``T = softmax(tau * R R^T)``; it is never given a gradient. ``barred`` (B, B) bool, with hard targets: pairs that
    are no negatives. Returns a scalar in float32.
    """
    if x.shape != y.shape or x.ndim != 2:
        raise ValueError(f"x and y must both be (B, E), not {tuple(x.shape)} and {tuple(y.shape)}")
    x, y = x.float(), y.float()
    if normalise:
        x, y = F.normalize(x, dim=-1), F.normalize(y, dim=-1)
    logits = x @ y.T / temperature  # (B, B)
    if barred is not None:
        if targets != "hard":
            raise ValueError("pairs are barred from being negatives, which soft targets do not have")
        logits = logits.masked_fill(barred, -torch.inf)
    if targets == "hard":
        same = torch.arange(len(x), device=x.device)
        return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2
    if reference is not None:
        rows = reference.detach().float()
        rows = F.normalize(rows, dim=-1) if normalise else rows
        alike = rows @ rows.T
    else:
        alike = (x @ x.T + y @ y.T) / 2
    target = F.softmax(temperature * alike, dim=-1)  # (B, B), rows sum to one
    target = target.detach() if detach_targets else target
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
