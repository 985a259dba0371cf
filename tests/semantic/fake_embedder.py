"""Stands in for a language model: a direction for the topic word of a text plus noise from the text's hash.

Texts of one topic are close, no two texts are equal, and any row that is out of place shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from llmesr.semantic.embedders.contract import Embedder


def fake_vector(text: str, dimension: int = 8) -> np.ndarray:
    """(E,) float32 of unit length; the topic is the first word."""
    topic = text.split()[0] if text.split() else ""
    seeds = [int.from_bytes(hashlib.sha256(part.encode()).digest()[:4]) for part in (topic, text)]
    direction, noise = (np.random.default_rng(s).normal(size=dimension) for s in seeds)
    vector = direction + 0.2 * noise
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class FakeEmbedder(Embedder):
    """Counts what it is asked, and can stop in the middle."""

    name = "fake"
    reach: int | None = None

    def __init__(self, dimension: int = 8, batch_size: int = 4, fail_after: int | None = None) -> None:
        self._dimension = dimension
        self.batch_size = batch_size
        self.fail_after = fail_after
        self.asked: list[str] = []

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def fingerprint(self) -> str:
        return f"fake{self._dimension}"

    def stream(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = np.argsort([-len(t) for t in texts], kind="stable")
        for start in range(0, len(order), self.batch_size):
            if self.fail_after is not None and start >= self.fail_after:
                raise KeyboardInterrupt
            rows = order[start : start + self.batch_size]
            self.asked += [texts[i] for i in rows]
            yield rows, np.stack([fake_vector(texts[i], self._dimension) for i in rows])
