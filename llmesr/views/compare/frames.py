"""Frames of a comparison as people read them: column names in words, shares instead of counts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from llmesr.evaluation.verdict import Answer, Outcome, Verdict
from llmesr.prose import signed
from llmesr.views.shared.words import as_text


def beyond_frame(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of all users, metrics in a fixed order, without those that could not be measured."""
    return table[(table["group"] == "Overall") & table["value"].notna()]


def outcomes(comparison: pd.DataFrame) -> pd.DataFrame:
    """Per group the shares of users who gained, whom both reach alike, whom neither reaches, and who lost.

    ``comparison``: one run's rows.
    """
    rows = comparison[comparison["users"] > 0]
    gained, lost, missed = (rows[column] / rows["users"] for column in ("better", "worse", "missed"))
    shares = {
        "group": rows["group"],
        "gained": gained,
        "same": 1 - gained - lost - missed,
        "missed": missed,
        "lost": lost,
    }
    return pd.DataFrame({**shares, "users": rows["users"]}).reset_index(drop=True)


def popularity_sentence(table: pd.DataFrame, metric: str) -> str:
    """What popularity explains of the configurations it explains most and least of, under uni100, and the most under
    full ranking. ``table``: see :func:`evaluation.popularity.explained`, with the label of each."""
    table = table[table["label"] != "popularity"]  # of itself it explains all
    sampled = table[(table["protocol"] == "uni100") & table["share"].notna()].sort_values("share", kind="stable")
    if sampled.empty:
        return f"None of these configurations finds anything under uni100 ({metric})."
    least, most = sampled.iloc[0], sampled.iloc[-1]
    said = f"Of the uni100 {metric} of {as_text(most['run'])}, popularity alone scores **{most['share']:.0%}** as well"
    if least["run"] != most["run"]:
        said += f"; of that of {as_text(least['run'])}, **{least['share']:.0%}**"
    full = table[(table["protocol"] == "full") & table["share"].notna()]
    if full.empty:
        return f"{said}."
    top = full.loc[full["share"].idxmax()]
    return f"{said}. Under full ranking it is at most {top['share']:.0%} ({as_text(top['run'])})."


_SHORT: dict[Outcome, str] = {"same": "unclear", "equal": "equal", "few": "too few"}
"""Words short enough for a column per group; *better* and *worse* are the verdict's to say."""


def verdict_matrix(found: Sequence[Verdict]) -> pd.DataFrame:
    """A row per configuration and a column per group: the verdict in a word, and the difference."""
    return pd.DataFrame([{"configuration": v.run, **{a.group: _cell(v, a) for a in v.answers}} for v in found])


def verdict_rows(found: Sequence[Verdict]) -> pd.DataFrame:
    """The same to be calculated with: a row per configuration and group, with the numbers behind the word."""
    rows = [
        {
            "configuration": v.run,
            "baseline": v.baseline,
            "group": a.group,
            "metric": v.metric,
            "difference": a.difference,
            "95% low": a.low,
            "95% high": a.high,
            "p (corrected)": a.p,
            "users": a.users,
            "verdict": v.word(a),
        }
        for v in found
        for a in v.answers
    ]
    return pd.DataFrame(rows)


def _cell(verdict: Verdict, a: Answer) -> str:
    word = _SHORT.get(a.outcome) or verdict.word(a)
    return word if a.outcome in ("few", "equal") else f"{word} {signed(a.difference)}"
