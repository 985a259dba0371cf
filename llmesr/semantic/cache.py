"""Vectors already paid for: one SQLite file per embedder fingerprint, keyed by the hash of the text.

Every batch is committed as it arrives, so a killed run keeps what it had; two processes may share a file.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.semantic.embedders.contract import Embedder
from llmesr.store import Store

_AT_ONCE = 500


def text_key(text: str) -> bytes:
    """16 bytes that stand for ``text``."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


class VectorCache:
    """Vectors of one embedder under ``<root>/cache/vectors/<fingerprint>.sqlite``."""

    def __init__(self, store: Store, fingerprint: str) -> None:
        self.path: Path = store.root / "cache" / "vectors" / f"{fingerprint}.sqlite"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(self.path, timeout=60)
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
            self._db.commit()
        except sqlite3.DatabaseError as error:
            raise UserError(f"The vector cache {self.path} is damaged ({error}); delete that file.") from error

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, *error: object) -> None:
        self._db.close()

    def read(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
        """Those of ``keys`` that are here, with their vectors (E,) float32, in any order."""
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)
            for key, vector in rows:
                yield key, np.frombuffer(vector, "<f4")

    def held(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of ``keys`` that are here."""
        return {key for key, _ in self.read(keys)}

    def write(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Keep ``vectors`` (n, E); on disk when this returns."""
        rows = [(key, np.ascontiguousarray(v, "<f4").tobytes()) for key, v in zip(keys, vectors, strict=True)]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)


def embed_cached(
    embedder: Embedder, texts: Sequence[str], store: Store, progress: Progress = silent, stage: str = "embedding texts"
) -> np.ndarray:
    """(n, E) float32, row i for ``texts[i]``; each distinct text that is not in the cache is embedded once."""
    if not texts:
        return np.zeros((0, embedder.dimension), np.float32)
    keys = [text_key(t) for t in texts]
    distinct = dict(zip(keys, texts, strict=True))
    place = {key: row for row, key in enumerate(distinct)}
    matrix: np.ndarray | None = None  # (distinct, E), allocated when E is known

    def put(rows: list[int], vectors: np.ndarray) -> None:
        nonlocal matrix
        if matrix is None:
            matrix = np.zeros((len(distinct), vectors.shape[1]), np.float32)
        if vectors.shape[1] != matrix.shape[1]:
            raise UserError(
                f"{embedder.name!r} returned vectors of different sizes, {matrix.shape[1]} and {vectors.shape[1]}: the "
                f"model has changed. Delete {cache.path} to start again."
            )
        matrix[rows] = vectors

    with VectorCache(store, embedder.fingerprint) as cache:
        missing = dict.fromkeys(distinct)
        for key, vector in cache.read(list(distinct)):
            put([place[key]], vector[None])
            del missing[key]
        new, done = list(missing), len(distinct) - len(missing)
        progress(stage, done, len(distinct))
        for rows, vectors in embedder.stream([distinct[key] for key in new]) if new else ():
            _check(vectors, embedder)
            batch = [new[i] for i in rows]
            put([place[key] for key in batch], vectors)
            cache.write(batch, vectors)
            done += len(batch)
            progress(stage, done, len(distinct))
    assert matrix is not None
    return matrix if len(distinct) == len(texts) else matrix[[place[key] for key in keys]]


def uncached(embedder: Embedder, texts: Sequence[str], store: Store) -> list[str]:
    """The distinct texts that would have to be embedded."""
    distinct = {text_key(t): t for t in texts}
    with VectorCache(store, embedder.fingerprint) as cache:
        held = cache.held(list(distinct))
    return [text for key, text in distinct.items() if key not in held]


def _check(vectors: np.ndarray, embedder: Embedder) -> None:
    if not np.isfinite(vectors).all():
        raise UserError(f"{embedder.name!r} returned vectors with NaN or infinite values. Try --set precision=float32.")
