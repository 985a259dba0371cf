"""Vectors already paid for: one SQLite file per embedder fingerprint, keyed by the hash of the text.

Every batch is committed as it arrives, so a killed run keeps what it had; two processes may share a file. Machines
that share a folder write a file each (SQLite's locks do not reach across a network), and read all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from llmesr.errors import UserError, machine_failure
from llmesr.progress import Progress, silent
from llmesr.semantic.embedders.contract import Embedder
from llmesr.store import Store

_AT_ONCE = 500


def text_key(text: str) -> bytes:
    """16 bytes that stand for ``text``."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


class VectorCache:
    """Vectors of one embedder under ``<root>/cache/vectors/<fingerprint>.sqlite``.

    With ``part``, such as ``0-of-4``, what is new goes to a file of that part, beside the other one. All are read.
    """

    def __init__(self, store: Store, fingerprint: str, part: str | None = None) -> None:
        folder = store.work_folder("cache") / "vectors"
        folder.mkdir(parents=True, exist_ok=True)
        self.path: Path = folder / (f"{fingerprint}.{part}.sqlite" if part else f"{fingerprint}.sqlite")
        self._db = _open(self.path)
        others = [folder / f"{fingerprint}.sqlite", *sorted(folder.glob(f"{fingerprint}.*.sqlite"))]
        self._others = [_open(path) for path in others if path != self.path and path.is_file()]

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, *error: object) -> None:
        for db in (self._db, *self._others):
            db.close()

    def read(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
        """Those of ``keys`` that are here, with their vectors (E,) float32, each once, in any order."""
        for start in range(0, len(keys), _AT_ONCE):
            some = dict.fromkeys(keys[start : start + _AT_ONCE])
            for db in (self._db, *self._others):
                marks = ",".join("?" * len(some))
                query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"
                with _blamed(self.path):
                    found = [(k, np.frombuffer(v, "<f4")) for k, v in db.execute(query, list(some))]
                for key, vector in found:
                    del some[key]
                    yield key, vector

    def held(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of ``keys`` that are here."""
        return {key for key, _ in self.read(keys)}

    def write(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Keep ``vectors`` (n, E); on disk when this returns."""
        rows = [(key, np.ascontiguousarray(v, "<f4").tobytes()) for key, v in zip(keys, vectors, strict=True)]
        with _blamed(self.path), self._db:
            self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)


class AnswerCache:
    """Texts already paid for, under ``<root>/cache/answers/<fingerprint>.sqlite``, each on disk once it is written."""

    def __init__(self, store: Store, fingerprint: str) -> None:
        folder = store.work_folder("cache") / "answers"
        folder.mkdir(parents=True, exist_ok=True)
        self.path: Path = folder / f"{fingerprint}.sqlite"
        self._db = _open(self.path, "answers (key BLOB PRIMARY KEY, answer TEXT NOT NULL)")

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(self, *error: object) -> None:
        self._db.close()

    def read(self, key: bytes) -> str | None:
        """The answer to what ``key`` stands for, if it is here."""
        with _blamed(self.path):
            found = self._db.execute("SELECT answer FROM answers WHERE key = ?", [key]).fetchone()
        return None if found is None else str(found[0])

    def write(self, key: bytes, answer: str) -> None:
        with _blamed(self.path), self._db:
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", [key, answer])


def _open(path: Path, table: str = "vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)") -> sqlite3.Connection:
    with _blamed(path):
        db = sqlite3.connect(path, timeout=60)
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"CREATE TABLE IF NOT EXISTS {table}")
        db.commit()
        return db


@contextlib.contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """What SQLite says of a cache as a sentence: a UserError."""
    try:
        yield
    except sqlite3.OperationalError as error:  # the disk is full or read-only, or another process holds the file
        if sentence := machine_failure(error):
            raise UserError(sentence) from error
        raise UserError(
            f"The cache {path} cannot be used now ({error}). Check that its folder can be written."
        ) from error
    except (sqlite3.DatabaseError, ValueError) as error:  # pages that are none, vectors of half a number
        raise UserError(f"The cache {path} is damaged ({error}); delete that file.") from error


def fill_cache(embedder: Embedder, texts: Sequence[str], store: Store, part: str, progress: Progress = silent) -> int:
    """Embed those of the distinct ``texts`` that are not in the cache, into the file of ``part``; returns how many.

    What is there already is only counted: no matrix is held.
    """
    with VectorCache(store, embedder.fingerprint, part) as cache:
        held = cache.held([text_key(t) for t in texts])
        new = [t for t in texts if text_key(t) not in held]
        done = 0
        progress("embedding texts", done, len(new))
        for rows, vectors in embedder.stream(new) if new else ():
            _check(vectors, embedder)
            cache.write([text_key(new[i]) for i in rows], vectors)
            done += len(rows)
            progress("embedding texts", done, len(new))
    return done


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
