"""Vectors from an OpenAI-compatible service: ``openai:<model>`` with ``EmbedConfig.endpoint`` as its base URL.

The key is read from ``OPENAI_API_KEY`` and goes nowhere but into the request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cached_property
from typing import Any

import httpx
import numpy as np

from llmesr.config import EmbedConfig
from llmesr.errors import UserError
from llmesr.semantic.embedders.contract import Embedder
from llmesr.semantic.service import CHARACTERS_PER_TOKEN, Answer, Service
from llmesr.store import config_digest

MOST_AROUND, MOST_VECTOR = 2**20, 2**18
"""Bytes of an answer: what is around the vectors, and each of them, 8,192 numbers or more."""


def build(config: EmbedConfig) -> EndpointEmbedder:
    return EndpointEmbedder(config)


class EndpointEmbedder(Embedder):
    """Batches of texts, several requests at once, patient with a busy service."""

    def __init__(self, config: EmbedConfig, *, pause: float = 1.0) -> None:
        """``pause``: seconds before the second try when the service names none; doubled for each further one."""
        self.model = config.embedder.partition(":")[2]
        if not self.model:
            raise UserError("Name the model of the service: openai:<model>, such as openai:text-embedding-3-large.")
        self._service = Service(config.endpoint, "embed", pause=pause)
        self.name = config.embedder
        self.url = self._service.url
        self.batch_size = config.batch_size
        self.concurrency = config.concurrency
        self.price = config.price
        self._characters = config.max_tokens * CHARACTERS_PER_TOKEN

    @property
    def reach(self) -> int:
        """Characters of a text that are sent."""
        return self._characters

    @property
    def fingerprint(self) -> str:
        return config_digest("endpoint", self.url, self.model, self._characters)

    @cached_property
    def dimension(self) -> int:
        """E, learned by asking for one vector."""
        with self._service.client() as client:
            return int(self._request(client, ["size"]).shape[1])

    def estimate(self, texts: Sequence[str]) -> tuple[int, float | None]:
        """Tokens (roughly) and their price, when the price per million is known."""
        tokens = sum(min(len(t), self._characters) for t in texts) // CHARACTERS_PER_TOKEN
        return tokens, None if self.price is None else tokens / 1e6 * self.price

    def stream(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches as their answers come. At an error, answers already on their way are yielded first: they are paid."""
        starts = range(0, len(texts), self.batch_size)
        batches = [range(i, min(i + self.batch_size, len(texts))) for i in starts]
        failure: UserError | None = None
        waiting: dict[Future[np.ndarray], range] = {}
        with self._service.client() as client, ThreadPoolExecutor(self.concurrency) as threads:
            while (batches and failure is None) or waiting:
                while batches and failure is None and len(waiting) < self.concurrency:
                    rows = batches.pop(0)
                    waiting[threads.submit(self._request, client, [texts[i] for i in rows])] = rows
                for answer in wait(waiting, return_when=FIRST_COMPLETED).done:
                    rows = waiting.pop(answer)
                    try:
                        vectors = answer.result()
                    except UserError as error:
                        failure = failure or error
                    else:
                        yield np.array(rows), vectors
        if failure is not None:
            raise failure

    def _request(self, client: httpx.Client, texts: list[str]) -> np.ndarray:
        """(b, E) float32. UserError after the last try, or at once when another try would not help."""
        body = {"model": self.model, "input": [t[: self._characters] for t in texts], "encoding_format": "float"}
        most = MOST_AROUND + len(texts) * MOST_VECTOR
        return self._vectors(self._service.post(client, "embeddings", body, most=most), len(texts))

    def _vectors(self, answer: Answer, count: int) -> np.ndarray:
        try:
            data: list[dict[str, Any]] = answer.json()["data"]
            rows = [entry["embedding"] for entry in sorted(data, key=lambda entry: entry["index"])]
            vectors = np.array(rows, dtype=np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.url} does not answer like an OpenAI embeddings service: {error!r}") from error
        if vectors.ndim != 2 or len(vectors) != count:
            raise UserError(f"{self.url} answered {count} texts with vectors of shape {vectors.shape}.")
        return vectors
