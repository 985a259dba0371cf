"""Text as tables that models start from: further views, reduced vectors, main directions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from llmesr.config import WORDS, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.row_file import RowFile, blocks
from llmesr.errors import UserError
from llmesr.models.adapted_table import Directions
from llmesr.semantic.embed import Embedding, load_embedding
from llmesr.semantic.matrix import fit_pca, pad, whitened
from llmesr.store import Store, slug
from llmesr.text.words import item_attributes, item_words


def open_views(config: RunConfig, store: Store, dataset: Dataset) -> list[Embedding]:
    """The embeddings that ``config.views`` names. UserError for one that is named twice or of another dataset."""
    found = [load_embedding(store, ref, dataset) for ref in config.views or [] if ref != WORDS]
    ids = [view.id for view in found]
    if twice := next((id for id in ids if ids.count(id) > 1), None):
        raise UserError(f"Embedding {twice!r} is named twice among the views; once is enough.")
    return found


def words_table(config: RunConfig, dataset: Dataset, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """``words`` -> (N + 1, D) where ``config`` asks for that view. UserError when the items have no words."""
    if WORDS not in (config.views or ()):
        return {}
    return {WORDS: torch.from_numpy(pad(item_words(dataset.catalogue))).to(device)}


def compared_table(config: RunConfig, dataset: Dataset, text: Tensor) -> Tensor:
    """(N + 1, E) what semantic-knn compares of the items: ``text``, their words or their attribute values, evened out
    by ``config.whitening``. UserError when they have no words, or share no value."""
    table = text if config.compared == "text" else _counted(config, dataset, text.device)
    return torch.as_tensor(whitened(table, config.whitening))


def compared_further(config: RunConfig, dataset: Dataset, text: Tensor, rows: pd.DataFrame, vectors: Tensor) -> Tensor:
    """(S, E) what semantic-knn compares of further items, in the space of :func:`compared_table`: catalogue ``rows``,
    whose texts have ``vectors`` (S, E)."""
    known, table = text, vectors
    if config.compared != "text":
        known = _counted(config, dataset, text.device)
        table = torch.from_numpy(COUNTED[config.compared](dataset.catalogue, rows)).to(text.device)
    return torch.as_tensor(whitened(table, config.whitening, known))


COUNTED = {"words": item_words, "attributes": item_attributes}


def _counted(config: RunConfig, dataset: Dataset, device: torch.device) -> Tensor:
    return torch.from_numpy(pad(COUNTED[config.compared](dataset.catalogue))).to(device)


def view_tables(views: list[Embedding], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Name of each view -> (N + 1, E), scaled so that the numbers of the rows there are have mean square 1.

    Encoders of images or sound give vectors of any length; so scaled, an adapter starts from them as strongly whatever
    their length and E (measured on validation: unit length is too short to be learned from in a few epochs).
    """
    tables: dict[str, Tensor] = {}
    for view in views:
        rows = view.item_vectors.astype(np.float32, copy=False)
        size = float(np.sqrt(np.square(rows[rows.any(axis=1)]).mean())) if rows.any() else 1.0
        source = str(view.manifest.config["embedder"]).partition(":")[2]  # file:data/images.npy
        name = f"view_{slug(Path(source).stem)}"
        name = name if name not in tables else f"{name}_{len(tables) + 1}"
        tables[name] = torch.from_numpy(pad(rows / size).astype(np.float32)).to(device)
    return tables


def reduce(vectors: np.ndarray | RowFile, size: int) -> Tensor:
    """PCA of (N, E) to (N, size), scaled so that the rows have mean square length 1.

    Text of fewer dimensions than ``size`` is filled up with zeros.
    """
    return reducer(vectors, size)(vectors)


def reducer(vectors: np.ndarray | RowFile, size: int) -> Callable[[np.ndarray | RowFile], Tensor]:
    """What :func:`reduce` makes of ``vectors`` (N, E), for these and for further rows (n, E) -> (n, size)."""
    fitted = fit_pca(vectors, min(size, *vectors.shape))
    squares = np.concatenate([(fitted.apply(block) ** 2).sum(1) for block in blocks(vectors)])  # (N,)
    length = max(float(np.sqrt(squares.mean())), 1e-12)

    def reduced(rows: np.ndarray | RowFile) -> Tensor:
        filled = np.zeros((len(rows), size), dtype=np.float32)
        done = 0
        for block in blocks(rows):
            filled[done : done + len(block), : len(fitted.components)] = fitted.apply(block) / length
            done += len(block)
        return torch.from_numpy(filled)

    return reduced


def directions(vectors: Tensor | RowFile, config: RunConfig) -> Directions:
    """The main directions of vectors, padded (N + 1, E) or in their file (N, E), as many as the first layer of an
    adapter gives out."""
    rows, device = (vectors, "cpu") if isinstance(vectors, RowFile) else (vectors[1:].cpu().numpy(), vectors.device)
    many = config.embedding_size if config.adapter_layers == 1 else max(rows.shape[1] // 2, 1)
    fitted = fit_pca(rows, many)
    mean, components = (torch.from_numpy(a).to(device) for a in (fitted.mean, fitted.components))
    return Directions(mean, components)


def starts_from_text(config: RunConfig) -> bool:
    """Whether the table of item vectors starts as the reduced text."""
    if config.method == "llmemb":
        return not config.adapter
    return config.method in ("llm-init", "llm-esr", "codes", "generative") and config.item_init == "pca"
