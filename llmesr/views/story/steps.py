"""A guided walk in five steps through any dataset, told by its artifacts. Every sentence is computed.

A step that lacks what it needs says what to make; the others still tell theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmesr.config import GROUPS
from llmesr.evaluation.contenders import Contender
from llmesr.evaluation.doubts import Doubt, about, rarely_hit, serious
from llmesr.evaluation.verdict import Answer
from llmesr.prose import counted, listed
from llmesr.text.prompts import titled
from llmesr.views.shared import theme, words
from llmesr.views.shared.report import Section
from llmesr.views.shared.tables import readable_comparison, readable_summary
from llmesr.views.shared.theme import Mode
from llmesr.views.shared.words import one_line
from llmesr.views.story import charts
from llmesr.views.story.material import Material

NAMES = ("The long tail", "Whom it fails", "What text knows", "What changed", "What next")


@dataclass(frozen=True)
class StoryStep:
    """One screen: a headline computed from numbers, one chart, its table, and a few sentences."""

    name: str
    headline: str
    sentences: Sequence[str] = ()
    chart: Callable[[Mode], go.Figure] | None = None
    alt: str = ""
    table: pd.DataFrame | None = None
    missing: str = ""
    """What to do when the step cannot be told yet."""
    doubts: Sequence[Doubt] = ()
    """What stands against what is told, shown above it."""


def the_tail(m: Material) -> StoryStep:
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
    return StoryStep(
        NAMES[0],
        f"{items} of the {theme.count(len(counts))} items get {choices} of all interactions.",
        [
            f"{short} of the {theme.count(len(lengths))} users are tail users: they have fewer than "
            f"{thresholds.user} training interactions. Half of all users have {int(np.median(lengths))} or fewer.",
        ],
        chart=partial(charts.tail_chart, counts, thresholds, f"{thresholds.describe()} Training part only."),
        alt=f"Items by how often they were chosen; {items} of them, the tail, get {choices} of the interactions.",
        table=table,
    )


def whom_it_fails(m: Material) -> StoryStep:
    """A plain recommender by group."""
    if m.plain is None:
        return StoryStep(NAMES[1], "Whom does a plain recommender fail?", missing=_train(m, "id"))
    table = m.summary(m.plain)
    value = table.set_index("group")["value"]
    head, tail = value["Head Item"], value["Tail Item"]
    parts = table[table["group"].isin(GROUPS) & table["group"].ne("Overall")]
    worst = parts.dropna(subset="value").sort_values("value").iloc[0]
    return StoryStep(
        NAMES[1],
        f"A plain recommender finds {_share(head)} head items and {_share(tail)} tail items."
        if m.metric.startswith("HR")
        else f"A plain recommender scores {theme.metric(head)} on head items, {theme.metric(tail)} on tail items.",
        [
            f"{m.plain.name} sees only who chose which item. It serves {worst['group'].lower()}s worst: "
            f"{m.metric} {theme.scored(worst['value'], m.metric)} over {theme.count(worst['users'])} users.",
            words.metric_meaning(m.metric),
        ],
        chart=partial(charts.groups_chart, table, m.metric, f"{m.plain.name}. {m.line}"),
        alt=f"{m.metric} of {m.plain.name} by group, with 95% intervals.",
        table=readable_summary(table),
        doubts=about(m.doubts, m.plain.name),
    )


def what_text_knows(m: Material) -> StoryStep:
    """The nearest items by text to a tail item, and what recommending by text alone achieves."""
    if m.embedding is None:
        command = f"llmesr embed {m.dataset.name}"
        missing = f"The items' texts have not been embedded yet. Start it on the Training page, or run: {command}"
        return StoryStep(NAMES[2], "What does text know about the tail?", missing=missing)
    if m.item is None:
        missing = "No tail item of this dataset has a text, so there is nothing to show here."
        return StoryStep(NAMES[2], "Text knows nothing of these tail items.", missing=missing)
    nearest = m.nearest(m.item)
    count = int(m.dataset.item_counts[m.item])
    often = {0: "never chosen", 1: "chosen once"}.get(count, f"chosen {count} times")
    title = one_line(m.dataset.catalogue["title"].iloc[m.item - 1], 60)
    sentences = [
        "As tail items go it is a usual one: as close to its neighbours as most. Behaviour alone says little about it; "
        "its text places it beside these."
    ]
    if m.by_text_alone and m.plain:
        table = m.summary(m.by_text_alone, m.plain)
        tail = table[table["group"] == "Tail Item"].set_index("run")["value"]
        sentences.append(
            f"On tail items, recommending by text alone ({m.by_text_alone.name}) reaches "
            f"{m.metric} {theme.scored(tail[m.by_text_alone.name], m.metric)}, "
            f"{m.plain.name} {theme.scored(tail[m.plain.name], m.metric)}."
        )
    named = nearest[titled(m.dataset.catalogue)[nearest["item"] - 1]]
    first = (named if len(named) else nearest).iloc[0]
    return StoryStep(
        NAMES[2],
        f"“{title}” was {often}, yet its text is close to that of “{one_line(first['title'], 60)}”.",
        sentences,
        chart=partial(charts.neighbours_chart, nearest, f"Nearest to: {title}. {m.thresholds.describe()}"),
        alt=f"The {len(nearest)} items nearest by text to the tail item {title}.",
        table=nearest.drop(columns="item"),
        doubts=about(m.doubts, m.plain.name) if m.by_text_alone and m.plain else (),
    )


def what_changed(m: Material) -> StoryStep:
    """The recommender with text against the plain one."""
    if m.plain is None or m.text is None:
        missing = _train(m, "id" if m.plain is None else "llm-esr")
        return StoryStep(NAMES[3], "What changes when the recommender can read?", missing=missing)
    table = m.comparison
    tail = table[table["group"] == "Tail Item"].iloc[0]
    return StoryStep(
        NAMES[3],
        _headline_of_change(tail, m.verdict.answer("Tail Item"), m.text, m.plain, settled=not serious(m.doubts)),
        [
            f"{m.text.name} compared with {m.plain.name}, in {m.metric}: "
            f"{m.verdict.sentence(metric=False, doubts=False)}",
            *filter(None, [m.like_for_like]),
            f"{_seeds(m.text, m.plain)}Paired permutation test over "
            f"{theme.count(table['users'].max())} users, p corrected for {len(m.everybody)} tests.",
        ],
        chart=partial(charts.gains_chart, table, m.metric, f"{m.text.name} minus {m.plain.name}. {m.line}"),
        alt=f"Gain in {m.metric} of {m.text.name} over {m.plain.name} by group, with 95% intervals.",
        table=readable_comparison(table, settled=not serious(m.doubts)),
        doubts=m.doubts,
    )


def what_next(m: Material) -> StoryStep:
    """How far the tail still is from the head, and what to try."""
    if m.plain is None or m.text is None:
        missing = _train(m, "id" if m.plain is None else "llm-esr")
        return StoryStep(NAMES[4], "What to do next?", missing=missing)
    table = m.summary(m.plain, m.text)
    own = table[table["run"] == m.text.name].set_index("group")
    head, tail = own.loc["Head Item"], own.loc["Tail Item"]
    rare = rarely_hit(m.doubts, m.text.name) & {"Head Item", "Tail Item"}
    sure = not serious(m.doubts) and not rare and bool(tail["high"] < head["low"])
    labels = {c.name: c.label for c in (m.plain, m.text)}
    return StoryStep(
        NAMES[4],
        _headline_of_the_gap(head["value"], tail["value"], m.metric, settled=sure),
        advice(m),
        chart=partial(charts.remaining_chart, table, labels, m.metric, m.line),
        alt=f"{m.metric} of {m.plain.name} and {m.text.name} by group.",
        table=readable_summary(table),
        doubts=m.doubts,
    )


STEPS: tuple[Callable[[Material], StoryStep], ...] = (the_tail, whom_it_fails, what_text_knows, what_changed, what_next)


def sections(steps: Sequence[StoryStep]) -> list[Section]:
    """The story as part of a report."""
    return [
        Section(
            f"Story {i}. {s.headline}",
            [*(d.sentence for d in serious(s.doubts)), *s.sentences, s.missing],
            s.chart,
            s.alt,
            s.table,
        )
        for i, s in enumerate(steps, start=1)
    ]


def advice(m: Material) -> list[str]:
    """What to try next, from what the runs show; at most four sentences."""
    assert m.plain
    assert m.text
    by = m.comparison.set_index("group")
    told = []
    lost = [g for g in GROUPS if by.loc[g, "significant"] and by.loc[g, "difference"] < 0]
    if lost and m.text.trained and not serious(m.doubts):
        told.append(
            f"{listed(lost)} lose significantly: tune a policy that applies to tail users only, or choose a "
            "policy on the Pareto front where nobody loses."
        )
    if m.text.trained and not m.text.tuned:
        told.append(f"Tune a scoring policy on validation; it needs no training. Run: llmesr tune {m.text.ids[0]}")
    if m.text.seeded and len(m.text.seeds) < 3:
        told.append("Train with three seeds or more: fewer cannot show how much is luck.")
    rival = m.best("llm-init")
    if rival and rival is not m.text and m.validation(rival) > m.validation(m.text):
        told.append(
            f"{rival.name}, the simple baseline, is ahead on validation: prefer it until tuning says otherwise."
        )
    elif rival is None:
        told.append("Train llm-init with the same settings: the strong simple baseline that text must beat.")
    if small := [g for g in GROUPS if by.loc[g, "warning"]]:
        told.append(f"{listed(small)}: too few users for a sure answer. Collect more before deciding.")
    told.append("Try a stronger text encoder and compare.")
    return told[:4]


def _seeds(text: Contender, plain: Contender) -> str:
    """How many seeds stand behind those that luck has a part in."""
    counts = [f"{counted(len(c.seeds), 'seed')} of {c.name}" for c in (text, plain) if c.seeded]
    return f"{' and '.join(counts)}. " if counts else ""


def _headline_of_the_gap(head: float, tail: float, metric: str, *, settled: bool) -> str:
    if not (np.isfinite(head) and np.isfinite(tail)):
        return "Head and tail cannot be set against each other here."
    if tail <= 0:
        return "Tail items are still never found."
    if head <= tail:
        return "Tail items are now found as often as head items."
    if settled:
        return f"Head items are still found {head / tail:.1f} times as often as tail items."
    return f"{metric} is {theme.scored(head, metric)} on head items and {theme.scored(tail, metric)} on tail items."


def _headline_of_change(
    tail: pd.Series, answer: Answer | None, text: Contender, plain: Contender, *, settled: bool
) -> str:
    if tail["users"] == 0:
        return f"No held-out item is a tail item, so {text.label} cannot show what it does for them."
    if answer is not None and answer.outcome == "few":
        return f"Too few users to say what {text.label} changes on tail items compared with {plain.label}."
    if not tail["significant"]:
        return f"{text.label} shows no clear change on tail items compared with {plain.label}."
    before = tail["difference"] / tail["relative"] if tail["relative"] and np.isfinite(tail["relative"]) else 0.0
    after = before + tail["difference"]
    how = f"from {theme.percent(before, 1)} to {theme.percent(after, 1)}"
    if not str(tail["metric"]).startswith("HR"):
        how = f"from {theme.metric(before)} to {theme.metric(after)}"
    if not settled:
        return f"{tail['metric']} on tail items: {how} with {text.label}, but that is not settled."
    rises = "rises" if tail["difference"] > 0 else "falls"
    return f"With {text.label}, {tail['metric']} on tail items {rises} {how}."


def _share(rate: float) -> str:
    """A hit rate for a room, so that two of them compare at a glance: "42% of held-out", "none of the held-out"."""
    if not np.isfinite(rate):
        return "no held-out"
    if rate <= 0:
        return "none of the held-out"
    return f"{theme.percent(rate, 0 if rate >= 0.1 else 1)} of held-out"


def _train(m: Material, method: str) -> str:
    command = f"llmesr train {m.dataset.name} --method {method}"
    return f"This needs a finished {method} run. Train one on the Training page, or run: {command}"


def _mean(counts: np.ndarray) -> float:
    return round(float(counts.mean()), 1) if len(counts) else float("nan")
