"""What a finding records, and how it is kept, ordered, edited and held against what is there now.

A finding has no parents: a run may be deleted though it was once shown. It remembers the content of what it shows
instead, and says when that is gone or has become another.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.store import KINDS, Manifest, Store, config_digest, noun, now, read_json, slug, write_bytes

KIND = "findings"
FIGURE, TABLE = "figure.json", "table.json"
LONGEST_TITLE, LONGEST_NOTE = 200, 5000
MOST_ROWS = 1000
"""Rows of a table that are kept; how many there were is said."""


class Drawn(Protocol):
    """A plotly figure."""

    def to_plotly_json(self) -> dict[str, Any]: ...


class Subject(BaseModel):
    """What the numbers of a finding are of, at the moment it was pinned."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    dataset: str = ""
    dataset_name: str = ""
    runs: tuple[str, ...] = ()
    metric: str = ""
    protocol: str = ""
    tail_item: int | None = None
    tail_user: int | None = None
    definition: str = ""
    """The line that stands below the numbers: protocol, split, head and tail."""
    doubts: tuple[tuple[str, str], ...] = ()
    """What the guard found: severity and sentence."""


class _Settings(BaseModel):
    """What the manifest keeps of a finding: its subject, what that was then, and where and how it was drawn."""

    subject: Subject = Subject()
    seen: dict[str, str] = {}
    page: str = ""
    query: dict[str, list[str]] = {}
    alt: str = ""
    mode: Literal["light", "dark"] = "light"
    rows: int = 0


@dataclass(frozen=True, eq=False)
class Pinned:
    """A finding that is kept."""

    store: Store
    manifest: Manifest

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def title(self) -> str:
        return self.manifest.name

    @property
    def note(self) -> str:
        return str(self.manifest.info.get("note", ""))

    @property
    def place(self) -> float:
        """Where it stands among the others; at the top when it does not say, as none must keep the others from being
        put in order."""
        place = self.manifest.info.get("place")
        return float(place) if isinstance(place, int | float) and math.isfinite(place) else 0.0

    @property
    def subject(self) -> Subject:
        return self._settings.subject

    @property
    def seen(self) -> dict[str, str]:
        """``kind/id`` of what it shows -> what was in it then."""
        return self._settings.seen

    @property
    def page(self) -> str:
        """The page of the app it was pinned on; empty for one pinned in Python."""
        return self._settings.page

    @property
    def query(self) -> dict[str, list[str]]:
        """What its link carries."""
        return self._settings.query

    @property
    def link(self) -> str:
        """The page and its choices as an address below that of the app; empty without a page."""
        return f"{self.page}?{urlencode(self.query, doseq=True)}" if self.page else ""

    @property
    def alt(self) -> str:
        """What it shows, in words."""
        return self._settings.alt

    @property
    def mode(self) -> Literal["light", "dark"]:
        """The theme its figure was drawn in."""
        return self._settings.mode

    @property
    def rows(self) -> int:
        """How many rows its table had; no more than :data:`MOST_ROWS` of them are kept."""
        return self._settings.rows

    @cached_property
    def _settings(self) -> _Settings:
        """UserError when they are damaged."""
        try:
            return _Settings.model_validate(self.manifest.config)
        except ValidationError as error:
            raise UserError(f"The finding {self.id!r} is damaged: it does not say what it is of. Delete it.") from error

    def figure(self) -> dict[str, Any] | None:
        """The chart as plotly's JSON, without a template. UserError when it cannot be read."""
        found = self._read(FIGURE)
        if found is not None and not (isinstance(found, dict) and isinstance(found.get("data"), list)):
            raise UserError(f"The finding {self.id!r} is damaged: {FIGURE} holds no chart. Delete it.")
        return found

    def table(self) -> pd.DataFrame | None:
        """The numbers beside the chart, or alone. UserError when they cannot be read."""
        found = self._read(TABLE)
        if found is None:
            return None
        try:
            return pd.DataFrame(found["rows"], columns=[str(c) for c in found["columns"]])
        except (TypeError, KeyError, ValueError) as error:
            raise UserError(f"The finding {self.id!r} is damaged: {TABLE} holds no table. Delete it.") from error

    def document(self) -> dict[str, Any]:
        """As JSON holds it, without what is drawn."""
        head = {"id": self.id, "title": self.title, "note": self.note, "created": self.manifest.created}
        return {**head, "link": self.link, "subject": self.subject.model_dump(), "changes": changes(self)}

    def _read(self, name: str) -> Any:
        path = self.store.path(KIND, self.id) / name
        if not path.is_file():
            return None
        return read_json(path, f"The finding {self.id!r}", "Delete it.")


def pin(
    title: str,
    figure: Drawn | None = None,
    table: pd.DataFrame | None = None,
    *,
    note: str = "",
    alt: str = "",
    runs: Sequence[Run] = (),
    subject: Subject | None = None,
    page: str = "",
    query: Mapping[str, Sequence[str]] | None = None,
    mode: Literal["light", "dark"] = "light",
    store: Store | None = None,
) -> Pinned:
    """Keep a plotly figure, a table, or both, after all that are kept already.

    What it is of is said by ``subject``, or by ``runs`` alone. UserError without a title, and without anything to show.
    """
    where = store or (runs[0].store if runs else Store())
    title = _titled(title)
    if figure is None and table is None:
        raise UserError("There is nothing to pin: give a figure, a table, or both.")
    of = subject or _of(runs)
    settings = _Settings(
        subject=of,
        seen=_seen(where, of),
        page=page,
        query={k: list(v) for k, v in (query or {}).items()},
        alt=alt,
        mode=mode,
        rows=0 if table is None else len(table),
    )
    config = settings.model_dump()
    id = f"{slug(title)[:24].strip('-')}-{config_digest(title, config, now())}"
    with where.draft(KIND, id, name=title, config=config) as draft:
        if figure is not None:
            _write(draft.path / FIGURE, _figure(figure))
        if table is not None:
            rows = table.head(MOST_ROWS).astype(object).to_numpy().tolist()
            _write(draft.path / TABLE, {"columns": [str(c) for c in table.columns], "rows": plain(rows)})
        last = max((p.place for p in every(where)), default=0.0)
        draft.manifest.info = {"note": note.strip()[:LONGEST_NOTE], "place": last + 1}
    return Pinned(where, where.manifest(KIND, id))


def every(store: Store | None = None, manifests: Iterable[Manifest] | None = None) -> list[Pinned]:
    """All findings in their order; ``manifests``: where they were read already."""
    where = store or Store()
    found = [Pinned(where, m) for m in (where.list(KIND) if manifests is None else manifests)]
    return sorted(found, key=lambda p: (p.place, p.manifest.created))


def damaged(store: Store | None = None) -> dict[str, str]:
    """Findings that cannot be read, or do not say what they are of: id -> the reason in a sentence."""
    where = store or Store()
    reasons = dict(where.broken(KIND))
    for finding in every(where):
        try:
            _ = finding.subject
        except UserError as error:
            reasons[finding.id] = str(error)
    return reasons


def find(ref: str, store: Store | None = None) -> Pinned:
    """A finding by id, unique start of one, or title. UserError when there is none."""
    where = store or Store()
    return Pinned(where, where.find(KIND, ref))


def edit(finding: Pinned, *, title: str | None = None, note: str | None = None) -> Pinned:
    """Give a finding another title or note."""
    with finding.store.changing(KIND, finding.id) as manifest:
        if title is not None:
            manifest.name = _titled(title)
        if note is not None:
            manifest.info["note"] = note.strip()[:LONGEST_NOTE]
    return Pinned(finding.store, manifest)


def move(finding: Pinned, steps: int) -> None:
    """Put a finding so many places further down (up, where ``steps`` is negative), at most to the end."""
    rest = [p for p in every(finding.store) if p.id != finding.id]
    at = next((i for i, p in enumerate(every(finding.store)) if p.id == finding.id), 0)
    to = min(max(at + steps, 0), len(rest))
    before = rest[to - 1].place if to else (rest[0].place - 2 if rest else 0.0)
    after = rest[to].place if to < len(rest) else before + 2
    # One write, so that nothing is lost between two. Halves run out after some fifty moves into the same gap.
    if before < (middle := (before + after) / 2) < after:
        _put(finding, middle)
        return
    for place, one in enumerate([*rest[:to], finding, *rest[to:]], start=1):
        _put(one, float(place))


def changes(finding: Pinned) -> list[str]:
    """What has happened to the dataset and the runs of a finding since, in sentences; none where all is as it was."""
    said = []
    for name, digest in finding.seen.items():
        kind, _, id = name.partition("/")
        if kind not in KINDS or not finding.store.exists(kind, id):
            said.append(f"The {noun(kind)} {id} is gone; what is shown is what it was.")
        elif (there := _readable(finding.store, kind, id)) is None:
            said.append(f"The {noun(kind)} {id} cannot be read any more; what is shown is what it was.")
        elif there != digest:
            said.append(f"The {noun(kind)} {id} has been made or evaluated again since; its numbers may be others now.")
    return said


def _readable(store: Store, kind: str, id: str) -> str | None:
    """The content of an artifact; None when it is damaged."""
    try:
        return _content(store.manifest(kind, id))
    except UserError:
        return None


def plain(value: Any) -> Any:
    """``value`` as JSON has it: arrays as lists, what is no number or has no value as null."""
    if isinstance(value, Mapping):
        if {"bdata", "dtype"} <= set(value):  # how plotly writes arrays
            return plain(_array(value))
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return None if value is pd.NaT or value is pd.NA else str(value)


def _array(value: Mapping[str, Any]) -> np.ndarray:
    flat = np.frombuffer(base64.b64decode(value["bdata"]), dtype=np.dtype(value["dtype"]).newbyteorder("<"))
    shape = str(value.get("shape", "")).split(",")
    return flat.reshape([int(n) for n in shape]) if shape != [""] else flat


def _figure(figure: Drawn) -> dict[str, Any]:
    made = plain(figure.to_plotly_json())
    layout = {k: v for k, v in made.get("layout", {}).items() if k != "template"}  # that of the page it is shown on
    return {"data": made.get("data", []), "layout": layout}


def _write(path: Path, value: Any) -> None:
    """On one line: a map has thousands of numbers."""
    write_bytes(path, json.dumps(value).encode())


def _titled(title: str) -> str:
    title = " ".join(title.split())[:LONGEST_TITLE]
    if not title:
        raise UserError("A finding needs a title: one sentence that says what was found.")
    return title


def _of(runs: Sequence[Run]) -> Subject:
    if not runs:
        return Subject()
    data = runs[0].store.manifest("datasets", runs[0].dataset_id)
    return Subject(dataset=data.id, dataset_name=data.name, runs=tuple(run.id for run in runs))


def _seen(store: Store, of: Subject) -> dict[str, str]:
    names = [("datasets", of.dataset)] * bool(of.dataset) + [("runs", id) for id in of.runs]
    return {f"{kind}/{id}": _content(store.manifest(kind, id)) for kind, id in names}


def _content(manifest: Manifest) -> str:
    """What changes when the files of an artifact do, and not when a person says something else about it."""
    return config_digest(manifest.files)


def _put(finding: Pinned, place: float) -> None:
    with finding.store.changing(KIND, finding.id) as manifest:
        manifest.info["place"] = place
