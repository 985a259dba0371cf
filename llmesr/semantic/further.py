"""Further texts read by the encoder that made an embedding: of a new item, or of an item whose text was changed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from llmesr.config import EmbedConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.semantic.embed import Embedding, text_vectors
from llmesr.semantic.embedders import open_embedder
from llmesr.semantic.inputs import item_texts, review_texts
from llmesr.semantic.matrix import fit_pca
from llmesr.store import Store
from llmesr.text.prompts import item_prompts


def prompts(embedding: Embedding, dataset: Dataset, rows: pd.DataFrame, places: np.ndarray, store: Store) -> list[str]:
    """The prompts of catalogue ``rows`` by the settings of ``embedding``; "" for a row without text.

    ``places`` (S,) says which item of ``dataset`` each row is, for its reviews; numbers beyond the last are new ones.
    UserError for an attribute that the settings ask for and the rows lack.
    """
    config = EmbedConfig.read(None, **embedding.manifest.config)
    said = review_texts(dataset, config.reviews, store) if config.reviews else []
    reviews = [said[place - 1] if place <= len(said) else "" for place in places.tolist()]
    return item_prompts(
        rows, config.template, config.attributes, max_chars=config.max_chars, extra=reviews if said else None
    )


def further_vectors(
    embedding: Embedding, dataset: Dataset, texts: list[str], store: Store, progress: Progress = silent
) -> np.ndarray:
    """(S, E) float32 vectors of prompts, in the space of ``embedding`` (of ``dataset``); zero for an empty one.

    UserError where its vectors came from a file, or its model is another one by now.
    """
    config = EmbedConfig.read(None, **embedding.manifest.config)
    embedder = open_embedder(config, store)
    if embedder.reads == "item_id":
        raise UserError(
            f"The vectors of embedding {embedding.id!r} came from a file ({embedder.name}), so no other text can be "
            f"read the same way. Embed with a model (`llmesr embed {dataset.id}`) and train on that."
        )
    if embedding.fingerprint not in (embedder.fingerprint, embedder.earlier_fingerprint):
        raise UserError(
            f"Embedding {embedding.id!r} was made by another model than {embedder.name!r} is now; run `llmesr embed "
            f"{dataset.name}` and train on that."
        )
    if not any(texts):
        return np.zeros((len(texts), embedding.dimension), np.float32)
    found = text_vectors(embedder, texts, store, progress, "embedding texts")
    if config.dimension is None or config.dimension >= found.shape[1]:
        return found
    # The projection is not stored: the texts it was fitted on are in the cache, and give the same one.
    whole = text_vectors(embedder, item_texts(dataset, config, embedder, store), store, progress, "embedding items")
    return fit_pca(whole, config.dimension).apply(found)
