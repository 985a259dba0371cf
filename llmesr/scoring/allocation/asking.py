"""A language model as second ranker: histories and candidates as titles, the order as an answer (2405.00824).

Every answer is kept on disk as it comes: asked again, nothing is paid or waited for twice, and what was stopped goes
on. Whatever a model answers or does not, no candidate is lost.
"""

from __future__ import annotations

import abc
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from llmesr.config import AllocationConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.ids import PAD
from llmesr.progress import Progress, silent
from llmesr.scoring.allocation.answers import complete, understood
from llmesr.scoring.allocation.lists import Lists
from llmesr.semantic.cache import AnswerCache
from llmesr.semantic.service import CHARACTERS_PER_TOKEN
from llmesr.store import Store
from llmesr.text.prompts import clean

TITLE_CHARACTERS = 120
SAMPLE = 100
"""Users of validation that the share is chosen on, where the config says nothing."""
_PLACE = re.compile(r"\{(history|candidates|count)\}")


class Asking(abc.ABC):
    """Asks a model, wherever it is. Users whose question fails, or for whom no call is left, keep their lists."""

    paid = True

    def __init__(
        self, name: str, model: str, where: str, config: AllocationConfig, dataset: Dataset, store: Store
    ) -> None:
        """``name`` as it was asked for, ``model`` and ``where`` it is, for sentences."""
        self.name, self.model, self.where = name, model, where
        self.config, self.dataset, self.store = config, dataset, store
        catalogue = dataset.catalogue
        titles = catalogue.get("title", catalogue["item_id"])
        self._titles = [
            clean(title, TITLE_CHARACTERS) or str(id) for title, id in zip(titles, catalogue["item_id"], strict=True)
        ]
        self.counts: Counter[str] = Counter()

    @abc.abstractmethod
    def _sent(self, rows: Sequence[int], bodies: Sequence[dict[str, Any]]) -> Iterator[tuple[int, str | UserError]]:
        """Rows with their answers as they come, or why there is none."""

    @abc.abstractmethod
    def _identity(self) -> str:
        """Changes with what would answer otherwise; part of the cache's name."""

    def report(self) -> dict[str, Any]:
        """``chat``: how many requests were made, found in the cache, not understood, and so on."""
        return {"chat": {"model": self.model, "url": self.where, **self.counts}}

    def messages(self, history: Sequence[int], items: Sequence[int]) -> list[dict[str, str]]:
        """What is sent for one user: item numbers as titles, candidates numbered from 1."""
        past = "\n".join(f"- {self._titles[item - 1]}" for item in history[-self.config.titles :])
        listed = "\n".join(f"{place}. {self._titles[item - 1]}" for place, item in enumerate(items, start=1))
        values = {"history": past, "candidates": listed, "count": str(len(items))}
        text = _PLACE.sub(lambda found: values[found[1]], self.config.prompt)
        system = [{"role": "system", "content": self.config.system}] if self.config.system else []
        return [*system, {"role": "user", "content": text}]

    def example(self, lists: Lists) -> str:
        """The message about the first of ``lists``, as it is sent."""
        return "\n\n".join(message["content"] for message in self._asked(lists)[0]["messages"])

    def cost(self, lists: Lists, calls: int) -> str:
        """A sentence: at most how many calls, about how many tokens, and their price where it is known; as long as
        those about ``lists`` on average."""
        bodies = self._asked(lists)
        sent = sum(len(m["content"]) for body in bodies for m in body["messages"]) / max(len(bodies), 1)
        tokens, answered = calls * sent / CHARACTERS_PER_TOKEN, calls * 3 * lists.items.shape[1]
        with self._cache() as cache:
            held = sum(cache.read(key(body)) is not None for body in bodies)
        said = f"{self.name} at {self.where}: at most {calls:,} calls, about {tokens:,.0f} tokens sent and "
        said += f"{answered:,} answered"
        if self.config.price is not None:
            price = (tokens * self.config.price + answered * (self.config.answer_price or 0)) / 1e6
            said += f", about {price:,.2f} in the currency of the price"
        return f"{said}. {held:,} of the first {len(bodies):,} are answered already."

    def order(self, lists: Lists, progress: Progress = silent) -> np.ndarray:
        """The candidates by the model's answers, user after user from the first, while calls are left.

        UserError when the service refuses, or does not answer :data:`HOPELESS` times in a row.
        """
        bodies, ordered = self._asked(lists), lists.items.copy()
        for done, (row, answer) in enumerate(self._answers(bodies), start=1):
            items = lists.items[row][lists.items[row] != PAD]
            if answer is not None:
                ordered[row, : len(items)] = items[self._order(answer, items)]
            progress(f"asking {self.model} ({lists.part})", done, len(bodies))
        return ordered

    def _asked(self, lists: Lists) -> list[dict[str, Any]]:
        given = self.dataset.split.input_lengths(lists.part)
        bodies = []
        for user, row in zip(lists.users.tolist(), lists.items, strict=True):
            history = self.dataset.history(user)[: given[user]].tolist()
            body: dict[str, Any] = {"model": self.model, "messages": self.messages(history, row[row != PAD].tolist())}
            options = {"temperature": self.config.temperature, "max_tokens": self.config.answer_tokens}
            bodies.append(body | {name: value for name, value in options.items() if value is not None})
        return bodies

    def _order(self, answer: str, items: np.ndarray) -> list[int]:
        """Places of ``items`` as the answer has them; what it says wrong is counted."""
        read = understood(answer, [self._titles[item - 1] for item in items])
        self.counts["invented"] += read.invented
        self.counts["repeated"] += read.repeated
        if not read.order:
            self.counts["not understood"] += 1
        elif len(read.order) < len(items):
            self.counts["incomplete"] += 1
        return complete(read, len(items))

    def _answers(self, bodies: Sequence[dict[str, Any]]) -> Iterator[tuple[int, str | None]]:
        """The row of each body and its answer, as they come; None where there is none."""
        with self._cache() as cache:
            new = []
            for row, body in enumerate(bodies):
                if (held := cache.read(key(body))) is None:
                    new.append(row)
                else:
                    self.counts["from the cache"] += 1
                    yield row, held
            room = max(self.config.max_calls - self.counts["calls"], 0)
            self.counts["calls"] += min(room, len(new))
            self.counts["not asked"] += len(new[room:])
            yield from ((row, None) for row in new[room:])
            for row, answer in self._sent(new[:room], bodies):
                if isinstance(answer, str):
                    cache.write(key(bodies[row]), answer)
                    yield row, answer
                else:
                    self.counts["unanswered"] += 1
                    yield row, None

    def _cache(self) -> AnswerCache:
        return AnswerCache(self.store, self._identity())


def key(body: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode("utf-8", "surrogatepass")).digest()[:16]
