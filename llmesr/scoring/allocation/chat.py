"""A chat model behind an OpenAI-compatible service as second ranker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import httpx

from llmesr.config import AllocationConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.scoring.allocation.asking import Asking
from llmesr.semantic.service import Service, Unanswered
from llmesr.store import Store, config_digest

MOST_CHARACTERS = 100_000
"""Of an answer are read."""
MOST_BYTES = 2**22
"""Of what comes back: the thoughts of a model that reasons fit."""
HOPELESS = 5
"""Requests in a row without an answer after which the service is given up."""


class Chat(Asking):
    """Asks ``model`` of the service, several users at once."""

    def __init__(
        self, model: str, config: AllocationConfig, dataset: Dataset, store: Store, *, pause: float = 1.0
    ) -> None:
        """``pause``: seconds before a second try. UserError without a model, and for an address of another kind."""
        if not model:
            raise UserError("Name the model of the service: chat:<model>, such as chat:gpt-4o-mini.")
        self._service = Service(config.endpoint, "rank", pause=pause, timeout=config.timeout, tries=config.tries)
        super().__init__(f"chat:{model}", model, self._service.url, config, dataset, store)

    def _identity(self) -> str:
        return config_digest("chat", self.where, self.model)

    def _sent(self, rows: Sequence[int], bodies: Sequence[dict[str, Any]]) -> Iterator[tuple[int, str | UserError]]:
        """Rows with their answers as they come, several at once. At a refusal, or when the service is given up, the
        answers on their way are yielded first: they are paid."""
        failure: UserError | None = None
        left, waiting, failed = list(rows), dict[Future[str | UserError], int](), 0
        with self._service.client() as client, ThreadPoolExecutor(self.config.concurrency) as threads:
            while (left and failure is None) or waiting:
                while left and failure is None and len(waiting) < self.config.concurrency:
                    row = left.pop(0)
                    waiting[threads.submit(self._ask, client, bodies[row])] = row
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    answer = done.result()
                    failed = failed + 1 if isinstance(answer, Unanswered) else 0
                    if isinstance(answer, UserError) and (failed >= HOPELESS or not isinstance(answer, Unanswered)):
                        failure = failure or answer
                    yield waiting.pop(done), answer
        if failure is not None:
            raise failure

    def _ask(self, client: httpx.Client, body: dict[str, Any]) -> str | UserError:
        """The text of the answer. An answer of another shape is text that nothing is understood of."""
        try:
            answer = self._service.post(client, "chat/completions", body, most=MOST_BYTES)
        except UserError as error:
            return error
        try:
            said = str(answer.json()["choices"][0]["message"]["content"] or "")[:MOST_CHARACTERS]
            return said.encode("utf-8", "replace").decode()  # half of a character could not be kept
        except (ValueError, KeyError, TypeError, IndexError):
            return ""
