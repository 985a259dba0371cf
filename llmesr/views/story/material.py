"""What the story is told from: the runs of a dataset, who of them plays which part, and an item to tell it of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import Contender, best_of_each, best_without_and_with_text, like_for_like
from llmesr.evaluation.doubts import Doubt
from llmesr.evaluation.verdict import Verdict
from llmesr.store import Store
from llmesr.views.cache import evidence, spaces
from llmesr.views.shared import alike, words

METRIC, PROTOCOL = "HR@10", "full"
NEAREST = 5


@dataclass(frozen=True, eq=False)
class Material:
    """What the story is told from. ``embedding`` is the items' text; ``example`` turns to another item."""

    root: Store
    dataset: Dataset
    chosen: Sequence[Contender]
    thresholds: Thresholds
    embedding: str | None = None
    protocol: str = PROTOCOL
    metric: str = METRIC
    example: int = 0

    @property
    def line(self) -> str:
        return words.protocol_line(self.protocol, self.thresholds, self.dataset.split_config)

    @cached_property
    def protagonists(self) -> tuple[Contender | None, Contender | None]:
        """Whom the overview's headline is about: see :func:`evaluation.contenders.best_without_and_with_text`."""
        return best_without_and_with_text(self.chosen, self.validation)

    @property
    def plain(self) -> Contender | None:
        """The best recommender that reads no text."""
        return self.protagonists[0]

    @property
    def text(self) -> Contender | None:
        """The best recommender that does."""
        return self.protagonists[1]

    @cached_property
    def by_text_alone(self) -> Contender | None:
        return self.best("semantic-knn")

    def best(self, method: str) -> Contender | None:
        """Of the configurations of a method the best on validation."""
        return max((c for c in self.chosen if c.method == method), key=self.validation, default=None)

    def validation(self, contender: Contender) -> float:
        return evidence.validation(self.root, contender)

    def summary(self, *contenders: Contender) -> pd.DataFrame:
        """Means and intervals by group, on the test part."""
        lineup = {c.name: c.ids for c in contenders}
        return evidence.summary(self.root, lineup, self.thresholds, self.metric, self.protocol)

    @cached_property
    def everybody(self) -> pd.DataFrame:
        """All that are shown against the plain one."""
        assert self.plain
        at = self.plain.name, self.thresholds, self.metric, self.protocol
        return evidence.comparison(self.root, self._shown, *at)

    @property
    def comparison(self) -> pd.DataFrame:
        """Of :attr:`everybody` the recommender with text."""
        assert self.text
        return self.everybody[self.everybody["run"] == self.text.name]

    @property
    def _shown(self) -> dict[str, tuple[str, ...]]:
        return {c.name: c.ids for c in best_of_each(self.chosen, self.validation)}

    @cached_property
    def doubts(self) -> tuple[Doubt, ...]:
        """What the guard found about the recommender with text against the plain one, or about the plain one alone."""
        first = self.plain or self.text
        if first is None:
            return ()
        lineup = {c.name: c.ids for c in self.protagonists if c is not None}
        return evidence.doubts(self.root, lineup, first.name, self.thresholds, self.metric, self.protocol)

    @cached_property
    def verdict(self) -> Verdict:
        """The same in words, qualified by the guard."""
        assert self.plain
        assert self.text
        lineup = {c.name: c.ids for c in (self.plain, self.text)}
        reference = self.plain.name
        at = reference, self.thresholds, self.metric, self.protocol
        return evidence.judged(self.root, lineup, *at, among=self._shown)[0]

    @cached_property
    def like_for_like(self) -> str:
        """What text changes about models that are the same without it, on tail items; empty where there is no pair."""
        pairs = like_for_like(self.chosen, self.validation)
        if not pairs:
            return ""
        at = self._shown, lambda c: c.name, self.thresholds, self.metric, self.protocol
        found = alike.judged(self.root, pairs, *at)
        return alike.sentence(
            found, self.summary(*best_of_each(self.chosen, self.validation)), "Tail Item", self.metric
        )

    @cached_property
    def item(self) -> int | None:
        """A tail item of the rarer half with text, of typical (median) closeness to its neighbours, if any."""
        if self.embedding is None or self.dataset.n_items <= NEAREST:
            return None
        order = spaces.tail_by_closeness(self.root, self.dataset.id, self.embedding, self.thresholds, NEAREST)
        return int(order[(len(order) // 2 + self.example) % len(order)]) if len(order) else None

    def nearest(self, item: int) -> pd.DataFrame:
        """item, title, similarity (cosine), interactions and tail of the items nearest by text."""
        assert self.embedding is not None
        best, cosines = spaces.nearest_by_text(self.root, self.dataset.id, self.embedding, item, NEAREST)
        counts = np.asarray(self.dataset.item_counts)[best]
        return pd.DataFrame(
            {
                "item": best,
                "title": self.dataset.catalogue["title"].to_numpy(object)[best - 1],
                "similarity": cosines,
                "interactions": counts,
                "tail": self.thresholds.tail_items(counts),
            }
        )


def material(
    root: Store, dataset: Dataset, *, thresholds: Thresholds, metric: str, protocol: str, example: int = 0
) -> Material:
    """Told by every finished run of a dataset."""
    return Material(
        root,
        dataset,
        evidence.everyone(root, dataset.id),
        thresholds,
        evidence.newest_embedding(root, dataset.id),
        protocol,
        metric,
        example,
    )
