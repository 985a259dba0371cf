"""Self-distillation from similar users (LLM-ESR section 3.3): functions of two tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def mse(students: Tensor, teachers: Tensor, known: Tensor) -> Tensor:
    """Mean squared distance (B, D) to (B, D) over the rows that have a teacher (``known`` (B,))."""
    squared = (students - teachers).pow(2).mean(1) * known
    return squared.sum() / known.sum().clamp(min=1)


def contrastive(
    students: Tensor, teachers: Tensor, known: Tensor, *, temperature: float = 1.0, most: int | None = None
) -> Tensor:
    """Each student must find its own teacher among the batch's (InfoNCE on cosines), or of ``most`` at most: rows that
    follow each other, in groups as equal as can be. The mean over all students."""
    count = int(known.sum())
    if count < 2:
        return students.sum() * 0.0
    x, y = F.normalize(students[known], dim=-1), F.normalize(teachers[known], dim=-1)
    groups = 1 if most is None else -(-count // most)
    pairs = zip(x.tensor_split(groups), y.tensor_split(groups), strict=True)
    means = [
        F.cross_entropy(own @ other.T / temperature, torch.arange(len(own), device=own.device)) * (len(own) / count)
        for own, other in pairs
    ]
    return torch.stack(means).sum()
