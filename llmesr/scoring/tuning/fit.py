"""Popularity weights of a scoring policy, fitted on validation.

The held-out item of every user is a choice among the catalogue, and the probability of a choice is the softmax
of a sum of parts (conditional logit; McFadden 1974), each weighed by a curve over the item's popularity. The
likelihood is concave in the few values that define the curves, so that there is one best answer. No part may count
against an item: weights are not negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.optimize import Bounds, minimize
from torch import Tensor
from torch.nn import functional as F

from llmesr.ids import PAD
from llmesr.scoring.policy import Ground
from llmesr.scoring.tuning.grid import Block
from llmesr.scoring.weights import PARTS, PopularityWeights, hats

KNOTS = 4
"""Counts at which a curve is given, evenly spaced over log(1 + n)."""
RARE = 0.005
"""Share of the items above the last knot: a handful of best-sellers should not bend a curve."""
DRAWN = 200
"""Random items that stand for the catalogue, per user. A uniform sample leaves the best weights where they are."""
STEPS = 60


@dataclass(frozen=True, eq=False)
class Choices:
    """Who chose what among which candidates: the first candidate of each user is the held-out item."""

    items: Tensor  # (U, 1 + DRAWN)
    parts: dict[str, Tensor]  # each (U, 1 + DRAWN)
    barred: Tensor  # (U, 1 + DRAWN) bool: not a candidate after all (in the history, or the target itself)

    @classmethod
    def of(cls, blocks: Iterable[Block], whitening: float, *, seed: int = 0) -> Self:
        """Draw candidates for the users of ``blocks``."""
        generator = torch.Generator().manual_seed(seed)
        items, barred, parts = zip(*(_candidates(block, whitening, generator) for block in blocks), strict=True)
        together = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return cls(torch.cat(items), together, torch.cat(barred))


def _candidates(block: Block, whitening: float, generator: torch.Generator) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Items, which of them are barred, and their parts, (B, 1 + DRAWN) each."""
    target = block.target[:, None]
    drawn = torch.randint(1, block.semantic.shape[1], (len(target), DRAWN), generator=generator).to(target.device)
    barred = drawn == target
    for step in range(block.excluded.shape[1]):
        seen = block.excluded[:, step, None]
        barred |= (drawn == seen) & (seen != PAD)
    items = torch.cat([target, drawn], 1)
    whole = {"collaborative": block.collaborative, "semantic": block.semantic}
    if whitening in block.content:
        whole["content"] = block.content[whitening]
    if block.cooccurrence is not None:
        whole["cooccurrence"] = block.cooccurrence
    parts = {name: part.gather(1, items) for name, part in whole.items()}
    return items, torch.cat([torch.zeros_like(target, dtype=torch.bool), barred], 1), parts


def knots(counts: np.ndarray) -> tuple[int, ...]:
    """Where the curves of a catalogue with these training counts (N,) are given."""
    low, high = np.log1p(counts.min()), np.log1p(np.quantile(counts, 1 - RARE))
    return tuple(sorted({round(float(c)) for c in np.expm1(np.linspace(low, high, KNOTS))}))


def fit_weights(
    choices: Choices,
    ground: Ground,
    tail: Tensor,
    *,
    spread: float,
    units: Mapping[str, float],
    emphases: Sequence[float],
    ridge: float = 3.0,
) -> list[PopularityWeights]:
    """The best weights for each emphasis on tail items.

    ``tail`` (U,) marks users whose target is a tail item; each counts ``1 + emphasis`` times. ``spread`` is that of
    the model's scores and ``units`` the weight at which a term (content, cooccurrence) spreads as far: the curves
    multiply these. ``ridge`` pulls towards the scores as they are and towards level curves, as strongly as so many
    users would.
    """
    counts = knots(ground.item_counts[1:].cpu().numpy())
    table = hats(counts, ground.log_counts)  # (N + 1, K)
    shares = table[choices.items]  # (U, C, K)
    scale = {"collaborative": 1.0, "semantic": 1.0, **units}
    named = [name for name in PARTS if name in choices.parts and name in scale]
    parts = [torch.ones_like(shares[..., 0])] + [choices.parts[n] * (scale[n] / spread) for n in named]
    features = torch.cat([part[..., None] * shares for part in parts], dim=-1)  # (U, C, (1 + parts) * K)
    prior = torch.zeros(len(parts), len(counts), device=shares.device)
    for row, name in enumerate(named, 1):
        prior[row] = float(name in ("collaborative", "semantic"))
    made, found = [], prior
    for emphasis in emphases:
        found = _most_likely(features, choices.barred, 1 + emphasis * tail.float(), found, prior, ridge)
        rows = dict(zip(["bias", *named], found.tolist(), strict=True))
        rows["bias"] = [value * spread for value in rows["bias"]]
        flat = [0.0] * len(counts)
        curves = {n: tuple(float(f"{v:.4g}") for v in rows.get(n, flat)) for n in (*PARTS, "bias")}
        made.append(PopularityWeights(counts=counts, tail_emphasis=emphasis, **curves))
    return made


def _most_likely(
    features: Tensor, barred: Tensor, counted: Tensor, begin: Tensor, prior: Tensor, ridge: float
) -> Tensor:
    """The values of the curves, (1 + parts, K), with the highest penalised likelihood; only a bias may be negative."""
    first = torch.zeros(len(features), dtype=torch.long, device=features.device)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        values = torch.from_numpy(flat).to(features).view_as(prior).requires_grad_(True)
        scores = (features @ values.flatten()).masked_fill(barred, -torch.inf)
        missed = (F.cross_entropy(scores, first, reduction="none") * counted).sum() / counted.sum()
        bent = (values.diff(dim=1) ** 2).sum() + ((values - prior) ** 2).sum()
        total = missed + ridge / len(features) * bent
        (slope,) = torch.autograd.grad(total, values)
        return float(total.detach()), slope.flatten().double().cpu().numpy()

    least = torch.zeros_like(prior)
    least[0] = -torch.inf
    found = minimize(
        loss,
        begin.flatten().double().cpu().numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(least.flatten().double().cpu().numpy(), np.inf),
        options={"maxiter": STEPS},
    )
    return torch.from_numpy(found.x).to(prior).view_as(prior)
