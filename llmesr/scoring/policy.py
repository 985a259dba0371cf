"""What may be changed in a trained model's scores without training it again.

    score(u, i) = w_i * collaborative(u, i) + semantic(u, i) + gamma * max over h in history of cos(text_h, text_i)
                  + linear * log(1 + 10 * sum over h in history of w(h, i)) + popularity * log(1 + n_i)

The *content term* compares the candidate with the user's own past in the full text space, where a
rare item is as well described as a popular one. *Routing* lowers the weight ``w_i`` of the
collaborative part for items too rare to have earned a good id embedding. The *linear term*
adds item-to-item weights over the history, of the kind the policy names: it remembers which items the same
users chose (:mod:`llmesr.scoring.linear_term`). The *popularity term*, of the ``n_i`` training interactions,
moves the balance between tail and head (the logit adjustment of Menon et al. 2021, "Long-tail learning
via logit adjustment", with a sign and a weight found on validation).

*Popularity weights*, when a policy has them, multiply every term by a weight that follows the item's
popularity, and add a bias that does: for a rare item the text may count more than for a popular one.
The terms themselves are the table of :mod:`llmesr.scoring.terms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from llmesr.prose import signed
from llmesr.scoring.linear_term import PLAINEST, LinearKind
from llmesr.scoring.terms import TERMS, Key, Term
from llmesr.scoring.weights import ByTerm, PopularityWeights

WHITENING_STEPS = 20
"""Whitening comes in twentieths: a text space is worked out for every value, and kept."""
Whitening = Annotated[float, Field(ge=0, le=1), AfterValidator(lambda v: round(v * WHITENING_STEPS) / WHITENING_STEPS)]


class ScoringPolicy(ByTerm):
    """How scores are changed at scoring time. The default changes nothing."""

    __pydantic_extra__: dict[str, float]

    gamma: float = Field(
        0.0, ge=0, le=1e6, description="Weight of the content term; the scale is that of the model's scores."
    )
    whitening: Whitening = Field(
        0.0,
        description="How far the directions of text space are evened out before cosines, rounded to steps of 0.05; "
        "0 not at all.",
    )
    route_threshold: int = Field(
        0, ge=0, le=10**9, description="Items with fewer training interactions are routed; 0 is off."
    )
    route_weight: float = Field(
        0.0, ge=0, le=1, description="Weight of the collaborative part of routed items; 1 is off."
    )
    popularity: float = Field(
        0.0,
        ge=-1e6,
        le=1e6,
        description="Weight of log(1 + training interactions): above 0 popular items gain, below 0 rare ones.",
    )
    linear: float = Field(
        0.0, ge=0, le=1e6, description="Weight of the linear term: item-to-item weights added up over the history."
    )
    linear_kind: LinearKind = Field(
        PLAINEST,
        description="Its weights: cosines of what the same users chose, or those of ease or text-ease.",
    )
    weights: PopularityWeights | None = Field(
        None, description="Weights of all parts that follow an item's popularity, as `llmesr tune` fits them."
    )
    tail_users_only: bool = Field(False, description="Leave head users' scores exactly as they were.")

    @classmethod
    def of_terms(cls) -> set[str]:
        return {setting for term in TERMS.values() for setting in (term.setting, term.variant) if setting}

    def weight(self, term: Term) -> float:
        """How much a term counts before its curve; 0: it is no part of the score."""
        if term.setting is not None:
            return float(getattr(self, term.setting, 0.0))
        if term.own:
            return 1.0
        return float(self.weights is not None and term.name in self.weights.curves)

    def key(self, term: Term) -> Key:
        """The term in the variant this policy asks for."""
        return term.name, None if term.variant is None else getattr(self, term.variant)

    @property
    def routes(self) -> bool:
        return self.route_threshold > 0 and self.route_weight < 1

    @property
    def inert(self) -> bool:
        """True when the scores stay as the model made them."""
        added = any(self.weight(term) for term in TERMS.values() if not term.own)
        return not added and not self.routes and self.weights is None

    def describe(self, weights: Mapping[str, str] | None = None) -> str:
        """The policy in a few words, for tables and captions. ``weights`` spells the weights of terms in other words
        than the numbers of the policy, by the name of the term."""
        if self.inert:
            return "no policy"
        parts = []
        if self.weights is not None:
            emphasis = f" (tail ×{1 + self.weights.tail_emphasis:g})" if self.weights.tail_emphasis else ""
            parts.append(f"every part weighted by popularity{emphasis}")
        for term in TERMS.values():
            if term.setting and self.weight(term) and not (term.curved and self.weights):  # else it is such a part
                weight = weight_text(term, self.weight(term))
                parts.append(f"{term.title} weight {(weights or {}).get(term.name, weight)}{self._said(term)}")
        if self.routes:
            parts.append(f"collaborative part ×{self.route_weight:g} below {self.route_threshold} interactions")
        return ", ".join(parts) + (", tail users only" if self.tail_users_only else "")

    def _said(self, term: Term) -> str:
        """The variant of a term, in brackets."""
        variant = self.key(term)[1]
        if not variant:
            return ""
        return f" ({term.variant_title} {variant:g})" if isinstance(variant, float) else f" ({variant})"


def weight_text(term: Term, weight: float) -> str:
    """A weight in a sentence: with its sign where the term may count against an item."""
    return signed(weight, None) if term.signed else f"{weight:g}"
