"""Losses of predicting an item, as functions of tensors.

``hidden`` (P, D) are the states at the P predicted positions, ``targets`` (P,) the true items,
``table`` (N + 1, D) all candidates with padding in row 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

LOGITS_AT_ONCE = {"cpu": 500_000}
"""Rows are cut so that no more logits than this exist at once: on the CPU what stays in its cache (2 MB)."""
LOGITS_ON_DEVICE = 16_000_000


class _LinearCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of ``hidden @ table.T`` without ever holding all logits.

    The gradients are taken chunk by chunk in the forward pass, where the softmax is at hand anyway. What scales a
    row of the softmax, and the true item, are applied to the small matrices: the logits are passed over three times.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, table: Tensor, targets: Tensor, rows: int) -> Tensor:
        hidden_gradient = torch.empty_like(hidden)
        table_gradient = torch.zeros_like(table)
        total = torch.zeros((), device=hidden.device, dtype=torch.float32)
        scale = 1.0 / max(len(hidden), 1)
        for start in range(0, len(hidden), rows):
            part, wanted = hidden[start : start + rows], targets[start : start + rows]
            logits = (part @ table.T).float()
            logits[:, 0] = -torch.inf
            greatest = logits.amax(1, keepdim=True)
            true = logits.gather(1, wanted[:, None])
            weights = logits.sub_(greatest).exp_()  # (rows, N + 1), the softmax but for its sum
            normaliser = weights.sum(1, keepdim=True)
            total += (normaliser.log() + greatest - true).sum()
            weights, share = weights.to(hidden.dtype), scale / normaliser
            hidden_gradient[start : start + rows] = (weights @ table) * share - table[wanted] * scale
            table_gradient.addmm_(weights.T, (part * share).to(hidden.dtype))
        table_gradient.index_add_(0, targets, hidden, alpha=-scale)
        ctx.save_for_backward(hidden_gradient, table_gradient)
        return total * scale

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden_gradient, table_gradient = ctx.saved_tensors
        return hidden_gradient * upstream, table_gradient * upstream, None, None


def cross_entropy(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    """Softmax over the whole catalogue (row 0 excluded), mean over positions."""
    rows = max(1, LOGITS_AT_ONCE.get(hidden.device.type, LOGITS_ON_DEVICE) // len(table))
    apply: Callable[..., Tensor] = _LinearCrossEntropy.apply
    return apply(hidden, table.to(hidden.dtype), targets, rows)


def binary_cross_entropy(positive: Tensor, negative: Tensor) -> Tensor:
    """SASRec's loss: ``positive`` (P,) and ``negative`` (P, K) scores; mean over all of them."""
    return F.softplus(-positive).mean() + F.softplus(negative).mean()


def generalised_binary_cross_entropy(positive: Tensor, negative: Tensor, *, n_items: int, calibration: float) -> Tensor:
    """gBCE (Petrov and Macdonald 2023, eq. 12): the positive's likelihood raised to the power beta.

    ``calibration`` t = 0 is plain BCE with K negatives, t = 1 is fully calibrated.
    """
    rate = negative.shape[1] / max(n_items - 1, 1)
    beta = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    return (beta * F.softplus(-positive) + F.softplus(negative).sum(1)).mean() / (negative.shape[1] + 1)


def sampled_softmax(hidden: Tensor, positive: Tensor, candidates: Tensor, clash: Tensor, *, n_items: int) -> Tensor:
    """Softmax over the target and K shared uniform negatives, corrected for their sampling rate.

    ``candidates`` (K, D), ``clash`` (P, K) marks negatives that are the row's own target.
    The logQ correction makes the sum over the sample estimate the sum over the catalogue.
    """
    negative = hidden @ candidates.T  # (P, K)
    negative = negative + math.log(max(n_items - 1, 1) / candidates.shape[0])
    negative = negative.masked_fill(clash, -torch.inf)
    return (torch.logsumexp(torch.cat([positive[:, None], negative], 1), 1) - positive).mean()
