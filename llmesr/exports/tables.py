"""Vectors and rankings as Parquet, with ids in place of numbers.

Vectors: ``item_id`` (or ``user_id``) string, ``vector`` fixed-size list of float32; a row for each item of the
catalogue (each user of the dataset) in its order, zeros where there is no text.

Rankings: ``user_id`` string, ``item_id`` string, ``rank`` int32 from 1; the items recommended to each user of the test
part under ``full`` (candidates are all items but those of the history), best first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmesr.data.dataset import Dataset
from llmesr.runs.record import Run
from llmesr.semantic.embed import Embedding
from llmesr.store import delivered


def vectors(embedding: Embedding, dataset: Dataset, of: Literal["items", "users"] = "items") -> pa.Table:
    """The vectors of all items, or all users, with their ids."""
    found = embedding.item_vectors if of == "items" else embedding.user_vectors
    ids = embedding.item_ids if of == "items" else dataset.user_ids
    flat = pa.array(np.ascontiguousarray(found, np.float32).ravel())
    cells = pa.FixedSizeListArray.from_arrays(flat, embedding.dimension)
    return pa.table({f"{of[:-1]}_id": pa.array(ids.astype(str), pa.string()), "vector": cells})


def rankings(run: Run, dataset: Dataset) -> pa.Table:
    """The stored recommendations of a run. UserError while it has none."""
    top = run.top_items()  # (users, K), 0 where a list ends
    users = dataset.split.users("test")
    row, place = np.nonzero(top)
    item_ids = dataset.catalogue["item_id"].to_numpy()
    return pa.table(
        {
            "user_id": pa.array(dataset.user_ids[users[row]].astype(str), pa.string()),
            "item_id": pa.array(item_ids[top[row, place] - 1].astype(str), pa.string()),
            "rank": pa.array(place + 1, pa.int32()),
        }
    )


def write(table: pa.Table, target: Path) -> Path:
    """Write a table as Parquet, in one step."""
    return replaced(target, lambda path: pq.write_table(table, path))


def replaced(target: Path, make: Callable[[Path], Any]) -> Path:
    """Make a file beside ``target``, then put it there in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with delivered(target) as part:
        make(part)
    return target
