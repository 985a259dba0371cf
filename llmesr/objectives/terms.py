"""The weighted terms a method is trained with, each wrapping one of the loss functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.config import DEFAULT_NEGATIVES
from llmesr.objectives import distillation, next_item
from llmesr.objectives.contrastive import soft_contrastive
from llmesr.objectives.step import Step


class NextItem:
    """Predict the item at each position: ce, bce, gbce or sampled softmax."""

    name = "next_item"
    weight = 1.0

    def __init__(self, *, loss: str, negatives: int | None, calibration: float) -> None:
        self.loss = loss
        self.negatives = negatives or DEFAULT_NEGATIVES.get(loss, 0)
        self.calibration = calibration

    def examples(self, step: Step) -> int:
        return len(step.targets)

    def __call__(self, step: Step) -> Tensor:
        n_items = step.model.n_items
        if self.loss == "ce":
            return next_item.cross_entropy(step.hidden, step.model.candidates(), step.targets)
        positive = (step.hidden * step.model.embed_items(step.targets)).sum(-1)  # (P,)
        if self.loss == "sampled":
            drawn = torch.randint(1, n_items + 1, (min(self.negatives, n_items),), device=step.hidden.device)
            clash = drawn == step.targets[:, None]
            rows = step.model.embed_items(drawn)
            return next_item.sampled_softmax(step.hidden, positive, rows, clash, n_items=n_items)
        drawn = step.sample(step.owners, self.negatives)  # (P, K)
        negative = torch.einsum("pd,pkd->pk", step.hidden, step.model.embed_items(drawn))
        if self.loss == "bce":
            return next_item.binary_cross_entropy(positive, negative)
        return next_item.generalised_binary_cross_entropy(
            positive, negative, n_items=n_items, calibration=self.calibration
        )


class Distillation:
    """alpha * distance to the mean representation of similar users (LLM-ESR eq. 8).

    Teachers are the model's own representations without gradient, encoded for all users at once
    every so often and gathered per batch, instead of ten more encodings per user and step.
    """

    name = "distillation"

    def __init__(self, *, similar: Tensor, kind: str, weight: float, every: int) -> None:
        """``similar`` (U, K) users, -1 where there are fewer than K; ``every`` steps, 0 = per epoch."""
        self.weight = weight
        self.kind = kind
        self.every = every
        self.known = (similar >= 0).any(1)
        self.similar = torch.where(similar >= 0, similar, len(similar))  # row U is the empty user
        self.table: Tensor | None = None

    def refresh(self, step: int, represent_all: Callable[[], Tensor]) -> None:
        """Called before each step of an epoch; ``represent_all()`` gives (U, V * D)."""
        if step == 0 or (self.every and step % self.every == 0):
            states = represent_all()
            self.table = torch.cat([states, torch.zeros_like(states[:1])])  # (U + 1, V * D)

    def examples(self, step: Step) -> Tensor:
        return self.known[step.users].sum()

    def __call__(self, step: Step) -> Tensor:
        if self.table is None:
            raise RuntimeError("refresh() must be called before the first step")
        empty = len(self.table) - 1
        teachers = F.embedding_bag(self.similar[step.users], self.table, mode="mean", padding_idx=empty)
        known = self.known[step.users]
        if self.kind == "contrastive":
            return distillation.contrastive(step.user_states, teachers, known)
        return distillation.mse(step.user_states, teachers.to(step.user_states.dtype), known)


class Alignment:
    """alpha * contrastive loss between adapted items and an id-only run's items (LLMEmb eq. 9).

    The published loss takes its soft targets from inner products. Our item vectors are shorter than one, so those
    targets are all but uniform, and the loss stays at chance whatever is learned; cosines do not depend on length.
    """

    name = "alignment"

    def __init__(self, *, reference: Tensor, weight: float, temperature: float, cosine: bool = False) -> None:
        """``reference`` (N + 1, D) item embeddings of the id-only run, row i = item i. ``cosine``: InfoNCE over cosines
        in place of the published loss."""
        self.reference = reference
        self.weight = weight
        self.temperature = temperature
        self.cosine = cosine

    def examples(self, step: Step) -> int:
        return len(torch.unique(step.targets))

    def __call__(self, step: Step) -> Tensor:
        items = torch.unique(step.targets)  # one row per positive item, or it would be its own negative
        ours, theirs = step.model.embed_items(items), self.reference[items]
        targets: Literal["soft", "hard"] = "hard" if self.cosine else "soft"
        return soft_contrastive(ours, theirs, self.temperature, normalise=self.cosine, targets=targets)
