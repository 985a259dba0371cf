"""From interactions and items to a dataset."""

from __future__ import annotations

import pandas as pd

from llmesr.config import IngestConfig
from llmesr.data.dataset import Dataset, load_dataset, write_dataset
from llmesr.store import Store, config_digest, slug


def ingest_frames(
    interactions: pd.DataFrame, items: pd.DataFrame, config: IngestConfig, store: Store, *, id: str | None = None
) -> Dataset:
    """Store frames (user_id, item_id[, timestamp]; item_id, title, ...) as a dataset."""
    id = id or f"{slug(config.name)}-{config_digest(config.model_dump(), len(interactions))}"
    frame = interactions.astype({"user_id": "str", "item_id": "str"})
    while True:
        size = len(frame)
        for key in ("user_id", "item_id"):
            frame = frame[frame.groupby(key)[key].transform("size") >= config.k_core]
        if len(frame) == size:
            break
    users = pd.Index(sorted(frame["user_id"].unique()))
    kept = items[items["item_id"].isin(frame["item_id"])].reset_index(drop=True)
    catalogue = pd.Index(kept["item_id"])
    coded = pd.DataFrame(
        {"user": users.get_indexer(frame["user_id"]), "item": catalogue.get_indexer(frame["item_id"]) + 1}
    )
    coded["timestamp"] = frame["timestamp"].to_numpy()
    coded = coded.sort_values(["user", "timestamp"], kind="stable")
    with store.draft("datasets", id, name=config.name, config=config.model_dump(), seed=config.seed) as draft:
        write_dataset(draft, interactions=coded, user_ids=users.to_numpy(), catalogue=kept)
    return load_dataset(store, id)
