"""A guided walk in five steps through any dataset, told by its artifacts. Every sentence is computed.

A step that lacks what it needs says what to make; the others still tell theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmesr.config import GROUPS
from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import Contender
from llmesr.evaluation.statistics import compare, summary
from llmesr.evaluation.table import metric_values, select
from llmesr.evaluation.verdict import verdict
from llmesr.views.compare.frames import readable_comparison, readable_summary
from llmesr.views.shared import theme, words
from llmesr.views.shared.report import Section
from llmesr.views.shared.theme import Mode
from llmesr.views.story import charts

METRIC, PROTOCOL = "HR@10", "full"
NEAREST, EXAMPLES = 5, 2000
NAMES = ("The long tail", "Whom it fails", "What text knows", "What changed", "What next")
TEXT_METHODS = ("llm-esr", "llmemb", "llm-init", "adapter")
Frames = Mapping[str, Sequence[pd.DataFrame]]


@dataclass(frozen=True)
class Step:
    """One screen: a headline computed from numbers, one chart, its table, and a few sentences."""

    name: str
    headline: str
    sentences: Sequence[str] = ()
    chart: Callable[[Mode], go.Figure] | None = None
    alt: str = ""
    table: pd.DataFrame | None = None
    missing: str = ""
    """What to do when the step cannot be told yet."""


@dataclass(frozen=True, eq=False)
class Material:
    """What the story is told from. ``vectors`` (N, E) are the items' texts; ``example`` turns to another item."""

    dataset: Dataset
    chosen: Sequence[Contender]
    frames: Frames
    thresholds: Thresholds
    vectors: np.ndarray | None = None
    protocol: str = PROTOCOL
    metric: str = METRIC
    example: int = 0

    @property
    def line(self) -> str:
        return words.protocol_line(self.protocol, self.thresholds)

    @cached_property
    def plain(self) -> Contender | None:
        """The plain recommender: ids only, or popularity where there is none."""
        return self._best(("id",)) or self._best(("popularity",))

    @cached_property
    def text(self) -> Contender | None:
        """The recommender with text, LLM-ESR if there is one; of several the best on VALIDATION."""
        return next((found for m in TEXT_METHODS if (found := self._best((m,)))), None)

    @cached_property
    def by_text_alone(self) -> Contender | None:
        return self._best(("semantic-knn",))

    def _best(self, methods: Sequence[str]) -> Contender | None:
        found = [c for c in self.chosen if c.method in methods]
        return max(found, key=lambda c: self._validation(c.name), default=None)

    def _validation(self, name: str) -> float:
        ranks = [select(f, self.protocol, "valid")["rank"].to_numpy() for f in self.frames[name]]
        return float(np.mean([metric_values(r, "NDCG@10").mean() for r in ranks]))

    def summary(self, *contenders: Contender) -> pd.DataFrame:
        """Means and intervals by group, on the test part."""
        frames = {c.name: self.frames[c.name] for c in contenders}
        return summary(frames, self.thresholds, metrics=[self.metric], protocol=self.protocol)

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """The recommender with text against the plain one."""
        assert self.plain
        assert self.text
        frames = {c.name: self.frames[c.name] for c in (self.plain, self.text)}
        return compare(frames, self.thresholds, metrics=[self.metric], protocol=self.protocol)


def the_tail(m: Material) -> Step:
    """How long the tail is."""
    counts, thresholds = m.dataset.item_counts[1:], m.thresholds
    tail = thresholds.tail_items(counts)
    lengths = m.dataset.split.train_lengths
    short = theme.percent(thresholds.tail_users(lengths).mean())
    items, choices = theme.percent(tail.mean()), theme.percent(counts[tail].sum() / max(counts.sum(), 1))
    table = pd.DataFrame(
        {
            "part": ["Head items", "Tail items"],
            "items": [int((~tail).sum()), int(tail.sum())],
            "training interactions": [int(counts[~tail].sum()), int(counts[tail].sum())],
            "per item": [_mean(counts[~tail]), _mean(counts[tail])],
        }
    )
    return Step(
        NAMES[0],
        f"{items} of the {theme.count(len(counts))} items share {choices} of all choices.",
        [
            f"{short} of the {theme.count(len(lengths))} users are tail users: they chose fewer than "
            f"{thresholds.user} items. Half of all users chose {int(np.median(lengths))} or fewer.",
        ],
        chart=partial(charts.tail_chart, counts, thresholds, f"{thresholds.describe()} Training part only."),
        alt=f"Items ordered by how often they were chosen; {items} of them, the tail, hold {choices} of the choices.",
        table=table,
    )


def whom_it_fails(m: Material) -> Step:
    """A plain recommender by group."""
    if m.plain is None:
        return Step(NAMES[1], "Whom does a plain recommender fail?", missing=_train(m, "id"))
    table = m.summary(m.plain)
    value = table.set_index("group")["value"]
    head, tail = value["Head Item"], value["Tail Item"]
    parts = table[table["group"].isin(GROUPS) & table["group"].ne("Overall")]
    worst = parts.dropna(subset="value").sort_values("value").iloc[0]
    return Step(
        NAMES[1],
        f"A plain recommender finds {_share(head)} head items, but {_share(tail)} tail items."
        if m.metric.startswith("HR")
        else f"A plain recommender scores {theme.metric(head)} on head items, {theme.metric(tail)} on tail items.",
        [
            f"{m.plain.name} knows items only by who chose them. It serves {worst['group'].lower()}s worst: "
            f"{m.metric} {_value(worst['value'], m.metric)} over {theme.count(worst['users'])} users.",
            words.metric_meaning(m.metric),
        ],
        chart=partial(charts.groups_chart, table, m.metric, f"{m.plain.name}. {m.line}"),
        alt=f"{m.metric} of {m.plain.name} in the five groups, with 95% intervals.",
        table=readable_summary(table),
    )


def what_text_knows(m: Material) -> Step:
    """The nearest items by text to a tail item, and what recommending by text alone achieves."""
    if m.vectors is None:
        command = f"llmesr embed {m.dataset.name}"
        missing = f"The items' texts have not been embedded yet. Start it on the Training page, or run: {command}"
        return Step(NAMES[2], "What does text know about the tail?", missing=missing)
    item = example_item(m)
    if item is None:
        missing = "No tail item of this dataset has a text, so there is nothing to show here."
        return Step(NAMES[2], "Text knows nothing of these tail items.", missing=missing)
    nearest = nearest_items(m, item)
    count = int(m.dataset.item_counts[item])
    often = {0: "never chosen", 1: "chosen once"}.get(count, f"chosen {count} times")
    title = _short(m.dataset.catalogue["title"].iloc[item - 1])
    sentences = [
        "It is a tail item of typical similarity to its neighbours. A model of behaviour alone has little to place "
        "it by; its text places it beside these."
    ]
    if m.by_text_alone and m.plain:
        table = m.summary(m.by_text_alone, m.plain)
        tail = table[table["group"] == "Tail Item"].set_index("run")["value"]
        sentences.append(
            f"On tail items, recommending by text alone ({m.by_text_alone.name}) reaches "
            f"{m.metric} {_value(tail[m.by_text_alone.name], m.metric)}, "
            f"{m.plain.name} {_value(tail[m.plain.name], m.metric)}."
        )
    first = nearest.iloc[0]
    return Step(
        NAMES[2],
        f"“{title}” was {often}, yet by its text it is near “{_short(first['title'])}”.",
        sentences,
        chart=partial(charts.neighbours_chart, nearest, f"Nearest to: {title}. {m.thresholds.describe()}"),
        alt=f"The {len(nearest)} items nearest by text to the tail item {title}.",
        table=nearest.drop(columns="item"),
    )


def what_changed(m: Material) -> Step:
    """The recommender with text against the plain one."""
    if m.plain is None or m.text is None:
        missing = _train(m, "id" if m.plain is None else "llm-esr")
        return Step(NAMES[3], "What changes when the recommender can read?", missing=missing)
    table = m.comparison
    tail = table[table["group"] == "Tail Item"].iloc[0]
    return Step(
        NAMES[3],
        _headline_of_change(tail, m.text, m.plain),
        [
            f"{m.text.name} against {m.plain.name}, all groups: {verdict(table, GROUPS)}",
            f"Seeds: {len(m.text.seeds)} and {len(m.plain.seeds)}. Paired permutation test over "
            f"{theme.count(table['users'].max())} users, p corrected for {len(table)} tests.",
        ],
        chart=partial(charts.gains_chart, table, m.metric, f"{m.text.name} minus {m.plain.name}. {m.line}"),
        alt=f"Gain in {m.metric} of {m.text.name} over {m.plain.name} in the five groups, with 95% intervals.",
        table=readable_comparison(table),
    )


def what_next(m: Material) -> Step:
    """How far the tail still is from the head, and what to try."""
    if m.plain is None or m.text is None:
        missing = _train(m, "id" if m.plain is None else "llm-esr")
        return Step(NAMES[4], "What to do next?", missing=missing)
    table = m.summary(m.plain, m.text)
    own = table[table["run"] == m.text.name].set_index("group")["value"]
    gap = own["Head Item"] / own["Tail Item"] if own["Tail Item"] > 0 else np.inf
    if np.isfinite(gap) and gap <= 1:
        headline = "Tail items are now found as often as head items."
    elif np.isfinite(gap):
        headline = f"Head items are still found {gap:.1f} times as often as tail items."
    else:
        headline = "Tail items are still never found."
    labels = {c.name: c.label for c in (m.plain, m.text)}
    return Step(
        NAMES[4],
        headline,
        advice(m),
        chart=partial(charts.remaining_chart, table, labels, m.metric, m.line),
        alt=f"{m.metric} of {m.plain.name} and {m.text.name} by group.",
        table=readable_summary(table),
    )


STEPS: tuple[Callable[[Material], Step], ...] = (the_tail, whom_it_fails, what_text_knows, what_changed, what_next)


def sections(steps: Sequence[Step]) -> list[Section]:
    """The story as part of a report."""
    return [
        Section(f"Story {i}. {s.headline}", [*s.sentences, s.missing], s.chart, s.alt, s.table)
        for i, s in enumerate(steps, start=1)
    ]


def advice(m: Material) -> list[str]:
    """What to try next, from what the runs show; at most four sentences."""
    assert m.plain
    assert m.text
    by = m.comparison.set_index("group")
    told = []
    lost = [g for g in GROUPS if by.loc[g, "significant"] and by.loc[g, "difference"] < 0]
    if lost:
        told.append(
            f"{' and '.join(lost)} lose significantly: tune a policy that applies to tail users only, or choose a "
            "point on the front where nobody loses."
        )
    if "policy" not in m.text.manifests[0].info:
        told.append(f"Tune a scoring policy on validation; it needs no training. Run: llmesr tune {m.text.ids[0]}")
    if len(m.text.seeds) < 3:
        told.append("Train with three seeds or more: fewer cannot show how much is luck.")
    rival = m._best(("llm-init",))
    if rival and rival is not m.text and m._validation(rival.name) > m._validation(m.text.name):
        told.append(
            f"{rival.name}, the simple baseline, is ahead on validation: prefer it until tuning says otherwise."
        )
    elif rival is None:
        told.append("Train llm-init with the same settings: the strong simple baseline that text must beat.")
    if small := [g for g in GROUPS if by.loc[g, "warning"]]:
        told.append(f"{' and '.join(small)}: too few users for a sure answer. Collect more before deciding.")
    told.append("Try a stronger text encoder and compare: for a tail item, text is nearly all there is to go by.")
    return told[:4]


def example_item(m: Material) -> int | None:
    """One of the rarer half of tail items with text, of typical (median) similarity to its neighbours."""
    assert m.vectors is not None
    counts = m.dataset.item_counts
    tail = np.flatnonzero(m.thresholds.tail_items(counts[1:]) & m.vectors.any(1)) + 1
    if len(tail) == 0 or m.dataset.n_items <= NEAREST:
        return None
    tail = tail[counts[tail] <= np.median(counts[tail])]
    if len(tail) > EXAMPLES:
        tail = np.sort(np.random.default_rng(0).choice(tail, EXAMPLES, replace=False))
    unit = _unit(m.vectors)
    similarity = np.concatenate([unit[block - 1] @ unit.T for block in np.array_split(tail, -(-len(tail) // 256))])
    similarity[np.arange(len(tail)), tail - 1] = -np.inf
    closeness = np.partition(similarity, -NEAREST, axis=1)[:, -NEAREST:].mean(1)
    order = np.argsort(closeness, kind="stable")
    return int(tail[order[(len(order) // 2 + m.example) % len(order)]])


def nearest_items(m: Material, item: int) -> pd.DataFrame:
    """item, title, similarity (cosine), interactions and tail of the items nearest by text."""
    assert m.vectors is not None
    unit = _unit(m.vectors)
    similarity = unit @ unit[item - 1]
    similarity[item - 1] = -np.inf
    best = np.argsort(-similarity, kind="stable")[:NEAREST] + 1
    counts = m.dataset.item_counts[best]
    return pd.DataFrame(
        {
            "item": best,
            "title": m.dataset.catalogue["title"].to_numpy(object)[best - 1],
            "similarity": similarity[best - 1],
            "interactions": counts,
            "tail": m.thresholds.tail_items(counts),
        }
    )


def _headline_of_change(tail: pd.Series, text: Contender, plain: Contender) -> str:
    if tail["users"] == 0:
        return f"No held-out item is a tail item, so {text.method} cannot show what it does for them."
    if not tail["significant"]:
        return f"{text.method} shows no sure change on tail items against {plain.method}."
    before = tail["difference"] / tail["relative"] if tail["relative"] and np.isfinite(tail["relative"]) else 0.0
    after = before + tail["difference"]
    how = f"from {theme.percent(before, 1)} to {theme.percent(after, 1)}"
    if not str(tail["metric"]).startswith("HR"):
        how = f"from {theme.metric(before)} to {theme.metric(after)}"
    rises = "rises" if tail["difference"] > 0 else "falls"
    return f"With {text.method}, {tail['metric']} on tail items {rises} {how}."


def _value(value: float, metric: str) -> str:
    """A value as the charts of the story show it: hit rates are shares."""
    return theme.percent(value, 1) if metric.startswith("HR") else theme.metric(value)


def _share(rate: float) -> str:
    """A hit rate for a room, so that two of them compare at a glance: "42% of", "2.5% of", "none of the"."""
    if not np.isfinite(rate):
        return "no held-out"
    if rate <= 0:
        return "none of the"
    return f"{theme.percent(rate, 0 if rate >= 0.1 else 1)} of"


def _train(m: Material, method: str) -> str:
    command = f"llmesr train {m.dataset.name} --method {method}"
    return f"This needs an evaluated {method} run. Train one on the Training page, or run: {command}"


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors, dtype=np.float32), where=norms > 0)


def _short(title: object) -> str:
    line = " ".join(str(title).split())
    return line if len(line) <= 60 else line[:59] + "…"


def _mean(counts: np.ndarray) -> float:
    return round(float(counts.mean()), 1) if len(counts) else float("nan")
