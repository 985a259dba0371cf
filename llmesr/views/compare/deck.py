"""A comparison as slides: what it says, how each group is served, what was found against it, where it comes from."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from llmesr.config import EVERY_GROUP
from llmesr.data.dataset import Dataset
from llmesr.evaluation.contenders import Contender
from llmesr.evaluation.doubts import unsettled
from llmesr.evaluation.verdict import Answer, Verdict
from llmesr.prose import signed
from llmesr.views.compare.charts import large_enough
from llmesr.views.compare.frames import outcomes, verdict_matrix
from llmesr.views.compare.report import EVIDENCE, Measured
from llmesr.views.compare.trade_off_charts import OUTCOMES
from llmesr.views.shared import theme, words
from llmesr.views.shared.deck import Around, Deck

GAINED_OR_LOST = ("Overall", "Tail Item", "Tail User")
"""Groups with a slide of who gained and who lost."""


def comparison_deck(dataset: Dataset, chosen: Sequence[Contender], found: Measured) -> bytes:
    """The slides of one comparison as a PowerPoint file."""
    line = words.protocol_line(found.protocol, found.thresholds, dataset.split_config) + unsettled(found.doubts)
    deck = Deck(f"{dataset.name}, {line}")
    serious = [d.sentence for d in found.doubts if d.severity == "serious"]
    doubts = [f"What stands against it: {s}" for s in serious]
    said = [f"{v.run}: {v.sentence(doubts=False)}" for v in found.verdicts]
    compared = f"compared with {found.reference}, " if found.verdicts else ""
    deck.text(
        f"{dataset.name}: {compared}{found.metric}",
        [*doubts, *(said or ["One configuration: nothing is compared."])],
        notes=EVIDENCE,
    )
    if found.verdicts:
        deck.table(f"Against {found.reference}, by group", verdict_matrix(found.verdicts))
    labels = {c.name: c.label for c in chosen}
    colors = {name: theme.method_color(label) for name, label in labels.items()}
    markers = {name: theme.symbol(label).split("-")[0] for name, label in labels.items()}
    shown, note = large_enough(found.summary, line)
    deck.dots(
        f"{found.metric} by group, with 95% intervals", _groups(shown), colors, markers, found.metric, Around(line=note)
    )
    if found.comparison is not None:
        for group in GAINED_OR_LOST:
            shares = _outcomes(found.comparison, group)
            deck.shares(f"{group}: who gained or lost over {found.reference}", shares, _outcome_colors())
    against = [f"{d.severity.capitalize()}: {d.sentence}" for d in found.doubts]
    nothing = "The checks of training, seeds, budgets, baselines and candidates found nothing."
    deck.text("What stands against this comparison", against or [nothing])
    deck.text("How this was measured", _method(dataset, chosen, found))
    for verdict in found.verdicts:
        deck.table(f"Details: {verdict.run} compared with {verdict.baseline}", _differences(verdict))
    return deck.bytes()


def _groups(summary: pd.DataFrame) -> pd.DataFrame:
    frame = summary[["run", "group", "value", "low", "high", "users"]]
    frame = pd.concat([frame[frame["group"] == g] for g in EVERY_GROUP if g in set(frame["group"])])
    named = frame["group"] + " (" + frame["users"].map("{:,}".format) + ")"
    return frame.assign(category=named).rename(columns={"run": "series"})


def _outcomes(comparison: pd.DataFrame, group: str) -> pd.DataFrame:
    """A row per configuration: the shares of a group's users who gained, whom both find or miss, and who lost."""
    shares = outcomes(comparison[comparison["group"] == group])
    shares.index = pd.Index(comparison.loc[(comparison["group"] == group) & (comparison["users"] > 0), "run"])
    return shares[list(OUTCOMES)].rename(columns={k: text for k, (_, text) in OUTCOMES.items()})


def _differences(verdict: Verdict) -> pd.DataFrame:
    """A row per group: what the test says, the difference with its interval, and p."""
    return pd.DataFrame([_row(verdict, a, verdict.metric) for a in verdict.answers])


def _row(verdict: Verdict, a: Answer, metric: str) -> dict[str, str]:
    judged = a.outcome != "few"
    return {
        "group": a.group,
        "users": f"{a.users:,}",
        f"difference in {metric}": signed(a.difference) if judged else "",
        "95% interval": f"{signed(a.low)} to {signed(a.high)}" if judged else "",
        "corrected p": a.p_text if judged else "",
        "verdict": verdict.word(a),
    }


def _outcome_colors() -> dict[str, str]:
    surface = theme.SURFACE["light"]
    tones = {**theme.SEMANTIC["light"], "same": surface["border"], "missed": surface["muted"]}
    return {text: tones[tone] for tone, text in OUTCOMES.values()}


def _method(dataset: Dataset, chosen: Sequence[Contender], found: Measured) -> list[str]:
    runs = "; ".join(f"{c.name}: {', '.join(c.ids)}" for c in chosen)
    return [
        f"Data: {dataset.name} ({dataset.id}), {dataset.n_users:,} users, {dataset.n_items:,} items.",
        f"Metric: {words.metric_meaning(found.metric)}",
        f"Protocol: {words.PROTOCOLS[found.protocol]}",
        f"Split: {words.split_line(dataset.split_config)}",
        found.thresholds.describe(),
        EVIDENCE,
        f"Runs: {runs}.",
    ]
