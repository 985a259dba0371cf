"""What a comparison says, in words an analyst can repeat."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

_WHERE = {
    "Overall": "overall",
    "Tail Item": "on tail items",
    "Head Item": "on head items",
    "Tail User": "for tail users",
    "Head User": "for head users",
}
_WORDS = {
    "better": "better",
    "worse": "worse",
    "same": "no clear difference",
    "equal": "exactly the same",
    "few": "too little data to judge",
}


def p_text(p: float) -> str:
    """``p = .003``, or ``p < .001``."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".", 1)


def verdict(comparison: pd.DataFrame, groups: Sequence[str] = ("Overall", "Tail Item", "Head Item")) -> str:
    """One sentence about one run against one baseline in one metric.

    ``comparison``: rows of :func:`evaluation.statistics.compare` for them. p is the adjusted permutation p.
    """
    if len(comparison[["run", "baseline", "metric"]].drop_duplicates()) != 1:
        raise ValueError("a verdict is about one run, one baseline and one metric")
    by_group = {row["group"]: row for row in comparison.to_dict("records")}
    parts: dict[str, list[str]] = {kind: [] for kind in _WORDS}
    for name in groups:
        row = by_group.get(name)
        if row is None:
            continue
        where = _WHERE.get(name, f"for {name}")
        numbers = f"({row['difference']:+.3f} {row['metric']}, {p_text(row['p_adjusted'])})"
        if row["users"] == 0:
            parts["few"].append(f"{where} (no users)")
        elif row["better"] == row["worse"] == 0:
            parts["equal"].append(where)
        elif row["significant"]:
            parts["better" if row["difference"] > 0 else "worse"].append(f"{where} {numbers}")
        elif row["warning"]:
            parts["few"].append(f"{where} ({row['users']} users)")
        else:
            parts["same"].append(where)
    said = [f"{word} {_list(parts[kind])}" for kind, word in _WORDS.items() if parts[kind]]
    text = "; ".join(said) + "."
    return text[:1].upper() + text[1:]


def verdicts(comparison: pd.DataFrame, groups: Sequence[str] = tuple(_WHERE)) -> pd.DataFrame:
    """run, baseline, metric, verdict: one sentence per run and metric of a whole comparison."""
    found = [
        {"run": run, "baseline": base, "metric": metric, "verdict": verdict(rows, groups)}
        for (run, base, metric), rows in comparison.groupby(["run", "baseline", "metric"], sort=False)
    ]
    return pd.DataFrame(found, columns=["run", "baseline", "metric", "verdict"])


def _list(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
