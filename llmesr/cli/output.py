"""How commands speak: one JSON document on standard output, everything else for people on standard error."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from llmesr.errors import UserError
from llmesr.progress import Progress, Rising
from llmesr.store import Store, write_json

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a setting: key=value; may be repeated.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file of settings.", show_default=False)]

STOPPED = 130
"""The exit code of a command that was asked to stop, and did."""
JOB_FOLDER = "LLMESR_JOB"
"""Environment variable: the job folder in which a worker leaves ``progress.json``."""

out = Console(emoji=False)
err = Console(stderr=True, emoji=False)


def store() -> Store:
    """The store the command works on (``--artifacts``, ``LLMESR_ARTIFACTS`` or ``./artifacts``)."""
    return Store()


def emit(as_json: bool, document: Any, *human: RenderableType) -> None:
    """Print ``document`` as JSON, or one block after the other of ``human`` for a person."""
    if as_json:
        sys.stdout.write(_written(document) + "\n")
        sys.stdout.flush()
        return
    for block in human:
        out.print(block, markup=False) if isinstance(block, str) else out.print(block)


def _written(document: Any) -> str:
    """``document`` as JSON, in which there is no NaN: what is no number, or not a finite one, is null."""
    try:
        return json.dumps(document, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def say(text: str) -> None:
    """A line for the person watching, on standard error; what no terminal can write (odd file names) as ``?``."""
    err.print(text.encode("utf-8", "replace").decode(), markup=False, highlight=False, soft_wrap=True)


def table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    """A plain table, numbers on the right."""
    grid = Table(title=title, title_justify="left", header_style="bold")
    for i, column in enumerate(columns):
        grid.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        grid.add_row(*(cell.replace("[", r"\[") for cell in row))
    return grid


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """A progress listener: bars on a terminal, and ``progress.json`` when run as a job."""
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not sys.stderr.isatty(),
    )
    tasks: dict[str, TaskID] = {}
    folder = os.environ.get(JOB_FOLDER)
    last, rising = 0.0, Rising()

    def listen(stage: str, done: int, total: int) -> None:
        nonlocal last
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total or None)
        bars.update(tasks[stage], completed=done, total=total or None)
        share = rising.at(stage, done, total)
        if folder and (time.monotonic() - last > 0.5 or (total and done >= total)):
            last = time.monotonic()
            write_json(Path(folder) / "progress.json", {"stage": stage, "done": done, "total": total, "share": share})

    with bars:
        yield listen


def agree_to_pay(yes: bool) -> None:
    """Ask before requests that cost money, unless ``--yes`` was said. UserError where nobody is there to be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError("These requests may cost money: say --yes to send them.")
    typer.confirm("Send them?", abort=True)
