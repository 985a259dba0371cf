"""Datasets and frames in memory for the evaluation tests."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from llmesr.config import SplitConfig
from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.processes import Processes
from llmesr.store import Manifest


def dataset_of(
    histories: list[list[int]],
    n_items: int,
    *,
    seed: int = 42,
    thresholds: Thresholds | None = None,
    times: list[list[int]] | None = None,
    split: SplitConfig | None = None,
) -> Dataset:
    """A dataset of the given histories (item numbers, oldest first), whose ``times`` are seconds since 1970."""
    info: dict[str, Any] = {"thresholds": thresholds.model_dump()} if thresholds else {}
    info |= {"split": split.model_dump()} if split else {}
    info |= {"time": "seconds"} if times else {}
    return Dataset(
        manifest=Manifest(kind="datasets", id="case", name="case", seed=seed, info=info),
        offsets=np.concatenate([[0], np.cumsum([len(h) for h in histories])]).astype(np.int64),
        items=np.array([i for h in histories for i in h], dtype=np.int32),
        timestamps=None if times is None else np.array([t for each in times for t in each], dtype=np.int64),
        user_ids=np.array([f"u{i}" for i in range(len(histories))], dtype=object),
        catalogue=pd.DataFrame({"item_id": [f"i{i}" for i in range(1, n_items + 1)], "title": ""}),
    )


class Table:
    """A scorer that reads row ``user`` of a (U, N + 1) table, whatever the sequence."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = torch.from_numpy(np.asarray(scores, dtype=np.float32))
        self.seen: list[torch.Tensor] = []

    def score(self, sequences: torch.Tensor, users: torch.Tensor | None) -> torch.Tensor:
        assert users is not None
        self.seen.append(sequences)
        return self.scores[users]


@dataclass(frozen=True)
class Threads(Processes):
    """Processes that are threads: they meet at a barrier and leave what they have on a table."""

    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))
    table: dict[int, Tensor] = field(default_factory=dict)

    def gather(self, values: Tensor) -> Tensor:
        self.table[self.rank] = values.clone()
        self.meeting.wait(30)
        found = torch.stack([self.table[rank] for rank in range(self.size)])
        self.meeting.wait(30)
        return found

    def total(self, values: Tensor) -> Tensor:
        return self.gather(values).sum(0, dtype=values.dtype)


def frame_of(
    ranks: list[int] | np.ndarray,
    *,
    popularity: list[int] | np.ndarray | int = 1,
    length: list[int] | np.ndarray | int = 1,
    protocol: str = "full",
    part: str = "test",
) -> pd.DataFrame:
    """A frame of ranks as ``evaluate`` returns it, user 0, 1, ... in order."""
    n = len(ranks)
    return pd.DataFrame(
        {
            "user": np.arange(n),
            "user_id": [f"u{i}" for i in range(n)],
            "target": 1,
            "target_id": "i1",
            "part": part,
            "protocol": protocol,
            "rank": np.asarray(ranks),
            "candidates": 100,
            "history_length": length,
            "target_popularity": popularity,
        }
    )
