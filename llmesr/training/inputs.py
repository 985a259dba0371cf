"""Brings together what a method is built from: text vectors, similar users, an id-only run to align to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmesr.config import NeighbourConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.methods import Inputs, needs_reference, needs_similar, needs_text
from llmesr.progress import Progress, silent
from llmesr.retrieval.similar import SimilarUsers, similar_users
from llmesr.runs.record import Run, find_run
from llmesr.semantic.embed import Embedding, default_embedding, load_embedding
from llmesr.semantic.matrix import pca
from llmesr.store import Manifest, Store
from llmesr.training.load import load_model


@dataclass(frozen=True)
class Prepared:
    """The inputs of a method and the artifacts they came from."""

    inputs: Inputs
    parents: list[Manifest]


def prepare(
    dataset: Dataset,
    config: RunConfig,
    store: Store,
    *,
    embedding: Embedding | None = None,
    similar: SimilarUsers | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Prepared:
    """Load or make what ``config`` needs. UserError when text vectors are needed and there are none."""
    parents = [dataset.manifest]
    text = reduced = users = reference = None
    if needs_text(config):
        embedding = embedding or default_embedding(store, dataset)
        parents.append(embedding.manifest)
        text = torch.from_numpy(embedding.padded()).to(device)
        reduced = reduce(embedding.item_vectors, config.embedding_size) if _starts_from_text(config) else None
        if needs_similar(config):
            wanted = NeighbourConfig(neighbours=max(config.neighbours, NeighbourConfig().neighbours))
            similar = similar or similar_users(dataset, embedding, wanted, store, progress=progress)
            parents.append(similar.manifest)
            users = torch.from_numpy(similar.users.astype(np.int64)).to(device)
    if needs_reference(config):
        if config.alignment_run is None:
            raise UserError(
                "This method aligns its items to an id-only run: give alignment_run, or let `train` make one."
            )
        run = find_run(store, config.alignment_run)
        reference = _reference(run, dataset, device)
        parents.append(run.manifest)
    inputs = Inputs(n_items=dataset.n_items, text=text, reduced=reduced, similar=users, reference=reference)
    return Prepared(inputs, parents)


def reload(run: Run, dataset: Dataset, device: torch.device | str = "cpu") -> Inputs:
    """The inputs a finished run's model is rebuilt from (its own embedding, nothing that only training needs)."""
    config, manifest = run.config, run.manifest
    embedding_id = manifest.parent("embeddings")
    if not embedding_id:
        return Inputs(n_items=dataset.n_items)
    embedding = load_embedding(run.store, embedding_id)
    reduced = torch.zeros(dataset.n_items, config.embedding_size, device=device) if _starts_from_text(config) else None
    return Inputs(n_items=dataset.n_items, text=torch.from_numpy(embedding.padded()).to(device), reduced=reduced)


def reduce(vectors: np.ndarray, size: int) -> Tensor:
    """PCA of (N, E) to (N, size), scaled so that the rows have mean square length 1.

    Text of fewer dimensions than ``size`` is filled up with zeros.
    """
    projected, _ = pca(vectors, min(size, *vectors.shape))
    projected = projected / max(float(np.sqrt((projected**2).sum(1).mean())), 1e-12)
    filled = np.zeros((len(vectors), size), dtype=np.float32)
    filled[:, : projected.shape[1]] = projected
    return torch.from_numpy(filled)


def _starts_from_text(config: RunConfig) -> bool:
    if config.method == "llmemb":
        return not config.adapter
    return config.method in ("llm-init", "llm-esr") and config.item_init == "pca"


def _reference(run: Run, dataset: Dataset, device: torch.device | str) -> Tensor:
    if run.config.method != "id" or run.dataset_id != dataset.id:
        raise UserError(
            f"alignment_run {run.id!r} is a {run.config.method} run of {run.dataset_id}; "
            f"an id run of {dataset.id} is needed."
        )
    return load_model(run, dataset, Inputs(n_items=dataset.n_items)).candidates().detach().to(device)
