"""The chains of commands the app offers: what a click on a button submits."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmesr.config import NEEDS_TEXT, MethodName, RunConfig, has_backbone, named_with_backbone
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job, Step, typed_step
from llmesr.runs import wanted
from llmesr.store import Manifest, slug

GOOD_DEFAULTS: tuple[MethodName, ...] = ("popularity", "item-knn", "ease", "text-ease", "id", "llm-init", "llm-esr")
"""A comparison that can be defended: floor, strong linear baselines with and without text, blind model, simple text
model, method."""
SEEDS: tuple[int, ...] = tuple(range(wanted.FIRST_SEED, wanted.FIRST_SEED + wanted.SEEDS))
DEMOS = {"generated": "synthetic", "dataset": "movielens-100k"}
"""The datasets of the demo: under which name its job saves the id -> the dataset's name."""
UNTIL_IT_STOPS: dict[str, Any] = {"epochs": wanted.LONGEST}
"""A budget that early stopping ends, not the other way round."""


def command_line(step: Step) -> str:
    """The command a person would type for a step."""
    words = ["llmesr", *(w for w in step.command if w != "--json")]
    return shlex.join(words)


def settings(values: Mapping[str, Any]) -> list[str]:
    """``--set key=value`` for each value; text as it is, the rest as JSON, which the command reads back."""
    pairs = [f"{k}={v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)}" for k, v in values.items()]
    return [word for pair in pairs for word in ("--set", pair)]


def ingest_step(
    sources: Sequence[Path | str],
    name: str,
    *,
    users: Sequence[Path] = (),
    sql: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    item_columns: Mapping[str, str] | None = None,
    user_columns: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
) -> Step:
    """Make a dataset of files, or of the queries ``sql`` of a database; the id is saved as ``{dataset}``. Columns are
    field -> column."""
    given = [*map(str, sources), "--name", name, *(word for query in sql for word in ("--sql", query))]
    given += [word for path in users for word in ("--users", str(path))]
    mappings = {"--column": columns, "--item-column": item_columns, "--user-column": user_columns}
    for option, mapping in mappings.items():
        given += [word for field, column in (mapping or {}).items() for word in (option, f"{field}={column}")]
    given += [*settings(values or {}), "--json"]
    return Step(verb="ingest", arguments=given, label=f"Read {name}", saves="dataset")


def embed_step(dataset: str, values: Mapping[str, Any] | None = None) -> Step:
    """Turn the item text of a dataset into vectors; the id is saved as ``{embedding}``."""
    given = [dataset, *settings(values or {}), "--json"]
    reads = [f"datasets/{dataset}"]
    return Step(verb="embed", arguments=given, label="Read the item texts", reads=reads, saves="embedding")


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
    label = f"{method}/{backbone}" if (backed := named_with_backbone(method)) else method
    seed = f", seed {values['seed']}" if values and "seed" in values else ""
    given = [dataset, "--method", method, *(["--backbone", backbone] if backed else [])]
    given += [*_configured(method, preset, values, embedding), "--json"]
    return Step(
        verb="train",
        arguments=given,
        label=f"Train {label}{seed}",
        makes="runs",
        run=_fresh(f"{name}-{label}"),
        reads=[f"datasets/{dataset}"] + _text(method, embedding),
        trainings=1,
    )


def _configured(method: str, preset: str, values: Mapping[str, Any] | None, embedding: str | None) -> list[str]:
    """What training and searching have in common: where the settings and the item text come from."""
    words = ["--preset", preset] if preset != "default" else []
    words += settings(values or {})
    return words + (["--embedding", embedding] if embedding and method in NEEDS_TEXT else [])


def _text(method: str, embedding: str | None) -> list[str]:
    return [f"embeddings/{embedding}"] if embedding and method in NEEDS_TEXT else []


def _fresh(name: str) -> str:
    """A new id that begins with a name."""
    return f"{slug(name)}-{secrets.token_hex(3)}"


def finetune_step(dataset: str, name: str, values: Mapping[str, Any], *, saves: str = "adapter") -> Step:
    """Fine-tune a language model on a dataset; the id of the adapter is saved as ``{adapter}``."""
    return Step(
        verb="finetune",
        arguments=[dataset, *settings(values), "--json"],
        label="Fine-tune the text model",
        makes="adapters",
        run=_fresh(f"{name}-finetuned"),
        reads=[f"datasets/{dataset}"],
        saves=saves,
    )


def finetune_steps(dataset: str, name: str, values: Mapping[str, Any]) -> list[Step]:
    """Fine-tune a language model on the items of a dataset, then read the items with it (in the same wording)."""
    return [finetune_step(dataset, name, values), embed_step(dataset, {"adapter": "{adapter}"})]


def tune_step(run: str, values: Mapping[str, Any] | None = None, *, point: int | None = None) -> Step:
    """Find a scoring policy for a run on validation, or take one ``point`` of the last search, and judge it on test."""
    chosen = [] if point is None else ["--point", str(point)]
    given = [run, *settings(values or {}), *chosen, "--json"]
    return Step(verb="tune", arguments=given, label="Tune the scoring", reads=[f"runs/{run}"])


def typed(words: Sequence[str]) -> Step:
    """The step of a typed command. A training gets an id: the job, when stopped, then goes on with that run."""
    step = typed_step(words, " ".join(words))
    if step.verb != "train" or step.run or not step.arguments:
        return step
    return step.model_copy(update={"run": _fresh(step.arguments[0]), "makes": "runs", "trainings": 1})


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
    label = f"{method}/{backbone}" if named_with_backbone(method) else method
    given = [dataset, "--method", method, "--backbone", backbone, "--trials", str(trials), "--objective", objective]
    given += [*_configured(method, preset, values, embedding), "--json"]
    return Step(
        verb="search",
        arguments=given,
        label=f"Search settings of {label}",
        makes="searches",
        run=_fresh(f"{name}-search-{label}"),
        reads=[f"datasets/{dataset}"] + _text(method, embedding),
        trainings=trials,
    )


def best_step(dataset: str, values: Mapping[str, Any], *, name: str = "shop") -> Step:
    """Find the best recommender of a dataset within a time; ``values`` are settings of ``BestConfig``."""
    return Step(
        verb="best",
        arguments=[dataset, *(word for key, value in values.items() for word in (f"--{key}", str(value))), "--json"],
        label="Find the best recommender",
        makes="contests",
        run=_fresh(f"{name}-best"),
        reads=[f"datasets/{dataset}"],
        trainings=2,
    )


def study_step(dataset: str, values: Mapping[str, Any], *, name: str = "shop") -> Step:
    """Judge prompts, encoders and similarities on validation; ``values`` are settings of ``StudyConfig``."""
    return Step(
        verb="study",
        arguments=[dataset, *settings(values), "--json"],
        label="Study prompts and similarities",
        makes="studies",
        run=_fresh(f"{name}-study"),
        reads=[f"datasets/{dataset}", *([f"runs/{values['run']}"] if values.get("run") else [])],
    )


def map_step(*refs: str) -> Step:
    """Draw the text space beside the views of runs; or, of a dataset, beside what :func:`maps.spaces.choose` takes."""
    return Step(verb="map", arguments=[*refs, "--json"], label="Draw the maps")


def spaces_step(specs: Sequence[str], label: str, *, users: bool, reads: Sequence[str]) -> Step:
    """Draw named spaces side by side, of items or of users; ``reads`` are ``kind/id`` of where they come from."""
    given = [*dict.fromkeys(specs), *(["--users"] if users else []), "--json"]
    return Step(verb="map", arguments=given, label=label, reads=list(dict.fromkeys(reads)))


def defended(values: Mapping[str, Any] | None = None) -> list[RunConfig]:
    """What the good defaults train: methods without luck once and first, the others with three seeds each, to early
    stopping. ``values`` are settings of the trained ones."""
    trained = [m for m in GOOD_DEFAULTS if has_backbone(m)]
    once = [RunConfig(method=m) for m in GOOD_DEFAULTS if not has_backbone(m)]
    given = {**UNTIL_IT_STOPS, **(values or {})}
    return once + [RunConfig.read(None, **given, method=m, seed=seed) for seed in SEEDS for m in trained]


def good_defaults(
    dataset: str, name: str, *, embed: bool = True, values: Mapping[str, Any] | None = None
) -> list[Step]:
    """Embed, train a comparison that can be defended, and draw the maps."""
    usual = RunConfig().model_dump()
    steps = [embed_step(dataset)] if embed else []
    made: dict[str, str] = {}
    for config in defended(values):
        given = {k: v for k, v in config.model_dump().items() if v != usual[k] and k not in ("method", "backbone")}
        steps.append(train_step(dataset, config.method, name=name, values=given))
        made[config.method] = str(steps[-1].run)
    # What behaviour alone made comes first: text is in both views of the other, so that its map agrees with the text.
    return [*steps, map_step(made["id"], made["llm-esr"])]


def submit_good_defaults(jobs: Jobs, dataset_id: str, name: str, values: Mapping[str, Any] | None = None) -> Job:
    """Queue :func:`good_defaults` for a dataset that is there."""
    steps = good_defaults(dataset_id, name, values=values)
    return jobs.submit_steps(
        steps, kind="pipeline", label=f"Embed and train {name}", parents=[f"datasets/{dataset_id}"]
    )


def preparing(jobs: Jobs, dataset: Manifest) -> list[Job]:
    """Waiting and running jobs that read a dataset or make runs of it. The demo is among them for its own datasets,
    whose ids it does not save before all of their runs are made."""
    busy = list(jobs.using("datasets", dataset.id))
    making = [j for j in jobs.list() if j.active and j.kind == "demo" and j not in busy]
    return busy + [j for j in making if DEMOS.get(j.step.saves or "") == dataset.name]


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
        Step(verb="demo", arguments=["--synthetic", "--json"], label="Make a generated shop", saves="generated"),
        map_step("{generated}"),
        Step(verb="demo", arguments=["--json"], label="Make the MovieLens demo", saves="dataset"),
        map_step("{dataset}"),
    ]
    return jobs.submit_steps(steps, kind="demo", label="Prepare the demo")
