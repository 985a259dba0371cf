"""A language model on this machine as second ranker: no service, no price, one answer after another."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from llmesr.config import AllocationConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.prose import duration
from llmesr.scoring.allocation.asking import Asking, key
from llmesr.scoring.allocation.lists import Lists
from llmesr.semantic.generator import Generator
from llmesr.semantic.service import Unanswered
from llmesr.store import Store, config_digest

SCHEMES = ("gguf:", "hf:")
TOKENS_PER_CANDIDATE = 6
"""Room for a number, a comma and some words around."""


class Local(Asking):
    """Asks the model in a GGUF file (``gguf:<file>``) or a Hugging Face folder (``hf:<folder>``)."""

    def __init__(
        self, ref: str, config: AllocationConfig, dataset: Dataset, store: Store, device: torch.device | str = "cpu"
    ) -> None:
        """UserError for a model that is not there or writes no text."""
        self.generator = Generator(ref, device)
        name = f"{ref.partition(':')[0]}:{self.generator.name}"
        super().__init__(name, self.generator.name, "this machine", config, dataset, store)

    def cost(self, lists: Lists, calls: int) -> str:
        """The same with the time it takes, by the first question that has no answer yet; its answer is kept."""
        said = super().cost(lists, calls)
        with self._cache() as cache:
            for body in self._asked(lists):
                if cache.read(key(body)) is None:
                    self.generator.load()  # once, however many are asked
                    started = time.perf_counter()
                    if isinstance(answer := self._answer(body), str):
                        cache.write(key(body), answer)
                    each = time.perf_counter() - started
                    return f"{said} An answer takes about {duration(each)}, all of them {duration(each * calls)}."
        return said

    def _identity(self) -> str:
        return config_digest("local", self.generator.fingerprint, str(self.generator.device.type))

    def _asked(self, lists: Lists) -> list[dict[str, Any]]:
        """With the room for an answer, which is part of the question here."""
        room = self.config.answer_tokens or TOKENS_PER_CANDIDATE * lists.items.shape[1]
        return [{**body, "max_tokens": room} for body in super()._asked(lists)]

    def _sent(self, rows: Sequence[int], bodies: Sequence[dict[str, Any]]) -> Iterator[tuple[int, str | UserError]]:
        for row in rows:
            yield row, self._answer(bodies[row])

    def _answer(self, body: dict[str, Any]) -> str | UserError:
        found = self.generator.answer(
            body["messages"],
            tokens=body["max_tokens"],
            temperature=body.get("temperature"),
            seconds=self.config.timeout,
        )
        return Unanswered(f"{self.name} cannot read so long a message.") if found is None else found
