"""Metric frames as rows of JSON and as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from llmesr.cli.output import table
from llmesr.config import EVERY_GROUP, named_with_backbone

if TYPE_CHECKING:
    import pandas as pd

    from llmesr.evaluation.comparison import Comparison
    from llmesr.runs.record import Run

_BEYOND_GROUPS = ("Overall", "Tail User", "Head User")


def rows(
    frame: pd.DataFrame, runs: Mapping[str, Run], protocol: str, part: str, key: str = "run"
) -> list[dict[str, Any]]:
    """One dictionary per row: ``key``, method, backbone, protocol, part, then the columns of the frame."""
    found = []
    for row in plain(frame):
        config = runs[row["run"]].manifest.config
        backbone = config["backbone"] if named_with_backbone(config["method"]) else None
        name = {key: row.pop("run"), "method": config["method"], "backbone": backbone}
        found.append({**name, "protocol": protocol, "part": part, **row})
    return found


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON can hold them: what is not a number is null."""
    import pandas as pd

    return [
        {k: None if not isinstance(v, str) and pd.isna(v) else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]


def one_run(frame: pd.DataFrame, metrics: Sequence[str], title: str) -> Table:
    """Groups down, metrics across, each with half its interval."""
    made = {(r["group"], r["metric"]): r for r in frame.to_dict("records")}
    groups = list(dict.fromkeys(frame["group"]))
    body = [[g, *(_value(made[g, m]) for m in metrics), f"{made[g, metrics[0]]['users']:,}"] for g in groups]
    return _table(title, ["group", *metrics, "users"], body)


def groups_in(frame: pd.DataFrame) -> list[str]:
    """The named groups a table has, in their order."""
    return [g for g in EVERY_GROUP if g in set(frame["group"])]


def by_group(frame: pd.DataFrame, title: str, groups: Sequence[str], tests: pd.DataFrame | None = None) -> Table:
    """Configurations down, groups across; an arrow marks what differs significantly from the baseline."""
    made = {(r["run"], r["group"]): r for r in frame.to_dict("records")}
    metric = frame["metric"].iloc[0]
    arrows: dict[tuple[str, str], str] = {}
    if tests is not None:
        for r in tests[tests["significant"] & (tests["metric"] == metric)].to_dict("records"):
            arrows[r["run"], r["group"]] = " ▲" if r["difference"] > 0 else " ▼"
    runs = list(dict.fromkeys(frame["run"]))
    body = []
    for run in runs:
        seeds = int(made[run, groups[0]].get("seeds", 1))
        cells = [_value(made[run, g]) + arrows.get((run, g), "") for g in groups]
        body.append([f"{run} ({seeds} seeds)" if seeds > 1 else run, *cells])
    body.append(["users", *(f"{made[runs[0], g]['users']:,}" for g in groups)])
    return _table(title, ["", *groups], body)


def buckets(frame: pd.DataFrame, title: str) -> list[Table]:
    """The cells and the buckets, one table per metric and dimension."""
    names = {"cell": "users x items", "popularity": "training interactions of the item", "length": "history length"}
    found = []
    for metric in dict.fromkeys(frame["metric"]):
        for dimension, name in names.items():
            part = frame[(frame["metric"] == metric) & (frame["dimension"] == dimension)]
            found.append(by_group(part, f"{metric} by {name}: {title}", list(dict.fromkeys(part["group"]))))
    return found


def document(found: Comparison) -> dict[str, Any]:
    """A comparison as JSON: a row per run, one per configuration, tests, verdicts, and what stands against it."""
    runs = {run.id: run for c in found.chosen for run in c.runs}
    first = {c.name: c.runs[0] for c in found.chosen}
    made: dict[str, Any] = {
        "rows": rows(found.by_run, runs, found.protocol, found.part),
        "configurations": rows(found.summary, first, found.protocol, found.part, "configuration"),
        "doubts": [d.document() for d in found.doubts],
    }
    if len(found.chosen) > 1:
        said = [
            {"run": v.run, "baseline": v.baseline, "metric": v.metric, "verdict": v.sentence()} for v in found.verdicts
        ]
        made |= {"tests": plain(found.tests), "verdicts": said}
    return made


def comparison(found: Comparison) -> list[Any]:
    """The same for people: tables by group, verdicts, doubts."""
    title = f"{found.protocol} ranking, {found.part} part"
    tests = found.tests if len(found.chosen) > 1 else None
    made = found.summary
    groups = groups_in(made)
    human: list[Any] = [by_group(made[made["metric"] == m], f"{m}: {title}", groups, tests) for m in found.metrics]
    human += buckets(made, title) if found.groups == "all" else []
    if found.doubts:
        human.append("Before you believe it:")
        human += [f"  {d.severity}: {d.sentence}" for d in found.doubts]
    if tests is not None:
        human += [f"{v.run} ({v.metric}): {v.sentence()}" for v in found.verdicts]
        human.append(
            f"Against {found.baseline.name}. ± half a 95% interval over users and seeds; ▲▼ differ in a paired test, "
            f"p < .05 after Benjamini-Hochberg over {len(tests)} tests. {power(tests)}"
        )
    return human


def power(tests: pd.DataFrame) -> str:
    """Which differences overall these users and seeds would have shown."""
    overall = tests[tests["group"] == "Overall"].groupby("metric", sort=False)["detectable"].max().dropna()
    shown = [f"{value:.3f} {metric}" for metric, value in overall.items()]
    return f"A true difference of {' or '.join(shown)} overall would show four times in five." if shown else ""


def beyond(frame: pd.DataFrame) -> Table:
    """Measures across, a line per configuration and group."""
    made = {(r["run"], r["group"], r["metric"]): r["value"] for r in frame.to_dict("records")}
    metrics = list(dict.fromkeys(frame["metric"]))
    body = [
        [run, group, *(_number(made[run, group, m]) for m in metrics)]
        for run in dict.fromkeys(frame["run"])
        for group in _BEYOND_GROUPS
    ]
    return _table("Beyond accuracy (full ranking, test part)", ["", "users", *metrics], body)


def overlap(found: Sequence[Mapping[str, Any]]) -> Table:
    """Shared share of the lists, run by run."""
    runs = list(dict.fromkeys(r["run"] for r in found))
    value = {(r["run"], r["other"]): r["jaccard"] for r in found}
    body = [[a, *(f"{value[a, b]:.2f}" for b in runs)] for a in runs]
    return _table("Overlap of the first 10 recommendations (Jaccard)", ["", *runs], body)


def warnings(frame: pd.DataFrame) -> list[str]:
    """Each warning once, with its configuration and group."""
    small = frame[frame["warning"].ne("")]
    found = dict.fromkeys(zip(small["run"], small["group"], small["warning"], strict=True))
    return [f"{run}, {group}: {warning}." for run, group, warning in found]


def _table(title: str, columns: Sequence[str], body: list[list[str]]) -> Table:
    return table(escape(title), [escape(c) for c in columns], body)  # names are data, not markup


def _value(row: Mapping[str, Any]) -> str:
    if row["value"] != row["value"]:
        return "-"
    return f"{row['value']:.4f} ±{(row['high'] - row['low']) / 2:.4f}"


def _number(value: float) -> str:
    return "-" if value != value else f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3f}"
