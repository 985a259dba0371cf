"""Datasets of any size, some users at a time: as files to ingest, or straight in the format of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llmesr.data.frame import INTERACTIONS, ITEMS, USERS
from llmesr.store import Store

AT_ONCE = 500_000
LENGTH = 10
"""Mean interactions of a user; the shortest history has three."""
TASTES = 4
"""Of ten choices, how many are no bestseller of the whole catalogue but of the user's own stretch of it."""
STRETCH = 50
START = 1_600_000_000


def write(store: Store, users: int, items: int, seed: int = 0) -> str:
    """A dataset of ``users`` x 10 interactions; its id. It is there already where it was written before.

    Bestsellers are chosen more (the n-th in proportion to 1 / n, nearly), and each user likes a stretch of fifty items.
    """
    id = f"made-{users}-{items}-{seed}"
    if store.exists("datasets", id):
        return id
    rng = np.random.default_rng(seed)
    with store.draft("datasets", id, name=id, seed=seed) as draft:
        made = _interactions(draft.path / INTERACTIONS, users, items, rng)
        _users(draft.path / USERS, users)
        _items(draft.path / ITEMS, items)
        draft.manifest.info = {"users": users, "items": items, "interactions": made, "time": "seconds"}
    return id


def write_files(folder: Path, users: int, items: int, seed: int = 0) -> None:
    """The same interactions and items as Parquet to ingest: ids are strings."""
    names = pa.array([f"i{n}" for n in range(items + 1)])
    schema = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])
    with pq.ParquetWriter(folder / "interactions.parquet", schema) as writer:
        for user, item, time in _choices(users, items, np.random.default_rng(seed)):
            spelled = pc.binary_join_element_wise("u", pc.cast(pa.array(user), pa.string()), "")
            writer.write_table(pa.table([spelled, names.take(pa.array(item)), pa.array(time)], schema=schema))
    _items(folder / ITEMS, items)


def _choices(users: int, items: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """User, item and time of every interaction, some users at a time."""
    for first in range(0, users, AT_ONCE):
        lengths = 3 + rng.poisson(LENGTH - 3, min(AT_ONCE, users - first))
        user = np.repeat(np.arange(len(lengths)), lengths)
        drawn = np.exp(rng.random(len(user)) * np.log(items)).astype(np.int64)  # 1 / n
        own = rng.integers(0, max(items - STRETCH, 1), len(lengths))[user] + rng.integers(1, STRETCH + 1, len(user))
        item = np.where(rng.integers(0, 10, len(user)) < TASTES, np.minimum(own, items), np.minimum(drawn, items))
        yield (user + first).astype(np.int32), item.astype(np.int32), START + np.arange(len(user))


def _interactions(path: Path, users: int, items: int, rng: np.random.Generator) -> int:
    schema = pa.schema([("user", pa.int32()), ("item", pa.int32()), ("timestamp", pa.int64())])
    rows = 0
    with pq.ParquetWriter(path, schema) as writer:
        for columns in _choices(users, items, rng):
            writer.write_table(pa.table([pa.array(c) for c in columns], schema=schema))
            rows += len(columns[0])
    return rows


def _users(path: Path, users: int) -> None:
    schema = pa.schema([("user_id", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, users, AT_ONCE):
            names = pa.array([f"u{n}" for n in range(first, min(first + AT_ONCE, users))])
            writer.write_table(pa.table([names], schema=schema))


def _items(path: Path, items: int) -> None:
    number = range(1, items + 1)
    pd.DataFrame(
        {
            "item_id": [f"i{n}" for n in number],
            "title": [f"Article {n} of line {n // STRETCH}" for n in number],
            "brand": [f"Brand {n // STRETCH % 1000}" for n in number],
        }
    ).to_parquet(path, index=False)
