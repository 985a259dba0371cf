"""The first numbers anybody sees: the best run of each method, and in a sentence whom it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from llmesr.config import EVERY_GROUP
from llmesr.runs.record import Run
from llmesr.views.shared import theme
from llmesr.views.shared.words import METHODS

CHOSEN_BY = "NDCG@10"
BLIND, READING = ("id",), ("llm-esr", "llmemb", "llm-init", "adapter")
"""The plain model, and the one with text that the sentence is about: the first that is there, as in the story. A
choice by test numbers would favour the lucky."""

Table = Callable[[Run, str, str], pd.DataFrame]
"""``(run, protocol, part)`` -> the metric table of ``evaluation.table``."""


def best_runs(runs: Sequence[Run], table: Table) -> list[Run]:
    """Of each method the run with the highest validation NDCG@10 under full ranking, in the methods' order.

    Chosen on validation, so that the test numbers shown are not the luckiest of several. Runs under a scoring policy
    are left out: it may also add what was chosen together, and the sentence is about what text changes.
    """
    best: dict[str, tuple[float, Run]] = {}
    for run in runs:
        if "policy" in run.manifest.info:
            continue
        score = value(table(run, "full", "valid"), "Overall", CHOSEN_BY)
        method = theme.method_of(run.label)
        if method not in best or score > best[method][0]:
            best[method] = (score, run)
    order = list(METHODS)
    return [best[m][1] for m in sorted(best, key=lambda m: order.index(m) if m in order else len(order))]


def value(table: pd.DataFrame, group: str, metric: str) -> float:
    """One cell of a metric table; NaN when it is not there."""
    found = table.loc[(table["group"] == group) & (table["metric"] == metric), "value"]
    return float(found.iloc[0]) if len(found) else float("nan")


def headline_frame(runs: Sequence[Run], table: Table, metric: str, protocol: str) -> pd.DataFrame:
    """run, group, value, users on the test part, for every group there is."""
    rows = []
    for run in runs:
        found = table(run, protocol, "test")
        found = found[(found["metric"] == metric) & found["group"].isin(EVERY_GROUP)]
        rows.append(found.assign(run=run.label)[["run", "group", "value", "users"]])
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["run", "group", "value", "users"])


def sentence(frame: pd.DataFrame, k: int = 10) -> str:
    """What the frame (of HR@k) says, in words: whom the plain model fails, and what text changes."""
    cells = {(r["run"], r["group"]): r["value"] for r in frame.to_dict("records")}
    blind, reading = protagonists(list(dict.fromkeys(frame["run"])))
    said = []
    if blind:
        tail, head = cells[blind, "Tail Item"], cells[blind, "Head Item"]
        said.append(
            f"A model that sees only item IDs has the next item in its top {k} for **{theme.percent(head, 1)}** of "
            f"users when that item is popular, and for **{theme.percent(tail, 1)}** when it is in the tail."
        )
    if reading:
        tail, head = cells[reading, "Tail Item"], cells[reading, "Head Item"]
        text = f"With item text ({reading}) it is **{theme.percent(tail, 1)}** in the tail"
        if blind:
            text += _times(cells[blind, "Tail Item"], tail)
        said.append(f"{text} and **{theme.percent(head, 1)}** for popular items.")
    return " ".join(said)


def _times(before: float, after: float) -> str:
    return f" ({after / before:.1f} times as often)" if before > 0 and abs(after / before - 1) >= 0.15 else ""


def protagonists(labels: Sequence[str]) -> tuple[str | None, str | None]:
    """The labels of the plain model and of the one with text; None where there is none."""
    by_method = {theme.method_of(label): label for label in labels}
    blind, reading = (next((by_method[m] for m in methods if m in by_method), None) for methods in (BLIND, READING))
    return blind, reading
