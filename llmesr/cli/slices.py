"""slices: for which items and users a run fails, and where another one helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from llmesr.cli import metric_tables as tables
from llmesr.cli.evaluate import Part, ProtocolChoice
from llmesr.cli.output import Json, emit, say, store, table
from llmesr.errors import UserError
from llmesr.prose import signed

if TYPE_CHECKING:
    import pandas as pd

    from llmesr.evaluation.comparison import Comparison
    from llmesr.evaluation.slices import Found

SHOWN = 30


def slices(
    runs: Annotated[list[str], typer.Argument(help="Runs of one dataset; the first is the baseline.")],
    by: Annotated[str | None, typer.Option("--by", help="One column only, such as brand. [default: all]")] = None,
    find: Annotated[
        str | None,
        typer.Option(
            "--find", help="Search for slices in which the last run fails, helps or hurts; tested on held-out users."
        ),
    ] = None,
    gaps: Annotated[
        bool, typer.Option("--gaps", help="Whom the last run serves best and worst, by every column of users.")
    ] = False,
    worth: Annotated[
        str | None, typer.Option("--worth", help="Weigh hits by a column of the items with their price or margin.")
    ] = None,
    metric: Annotated[str, typer.Option("--metric", help="HR@K, NDCG@K or MRR@K.")] = "HR@10",
    protocol: Annotated[ProtocolChoice, typer.Option(help="full ranking, or 100 sampled negatives.")] = "full",
    baseline: Annotated[str | None, typer.Option(help="Compare against this run instead of the first.")] = None,
    part: Part = "test",
    json: Json = False,
) -> None:
    """Runs by slice: every column of the items, popularity and history length; a search for what stands out; gaps
    between users; what hits are worth."""
    import pandas as pd

    from llmesr.evaluation.comparison import compare_runs
    from llmesr.evaluation.fairness import Disparity
    from llmesr.runs.record import find_run

    chosen = store()
    first = find_run(chosen, baseline) if baseline else None
    found = compare_runs(
        chosen, [find_run(chosen, r) for r in runs], baseline=first, metrics=[metric], protocol=protocol, part=part
    )
    name = found.chosen[-1].name
    against = _doubted(found)
    if find is not None:
        _tell_found(json, found, name, find, against)
    elif gaps:
        served = pd.DataFrame(found.disparities(name), columns=Disparity._fields)
        emit(json, {"run": name, "rows": tables.plain(served)}, _gaps(served, f"{name}, {metric}"))
    elif worth is not None:
        weighed = found.worth(worth)
        title = f"value-weighted {metric}, by {worth} (of {weighed['share'].iloc[0]:.0%} of the targets)"
        emit(json, {"rows": tables.plain(weighed), **against}, _worth(weighed, title))
    else:
        values = found.values_by_slice if by is None else _of_column(found.values_by_slice, by)
        tests = found.tests_by_slice if len(found.chosen) > 1 else None
        emit(
            json,
            {"rows": tables.plain(values), "tests": [] if tests is None else tables.plain(tests), **against},
            _table(found, values),
        )


def _doubted(found: Comparison) -> dict[str, Any]:
    """What the guard has against comparing the runs, as JSON holds it; what is serious is said beforehand."""
    from llmesr.evaluation.doubts import serious

    against = found.doubts if len(found.chosen) > 1 else ()
    for doubt in serious(against):
        say(f"Not settled: {doubt.sentence}")
    return {"doubts": [d.document() for d in against]}


def _tell_found(json: bool, found: Comparison, name: str, asked: str, against: dict[str, Any]) -> None:
    """What the search found in which the run ``name`` stands out. UserError for a question there is not."""
    from llmesr.evaluation.slices import QUESTIONS, as_frame

    question = next((q for q in QUESTIONS if q == asked), None)
    if question is None:
        raise UserError(f"--find is one of {', '.join(QUESTIONS)}, not {asked!r}.")
    if question != "fails" and name == found.baseline.name:
        raise UserError("Where a run helps or hurts is seen against a baseline: give two runs.")
    answer = found.stand_out(name, question)
    document = {"run": name, "rows": tables.plain(as_frame(answer)), **against}
    emit(json, document, _found(answer, f"{name}. {QUESTIONS[question]}"))


def _of_column(values: pd.DataFrame, by: str) -> pd.DataFrame:
    there = list(dict.fromkeys(values["dimension"]))
    if by not in there:
        raise UserError(f"There are no slices by {by!r}; there are by {', '.join(there)}.")
    return values[values["dimension"] == by]


def _table(found: Comparison, values: pd.DataFrame) -> Table:
    """Slices down, those first in which the last configuration is worst; configurations across."""
    keys = ["dimension", "group"]
    wide = values.pivot_table(index=keys, columns="run", values="value", sort=False)
    users = values.drop_duplicates(keys).set_index(keys)["users"]
    names = [c.name for c in found.chosen]
    marks = {}
    if len(names) > 1:
        tests = found.tests_by_slice
        marks = {
            (t.dimension, t.group, t.run): " ▲" if t.difference > 0 else " ▼"
            for t in tests[tests["significant"]].itertuples()
        }
    worst = wide.sort_values(names[-1], kind="stable").head(SHOWN)
    rows = [
        [f"{d}: {g}", f"{users[d, g]:,}", *(f"{row[n]:.4f}{marks.get((d, g, n), '')}" for n in names)]
        for (d, g), row in worst.iterrows()
    ]
    more = f" The {SHOWN} lowest of {len(wide)}." if len(wide) > SHOWN else ""
    title = f"{found.metrics[0]}, {found.protocol} ranking, {found.part} part.{more}"
    if marks:
        title += f" ▲ ▼: differs from {found.baseline.name}, p < .05"
    return table(title, ["slice", "users", *names], rows)


def _found(answer: list[Found], title: str) -> Table:
    rows = [
        [f.group.name, f"{f.users:,}", *(signed(v, 4).removeprefix("+") for v in (f.value, f.rest)),
         signed(f.difference), f"{f.p_adjusted:.4f}", "confirmed" if f.confirmed else "not confirmed"]
        for f in answer
    ]  # fmt: skip
    note = "found in one half of the users, tested on the other" if rows else "nothing stands out"
    return table(f"{title} ({note})", ["slice", "users", "value", "rest", "difference", "p", ""], rows)


def _gaps(served: pd.DataFrame, title: str) -> Table:
    rows = [
        [r.column, f"{r.best} {r.best_value:.4f}", f"{r.worst} {r.worst_value:.4f}", signed(r.difference),
         f"{signed(r.low)} to {signed(r.high)}", f"{r.p_adjusted:.4f}"]
        for r in served.itertuples()
    ]  # fmt: skip
    note = "chosen on one half of the users, measured on the other" if rows else "no two segments are large enough"
    return table(f"{title} ({note})", ["users by", "best served", "worst served", "gap", "95%", "p"], rows)


def _worth(weighed: pd.DataFrame, title: str) -> Table:
    rows = [
        [r.run, f"{r.weighted:.4f}", f"{r.low:.4f} to {r.high:.4f}", f"{r.plain:.4f}",
         "" if r.difference != r.difference else signed(r.difference),
         "" if r.difference != r.difference else f"{r.p_adjusted:.4f}"]
        for r in weighed.itertuples()
    ]  # fmt: skip
    return table(title, ["run", "weighted", "95%", "alike", "difference", "p"], rows)


def register(app: typer.Typer) -> None:
    app.command()(slices)
