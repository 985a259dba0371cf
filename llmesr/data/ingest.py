"""From files of interactions and items to a dataset artifact, with every loss counted and explained."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from llmesr.config import IngestConfig, SplitConfig
from llmesr.data import catalogue, histories, people
from llmesr.data.dataset import Dataset, load_dataset, read_dataset
from llmesr.data.files import prepare
from llmesr.data.frame import INTERACTIONS, ITEMS, USERS
from llmesr.data.layouts import Inputs, assign, collect
from llmesr.data.ordering import order
from llmesr.data.plan import plan, settle, tell
from llmesr.data.reader import Reader
from llmesr.data.reading import connect, count, stage_interactions
from llmesr.data.rejects import check_rejects, tell_departures, tell_weights, write_rejects
from llmesr.data.report import Report
from llmesr.data.reviews import REVIEWS, write_reviews
from llmesr.data.split import boundaries
from llmesr.data.splitting import dated, tell_split
from llmesr.data.times import SECOND, TimeFormat
from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.prose import counted
from llmesr.store import Store, config_digest, slug

VERSION = 2
"""Raised when the same files would give another dataset than before."""
STAGES = 7


def ingest(
    sources: Sequence[Path],
    config: IngestConfig,
    store: Store,
    progress: Progress = silent,
    *,
    users: Sequence[Path] = (),
    origins: Mapping[Path, Mapping[str, str]] | None = None,
) -> Dataset:
    """Read, check and store interactions and items; the same content and config reuse what is there.

    ``sources`` are files or a folder; which file is which is told by their columns, but for ``users``, which describe
    those. ``origins`` says where files came from that were brought from elsewhere, for the manifest. The artifact holds
    interactions, users and items, rejects.parquet (lines that could not be used) and, where interactions carry text,
    reviews.parquet. ``manifest.info`` has ``report`` (findings in plain words), ``steps`` (what each step left),
    ``time``, ``columns`` and ``sources``.
    UserError names the file, line or column and the remedy; nothing is left behind then.
    """
    check_name(config.name)
    given = [Path(s) for s in sources]
    people = collect(users) if users else []
    inputs = assign(collect(given), config, named=[p for p in given if p.is_file()], users=people)
    with store.scratch("datasets") as scratch:
        files = [
            (s, prepare(s.path, scratch, progress, config.encoding))
            for s in (*inputs.interactions, *inputs.items, *inputs.users)
        ]
        id = f"{slug(config.name)}-{config_digest(VERSION, config.model_dump(), [p.digest for _, p in files])}"
        if not store.exists("datasets", id):
            parts = (inputs.interactions, inputs.items, inputs.users)
            alone = {part[0].path for part in parts if len(part) == 1}
            most = dict.fromkeys(alone, config.max_rejected)
            work = _Work(inputs, iter([Reader(s, p, scratch, most.get(s.path, 1.0)) for s, p in files]))
            for source, prepared in files:
                if prepared.repaired:
                    work.report.warn(
                        "encoding",
                        f"{source.name}: {counted(prepared.repaired, 'line')} not in UTF-8, read as Windows-1252; "
                        f"the first is line {prepared.first_repaired}. If letters are wrong, say the "
                        "encoding, such as --set encoding=cp1251.",
                        prepared.repaired,
                    )
            work.files = [
                {"file": s.name, "bytes": s.path.stat().st_size, "sha256": p.digest, **(origins or {}).get(s.path, {})}
                for s, p in files
            ]
            _build(work, config, store, id, scratch, progress)
    return load_dataset(store, id)


def ingest_frames(
    interactions: pd.DataFrame,
    items: pd.DataFrame | None,
    config: IngestConfig,
    store: Store,
    *,
    id: str | None = None,
    progress: Progress = silent,
) -> Dataset:
    """The same for frames: user_id, item_id[, timestamp, weight]; item_id, title and attributes.

    With ``id`` the dataset is stored under it, or taken from there when it exists.
    """
    if id is not None and store.exists("datasets", id):
        return load_dataset(store, id)
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / "interactions.parquet"]
        interactions.to_parquet(paths[0], index=False)
        if items is not None:
            paths.append(Path(name) / "items.parquet")
            items.to_parquet(paths[1], index=False)
        if id is None:
            return ingest(paths, config, store, progress)
        inputs = assign(paths, config)
        scratch = Path(name) / "scratch"
        scratch.mkdir()
        readers = [Reader(s, prepare(s.path, scratch), scratch) for s in (*inputs.interactions, *inputs.items)]
        _build(_Work(inputs, iter(readers)), config, store, id, scratch, progress)
    return load_dataset(store, id)


def check_name(name: str) -> None:
    """UserError when a dataset name could be taken for a path or cannot be shown."""
    if any(c in "/\\" or ord(c) < 32 for c in name) or name.strip() in ("", ".", "..") or len(name) > 120:
        raise UserError(
            f"{name[:60]!r} is not a dataset name: up to 120 characters, without '/' and control characters."
        )


@dataclass
class _Work:
    """What the steps of one ingest share."""

    inputs: Inputs
    readers: InitVar[Iterator[Reader]]
    """Of the interactions, the items and the users, in this order."""

    def __post_init__(self, readers: Iterator[Reader]) -> None:
        self.interactions = list(islice(readers, len(self.inputs.interactions)))
        self.items = list(islice(readers, len(self.inputs.items)))
        self.users = list(readers)
        self.report = Report()
        self.files: list[dict[str, Any]] = []
        self.columns: dict[str, str] = {}
        self.time: TimeFormat | None = None


def _build(work: _Work, config: IngestConfig, store: Store, id: str, scratch: Path, progress: Progress) -> None:
    """Steps from staged files to a sealed artifact."""
    started = time.monotonic()
    report = work.report
    try:
        with connect(scratch, [r.source.path for r in (*work.interactions, *work.items, *work.users)]) as connection:
            progress("reading interactions", 0, STAGES)
            rejected = _read(connection, work, config)
            progress("ordering histories", 2, STAGES)
            columns, numbering = order(
                connection,
                config,
                scratch,
                report,
                source=work.interactions[0].source.name,
                columns=work.columns,
                timed=work.time is not None,
            )
            progress("reading items", 4, STAGES)
            inside = work.inputs.items is work.inputs.interactions
            about = _same_items(config, work.columns) if inside else config
            names = catalogue.load(connection, work.items, about, report, inside=inside)
            n_items = catalogue.number_items(connection, numbering, config, report, names)
            told = people.load(connection, work.users, config, report)
            with store.draft("datasets", id, name=config.name, config=config.model_dump(), seed=config.seed) as draft:
                progress("writing", 5, STAGES)
                weighted = "weight" in work.columns
                divisor = _divisor(connection, work.time)
                histories.write(draft.path / INTERACTIONS, columns, numbering, time_divisor=divisor, weighted=weighted)
                histories.write_users(connection, draft.path / USERS, numbering)
                counts = catalogue.write(connection, draft.path / ITEMS, names, report)
                counts |= people.write(connection, draft.path, numbering, told, report)
                split = _split(draft.path / INTERACTIONS, work, config)
                draft.manifest.info["split"] = split.model_dump()
                if "review" in work.columns:
                    before = boundaries(split)[0] * (divisor or 1) if split.kind == "temporal" else None
                    written = write_reviews(connection, draft.path / REVIEWS, columns, numbering, before)
                    counts["items_with_reviews"] = written
                if split.kind == "temporal":
                    tell_split(read_dataset(draft.path, draft.manifest), report)
                write_rejects(connection, draft.path)
                draft.manifest.info.update(
                    users=numbering.n_users,
                    items=n_items,
                    interactions=numbering.interactions,
                    rejected=rejected,
                    **counts,
                    report=report.document(),
                    steps=report.steps,
                    **({} if work.time is None else {"tied_targets": histories.tied_targets(columns, numbering)}),
                    time="file order" if work.time is None else work.time.kind,
                    columns=work.columns,
                    sources=work.files,
                )
                draft.manifest.timings["ingest"] = round(time.monotonic() - started, 3)
    except duckdb.OutOfMemoryException as error:
        raise UserError("Not enough memory or disk for this data.") from error
    progress("writing", STAGES, STAGES)


def _same_items(config: IngestConfig, columns: Mapping[str, str]) -> IngestConfig:
    """Where the interactions describe the items, both are known by one column."""
    return config.model_copy(update={"item_columns": {"item_id": columns["item_id"], **config.item_columns}})


def _split(interactions: Path, work: _Work, config: IngestConfig) -> SplitConfig:
    """The split with its cuts as dates. Leave-one-out needs no times, so that none are read."""
    timed = config.split.kind == "temporal" and work.time is not None
    times = pd.read_parquet(interactions, columns=["timestamp"])["timestamp"].to_numpy() if timed else None
    return dated(config.split, times, config.name, real=work.time is not None and work.time.kind == "seconds")


def _read(connection: duckdb.DuckDBPyConnection, work: _Work, config: IngestConfig) -> int:
    """Stage all interaction files and judge the lines; returns how many were rejected."""
    report = work.report
    plans = settle(connection, work.interactions, plan(work.inputs, config))
    work.columns, work.time = plans[0].columns, plans[0].times
    for number, (reader, one) in enumerate(zip(work.interactions, plans, strict=True)):
        need = config.min_weight is not None
        stage_interactions(connection, reader, number, one.columns, one.times, need_weight=need)
    tell(plans, report)
    for name, why in work.inputs.ignored.items():
        report.warn("ignored_file", f"{name} is not used: {why}.", 1)
    tell_departures(work.interactions, report)
    rejected = check_rejects(connection, work.interactions, config, report)
    if "weight" in work.columns:
        tell_weights(connection, work.interactions, work.columns["weight"], report)
    return rejected


def _divisor(connection: duckdb.DuckDBPyConnection, times: TimeFormat | None) -> int | None:
    """What staged time is divided by: seconds are stored, and orders as they are, or in billionths if in fractions."""
    if times is None or times.kind == "seconds":
        return None if times is None else SECOND
    return 1 if count(connection, f"SELECT count(*) FROM staged WHERE time % {SECOND} <> 0") else SECOND
