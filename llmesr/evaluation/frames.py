"""The ranks of a part as arrays, and as the frame that everybody reads: whole, or some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from llmesr.config import Protocol
from llmesr.data.dataset import Dataset
from llmesr.data.split import Part

AT_ONCE = 2**18
"""Rows of a frame that are made together: some 25 MB, most of it text."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where the R targets of ``part`` stand. As arrays they take 12 bytes a target, and 8 more for each protocol; as a
    frame, with ids, ten times as much."""

    dataset: Dataset
    part: Part
    pairs: tuple[np.ndarray, np.ndarray]
    """(R,) users and (R,) their targets, as those of ``dataset.split.pairs(part)``."""
    found: Mapping[Protocol, np.ndarray]
    """Protocol -> (2, R) int32: the rank of each target and the number of its candidates."""

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All rows; the columns are those of :func:`~llmesr.evaluation.ranks.evaluate`."""
        return pd.concat(list(self), ignore_index=True)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """The same, some rows at a time: one protocol after the other, at least one frame of each."""
        for protocol in self.found:
            for start in range(0, max(len(self.pairs[0]), 1), AT_ONCE):
                yield self._rows(protocol, slice(start, start + AT_ONCE))

    def numbers(self, protocol: Protocol) -> pd.DataFrame:
        """:data:`~llmesr.evaluation.table.READ` of all rows of a protocol: what metrics by group follow from."""
        columns = {"user": self.pairs[0], "rank": self.found[protocol][0], **self._groups(slice(None))}
        return pd.DataFrame(columns, copy=False)

    def _rows(self, protocol: Protocol, rows: slice) -> pd.DataFrame:
        users, targets = (column[rows] for column in self.pairs)
        rank, candidates = self.found[protocol][:, rows]
        frame = pd.DataFrame(
            {
                "user": users,
                "user_id": pd.array(self.dataset.user_ids[users], dtype="str"),
                "target": targets,
                "target_id": pd.array(self.dataset.catalogue["item_id"].array.take(targets - 1), dtype="str"),
                "part": self.part,
                "protocol": protocol,
                "rank": rank,
                "candidates": candidates,
                **self._groups(rows),
            }
        )
        # Kept in Parquet: comparing checks them.
        frame.attrs = {"dataset": self.dataset.id, "negatives_seed": self.dataset.seed}
        return frame

    def _groups(self, rows: slice) -> dict[str, np.ndarray]:
        users, targets = (column[rows] for column in self.pairs)
        return {
            "history_length": self.dataset.split.train_lengths[users],
            "target_popularity": self.dataset.item_counts[targets],
        }


@dataclass(frozen=True, eq=False)
class Frames:
    """The ranks of several parts as frames of some rows each; may be gone through again."""

    parts: Sequence[Ranks]

    def __iter__(self) -> Iterator[pd.DataFrame]:
        for ranks in self.parts:
            yield from ranks
