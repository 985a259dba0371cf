"""A dataset's items and users as vectors: the artifact kind ``embeddings``."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from scipy.sparse import csr_matrix

from llmesr.config import EmbedConfig
from llmesr.data.dataset import Dataset
from llmesr.data.row_file import RowFile
from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.runs.finetune import TUNED_WITH, learned_choices
from llmesr.semantic.cache import embed_cached, fill_cache
from llmesr.semantic.embedders import open_embedder
from llmesr.semantic.embedders.contract import Embedder
from llmesr.semantic.inputs import distinct_texts, item_texts, user_texts
from llmesr.semantic.matrix import Pca, check_rows, fit_pca, pad
from llmesr.semantic.vector_file import read_vectors, write_vectors
from llmesr.store import Manifest, Store, config_digest, slug

VECTORS, ITEM_IDS = "vectors.safetensors", "item_ids.parquet"
HALF_FROM = 1_000_000
"""Items and users together from which ``storage=auto`` keeps vectors in float16."""
_IDS_AT_ONCE = 100_000
_PROMPTS = "whole titles"
"""How history prompts are cut: an embedding made by another rule is not taken for the same."""
_USERS_AT_ONCE = 100_000


@dataclass(frozen=True, eq=False)
class Embedding:
    """Text vectors of a dataset; they carry the ids of their items."""

    manifest: Manifest
    items: np.ndarray | RowFile  # (N, E) float32 or float16, row i - 1 is item i; zero for one without text (or vector)
    user_vectors: np.ndarray  # (U, E) the same; zero for a user without training items
    item_ids: np.ndarray  # (N,) str

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def dimension(self) -> int:
        """E."""
        return int(self.items.shape[1])

    @cached_property
    def item_vectors(self) -> np.ndarray:
        """(N, E) the items at once, out of their file: mapped where it is large, those of int8 in memory."""
        return self.items.whole() if isinstance(self.items, RowFile) else self.items

    @property
    def int8(self) -> bool:
        """Whether its item vectors are kept in 8 bits a number."""
        return self.manifest.info.get("storage") == "int8"

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the embedder that made the vectors."""
        return str(self.manifest.info["fingerprint"])

    @property
    def dataset_id(self) -> str:
        return str(self.manifest.parent("datasets"))

    def padded(self) -> np.ndarray:
        """(N + 1, E): row i is item i, row 0 is zero. Made once: do not write to it."""
        return self._padded

    @cached_property
    def _padded(self) -> np.ndarray:
        return pad(self.item_vectors)

    def check(self, dataset: Dataset) -> Embedding:
        """Itself. UserError naming the mismatch when the rows are not the items and users of ``dataset``."""
        what = f"Embedding {self.id!r} (of dataset {self.dataset_id!r})"
        check_rows(self.item_ids, dataset.catalogue["item_id"].to_numpy(), what)
        if len(self.user_vectors) != dataset.n_users:
            raise UserError(
                f"{what} has {len(self.user_vectors)} users, dataset {dataset.name!r} has {dataset.n_users}. "
                f"Run `llmesr embed {dataset.id}` again."
            )
        if self.manifest.info["histories"] != histories_digest(dataset):
            raise UserError(
                f"{what} was made from other training histories than dataset {dataset.name!r} has. "
                f"Run `llmesr embed {dataset.id}` again."
            )
        return self


def histories_digest(dataset: Dataset) -> str:
    """Changes with who has which training items."""
    items, lengths, ids = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for stretch in dataset.split.train_stretches():
        items.update(stretch.astype("<i8").tobytes())
    lengths.update(dataset.split.train_lengths.astype("<i8").tobytes())
    for start in range(0, dataset.n_users, _IDS_AT_ONCE):
        joined = "\n".join(dataset.user_ids[start : start + _IDS_AT_ONCE].tolist())
        ids.update((joined if start == 0 else f"\n{joined}").encode())
    return config_digest(items.hexdigest(), lengths.hexdigest(), ids.hexdigest())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def embed(dataset: Dataset, config: EmbedConfig, store: Store, progress: Progress = silent) -> Embedding:
    """Embed the items and users of ``dataset``; the artifact that is there already is reused.

    UserError when no item has text, when the embedder cannot be loaded, or when precomputed vectors do not fit.
    """
    config, adapter = _tuned(config, dataset, store)
    embedder = open_embedder(config, store)
    texts = item_texts(dataset, config, embedder, store)
    content = _digest("\0".join(texts).encode())
    dtype = _dtype(dataset, config)
    silent_keys = {"batch_size", "concurrency", "price", "storage"}
    silent_keys |= {"missing"} if config.missing == "refuse" else set()
    chosen = config.model_dump(exclude=silent_keys)  # these change no vector
    made_of = [chosen, dataset.id, embedder.fingerprint, content, histories_digest(dataset)]
    stored = "int8" if config.storage == "int8" else dtype.name
    made_of += [] if stored == "float32" else [stored]
    made_of += [_PROMPTS] if config.users == "prompt" else []
    id = f"{slug(dataset.name)}-{slug(config.embedder.split('/')[-1])}-{config_digest(*made_of)}"
    if store.exists("embeddings", id):
        return load_embedding(store, id).check(dataset)
    started = time.perf_counter()
    items = text_vectors(embedder, texts, store, progress, "embedding items")
    reduced = None
    if config.dimension is not None and config.dimension < items.shape[1]:
        reduced = fit_pca(items, config.dimension)
        if not reduced.explained.any():
            raise UserError(
                f"All texts of the items of {dataset.name!r} have one and the same vector, of which nothing is left in "
                f"{config.dimension} dimensions. Leave dimension out, or have more read (template, attributes)."
            )
        items = reduced.apply(items)
    embedded = time.perf_counter()
    parents = [dataset.manifest] if adapter is None else [dataset.manifest, adapter]
    with store.draft("embeddings", id, name=f"{dataset.name} {config.embedder}", parents=parents) as draft:
        users = user_blocks(dataset, items, config, embedder, store, progress, reduced)
        blocks, kept, int8 = (_as(block, dtype) for block in users), _as(items, dtype), config.storage == "int8"
        empty = write_vectors(draft.path / VECTORS, items if int8 else kept, blocks, dataset.n_users, int8=int8)
        draft.manifest.config = config.model_dump()
        draft.manifest.timings = {"items": embedded - started, "users": time.perf_counter() - embedded}
        draft.manifest.info = {
            "fingerprint": embedder.fingerprint,
            **({"earlier_fingerprint": earlier} if (earlier := embedder.earlier_fingerprint) else {}),
            "histories": histories_digest(dataset),
            "dimension": int(items.shape[1]),
            "items": len(items),
            "users": dataset.n_users,
            **({} if stored == "float32" else {"storage": stored}),
            "items_without_text": int((~items.any(axis=1)).sum()),
            "users_without_vector": empty,
            "explained_variance": float(reduced.explained.sum()) if reduced else None,
            "example": texts[0],
        }
        ids = pd.DataFrame({"item_id": dataset.catalogue["item_id"].to_numpy()})
        ids.to_parquet(draft.path / ITEM_IDS, index=False)
    return load_embedding(store, id)


def embed_shard(
    dataset: Dataset, config: EmbedConfig, store: Store, shard: tuple[int, int], progress: Progress = silent
) -> int:
    """Embed every ``n``-th text of ``dataset``, beginning with the ``k``-th (``shard`` = k, n), into the cache.

    Returns how many were new. When all n shards have been made on one artifact root, :func:`embed` assembles them and
    asks the model nothing. UserError when the shard is none of n, or for precomputed vectors, which need no model.
    """
    number, count = shard
    if not 0 <= number < count:
        raise UserError(f"Shard {number}/{count} does not exist: with {count} shards they are 0 to {count - 1}.")
    config, _ = _tuned(config, dataset, store)
    embedder = open_embedder(config, store)
    if embedder.reads == "item_id":
        raise UserError("Precomputed vectors are only joined, which one process does at once: leave --shard out.")
    texts = distinct_texts(dataset, config, embedder, store)[number::count]
    return fill_cache(embedder, texts, store, f"{number}-of-{count}", progress)


def _dtype(dataset: Dataset, config: EmbedConfig) -> np.dtype:
    large = dataset.n_items + dataset.n_users >= HALF_FROM
    half = config.storage in ("float16", "int8") or (config.storage == "auto" and large)
    return np.dtype("float16" if half else "float32")


def _as(vectors: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """UserError where a number is too large for ``dtype``."""
    with np.errstate(over="ignore"):
        kept = vectors.astype(dtype, copy=False)
    if not np.isfinite(kept).all():
        raise UserError("Some vectors have numbers too large for float16. Scale them, or set storage=float32.")
    return kept


def _tuned(config: EmbedConfig, dataset: Dataset, store: Store) -> tuple[EmbedConfig, Manifest | None]:
    """With an adapter: the model and the wording it was tuned with, unless ``config`` names others, and the adapter.

    UserError for one that learned what users choose in another dataset: its training part may hold what is held out.
    """
    if not config.adapter:
        return config, None
    adapter = store.find("adapters", config.adapter)
    if learned_choices(adapter) and adapter.parent("datasets") != dataset.id:
        raise UserError(
            f"Adapter {adapter.id!r} learned what is chosen in dataset {adapter.parent('datasets')!r}, which may be "
            f"what {dataset.id!r} holds out. Tune one there with the same settings: `llmesr finetune {dataset.id}`."
        )
    known = {new: adapter.config[old] for new, old in TUNED_WITH.items() if old in adapter.config}
    taken = {name: value for name, value in known.items() if name not in config.model_fields_set}
    return config.but(adapter=adapter.id, **taken), adapter


def user_vectors(
    dataset: Dataset,
    items: np.ndarray,
    config: EmbedConfig,
    embedder: Embedder,
    store: Store,
    progress: Progress = silent,
    reduced: Pca | None = None,
) -> np.ndarray:
    """(U, E) float32 from the TRAINING part: the mean of the items' vectors, or the embedded history prompt."""
    return np.concatenate(list(user_blocks(dataset, items, config, embedder, store, progress, reduced)))


def user_blocks(
    dataset: Dataset,
    items: np.ndarray,
    config: EmbedConfig,
    embedder: Embedder,
    store: Store,
    progress: Progress = silent,
    reduced: Pca | None = None,
) -> Iterator[np.ndarray]:
    """The same, some users at a time where they are means."""
    if config.users == "prompt":
        texts = user_texts(dataset, embedder)
        vectors = text_vectors(embedder, texts, store, progress, "embedding users")
        yield reduced.apply(vectors) if reduced else vectors
        return
    lengths, train = dataset.split.train_lengths, dataset.split.train_items
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    for start in range(0, dataset.n_users, _USERS_AT_ONCE):
        own = lengths[start : start + _USERS_AT_ONCE]
        ends = offsets[start : start + len(own) + 1]
        weights = np.repeat((1 / np.maximum(own, 1)).astype(np.float32), own)
        chosen = train[ends[0] : ends[-1]] - 1
        mean = csr_matrix((weights, chosen, ends - ends[0]), shape=(len(own), dataset.n_items))
        yield np.asarray(mean @ items, np.float32)


def text_vectors(embedder: Embedder, texts: list[str], store: Store, progress: Progress, stage: str) -> np.ndarray:
    """(n, E), zero rows for empty texts."""
    if embedder.reads == "item_id":
        return embedder.embed(texts, progress)
    filled = np.array([bool(t) for t in texts])
    known = embed_cached(embedder, [t for t in texts if t], store, progress, stage)
    result = np.zeros((len(texts), known.shape[1]), np.float32)
    result[filled] = known
    return result


def load_embedding(store: Store, ref: str, dataset: Dataset | None = None) -> Embedding:
    """An embedding by id, unique prefix or name; checked against ``dataset`` when given."""
    manifest = store.find("embeddings", ref)
    folder = store.path("embeddings", manifest.id)
    try:
        items, users = read_vectors(folder / VECTORS)
        ids = pd.read_parquet(folder / ITEM_IDS)["item_id"].to_numpy(dtype=object)
        embedding = Embedding(manifest, items, users, ids)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(f"Embedding {manifest.id!r} is damaged: {error}. Delete it and embed again.") from error
    return embedding.check(dataset) if dataset is not None else embedding


def whole_embeddings(embeddings: Iterable[Manifest], dataset_id: str) -> list[Manifest]:
    """Of ``embeddings`` (newest first, as a store lists them) those of every item of a dataset. The first is what the
    dataset's text is read by unless another is named."""
    return [m for m in embeddings if m.parent("datasets") == dataset_id and m.config.get("missing") != "allow"]


def default_embedding(store: Store, dataset: Dataset) -> Embedding:
    """The newest embedding of ``dataset`` that is of every item. UserError when there is none."""
    whole = whole_embeddings(store.list("embeddings"), dataset.id)
    if not whole:
        raise UserError(f"Dataset {dataset.name!r} has no embedding yet; run `llmesr embed {dataset.id}` first.")
    return load_embedding(store, whole[0].id, dataset)
