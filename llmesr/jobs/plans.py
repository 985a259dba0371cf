"""The chains of commands the app offers: what a click on a button submits."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmesr.config import UNTRAINED
from llmesr.jobs.queue import Jobs, step
from llmesr.jobs.record import Job, Step
from llmesr.store import slug

GOOD_DEFAULTS: tuple[str, ...] = ("popularity", "id", "llm-init", "llm-esr")
"""Enough to see whom a plain recommender fails and what text changes: floor, blind model, baseline, method."""
NEEDS_TEXT: tuple[str, ...] = ("semantic-knn", "llm-init", "adapter", "llm-esr", "llmemb")


def command_line(step: Step) -> str:
    """The command a person would type for a step."""
    words = ["llmesr", *(w for w in step.command if w != "--json")]
    return shlex.join(words)


def settings(values: Mapping[str, Any]) -> list[str]:
    """``--set key=value`` for each value; text as it is, the rest as JSON, which the command reads back."""
    pairs = [f"{k}={v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)}" for k, v in values.items()]
    return [word for pair in pairs for word in ("--set", pair)]


def ingest_step(
    sources: Sequence[Path],
    name: str,
    *,
    columns: Mapping[str, str] | None = None,
    item_columns: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
) -> Step:
    """Make a dataset of files; the id is saved as ``{dataset}``. Columns are field -> column."""
    command = ["ingest", *map(str, sources), "--name", name]
    command += [w for field, column in (columns or {}).items() for w in ("--column", f"{field}={column}")]
    command += [w for field, column in (item_columns or {}).items() for w in ("--item-column", f"{field}={column}")]
    command += [*settings(values or {}), "--json"]
    return step(command, f"Read {name}", saves="dataset")


def embed_step(dataset: str, values: Mapping[str, Any] | None = None) -> Step:
    """Turn the item text of a dataset into vectors; the id is saved as ``{embedding}``."""
    return step(["embed", dataset, *settings(values or {}), "--json"], "Read the item texts", saves="embedding")


def train_step(
    dataset: str,
    method: str,
    *,
    backbone: str = "sasrec",
    preset: str = "default",
    values: Mapping[str, Any] | None = None,
    embedding: str | None = None,
    name: str = "run",
) -> Step:
    """Train one method. The run gets its id here, so that its curves can be watched while it trains."""
    trained = method not in UNTRAINED
    label = f"{method}/{backbone}" if trained else method
    run_id = f"{slug(f'{name}-{label}')}-{secrets.token_hex(3)}"
    command = ["train", dataset, "--method", method, *(["--backbone", backbone] if trained else [])]
    command += _configured(method, preset, values, embedding)
    return step([*command, "--run-id", run_id, "--json"], f"Train {label}")


def _configured(method: str, preset: str, values: Mapping[str, Any] | None, embedding: str | None) -> list[str]:
    """What training and searching have in common: where the settings and the item text come from."""
    words = ["--preset", preset] if preset != "default" else []
    words += settings(values or {})
    return words + (["--embedding", embedding] if embedding and method in NEEDS_TEXT else [])


def finetune_steps(dataset: str, name: str, values: Mapping[str, Any]) -> list[Step]:
    """Tune a language model on the items of a dataset, then read the items with it in the same wording."""
    adapter = f"{slug(f'{name}-tuned')}-{secrets.token_hex(3)}"
    command = ["finetune", dataset, *settings(values), "--run-id", adapter, "--json"]
    kept = {new: values[old] for old, new in _WORDING.items() if old in values}
    return [
        step(command, "Fine-tune the text model", saves="adapter"),
        embed_step(dataset, {"adapter": "{adapter}", **kept}),
    ]


_WORDING = {
    "template": "template",
    "attributes": "attributes",
    "max_characters": "max_chars",
    "max_tokens": "max_tokens",
}
"""Settings of a tuning that the reading afterwards shares -> their names there."""


def tune_step(run: str, values: Mapping[str, Any] | None = None, *, point: int | None = None) -> Step:
    """Find a scoring policy for a run on validation, or take one ``point`` of the last search, and judge it on test."""
    chosen = [] if point is None else ["--point", str(point)]
    return step(["tune", run, *settings(values or {}), *chosen, "--json"], "Tune the scoring")


def named_run(command: Sequence[str]) -> list[str]:
    """A typed command in which a training run has its id: a job that was stopped then goes on with that run."""
    if command[0] != "train" or "--run-id" in command or len(command) < 2:
        return [*command]
    return [*command, "--run-id", f"{slug(command[1])}-{secrets.token_hex(3)}"]


def search_step(
    dataset: str,
    method: str,
    *,
    backbone: str,
    trials: int,
    objective: str,
    preset: str = "default",
    values: Mapping[str, Any] | None = None,
    embedding: str | None = None,
    name: str = "search",
) -> Step:
    """Search for the settings of a method that are best on validation; ``values`` are the same in every trial."""
    label = f"{method}/{backbone}"
    id = f"{slug(f'{name}-search-{label}')}-{secrets.token_hex(3)}"
    command = ["search", dataset, "--method", method, "--backbone", backbone]
    command += ["--trials", str(trials), "--objective", objective, *_configured(method, preset, values, embedding)]
    return step([*command, "--run-id", id, "--json"], f"Search settings of {label}")


def map_step(dataset: str, run: str | None) -> Step:
    """Draw the text space beside the views of a run (or of the newest run)."""
    return step(["map", run or dataset, "--json"], "Draw the maps")


def good_defaults(
    dataset: str, name: str, *, embed: bool = True, values: Mapping[str, Any] | None = None
) -> list[Step]:
    """Embed, train the methods that make the comparison worth looking at, and draw the maps."""
    steps = [embed_step(dataset)] if embed else []
    steps += [
        train_step(dataset, method, name=name, values=values if method not in UNTRAINED else None)
        for method in GOOD_DEFAULTS
    ]
    return [*steps, map_step(dataset, steps[-1].run)]


def submit_good_defaults(jobs: Jobs, dataset_id: str, name: str, values: Mapping[str, Any] | None = None) -> Job:
    """Queue :func:`good_defaults` for a dataset that is there."""
    steps = good_defaults(dataset_id, name, values=values)
    return jobs.submit_steps(
        steps, kind="pipeline", label=f"Embed and train {name}", parents=[f"datasets/{dataset_id}"]
    )


def submit_demo(jobs: Jobs) -> Job | None:
    """Queue both demos with their maps, unless that was done or is under way; None when it was done."""
    demos = [j for j in jobs.list() if j.kind == "demo"]
    for job in demos:
        if job.active:
            return job
        made = job.status.saved.get("dataset")
        if job.state == "SUCCEEDED" and made and jobs.store.exists("datasets", made):
            return None
    # The generated shop is ready in a minute and has a long tail; MovieLens is real, and follows.
    steps = [
        step(["demo", "--synthetic", "--json"], "Make a generated shop", saves="generated"),
        map_step("{generated}", None),
        step(["demo", "--json"], "Make the MovieLens demo", saves="dataset"),
        map_step("{dataset}", None),
    ]
    return jobs.submit_steps(steps, kind="demo", label="Prepare the demo")
