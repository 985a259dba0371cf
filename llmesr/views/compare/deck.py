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
from llmesr.views.compare.opening import AGAINST, PARTS, in_order, opening, opening_title
from llmesr.views.compare.report import EVIDENCE, Measured
from llmesr.views.compare.trade_off_charts import OUTCOMES
from llmesr.views.shared import theme, words
from llmesr.views.shared.deck import Around, Deck

GAINED_OR_LOST = ("Overall", "Tail Item", "Tail User")
"""Groups with a slide of who gained and who lost, where several configurations are compared."""
DOUBTS = 10
"""So many stand on a slide."""
ROOMY = 520
"""Characters of the first slide's words that may be large."""


def comparison_deck(dataset: Dataset, chosen: Sequence[Contender], found: Measured) -> bytes:
    """The slides of one comparison as a PowerPoint file."""
    line = words.protocol_line(found.protocol, found.thresholds, dataset.split_config) + unsettled(found.doubts)
    deck, verdicts = Deck(f"{dataset.name}. {line}"), in_order(found)
    shown, note = large_enough(found.summary, line)
    looks = _looks(chosen)
    _first(deck, dataset, chosen, found, looks)
    if len(verdicts) > 1:
        deck.table(
            f"Against {found.reference}, the best overall first", verdict_matrix(verdicts), Around(_meaning(found))
        )
    title = f"{found.metric} by group, with 95% intervals"
    deck.dots(title, _groups(shown), *looks, found.metric, Around(line=f"{dataset.name}. {note}"))
    _gained_or_lost(deck, found)
    against = [f"{d.severity.capitalize()}: {d.sentence}" for d in found.doubts]
    nothing = "The checks of training, seeds, budgets, baselines and candidates found nothing."
    for first in range(0, max(len(against), 1), DOUBTS):
        deck.text(f"{AGAINST}{' (continued)' * bool(first)}", against[first : first + DOUBTS] or [nothing])
    deck.text("How this was measured", _method(dataset, chosen, found))
    for verdict in verdicts:
        deck.table(f"Details: {verdict.run} compared with {verdict.baseline}", _differences(verdict))
    return deck.bytes()


def _looks(chosen: Sequence[Contender]) -> tuple[dict[str, str], dict[str, str]]:
    """Colours and markers by name."""
    colors = {c.name: theme.method_color(c.label) for c in chosen}
    return colors, {c.name: theme.symbol(c.label).split("-")[0] for c in chosen}


def _first(
    deck: Deck,
    dataset: Dataset,
    chosen: Sequence[Contender],
    found: Measured,
    looks: tuple[dict[str, str], dict[str, str]],
) -> None:
    """Whom it fails and what text changes, in words and as dots; every verdict in words is in the notes."""
    by_name = {c.name: c for c in chosen}
    reference, foremost = by_name[found.reference], by_name.get(found.foremost)
    said = opening(found, reference, foremost)
    notes = [*(f"{v.run}: {v.sentence(doubts=False)}" for v in in_order(found)), EVIDENCE]
    pair = found.summary[found.summary["run"].isin([reference.name, foremost.name if foremost else ""])]
    around = Around(said, notes="\n\n".join(notes), size=18 if sum(map(len, said)) < ROOMY else 14)
    deck.dots(
        opening_title(dataset.name, reference, foremost),
        _groups(pair[pair["group"].isin(PARTS)]),
        *looks,
        found.metric,
        around,
    )


def _meaning(found: Measured) -> list[str]:
    """What the words of the matrix mean."""
    said = f"Differences in {found.metric}. Better, worse: p < .05 after correction. Unclear: no clear difference."
    guarded = any(v.doubts for v in found.verdicts)
    return [said, *(["Ahead, behind: p < .05 as well, but something serious stands against it."] if guarded else [])]


def _gained_or_lost(deck: Deck, found: Measured) -> None:
    """Shares of users: of one configuration group by group, of several a slide a group."""
    if found.comparison is None:
        return
    names = [v.run for v in in_order(found)]
    if len(names) == 1:
        shown, _ = large_enough(found.comparison, "")
        shares = outcomes(shown).set_index("group")
        deck.shares(f"Who gained or lost with {names[0]} over {found.reference}", _named(shares), _outcome_colors())
        return
    for group in GAINED_OR_LOST:
        shares = _outcomes(found.comparison, group, names)
        deck.shares(f"{group}: who gained or lost over {found.reference}", shares, _outcome_colors())


def _groups(summary: pd.DataFrame) -> pd.DataFrame:
    frame = summary[["run", "group", "value", "low", "high", "users"]]
    frame = pd.concat([frame[frame["group"] == g] for g in EVERY_GROUP if g in set(frame["group"])])
    named = frame["group"] + " (" + frame["users"].map("{:,}".format) + ")"
    return frame.assign(category=named).rename(columns={"run": "series"})


def _outcomes(comparison: pd.DataFrame, group: str, names: Sequence[str]) -> pd.DataFrame:
    """A row per configuration, in the order of ``names``: the shares of a group's users who gained, whom both find or
    miss, and who lost."""
    shares = outcomes(comparison[comparison["group"] == group])
    shares.index = pd.Index(comparison.loc[(comparison["group"] == group) & (comparison["users"] > 0), "run"])
    return _named(shares.loc[[n for n in names if n in shares.index]])


def _named(shares: pd.DataFrame) -> pd.DataFrame:
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
