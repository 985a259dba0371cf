"""The record of a study: what was judged, by whom, and the ranks that every comparison follows from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, StrictBool, StrictStr, TypeAdapter

from llmesr.config import StudyConfig
from llmesr.errors import UserError
from llmesr.runs.live import Live
from llmesr.store import Store, config_digest, replacing, slug, write_json

RANKS, TABLE = "ranks", "table.json"


class _Judged(BaseModel):
    judge: StrictStr
    label: StrictStr
    key: StrictStr
    vectors: StrictStr = ""
    changes: dict[str, Any]
    seconds: float


class _Row(BaseModel):
    judge: StrictStr
    label: StrictStr
    changes: dict[str, Any]
    protocol: StrictStr
    group: StrictStr
    users: int
    value: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    significant: StrictBool


class Study(Live):
    """A folder of kind ``studies``. An event is a cell that was judged: judge, label, changes (axis -> value), key and
    seconds; ``ranks/`` holds the ranks of the validation part by key. The result has the table."""

    kind, noun, unit, resume_command = "studies", "Study", "cell", "llmesr study --resume"
    shape = _Judged

    @property
    def config(self) -> StudyConfig:
        return StudyConfig.read(None, **self.manifest.config)

    @property
    def thresholds(self) -> dict[str, int] | None:
        """What is head and what is tail in the table, by item and user; None of a study held before that was kept
        with it."""
        kept: dict[str, Any] = self.manifest.info.get("made_of") or {}
        return kept.get("thresholds")

    def run_id(self, label: str, embedding: str) -> str:
        """The id of a finalist's run on the vectors ``embedding``, whether it has begun or not. Labels may differ only
        where they are long: the digest tells them apart."""
        return f"{self.id}-{slug(slug(label)[:24])}-{config_digest(label, embedding)}"

    def entries(self) -> list[dict[str, Any]]:
        """What was judged, in order."""
        return self._lines()

    def table(self) -> pd.DataFrame:
        """judge, label, changes, protocol, group, value, difference (from the default), low, high (95%, paired by
        user), p, p_adjusted (Benjamini-Hochberg within judge and protocol), significant: NDCG@10 of the validation
        part. UserError before the study is finished."""
        return pd.DataFrame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """The rows of :meth:`table`, null where there is no number."""
        path = self.folder / TABLE
        if not path.is_file():
            raise UserError(f"Study {self.id!r} is not finished: `{self.resume_command} {self.id}` goes on with it.")
        try:
            rows: list[dict[str, Any]] = json.loads(path.read_bytes())
            TypeAdapter(list[_Row]).validate_python(rows)
            return rows
        except ValueError as error:
            raise UserError(
                f"{path} is damaged: {str(error).splitlines()[0]}. Delete the study and hold it again."
            ) from error

    def write_table(self, rows: list[dict[str, Any]]) -> None:
        """Keep the rows of :meth:`table`."""
        write_json(self.folder / TABLE, rows)

    def has(self, key: str) -> bool:
        """Whether the ranks of ``key`` are there."""
        return self._path(key).is_file()

    def keep(self, key: str, frame: pd.DataFrame) -> None:
        """Write the ranks of ``key``: whole, or not at all."""
        self._path(key).parent.mkdir(exist_ok=True)
        with replacing(self._path(key)) as temporary:
            frame.to_parquet(temporary, index=False)

    def ranks(self, key: str) -> pd.DataFrame:
        """The ranks of ``key``. UserError where they cannot be read."""
        try:
            return pd.read_parquet(self._path(key))
        except (OSError, ValueError) as error:
            raise UserError(f"{self._path(key)} is damaged: {error}. Delete it; the study makes it again.") from error

    def _path(self, key: str) -> Path:
        return self.folder / RANKS / f"{key}.parquet"


def find_study(store: Store, ref: str) -> Study:
    """A study by id, unique prefix or name. UserError when unknown."""
    return Study(store, store.find(Study.kind, ref).id)
