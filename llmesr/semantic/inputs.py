"""What a dataset gives an embedder to read, and what that will cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from llmesr.config import EmbedConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.semantic.cache import uncached
from llmesr.semantic.embedders import open_embedder
from llmesr.semantic.embedders.contract import Embedder
from llmesr.semantic.history_prompts import HistoryPrompts
from llmesr.store import Store
from llmesr.text.prompts import clean, item_prompts

REVIEWS = "reviews.parquet"
"""Beside a dataset's other files: item number and review text of the training part."""


@dataclass(frozen=True)
class Plan:
    """``texts`` distinct texts are needed, ``new`` of them are not in the cache; ``cost`` in the price's currency."""

    texts: int
    new: int
    tokens: int | None = None
    cost: float | None = None

    def describe(self) -> str:
        """A line to show before anything is sent."""
        line = f"{self.new:,} of {self.texts:,} texts are new"
        if self.tokens is not None:
            line += f", about {self.tokens:,} tokens"
        return line + (f", about {self.cost:.2f} at the price given." if self.cost is not None else ".")


def plan(dataset: Dataset, config: EmbedConfig, store: Store) -> Plan:
    """What embedding ``dataset`` will ask of the embedder, from the cache and rough token counts."""
    from llmesr.semantic.embedders.endpoint import EndpointEmbedder  # here: a server starts without it

    embedder = open_embedder(config, store)
    texts = distinct_texts(dataset, config, embedder, store)
    if embedder.reads == "item_id":
        return Plan(len(texts), 0)
    new = uncached(embedder, texts, store)
    if isinstance(embedder, EndpointEmbedder):
        return Plan(len(texts), len(new), *embedder.estimate(new))
    return Plan(len(texts), len(new))


def distinct_texts(dataset: Dataset, config: EmbedConfig, embedder: Embedder, store: Store) -> list[str]:
    """Every text that an embedding of ``dataset`` reads, once, in the order of items and users."""
    texts = item_texts(dataset, config, embedder, store)
    if config.users == "prompt":
        texts = texts + user_texts(dataset, embedder)
    return list(dict.fromkeys(t for t in texts if t))


def item_texts(dataset: Dataset, config: EmbedConfig, embedder: Embedder, store: Store) -> list[str]:
    """N texts, one per item: its prompt ("" without text), or its id for precomputed vectors.

    UserError when no item has any text.
    """
    if embedder.reads == "item_id":
        return [str(id) for id in dataset.catalogue["item_id"]]
    reviews = review_texts(dataset, config.reviews, store) if config.reviews else None
    texts = item_prompts(
        dataset.catalogue, config.template, config.attributes, max_chars=config.max_chars, extra=reviews
    )
    if not any(texts):
        used = ", ".join(config.attributes or dataset.text_columns) or "none"
        raise UserError(
            f"None of the {dataset.n_items} items of {dataset.name!r} has text (columns: {used}). Ingest it with an "
            "item file that has titles or descriptions, or use a method without text (id, popularity)."
        )
    return texts


def review_texts(dataset: Dataset, characters: int, store: Store) -> list[str]:
    """N texts, the beginnings of what the training part says of each item."""
    path = store.path("datasets", dataset.id) / REVIEWS
    if not path.is_file():
        raise UserError(f"Dataset {dataset.name!r} was ingested without review texts; leave reviews at 0.")
    try:
        frame = pd.read_parquet(path, columns=["item", "text"])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read: {error}. Ingest the dataset again.") from error
    texts = [""] * dataset.n_items
    for item, text in zip(frame["item"].tolist(), frame["text"].tolist(), strict=True):
        texts[item - 1] = clean(text, characters)
    return texts


def user_texts(dataset: Dataset, embedder: Embedder) -> list[str]:
    """U history prompts from the TRAINING part, as long as the embedder reads; "" for a user without any title."""
    if embedder.reads == "item_id":
        raise UserError("Precomputed vectors cannot read a history prompt: use --set users=mean.")
    ends = np.cumsum(dataset.split.train_lengths)
    histories = np.split(np.asarray(dataset.split.train_items) - 1, ends[:-1])
    return HistoryPrompts(dataset.catalogue, embedder).of(histories)
