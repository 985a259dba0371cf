"""Losses of predicting an item, as functions of tensors.

``hidden`` (P, D) are the states at the P predicted positions, ``targets`` (P,) the true items,
``table`` (N + 1, D) all candidates with padding in row 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Base = Callable[[slice], Tensor]
"""Some of the P positions -> (p, N + 1) scores that the model's are added to."""
LOGITS_AT_ONCE = {"cpu": 500_000}
"""Rows are cut so that no more logits than this exist at once: on the CPU what stays in its cache (2 MB)."""
LOGITS_ON_DEVICE = 16_000_000
ROWS = 32
"""At once at the least: each chunk reads the whole table and writes its whole gradient."""


class _LinearCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of ``hidden @ table.T`` without ever holding all logits.

    The gradients are taken chunk by chunk in the forward pass, where the softmax is at hand anyway. What scales a
    row of the softmax, and the true item, are applied to the small matrices: the logits are passed over three times.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        table: Tensor,
        targets: Tensor,
        rows: int,
        base: Base | None,
        weight: Tensor,
    ) -> Tensor:
        hidden_gradient = torch.empty_like(hidden)
        table_gradient = torch.zeros_like(table)
        total = torch.zeros((), device=hidden.device, dtype=torch.float32)
        weight_gradient = torch.zeros_like(total)
        scale = 1.0 / max(len(hidden), 1)
        for start in range(0, len(hidden), rows):
            part, wanted = hidden[start : start + rows], targets[start : start + rows]
            logits = (part @ table.T).float()
            added = None if base is None else base(slice(start, start + rows)).float()
            if added is not None:
                logits.addcmul_(added, weight)
            logits[:, 0] = -torch.inf
            greatest = logits.amax(1, keepdim=True)
            true = logits.gather(1, wanted[:, None])
            weights = logits.sub_(greatest).exp_()  # (rows, N + 1), the softmax but for its sum
            normaliser = weights.sum(1, keepdim=True)
            total += (normaliser.log() + greatest - true).sum()
            if added is not None:
                expected = (weights * added).sum(1, keepdim=True) / normaliser
                weight_gradient += (expected - added.gather(1, wanted[:, None])).sum() * scale
            weights, share = weights.to(hidden.dtype), scale / normaliser
            hidden_gradient[start : start + rows] = (weights @ table) * share - table[wanted] * scale
            table_gradient.addmm_(weights.T, (part * share).to(hidden.dtype))
        table_gradient.index_add_(0, targets, hidden, alpha=-scale)
        ctx.save_for_backward(hidden_gradient, table_gradient, weight_gradient)
        return total * scale

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None, None, Tensor]:
        hidden_gradient, table_gradient, weight_gradient = ctx.saved_tensors
        return hidden_gradient * upstream, table_gradient * upstream, None, None, None, weight_gradient * upstream


def cross_entropy(
    hidden: Tensor, table: Tensor, targets: Tensor, base: Base | None = None, weight: Tensor | None = None
) -> Tensor:
    """Softmax over the whole catalogue (row 0 excluded), mean over positions; of ``weight * base`` and the products
    where a ``base`` is given."""
    rows = max(ROWS, LOGITS_AT_ONCE.get(hidden.device.type, LOGITS_ON_DEVICE) // len(table))
    apply: Callable[..., Tensor] = _LinearCrossEntropy.apply
    if weight is None:
        weight = torch.zeros((), device=hidden.device)
    return apply(hidden, table.to(hidden.dtype), targets, rows, base, weight)


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


def sampled_softmax(
    hidden: Tensor,
    positive: Tensor,
    candidates: Tensor,
    clash: Tensor,
    *,
    expected: Tensor,
    added: Tensor | None = None,
) -> Tensor:
    """Softmax over the target and K shared negatives, corrected for how often each is drawn.

    ``candidates`` (K, D), ``clash`` (P, K) marks negatives that are the row's own target, ``expected`` (K,) is how
    often a batch draws each on average. ``added`` (P, K) is added to the scores of the negatives. The logQ correction
    makes the sum over the sample estimate the sum over the catalogue (Bengio and Senécal 2008).
    """
    negative = hidden @ candidates.T  # (P, K)
    negative = negative if added is None else negative + added
    negative = negative - expected.log()
    negative = negative.masked_fill(clash, -torch.inf)
    return (torch.logsumexp(torch.cat([positive[:, None], negative], 1), 1) - positive).mean()
