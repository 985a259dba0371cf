"""What a step of growth.py is given, and what it says of itself."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from llmesr.data.dataset import Dataset, load_dataset
from llmesr.store import Store


@dataclass
class Scene:
    """Where a step works, and on how much; which recall similar users are asked for, and whether those of all are
    searched for, however long it takes."""

    root: Path
    users: int
    items: int
    recall: float = 0.95
    whole: bool = False

    @property
    def store(self) -> Store:
        return Store(self.root)

    def data(self) -> Dataset:
        return load_dataset(self.store, self._made("datasets", "ingest of Parquet"))

    def text(self) -> str:
        return self._made("embeddings", "user vectors from item vectors")

    def _made(self, kind: str, step: str) -> str:
        """What an earlier step has made. SystemExit where it was not carried out."""
        if not (found := self.store.ids(kind)):
            raise SystemExit(f"{self.root} has no {kind} yet: name the step {step!r}, too.")
        return str(found[0])


@dataclass
class Told:
    """What a step says of itself: a remark for the table, seconds that were left out because only a part was carried
    out, and the memory of another process that did the work."""

    remark: str = ""
    left_out: float = 0.0
    peak: float = 0.0


class Stages:
    """Says on stderr where a step is, each tenth of a stage, and after how many seconds, of the processor and by the
    clock."""

    def __init__(self) -> None:
        self._at, self._begun = ("", 0), (time.process_time(), time.perf_counter())

    def __call__(self, stage: str, done: int, total: int) -> None:
        at = (stage, 10 * done // max(total, 1))
        if at != self._at:
            spent, clock = time.process_time() - self._begun[0], time.perf_counter() - self._begun[1]
            print(f"{spent:,.0f} s, {clock:,.0f} by the clock: {stage} {done:,}/{total:,}", file=sys.stderr, flush=True)
            self._at = at
