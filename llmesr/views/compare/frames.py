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
    """What popularity explains of the configurations it explains most and least of, under uni100, and of full ranking.
    ``table``: see :func:`evaluation.popularity.explained`, with the label of each."""
    table = table[table["label"] != "popularity"]  # of itself it explains all
    sampled = table[(table["protocol"] == "uni100") & table["share"].notna()].sort_values("share", kind="stable")
    if sampled.empty:
        return f"None of these configurations finds anything under uni100 ({metric})."
    least, most = sampled.iloc[0], sampled.iloc[-1]
    said = f"Of the uni100 {metric} of {as_text(most['run'])}, popularity alone scores **{most['share']:.0%}** as well"
    if least["run"] != most["run"]:
        said += f"; of that of {as_text(least['run'])}, **{least['share']:.0%}**"
    named = table["run"].isin([least["run"], most["run"]]) & table["share"].notna()
    full = table[named & (table["protocol"] == "full")]
    return said + (f". Under full ranking it is at most {full['share'].max():.0%}." if len(full) else ".")


_SHORT: dict[Outcome, str] = {"same": "unclear", "equal": "equal", "few": "too few"}
"""Words short enough for a column per group; *better* and *worse* are the verdict's to say."""


def verdict_matrix(found: Sequence[Verdict]) -> pd.DataFrame:
    """A row per configuration and a column per group: the verdict in a word, and the difference."""
    return pd.DataFrame([{"configuration": v.run, **{a.group: _cell(v, a) for a in v.answers}} for v in found])


def _cell(verdict: Verdict, a: Answer) -> str:
    word = _SHORT.get(a.outcome) or verdict.word(a)
    return word if a.outcome in ("few", "equal") else f"{word} {signed(a.difference)}"
