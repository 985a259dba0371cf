"""The knobs of the Recommend page: what is added to scores, how the list is put together, what is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.scoring.linear_term import KINDS, READS_TEXT, LinearKind
from llmesr.scoring.policy import ScoringPolicy, weight_text
from llmesr.scoring.rerankers import RerankConfig, RerankerName
from llmesr.scoring.terms import TERMS
from llmesr.scoring.units import Units, short
from llmesr.views.shared import links

RERANKERS: dict[str, str] = {
    "none": "As scored",
    "mmr": "Diverse (MMR)",
    "dpp": "Diverse (DPP)",
    "calibrated": "Calibrated to the history",
    "epsilon": "Explore at random",
    "ucb": "Explore the rarely seen",
}
MEANING: dict[str, str] = {
    "none": "The best scores, in order.",
    "mmr": "Each place goes to the item with the best balance of score and being unlike what stands above it.",
    "dpp": "The set as a whole is made varied, weighing scores and similarity together.",
    "calibrated": "The list takes over the history's own mix of popular and rare items.",
    "epsilon": "Each place is given, with this probability, to a random candidate.",
    "ucb": "The last places go to candidates about which little is known yet.",
}
LINEAR_KINDS: dict[LinearKind, str] = {
    "cosines": "Cosines of what the same users chose",
    "ease": "EASE",
    "text-ease": "text-EASE",
}
URL: Literal["query-params"] = "query-params"
"""Where the knobs are kept besides: a link opens the lists as they were seen."""
AT_FIRST: dict[str, object] = {
    "rec.weight": 0.0,
    "rec.linear": 0.0,
    "rec.linear_kind": KINDS[0],
    "rec.popularity": 0.0,
    "rec.only": False,
    "rec.threshold": 0,
    "rec.route": 0.0,
    "rec.reranker": "none",
    "rec.strength": 0.3,
}
MORE, WHAT = "More", "Routing, users and re-ranking"
_FOLDED = {k: AT_FIRST[k] for k in ("rec.linear_kind", "rec.only", "rec.threshold", "rec.route", "rec.reranker")}
COMPARED = {"last": "last change", "plain": "run as it is"}


@dataclass(frozen=True, eq=False)
class Settings:
    """The knobs: what is added to scores and how the list is put together."""

    weight: float  # of the content term, in units of the spread of a run's own scores
    linear: float  # of the linear term, in the same units
    linear_kind: LinearKind
    popularity: float  # of log popularity, in the same units
    threshold: int
    route_weight: float
    tail_users_only: bool
    reranker: RerankConfig
    k: int

    def policy(self, units: Units) -> ScoringPolicy:
        """In the scores of a run; the unit of a knob that is not turned is not asked for."""
        return ScoringPolicy(
            gamma=short(self.weight and self.weight * units.of("content")),
            linear=short(self.linear and self.linear * units.of("linear", self.linear_kind)),
            linear_kind=self.linear_kind,
            popularity=short(self.popularity and self.popularity * units.of("popularity")),
            route_threshold=self.threshold,
            route_weight=self.route_weight,
            tail_users_only=self.tail_users_only,
        )

    def weights_in(self, policy: ScoringPolicy) -> dict[str, str]:
        """The knobs beside what they come to in the scores of a run, by term: "0.5 (in scores 1.24)"."""
        knobs = {"content": self.weight, "linear": self.linear, "popularity": self.popularity}
        return {
            name: f"{weight_text(TERMS[name], knob)} (in scores {weight_text(TERMS[name], policy.weight(TERMS[name]))})"
            for name, knob in knobs.items()
        }

    @property
    def as_made(self) -> bool:
        """Whether scores stay as the run makes them, its tuned policy included."""
        return not (self.weight or self.linear or self.popularity or self.threshold)


def settings(dataset: Dataset, has_text: bool) -> Settings:
    """The knobs of scoring in a row, and in a box at its end those of routing and re-ranking."""
    first, second, third, last = st.columns([3, 3, 3, 2], vertical_alignment="bottom")
    with first:
        weight = _content_weight(has_text)
    with second:
        linear = st.slider(
            "Linear weight",
            0.0,
            4.0,
            0.0,
            0.25,
            key="rec.linear",
            bind=URL,
            help="Adds item-to-item weights over the history: how strongly what was chosen speaks for a candidate. "
            "1 gives it the spread of a run's own scores.",
        )
    with third:
        popularity = st.slider(
            "Popularity weight",
            -0.5,
            0.5,
            0.0,
            0.05,
            key="rec.popularity",
            bind=URL,
            help="Adds the logarithm of an item's training interactions: to the right popular items gain, to the "
            "left rare ones. 1 would give it the spread of a run's own scores.",
        )
    with last, st.popover(MORE + (" (in use)" if _turned() else ""), icon=":material/tune:", key="rec.more", help=WHAT):
        kind, threshold, route, only = _routing(dataset, has_text, linear)
        reranker = _reranker()
    k = int(st.session_state.get("rec.k") or 10)
    return Settings(weight, linear, kind, popularity, threshold, route, only, reranker, k)


def _turned() -> bool:
    """Whether a knob that is folded away does something."""
    return any(st.session_state.get(key, at_first) != at_first for key, at_first in _FOLDED.items())


def _routing(dataset: Dataset, has_text: bool, linear: float) -> tuple[LinearKind, int, float, bool]:
    """Which linear weights, for which items behaviour counts less, and for which users."""
    first, second, third = st.columns(3)
    with first:
        threshold = _routing_threshold(dataset)
    with second:
        route = st.slider(
            "Behaviour for rare items",
            0.0,
            1.0,
            0.0,
            0.1,
            key="rec.route",
            bind=URL,
            disabled=threshold == 0,
            help="How much behaviour counts for items below the routing threshold.",
        )
    with third:
        kind = _linear_kind(has_text, disabled=linear == 0)
    only = st.toggle(
        "Weights and routing for tail users only", key="rec.only", bind=URL, help="Head users' lists stay as they are."
    )
    return kind, threshold, route, only


def _content_weight(has_text: bool) -> float:
    return st.slider(
        "Content weight",
        0.0,
        8.0,
        0.0,
        0.25,
        key="rec.weight",
        bind=URL,
        disabled=not has_text,
        help="Adds the highest cosine between a candidate's text and the history's. 1 gives it the spread of a "
        "run's own scores, so that runs can be compared."
        if has_text
        else "Needs text vectors: embed this dataset first.",
    )


def _routing_threshold(dataset: Dataset) -> int:
    return st.slider(
        "Routing threshold",
        0,
        max(int(dataset.thresholds.item) * 4, 4),
        0,
        key="rec.threshold",
        bind=URL,
        help="Items with fewer training interactions rely on their text: behaviour counts less for them. "
        f"0 is off; the tail begins below {dataset.thresholds.item}.",
    )


def _linear_kind(has_text: bool, *, disabled: bool) -> LinearKind:
    return st.selectbox(
        "Linear weights",
        [k for k in KINDS if has_text or k not in READS_TEXT],
        format_func=LINEAR_KINDS.__getitem__,
        key="rec.linear_kind",
        bind=URL,
        disabled=disabled,
    )


def _reranker() -> RerankConfig:
    """The knobs of the list, below those of scoring."""
    left, right = st.columns(2)
    with left:
        name = st.selectbox("List", list(RERANKERS), format_func=RERANKERS.__getitem__, key="rec.reranker", bind=URL)
    with right:
        strength = st.slider(
            "Strength", 0.0, 1.0, 0.3, 0.05, key="rec.strength", bind=URL, disabled=name == "none", help=MEANING[name]
        )
    return RerankConfig(name=cast(RerankerName, name), strength=strength)


def view_controls(about: str) -> str:
    """How long the lists are, what the arrows compare with, the way back, and how the lists are read (``about``)."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.segmented_control("Length", [5, 10, 20], default=10, key="rec.k", bind=URL, label_visibility="collapsed")
        against = links.choose(
            "Arrows compare with",
            list(COMPARED),
            "against",
            kind="segmented",
            show=lambda a: f"Arrows: {COMPARED[a]}",
            label_visibility="collapsed",
        )
        st.button("Reset", icon=":material/restart_alt:", key="rec.reset", type="tertiary", on_click=_reset)
        with st.popover("How to read the lists", icon=":material/help:", type="tertiary"):
            st.markdown(about)
    return str(against)


def _reset() -> None:
    """Back to where they stand at first. Set, not forgotten: the address would bring them back."""
    st.session_state.update(AT_FIRST)
