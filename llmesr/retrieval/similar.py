"""The users most similar to each user by the text they chose: the artifact kind ``neighbours``."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from llmesr.config import NeighbourConfig
from llmesr.data.dataset import Dataset
from llmesr.data.tensor_file import arrays
from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.retrieval.index import Nearest, nearest
from llmesr.retrieval.index_quantised import FEWEST, quantised
from llmesr.semantic.embed import Embedding
from llmesr.store import Manifest, Store, config_digest, slug

NEIGHBOURS = "neighbours.safetensors"
QUANTISED_FROM = NeighbourConfig().quantised_from


@dataclass(frozen=True, eq=False)
class SimilarUsers:
    """``users`` (U, K) int32, most similar first and -1 where fewer exist; ``similarity`` (U, K) float32."""

    manifest: Manifest
    users: np.ndarray
    similarity: np.ndarray

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def recall(self) -> float:
        """Share of the true neighbours found, on a sample; 1 when the search was exact."""
        return float(self.manifest.info["recall"])


def similar_users(
    dataset: Dataset, embedding: Embedding, config: NeighbourConfig, store: Store, progress: Progress = silent
) -> SimilarUsers:
    """The ``config.neighbours`` users nearest to each user, self excluded; made once per embedding and config.

    A user without training items has a zero vector, which is near to nobody: such users get -1 throughout and are
    nobody's neighbours. UserError when ``embedding`` belongs to another dataset.
    """
    embedding.check(dataset)
    made_by = config.model_dump(exclude=None if config.quantised_from != QUANTISED_FROM else {"quantised_from"})
    id = f"{slug(dataset.name)}-similar-{config_digest(made_by, dataset.id, embedding.id)}"
    parent = store.parent_of(embedding.manifest)
    if store.exists("neighbours", id) and parent in store.manifest("neighbours", id).parents:
        return load_similar(store, id)
    started = time.perf_counter()
    found, known = _found(embedding.user_vectors, config, progress)
    users, similarity = found.rows, found.similarity
    if known is not None:
        users = np.full((dataset.n_users, config.neighbours), -1, np.int32)
        similarity = np.zeros(users.shape, np.float32)
        if len(known):
            users[known] = np.where(found.rows >= 0, known[found.rows], -1)
            similarity[known] = found.similarity
    parents = [dataset.manifest, embedding.manifest]
    with store.draft(
        "neighbours", id, name=f"{dataset.name} similar users", parents=parents, config=config.model_dump()
    ) as draft:
        draft.manifest.seed = config.seed
        draft.manifest.timings = {"search": time.perf_counter() - started}
        draft.manifest.info = {
            "engine": found.engine,
            "recall": found.recall,
            "users_without_vector": int((users[:, 0] < 0).sum()) if known is None else dataset.n_users - len(known),
        }
        save_file({"users": users, "similarity": similarity}, draft.path / NEIGHBOURS)
    return load_similar(store, id)


def _found(vectors: np.ndarray, config: NeighbourConfig, progress: Progress) -> tuple[Nearest, np.ndarray | None]:
    """The nearest among all rows of ``vectors`` (U, E), by code where they are many; or among those that are not zero,
    and which these are."""
    known = np.flatnonzero(vectors.any(axis=1))
    large = config.metric == "cosine" and len(known) >= max(config.quantised_from, FEWEST)
    if large and importlib.util.find_spec("faiss") is not None:
        return quantised(vectors, config.neighbours, recall=config.recall, seed=config.seed, progress=progress), None
    rows = vectors[known]
    return nearest(
        rows,
        rows,
        config.neighbours,
        config.metric,
        self_rows=np.arange(len(known)),
        exact_up_to=config.exact_up_to,
        recall=config.recall,
        seed=config.seed,
        progress=progress,
    ), known


def load_similar(store: Store, ref: str) -> SimilarUsers:
    """Similar users by id, unique prefix or name, mapped where they are many. UserError when missing or damaged."""
    manifest = store.find("neighbours", ref)
    path = store.path("neighbours", manifest.id) / NEIGHBOURS
    try:
        found = arrays(path)
        return SimilarUsers(manifest, found["users"], found["similarity"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(
            f"The similar users {manifest.id!r} are damaged: {error}. Delete them and search again."
        ) from error
