"""A dataset as other libraries of the field read it: after the checks and the k-core, users and items by their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from llmesr.data.dataset import Dataset
from llmesr.data.frame import INTERACTIONS
from llmesr.errors import UserError
from llmesr.exports.tables import replaced
from llmesr.store import Store

Library = Literal["recbole", "rectools", "lenskit"]
IDS = ("user_id", "item_id")


def interactions(dataset: Dataset, store: Store) -> pd.DataFrame:
    """user_id, item_id, then timestamp (seconds, or an order) and weight where there are any; each history in order."""
    stored = pd.read_parquet(store.path("datasets", dataset.id) / INTERACTIONS)
    frame = pd.DataFrame(
        {
            "user_id": dataset.user_ids[stored["user"].to_numpy()].astype(str),
            "item_id": dataset.catalogue["item_id"].to_numpy()[stored["item"].to_numpy() - 1],
        }
    )
    return frame.assign(**{c: stored[c].to_numpy() for c in ("timestamp", "weight") if c in stored})


def rectools(dataset: Dataset, store: Store) -> pd.DataFrame:
    """What ``rectools.dataset.Dataset.construct`` takes: user_id, item_id, weight (1 where there is none), datetime.

    Times are real, or the place in the order as seconds since 1970.
    """
    frame = interactions(dataset, store)
    order = frame["timestamp"] if "timestamp" in frame else _places(dataset)
    weight = frame["weight"].fillna(1.0) if "weight" in frame else 1.0
    moments = pd.to_datetime(order, unit="s") if dataset.has_times else pd.to_datetime(_places(dataset), unit="s")
    return frame[["user_id", "item_id"]].assign(weight=weight, datetime=np.asarray(moments))


def lenskit(dataset: Dataset, store: Store) -> pd.DataFrame:
    """What ``lenskit.data.from_interactions_df`` takes: user_id, item_id, timestamp, and rating where it is known."""
    frame = interactions(dataset, store).rename(columns={"weight": "rating"})
    return frame if "timestamp" in frame else frame.assign(timestamp=_places(dataset))


def write(dataset: Dataset, store: Store, library: Library, folder: Path) -> list[Path]:
    """Write a dataset for ``library`` into ``folder``; returns the files.

    recbole: NAME.inter, NAME.item (and NAME.user where users are described), NAME as the folder is called; the others:
    interactions.parquet and items.parquet. UserError for an id that a file of RecBole cannot hold; nothing is written
    then.
    """
    if library != "recbole":
        frame = rectools(dataset, store) if library == "rectools" else lenskit(dataset, store)
        made = {"interactions.parquet": frame, "items.parquet": dataset.catalogue}
        return [_parquet(table, folder / name) for name, table in made.items()]
    for what, ids in (("user", dataset.user_ids), ("item", dataset.catalogue["item_id"])):
        if broken := next((id for id in ids.tolist() if set("\t\r\n") & set(str(id))), None):
            raise UserError(
                f"The {what} id {broken!r} holds a tab or a line end, which ids in RecBole's files cannot; export to "
                "rectools or lenskit, or give that id another name."
            )
    frame = interactions(dataset, store)
    if "timestamp" not in frame:
        frame["timestamp"] = _places(dataset)
    frame = frame.rename(columns={"weight": "rating"})
    tables = {"inter": frame, "item": dataset.catalogue}
    if dataset.user_attributes is not None:
        tables["user"] = dataset.user_attributes
    name = folder.resolve().name
    folder.mkdir(parents=True, exist_ok=True)
    return [_atomic(table, folder / f"{name}.{ending}") for ending, table in tables.items()]


def _places(dataset: Dataset) -> np.ndarray:
    """(interactions,) the place of each in its history, where there are no times."""
    starts = np.repeat(dataset.offsets[:-1], dataset.lengths)
    return np.asarray(np.arange(len(dataset.items)) - starts)


def _parquet(table: pd.DataFrame, target: Path) -> Path:
    return replaced(target, lambda path: table.to_parquet(path, index=False))


def _atomic(table: pd.DataFrame, target: Path) -> Path:
    """RecBole's atomic file: ``name:type`` in the first line, tabs between, no quoting.

    Text is on one line, with single spaces; ids are as they are.
    """
    text = {c: not pd.api.types.is_numeric_dtype(table[c]) for c in table.columns}
    kinds = {c: ("token" if c.endswith("_id") else "token_seq") if text[c] else "float" for c in table.columns}
    plain = pd.DataFrame(
        {f"{c}:{kinds[c]}": table[c].map(_one_line) if text[c] and c not in IDS else table[c] for c in table.columns}
    )
    lines = "\t".join(plain.columns) + "\n"
    rows = ("\t".join("" if pd.isna(v) else str(v) for v in row) for row in plain.itertuples(index=False))
    return replaced(target, lambda path: path.write_text(lines + "".join(f"{r}\n" for r in rows), encoding="utf-8"))


def _one_line(value: object) -> str:
    return "" if value is None or value is pd.NA else " ".join(str(value).split())
