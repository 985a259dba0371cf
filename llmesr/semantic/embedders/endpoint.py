"""Vectors from an OpenAI-compatible service: ``openai:<model>`` with ``EmbedConfig.endpoint`` as its base URL.

The key is read from ``OPENAI_API_KEY`` and goes nowhere but into the request.
"""

from __future__ import annotations

import email.utils
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import httpx
import numpy as np

from llmesr.config import EmbedConfig
from llmesr.errors import UserError
from llmesr.semantic.embedders.contract import Embedder
from llmesr.store import config_digest
from llmesr.visitors import client

DEFAULT_URL = "https://api.openai.com/v1"
CHARACTERS_PER_TOKEN = 4
"""A rough reading for the cost: English text."""

_TRIES = 6
_LONGEST_WAIT = 60.0
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504)
"""Answers that another try may change."""


def build(config: EmbedConfig) -> EndpointEmbedder:
    return EndpointEmbedder(config)


class EndpointEmbedder(Embedder):
    """Batches of texts, several requests at once, patient with a busy service."""

    def __init__(self, config: EmbedConfig, *, pause: float = 1.0) -> None:
        """``pause``: seconds before the second try when the service names none; doubled for each further one."""
        self.model = config.embedder.partition(":")[2]
        if not self.model:
            raise UserError("Name the model of the service: openai:<model>, such as openai:text-embedding-3-large.")
        url = config.endpoint or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
        if not url.startswith(("http://", "https://")):
            raise UserError(f"The endpoint {url!r} must begin with http:// or https://.")
        self.name = config.embedder
        self.url = url.rstrip("/")
        self.batch_size = config.batch_size
        self.concurrency = config.concurrency
        self.price = config.price
        self._characters = self.reach = config.max_tokens * CHARACTERS_PER_TOKEN
        self._pause = pause

    @property
    def fingerprint(self) -> str:
        return config_digest("endpoint", self.url, self.model, self._characters)

    @cached_property
    def dimension(self) -> int:
        """E, learned by asking for one vector."""
        with self._client() as client:
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
        with self._client() as client, ThreadPoolExecutor(self.concurrency) as threads:
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

    def _client(self) -> httpx.Client:
        key = os.environ.get("OPENAI_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return client(headers=headers, timeout=httpx.Timeout(120, connect=15))

    def _request(self, client: httpx.Client, texts: list[str]) -> np.ndarray:
        """(b, E) float32. UserError after the last try, or at once when another try would not help."""
        body = {"model": self.model, "input": [t[: self._characters] for t in texts], "encoding_format": "float"}
        pause = self._pause
        for attempt in range(1, _TRIES + 1):
            wanted: float | None = None
            try:
                response = client.post(f"{self.url}/embeddings", json=body)
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                if response.is_success:
                    return self._vectors(response, len(texts))
                reason = f"{response.status_code} {_message(response)}"
                if response.status_code not in _PASSING:
                    raise UserError(f"{self.url} refused to embed with {self.model!r}: {reason}{_hint(response)}")
                wanted = retry_after(response.headers.get("Retry-After"))
            if attempt < _TRIES:
                time.sleep(wanted if wanted is not None else pause * random.uniform(0.75, 1.25))
                pause = min(pause * 2, _LONGEST_WAIT)
        raise UserError(
            f"{self.url} did not answer after {_TRIES} tries ({reason}). What was embedded is kept; run the command "
            "again to go on."
        )

    def _vectors(self, response: httpx.Response, count: int) -> np.ndarray:
        try:
            data: list[dict[str, Any]] = response.json()["data"]
            rows = [entry["embedding"] for entry in sorted(data, key=lambda entry: entry["index"])]
            vectors = np.array(rows, dtype=np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.url} does not answer like an OpenAI embeddings service: {error!r}") from error
        if vectors.ndim != 2 or len(vectors) != count:
            raise UserError(f"{self.url} answered {count} texts with vectors of shape {vectors.shape}.")
        return vectors


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait from a ``Retry-After`` header (seconds or an HTTP date), at most a minute; None without one."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (email.utils.parsedate_to_datetime(header) - (now or datetime.now(UTC))).total_seconds()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return response.text[:300].replace("\n", " ")


def _hint(response: httpx.Response) -> str:
    if response.status_code in (401, 403):
        return " (set OPENAI_API_KEY)"
    if response.status_code == 404:
        return " (is the base URL right? It usually ends in /v1)"
    return ""
