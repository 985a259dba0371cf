"""What a finding records, and how it is kept, ordered, edited and held against what is there now.

A finding has no parents: a run may be deleted though it was once shown. It remembers the content of what it shows
instead, and says when that is gone or has become another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlencode

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from llmesr.errors import UserError
from llmesr.store import KINDS, Manifest, Store, config_digest, noun, read_json

KIND = "findings"
FIGURE, TABLE = "figure.json", "table.json"
LONGEST_TITLE, LONGEST_NOTE = 200, 5000
MOST_ROWS = 1000
"""Rows of a table that are kept; how many there were is said."""


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


class Settings(BaseModel):
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
    def _settings(self) -> Settings:
        """UserError when they are damaged."""
        try:
            return Settings.model_validate(self.manifest.config)
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
        return content(store.manifest(kind, id))
    except UserError:
        return None


def content(manifest: Manifest) -> str:
    """What changes when the files of an artifact do, and not when a person says something else about it."""
    return config_digest(manifest.files)
