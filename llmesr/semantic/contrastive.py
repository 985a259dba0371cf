"""Supervised contrastive fine-tuning (SCFT, LLMEmb): two copies of an item's prompt, and the step that draws them near.

Everything random is a function of the seed, the step and the item, so a resumed tuning sees what an uninterrupted
one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from llmesr.config import FinetuneConfig
from llmesr.data.unit_rows import unit_rows
from llmesr.objectives.contrastive import soft_contrastive
from llmesr.semantic.embedders.pooling import pool
from llmesr.semantic.embedders.transformer import TransformerEmbedder
from llmesr.text.prompts import augment

CPU_GROUP = 16
"""Texts of similar length that go through the model together on a processor."""

_ORDER, _COPIES, _DROPOUT = 1, 2, 3


class Objective(Protocol):
    """What a text model is tuned on: texts by row and step, and what is minimised over their vectors.

    Step 0 is for judging, with rows that were held out.
    """

    @property
    def chance(self) -> float | None:
        """The accuracy of knowing nothing; None: 1 / n of n rows."""

    def pairs(self, rows: np.ndarray, step: int) -> tuple[list[str], list[str]]:
        """The texts of ``rows``, and the partner of each where there are any."""

    def beside(self, rows: np.ndarray, step: int) -> Tensor | None:
        """What the loss, or at step 0 the accuracy, is given beside the vectors of the texts."""

    def loss(self, config: FinetuneConfig, width: int, /) -> Loss:
        """What is minimised over vectors of ``width`` E."""

    def accuracy(self, x: Tensor, y: Tensor, beside: Tensor | None, /) -> float:
        """How well unit vectors (n, E) of held-out rows go with those of their partners; higher is better."""


class Loss(nn.Module):
    """What is minimised over (B, E) vectors ``x``, those of their partners ``y`` and what stands ``beside``. Its
    parameters are tuned as well."""

    def report(self) -> dict[str, float]:
        """What is recorded of it at every evaluation."""
        return {}


@dataclass(frozen=True)
class Copies:
    """Two augmented prompts of an item: attributes shuffled, a share of them dropped."""

    attributes: Sequence[Sequence[str]]
    ratio: float
    seed: int
    template: str = "default"
    chance = None

    def pair(self, item: int, step: int) -> tuple[str, str]:
        """The copies of row ``item`` at ``step``; the same whenever they are asked for."""
        rng = np.random.default_rng([self.seed, _COPIES, step, item])
        row = self.attributes[item]
        return augment(row, self.ratio, rng, self.template), augment(row, self.ratio, rng, self.template)

    def pairs(self, items: np.ndarray, step: int) -> tuple[list[str], list[str]]:
        """First copies and second copies of ``items``."""
        both = [self.pair(int(item), step) for item in items]
        return [x for x, _ in both], [y for _, y in both]

    def beside(self, items: np.ndarray, step: int) -> None:
        """Nothing: every other item's copy is a negative."""

    def loss(self, config: FinetuneConfig, _: int, /) -> ContrastiveLoss:
        """What ``config`` describes, whatever the size of the vectors."""
        return ContrastiveLoss(config)

    def accuracy(self, x: Tensor, y: Tensor, _: Tensor | None = None) -> float:
        """How well the held-out copies find each other; chance is 1 / n."""
        return retrieval_accuracy(x, y)


def batch_items(items: np.ndarray, size: int, number: int, seed: int) -> np.ndarray:
    """The items of batch ``number`` (0, 1, ...): shuffled anew in every pass, each item at most once per pass."""
    size = min(size, len(items))
    a_pass, place = divmod(number, len(items) // size)
    order = np.random.default_rng([seed, _ORDER, a_pass]).permutation(len(items))
    return items[order[place * size : (place + 1) * size]]


class Encoder:
    """Texts -> (B, E) float32 with gradient: the tuned model, and the base's tokens, padding and pooling."""

    def __init__(self, model: Any, embedder: TransformerEmbedder) -> None:
        self.model = model
        self.embedder = embedder

    def __call__(self, texts: Sequence[str]) -> Tensor:
        ids = self.embedder.tokens(texts)
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        # A processor pays for every padded token, a GPU more for every extra launch.
        size = CPU_GROUP if self.embedder.device.type == "cpu" else len(ids)
        groups = [order[i : i + size] for i in range(0, len(order), size)]
        vectors = torch.cat([self._pooled([ids[row] for row in group]) for group in groups])
        return vectors[torch.tensor(np.argsort(order), device=vectors.device)]

    def _pooled(self, ids: list[list[int]]) -> Tensor:
        inputs, mask = self.embedder.batch(ids)  # (B, L)
        states = self.model(input_ids=inputs, attention_mask=mask).last_hidden_state  # (B, L, E)
        vectors: Tensor = self.embedder.after(pool(states, mask, self.embedder.pooling))
        return vectors

    @torch.no_grad()
    def unit(self, texts: Sequence[str], size: int) -> Tensor:
        """(n, E) unit vectors without dropout, ``size`` texts at a time, on the CPU."""
        self.model.eval()
        parts = [self(texts[i : i + size]) for i in range(0, len(texts), size)]
        return unit_rows(torch.cat(parts)).cpu()


class ContrastiveLoss(Loss):
    """The loss that ``config`` describes, with its temperature (learned on a log scale, or fixed)."""

    def __init__(self, config: FinetuneConfig) -> None:
        super().__init__()
        self.config = config
        log = torch.tensor(float(np.log(config.temperature)))
        self.log_temperature = nn.Parameter(log, requires_grad=config.learn_temperature)

    @property
    def temperature(self) -> Tensor:
        return self.log_temperature.exp()

    def report(self) -> dict[str, float]:
        """The temperature."""
        return {"temperature": float(self.temperature.detach())}

    def forward(self, x: Tensor, y: Tensor | None = None, beside: Tensor | None = None) -> Tensor:
        """``beside`` (B, B) bool: pairs that are no negatives."""
        assert y is not None
        options: dict[str, Any] = {"normalise": self.config.normalise, "targets": self.config.targets}
        return soft_contrastive(x, y, self.temperature, barred=beside, **options)


def backward(
    encode: Callable[[Sequence[str]], Tensor],
    loss: Callable[..., Tensor],
    x: Sequence[str],
    y: Sequence[str],
    *,
    chunk_size: int | None = None,
    weight: float = 1.0,
    seed: Sequence[int] = (0,),
) -> float:
    """Add the gradient of ``weight * loss(encode(x), encode(y))`` to the parameters; returns the loss.

    With ``chunk_size`` gradients are cached (Gao et al. 2021): all texts are encoded without a graph, the loss gives
    the gradient of each vector, and each chunk is then encoded again, with the same dropout, to pass its part on.
    Memory holds one chunk's activations whatever the batch, for one more forward pass; the gradient is the same.
    Without ``y`` the loss is one of ``encode(x)`` alone.
    """
    texts = [*x, *y]
    if chunk_size is None or chunk_size >= len(texts):
        _reseed(seed, 0)
        vectors = encode(texts)
        value = loss(*vectors.split(len(x)))
        (weight * value).backward()
        return value.item()
    starts = range(0, len(texts), chunk_size)
    parts = []
    with torch.no_grad():
        for start in starts:
            _reseed(seed, start)
            parts.append(encode(texts[start : start + chunk_size]))
    vectors = torch.cat(parts).requires_grad_()  # (2B, E)
    value = loss(*vectors.split(len(x)))
    (weight * value).backward()
    assert vectors.grad is not None
    for start in starts:
        _reseed(seed, start)
        again = encode(texts[start : start + chunk_size])
        (again * vectors.grad[start : start + chunk_size]).sum().backward()
    return value.item()


def _reseed(seed: Sequence[int], start: int) -> None:
    """Dropout of this chunk of this step, the same in both passes and after a resume."""
    torch.manual_seed(int(np.random.SeedSequence([_DROPOUT, *seed, start]).generate_state(1)[0]))


def retrieval_accuracy(x: Tensor, y: Tensor) -> float:
    """Share of rows of ``x`` (n, E) whose nearest row of ``y`` is their own copy, averaged with the other direction.

    Both hold unit vectors. Chance is 1 / n. A copy that only ties with others does not count.
    """
    cosine = x @ y.T  # (n, n)
    own = cosine.diagonal().clone()
    cosine.fill_diagonal_(-torch.inf)
    forward = own > cosine.max(dim=1).values
    back = own > cosine.max(dim=0).values
    return float((forward.float().mean() + back.float().mean()) / 2)
