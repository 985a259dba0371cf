"""The files of a dataset, read into memory or, where they are large, mapped.

Opening mapped files takes no memory: pages come as they are used. They are derived from the Parquet at the first
opening (:mod:`llmesr.store.derived`): items as 4-byte integers, where each history ends, times where there are any, ids
and texts as uncompressed Arrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from llmesr.store import derived, forget

INTERACTIONS, USERS, ITEMS = "interactions.parquet", "users.parquet", "items.parquet"
NAME = "mapped"
MAPPED_FROM = 1_000_000
"""Interactions from which a dataset is mapped; smaller ones are read faster than they are mapped."""
_BATCH = 1_000_000
_TEXTS = 50_000
_OFFSETS, _CHOSEN, _TIMES = "offsets.npy", "items.npy", "timestamps.npy"
_USER_IDS, _CATALOGUE = "users.arrow", "catalogue.arrow"


@dataclass(frozen=True, eq=False)
class Frame:
    """The files of a dataset as :class:`~llmesr.data.dataset.Dataset` holds them."""

    offsets: np.ndarray  # (U + 1,) int64
    items: np.ndarray  # (interactions,) int32
    timestamps: np.ndarray | None  # (interactions,) int64
    user_ids: np.ndarray | pd.arrays.ArrowStringArray  # (U,)
    catalogue: pd.DataFrame  # N rows


def read_frame(folder: Path) -> Frame:
    """The files of the dataset in ``folder``. OSError or ValueError where one is damaged.

    From :data:`MAPPED_FROM` interactions on they are mapped, unless the mapped form is not there yet and ``folder``
    cannot be written to.
    """
    if pq.read_metadata(folder / INTERACTIONS).num_rows < MAPPED_FROM:
        return _in_memory(folder)
    for last in (False, True):
        with derived(folder, NAME, (INTERACTIONS, USERS, ITEMS), lambda place: _write(folder, place)) as place:
            if place is None:
                return _in_memory(folder)
            try:
                return _open(place)
            except (OSError, ValueError):
                if last:
                    raise
                forget(place)  # damaged; the Parquet it was made of is not, as far as is known
    raise AssertionError("the second time ends it")


def _in_memory(folder: Path) -> Frame:
    interactions = pd.read_parquet(folder / INTERACTIONS)
    users = pd.read_parquet(folder / USERS)
    counts = np.bincount(interactions["user"].to_numpy(), minlength=len(users))
    return Frame(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        items=np.array(interactions["item"], np.int32),  # a copy of its own, which torch may share
        timestamps=interactions["timestamp"].to_numpy() if "timestamp" in interactions else None,
        user_ids=users["user_id"].to_numpy(dtype=object),
        catalogue=_texts(pd.read_parquet(folder / ITEMS)),
    )


def _texts(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Every column as strings; an attribute that an item lacks is empty."""
    attributes = [c for c in catalogue.columns if c != "item_id"]
    return catalogue.fillna(dict.fromkeys(attributes, "")).astype(str)


def _open(place: Path) -> Frame:
    return Frame(
        offsets=mapped_array(place / _OFFSETS),
        items=mapped_array(place / _CHOSEN),
        timestamps=mapped_array(place / _TIMES) if (place / _TIMES).is_file() else None,
        user_ids=_table(place / _USER_IDS)["user_id"].array,
        catalogue=_table(place / _CATALOGUE),
    )


def mapped_array(path: Path) -> np.ndarray:
    """An array over a file. It may be written to, as torch asks of what it shares, and the file stays as it is."""
    return np.asarray(np.load(path, mmap_mode="c"))


def _table(path: Path) -> pd.DataFrame:
    with pa.memory_map(str(path)) as source:
        frame: pd.DataFrame = pa.ipc.open_file(source).read_all().to_pandas()
    return frame


def _write(folder: Path, place: Path) -> None:
    """Bounded memory: some rows at a time."""
    _write_ids(folder / USERS, place / _USER_IDS)
    _write_catalogue(folder / ITEMS, place / _CATALOGUE)
    _write_histories(folder / INTERACTIONS, place, pq.read_metadata(folder / USERS).num_rows)
    pa.default_memory_pool().release_unused()  # Arrow keeps what it has read with for the next file


def _write_catalogue(source: Path, target: Path) -> None:
    file = pq.ParquetFile(source)
    schema = _schema(file.schema_arrow.names)
    strings = all(pa.types.is_string(t) or pa.types.is_large_string(t) for t in file.schema_arrow.types)
    # How numbers are spelled depends on whether any is missing: such a catalogue is read whole.
    at_once = _TEXTS if strings else max(file.metadata.num_rows, 1)
    with pa.ipc.new_file(str(target), schema) as writer:
        for batch in file.iter_batches(at_once):
            writer.write_table(pa.Table.from_pandas(_texts(batch.to_pandas()), schema=schema, preserve_index=False))


def _schema(columns: pd.Index | list[str]) -> pa.Schema:
    """Texts as pandas holds them, so that nothing is copied when they are opened."""
    return pa.schema([pa.field(str(column), pa.large_string()) for column in columns])


def _write_ids(source: Path, target: Path) -> None:
    schema = _schema(["user_id"])
    with pa.ipc.new_file(str(target), schema) as writer:
        for batch in pq.ParquetFile(source).iter_batches(_BATCH, columns=["user_id"]):
            writer.write_table(pa.table([batch.column(0).cast(pa.large_string())], schema=schema))


def _write_histories(source: Path, place: Path, n_users: int) -> None:
    file = pq.ParquetFile(source)
    timed = "timestamp" in file.schema_arrow.names
    counts, rows = np.zeros(n_users, np.int64), file.metadata.num_rows
    arrays = {"item": (place / _CHOSEN, np.int32)} | ({"timestamp": (place / _TIMES, np.int64)} if timed else {})
    for path, dtype in arrays.values():
        with open(path, "wb") as target:
            np.lib.format.write_array_header_1_0(
                target, {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (rows,)}
            )
    for batch in file.iter_batches(_BATCH, columns=["user", *arrays]):
        user = batch.column("user").to_numpy()
        first = int(user.min())
        found = np.bincount(user - first)
        counts[first : first + len(found)] += found
        for name, (path, dtype) in arrays.items():
            with open(path, "ab") as target:
                batch.column(name).to_numpy(zero_copy_only=False).astype(dtype, copy=False).tofile(target)
    np.save(place / _OFFSETS, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
