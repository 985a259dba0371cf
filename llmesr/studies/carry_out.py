"""Carrying a study out: every cell by every judge that it makes a difference to, the finalists, and the table.

What has been judged is on record, so a study that was stopped goes on, and a finished one is not done again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from llmesr.config import EmbedConfig, RunConfig, StudyConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.errors import UserError
from llmesr.evaluation import statistics
from llmesr.evaluation.ranks import PROTOCOLS
from llmesr.evaluation.values import per_user
from llmesr.progress import Progress, silent
from llmesr.runs.live import Status
from llmesr.runs.record import Run, find_run
from llmesr.runs.study import Study
from llmesr.semantic.embed import Embedding, embed
from llmesr.store import Store, config_digest, slug
from llmesr.studies.cells import DEFAULT, TEXT, Cell, cells, fingerprints, planned
from llmesr.studies.judges import JUDGES, Ground, judged
from llmesr.training.stopping import Stopped, recorded_end, terminate
from llmesr.training.train import resume, train

METRIC = "NDCG@10"


def study(
    dataset: Dataset,
    config: StudyConfig,
    store: Store,
    *,
    study_id: str | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Study:
    """Judge every prompt, encoder and similarity of ``config`` on the validation part of ``dataset``.

    The same study again is the one that is there, and goes on if it was stopped. Stopped by SIGTERM it raises
    :class:`~llmesr.training.stopping.Stopped`. UserError when nobody can be asked on validation, when nothing is
    varied, for an encoder, a template or an attribute that is not there, or where ``study_id`` is another study's.
    """
    if not len(dataset.split.users("valid")):
        raise UserError(f"Dataset {dataset.name!r} has nobody to validate on: nobody has a past and a target there.")
    if len(cells(config)) < 2:
        raise UserError("Nothing is varied: give a second prompt, attribute list, encoder, pooling or similarity.")
    planned(dataset, config, store)  # what cannot be opened is found now, not after hours
    now_of = made_of(dataset, config, store)
    id = study_id or f"{slug(dataset.name)}-study-{config_digest(config.model_dump(), dataset.id, now_of)}"
    if store.exists(Study.kind, id):
        found = Study(store, id)
        _check_same(found, dataset, config, now_of)
        return found if found.status().state == "SUCCEEDED" else resume_study(found, device=device, progress=progress)
    made = Study.create(store, config, [dataset.manifest], name=f"{dataset.name} study", id=id, device=device)
    with made.hold():
        return _Work(made, config, dataset, device, progress).carry_out()


def made_of(dataset: Dataset, config: StudyConfig, store: Store) -> dict[str, Any]:
    """What a table follows from beside the settings, which only name it: the numbers of the encoders and of the run,
    and what is head and what is tail. UserError where there is no such run."""
    run = find_run(store, config.run) if config.run is not None else None
    return {
        "encoders": fingerprints(dataset, config, store),
        "run": config_digest(run.id, run.manifest.files) if run else None,
        "thresholds": dataset.thresholds.model_dump(),
    }


def _check_same(found: Study, dataset: Dataset, config: StudyConfig, now_of: dict[str, Any]) -> None:
    """UserError where a study of that id is of other settings, or was finished with what has changed since. Of one that
    was held before that was kept it cannot be told."""
    if (found.dataset_id, found.config) != (dataset.id, config):
        raise UserError(f"Study {found.id!r} exists already with other settings; give another id, or delete it.")
    kept = found.manifest.info.get("made_of")
    if kept and found.status().state == "SUCCEEDED" and kept != now_of:
        changed = ", ".join(name for name in now_of if now_of[name] != kept.get(name))
        raise UserError(
            f"Study {found.id!r} was held when this was another: {changed}. Give another id, or delete it to hold it "
            "again."
        )


def resume_study(found: Study, *, device: str = "auto", progress: Progress = silent) -> Study:
    """Go on with a study that was stopped or broke off. UserError when it is finished already."""
    with found.hold():
        if found.status().state == "SUCCEEDED":
            raise UserError(f"Study {found.id!r} is finished.")
        dataset = load_dataset(found.store, found.dataset_id)
        return _Work(found, found.config, dataset, device, progress).carry_out()


@dataclass(frozen=True)
class Task:
    """One cell before one judge; ``key`` names what the judge reads of it."""

    judge: str
    cell: Cell
    key: str


def tasks(config: StudyConfig) -> Iterator[Task]:
    """Every cell by every judge, but only where it differs in what the judge reads; text after text."""
    found = cells(config)
    default = found[0]
    varied = {name: _varied(name, found) and (name != "content" or config.run is not None) for name in JUDGES}
    seen: set[str] = set()
    for cell in found:
        for name, reader in JUDGES.items():
            own = cell.only(reader.reads, default)
            key = f"{name}-{config_digest(own.read(reader.reads))}"
            if varied[name] and key not in seen:
                seen.add(key)
                yield Task(name, own, key)


def _varied(judge: str, found: list[Cell]) -> bool:
    """Whether two cells differ in what ``judge`` reads. Similar users are asked only where it is about them."""
    axes = JUDGES[judge].reads
    if judge == "similar-users":
        axes = tuple(axis for axis in axes if axis not in TEXT)
    return len({cell.read(axes) for cell in found}) > 1


@dataclass
class _Work:
    """One study being carried out."""

    study: Study
    config: StudyConfig
    dataset: Dataset
    device: str
    progress: Progress

    def __post_init__(self) -> None:
        self.default = cells(self.config)[0]
        self.made_of = made_of(self.dataset, self.config, self.study.store)
        self.tasks = [replace(task, key=self._key(task)) for task in tasks(self.config)]
        self.users = [t.cell for t in self.tasks if set(t.cell.changes(self.default)) == {"users"}]
        trained = 1 + self.config.finalists + len(self.users) * self._taught
        self.of = len(self.tasks) + (trained if self.config.finalists else 0)

    def _key(self, task: Task) -> str:
        """Where ranks are kept: apart for other numbers under the same name."""
        read = [self.made_of["encoders"][task.cell.reader], self.made_of["run"] if task.judge == "content" else None]
        return f"{task.key}-{config_digest(*read)}"

    @property
    def _taught(self) -> bool:
        """Whether the finalists' method learns from similar users, whom the user vectors say."""
        return self.config.method == "llm-esr"

    def carry_out(self) -> Study:
        started = time.perf_counter()
        with recorded_end(self.study), terminate() as should_stop:
            known = {entry["key"] for entry in self.study.entries()}
            for number, task in enumerate(self.tasks):
                if not (self.study.has(task.key) and task.key in known):  # killed, it may have kept but one of the two
                    self._report(number, f"{task.judge}: {task.cell.label(self.default)}")
                    self._judge(task)
                if should_stop():
                    raise Stopped
            frames = {(t.judge, t.cell.label(self.default)): self.study.ranks(t.key) for t in self.tasks}
            finalists = self._finalists(frames)
            self.study.write_table(self._rows(frames | {key: run.per_user("valid") for key, run in finalists.items()}))
            status = Status(state="SUCCEEDED", epoch=self.of, epochs=self.of, seconds_left=0.0)
            runs = {label: run.id for (_, label), run in finalists.items()}
            info = {"finalists": runs, "made_of": self.made_of}
            self.study.finish(status, {"study": round(time.perf_counter() - started, 3)}, info)
        return self.study

    def _judge(self, task: Task) -> None:
        started = time.perf_counter()
        label = task.cell.label(self.default)

        def listen(stage: str, done: int, total: int) -> None:
            self.progress(f"{label}: {stage}", done, total)

        vectors = embed(self.dataset, self._read(task.cell), self.study.store, listen)
        embedded = time.perf_counter()
        ground = Ground(self.study.store, self.dataset, vectors)
        self.study.keep(task.key, judged(task.judge, ground, task.cell, self.config, listen))
        seconds = {"seconds": round(time.perf_counter() - embedded, 3), "embedding": round(embedded - started, 3)}
        event = {"judge": task.judge, "label": label, "key": task.key, "vectors": vectors.id}
        self.study.append_event({**event, "changes": task.cell.changes(self.default), **seconds})

    def _read(self, cell: Cell) -> EmbedConfig:
        return cell.embed_config(self.config, self.dataset, self.study.store)

    def _finalists(self, frames: dict[tuple[str, str], pd.DataFrame]) -> dict[tuple[str, str], Run]:
        """The default, the texts that text-ease ranks best and, where similar users teach, the other user vectors, as
        runs of a sequence model."""
        entrants = [*self._best_texts(frames), *(self.users if self._taught else ())]
        if not self.config.finalists or not entrants:
            return {}
        found: dict[tuple[str, str], Run] = {}
        for number, cell in enumerate([self.default, *entrants]):
            label, said = cell.label(self.default), f"{self.config.method}: {cell.label(self.default)}"
            self._report(len(self.tasks) + number, said)
            vectors = embed(self.dataset, self._read(cell), self.study.store)
            id = self.study.run_id(label, vectors.id)
            self._report(len(self.tasks) + number, said, run=id)
            found[self.config.method, label] = self._trained(id, vectors)
        return found

    def _best_texts(self, frames: dict[tuple[str, str], pd.DataFrame]) -> list[Cell]:
        texts = {t.cell.label(self.default): t.cell for t in self.tasks if t.judge == "text-ease"}
        if not texts:
            return []
        values = per_user({label: [frames["text-ease", label]] for label in texts}, [METRIC], "full", "valid").values
        ranked = sorted(values, key=lambda label: -float(values[label].mean()))
        return [texts[label] for label in ranked if label != DEFAULT][: self.config.finalists]

    def _trained(self, id: str, vectors: Embedding) -> Run:
        store = self.study.store
        if store.exists("runs", id):
            run = Run(store, id)
            done = run.status().state == "SUCCEEDED"
            return run if done else resume(run, device=self.device, progress=self.progress)
        given = {name: getattr(self.config, name) for name in ("method", "epochs", "max_length", "seed")}
        return train(
            self.dataset,
            RunConfig.read(None, **given),
            store,
            embedding=vectors,
            run_id=id,
            device=self.device,
            progress=self.progress,
        )

    def _rows(self, frames: dict[tuple[str, str], pd.DataFrame]) -> list[dict[str, Any]]:
        """Every cell against the default, by judge and protocol."""
        rows: list[dict[str, Any]] = []
        changes = {t.cell.label(self.default): t.cell.changes(self.default) for t in self.tasks}
        for judge in dict.fromkeys(name for name, _ in frames):
            own = {label: [frame] for (name, label), frame in frames.items() if name == judge}
            for protocol in PROTOCOLS:
                options: dict[str, Any] = {"metrics": [METRIC], "protocol": protocol, "part": "valid"}
                values = per_user(own, [METRIC], protocol, "valid")
                level = statistics.summary(values, self.dataset.thresholds, **options)
                tests = statistics.compare(values, self.dataset.thresholds, baseline=DEFAULT, **options)
                against = {(r["run"], r["group"]): r for r in tests.to_dict("records")}
                for row in level.to_dict("records"):
                    test = against.get((row["run"], row["group"]), {})
                    rows.append(
                        {
                            "judge": judge,
                            "label": row["run"],
                            "changes": changes[row["run"]],
                            "protocol": protocol,
                            "group": row["group"],
                            "users": int(row["users"]),
                            "value": _number(row["value"]),
                            **{name: _number(test.get(name)) for name in ("difference", "low", "high", "p")},
                            "p_adjusted": _number(test.get("p_adjusted")),
                            "significant": bool(test.get("significant", False)),
                        }
                    )
        return rows

    def _report(self, number: int, message: str, *, run: str | None = None) -> None:
        self.progress(message, number, self.of)
        self.study.set_status(Status(state="RUNNING", epoch=number, epochs=self.of, message=message, run=run))


def _number(value: Any) -> float | None:
    return None if value is None or value != value else round(float(value), 6)
