"""Making a split: cuts given as shares become dates, and what they leave is counted and told."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from llmesr.config import SplitConfig
from llmesr.config.data import unix_seconds
from llmesr.data.dataset import USER_ATTRIBUTES, Dataset, load_dataset, read_dataset, split_of
from llmesr.data.frame import INTERACTIONS, ITEMS, USERS
from llmesr.data.report import Report
from llmesr.data.split import Part
from llmesr.errors import UserError
from llmesr.prose import counted
from llmesr.store import Manifest, Store, config_digest, share_file, slug

FILES = (INTERACTIONS, USERS, ITEMS)
"""What datasets that differ only in their split have in common."""


def dated(config: SplitConfig, timestamps: np.ndarray | None, name: str, *, real: bool) -> SplitConfig:
    """``config`` with its cuts as dates. ``timestamps`` (interactions,) seconds; ``real``: no mere order.

    An interaction at the time of a cut lies behind it. UserError where there are no real times, or where nothing lies
    before, between or behind the cuts.
    """
    if config.kind == "leave-one-out":
        return SplitConfig(refit=config.refit)
    if timestamps is None or not real:
        raise UserError(
            f"A temporal split needs real times, and {name!r} has only an order. Ingest it with a column of dates or "
            "unix times (--column timestamp=NAME), or keep leave-one-out."
        )
    first, second = (_moment(cut, timestamps, config.share_of) for cut in (config.valid_from, config.test_from))
    if first >= second:
        raise UserError(
            f"valid_from ({config.valid_from}) must come before test_from ({config.test_from}); in {name!r} they are "
            f"{_date(first)} and {_date(second)}."
        )
    if not timestamps.min() < first or not ((timestamps >= first) & (timestamps < second)).any():
        where = "before" if not timestamps.min() < first else "between"
        raise UserError(
            f"No interaction of {name!r} lies {where} the cuts {_date(first)} and {_date(second)}; "
            f"{_reach(timestamps)}."
        )
    if timestamps.max() < second:
        raise UserError(f"No interaction of {name!r} lies behind the cut {_date(second)}; {_reach(timestamps)}.")
    return config.but(valid_from=_date(first), test_from=_date(second))


def _moment(cut: float | str, timestamps: np.ndarray, share_of: str) -> int:
    if isinstance(cut, str):
        return unix_seconds(cut)
    if share_of == "time":
        low, high = int(timestamps.min()), int(timestamps.max())
        return low + round(cut * (high - low))
    place = int(cut * len(timestamps))
    return int(np.partition(timestamps, place)[place])


def _date(seconds: int) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%d" if seconds % 86_400 == 0 else "%Y-%m-%d %H:%M:%S")


def _reach(timestamps: np.ndarray) -> str:
    return f"they reach from {_date(int(timestamps.min()))} to {_date(int(timestamps.max()))}"


def tell_split(dataset: Dataset, report: Report) -> None:
    """What a temporal split leaves. UserError where nobody can be judged."""
    config, split = dataset.split_config, dataset.split
    if config.kind == "leave-one-out":
        return
    report.info("split", f"{config.describe()} {counted(len(split.train_items), 'interaction')} are for training.")
    parts: dict[Part, str] = {"valid": "validation", "test": "the test"}
    for part, what in parts.items():
        users = split.users(part)
        if not len(users):
            raise UserError(
                f"Nobody in {dataset.name!r} has a past and an interaction in {what} under these cuts; choose others."
            )
        _, targets = split.pairs(part)
        cold = int(dataset.thresholds.cold_items(dataset.item_counts[targets]).sum())
        report.info(
            f"{part}_users",
            f"{counted(len(users), 'user')} can be judged in {what}. Of {counted(len(targets), 'target')} {cold:,} "
            f"{'was' if cold == 1 else 'were'} never chosen in training (cold items).",
            len(users),
        )
        if strangers := split.without_past(part):
            report.info(
                f"{part}_without_past",
                f"{counted(strangers, 'user')} first seen in {what} have no past and are left out of it.",
                strangers,
            )


def siblings(store: Store, id: str) -> list[Manifest]:
    """The datasets of the same data as dataset ``id``, itself among them: they differ in their split alone.

    Leave-one-out comes first, then the oldest. Told by the digests of their files.
    """
    own = store.manifest("datasets", id)
    wanted = [own.files.get(f) for f in FILES]
    found = [m for m in store.list("datasets") if [m.files.get(f) for f in FILES] == wanted and m.seed == own.seed]
    return sorted(found, key=lambda m: (split_of(m).kind != "leave-one-out", m.created))


def resplit(dataset: Dataset, config: SplitConfig, store: Store, *, name: str | None = None) -> Dataset:
    """A second dataset of the same data under another split; its files are those of ``dataset``, nothing is read again.

    The same data, split and name reuse what is there. UserError as in :func:`dated` and :func:`tell_split`, and where
    ``dataset`` has that split already.
    """
    source = dataset.manifest
    chosen = dated(config, dataset.timestamps, dataset.name, real=dataset.has_times)
    if chosen == dataset.split_config:
        raise UserError(f"Dataset {dataset.name!r} is split like this already: {chosen.describe()}")
    name = name or f"{dataset.name} {chosen.kind}" + (" refit" if chosen.refit else "")
    id = f"{slug(name)}-{config_digest([source.files[f] for f in FILES], chosen.model_dump(), source.seed)}"
    if store.exists("datasets", id):
        return load_dataset(store, id)
    draft_of = {**source.config, "name": name, "split": config.model_dump()}
    with store.draft("datasets", id, name=name, config=draft_of, seed=source.seed) as draft:
        for file in (*FILES, *([USER_ATTRIBUTES] if USER_ATTRIBUTES in source.files else [])):
            share_file(store.path("datasets", source.id) / file, draft.path / file)
        kept = (
            *("users", "items", "interactions", "users_with_attributes"),
            *("rejected", "steps", "time", "tied_targets", "columns", "sources"),
        )
        draft.manifest.info = {key: source.info[key] for key in kept if key in source.info}
        draft.manifest.info["split"] = chosen.model_dump()
        report = Report()
        report.info("shared", f"The data of {dataset.name!r} under another split.")
        if "items_with_reviews" in source.info:
            report.warn("reviews", "Reviews are left out: those there were chosen by the other split. Ingest again.")
        tell_split(read_dataset(draft.path, draft.manifest), report)
        draft.manifest.info["report"] = report.document()
    return load_dataset(store, id)
