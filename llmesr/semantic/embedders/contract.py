"""What every text embedder offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np

from llmesr.progress import Progress, silent


class Embedder(Protocol):
    """Texts in, one vector of size E per text out. Backends inherit :meth:`embed` and write :meth:`stream`."""

    name: str
    """For people: which model."""
    reads: Literal["text", "item_id"] = "text"
    """What :meth:`embed` is given: prompts, or (precomputed vectors) the ids of items."""
    earlier_fingerprint: str | None = None
    """What :attr:`fingerprint` was in earlier versions, by which embeddings of then are known again."""
    unit: str = "characters"
    """What :meth:`lengths` counts."""

    @property
    def reach(self) -> int | None:
        """How long a text may be that is read whole, as :meth:`lengths` counts; None where no limit matters."""
        return None

    @property
    def dimension(self) -> int:
        """E."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes vectors: weights, pooling, cut, precision, adapter."""
        ...

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) how long each text is, in the unit of :attr:`reach`; exact up to there."""
        return np.array([len(text) for text in texts])

    def stream(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows (b,) of ``texts`` and their vectors (b, E) float32, in any order, each row once."""
        ...

    def embed(self, texts: Sequence[str], progress: Progress = silent) -> np.ndarray:
        """(n, E) float32, row i for ``texts[i]``."""
        result = np.zeros((len(texts), self.dimension), np.float32)
        done = 0
        for rows, vectors in self.stream(texts):
            result[rows] = vectors
            done += len(rows)
            progress("embedding texts", done, len(texts))
        return result
