"""Popularity weights of a scoring policy, fitted on validation.

The held-out item of every user is a choice among the catalogue, and the probability of a choice is the softmax
of a sum of terms (conditional logit; McFadden 1974), each weighed by a curve over the item's popularity. The
likelihood is concave in the few values that define the curves, so that there is one best answer. No term but the bias
may count against an item: weights are not negative.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from scipy.optimize import Bounds, minimize
from torch import Tensor
from torch.nn import functional as F

from llmesr.ids import PAD
from llmesr.scoring.ground import Ground
from llmesr.scoring.terms import TERMS, Key, Term
from llmesr.scoring.tuning.grid import Block
from llmesr.scoring.weights import PopularityWeights, hats

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
    terms: dict[Key, Tensor]  # each (U, 1 + DRAWN)
    barred: Tensor  # (U, 1 + DRAWN) bool: not a candidate after all (in the history, or the target itself)

    @classmethod
    def of(cls, blocks: Iterable[Block], *, seed: int = 0) -> Self:
        """Draw candidates for the users of ``blocks``."""
        generator = torch.Generator().manual_seed(seed)
        items, barred, terms = zip(*(_candidates(block, generator) for block in blocks), strict=True)
        together = {key: torch.cat([scores[key] for scores in terms]) for key in terms[0]}
        return cls(torch.cat(items), together, torch.cat(barred))

    def among(self, keys: Collection[Key]) -> Choices:
        """The same choices by these terms alone."""
        return replace(self, terms={key: scores for key, scores in self.terms.items() if key in keys})


def _candidates(block: Block, generator: torch.Generator) -> tuple[Tensor, Tensor, dict[Key, Tensor]]:
    """Items, which of them are barred, and their terms, (B, 1 + DRAWN) each."""
    target = block.target[:, None]
    catalogue = next(iter(block.terms.values())).shape[1]
    drawn = torch.randint(1, catalogue, (len(target), DRAWN), generator=generator).to(target.device)
    barred = drawn == target
    for step in range(block.excluded.shape[1]):
        seen = block.excluded[:, step, None]
        barred |= (drawn == seen) & (seen != PAD)
    items = torch.cat([target, drawn], 1)
    terms = {key: scores.gather(1, items) for key, scores in block.terms.items()}
    return items, torch.cat([torch.zeros_like(target, dtype=torch.bool), barred], 1), terms


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
    units: Mapping[Key, float],
    emphases: Sequence[float],
    ridge: float = 3.0,
) -> list[PopularityWeights]:
    """The best weights for each emphasis on tail items. ``choices`` hold one variant of each term.

    ``tail`` (U,) marks users whose target is a tail item; each counts ``1 + emphasis`` times. ``spread`` is that of
    the model's scores and ``units`` the weight at which a term with a setting (content, linear) spreads as far:
    the curves multiply these. ``ridge`` pulls towards the scores as they are and towards level curves, as strongly as
    so many users would.
    """
    counts = knots(ground.item_counts[1:].cpu().numpy())
    shares = hats(counts, ground.log_counts)[choices.items]  # (U, C, K)
    keys = {TERMS[key[0]]: key for key in choices.terms}
    fitted = [term for term in TERMS.values() if term.curved and term in keys]
    fitted = [term for term in fitted if term.setting is None or keys[term] in units]
    fitted.sort(key=lambda term: not term.signed)  # the bias first, as an intercept
    scales = {term: _scale(term, units.get(keys[term], 0.0), spread) for term in fitted}
    parts = [choices.terms[keys[term]] * (scales[term] / spread) for term in fitted]
    features = torch.cat([part[..., None] * shares for part in parts], dim=-1)  # (U, C, terms * K)
    prior = torch.tensor([[float(term.own)] * len(counts) for term in fitted], device=shares.device)
    least = torch.tensor([[-torch.inf if term.signed else 0.0] * len(counts) for term in fitted], device=shares.device)
    made, found = [], prior
    for emphasis in emphases:
        found = most_likely(
            features, choices.barred, 1 + emphasis * tail.float(), begin=found, prior=prior, least=least, ridge=ridge
        )
        curves = {
            # Where the policy has no weight for it, the curve holds the scale as well.
            term.name: [v * (1.0 if term.own or term.setting else scales[term]) for v in values]
            for term, values in zip(fitted, found.tolist(), strict=True)
        }
        rounded = {name: tuple(float(f"{v:.4g}") for v in values) for name, values in curves.items()}
        made.append(PopularityWeights(counts=counts, tail_emphasis=emphasis, **rounded))
    return made


def _scale(term: Term, unit: float, spread: float) -> float:
    """The weight of a term of which curves are multiples."""
    if term.setting is not None:
        return unit
    return 1.0 if term.own else spread


def most_likely(
    features: Tensor, barred: Tensor, counted: Tensor, *, begin: Tensor, prior: Tensor, least: Tensor, ridge: float
) -> Tensor:
    """The values of the curves, (terms, K), not below ``least``, with the highest penalised likelihood."""
    first = torch.zeros(len(features), dtype=torch.long, device=features.device)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        values = torch.from_numpy(flat).to(features).view_as(prior).requires_grad_(True)
        scores = (features @ values.flatten()).masked_fill(barred, -torch.inf)
        missed = (F.cross_entropy(scores, first, reduction="none") * counted).sum() / counted.sum()
        bent = (values.diff(dim=1) ** 2).sum() + ((values - prior) ** 2).sum()
        total = missed + ridge / len(features) * bent
        (slope,) = torch.autograd.grad(total, values)
        return float(total.detach()), slope.flatten().double().cpu().numpy()

    found = minimize(
        loss,
        begin.flatten().double().cpu().numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(least.flatten().double().cpu().numpy(), np.inf),
        options={"maxiter": STEPS},
    )
    return torch.from_numpy(found.x).to(prior).view_as(prior)
