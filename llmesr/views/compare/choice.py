"""Who is compared, by which metric, against whom, and where head and tail part."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pandas as pd
import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import Contender, best_of_each, best_without_and_with_text, like_for_like
from llmesr.evaluation.contrast import frontier
from llmesr.evaluation.doubts import Doubt
from llmesr.evaluation.slices import Found, Question
from llmesr.evaluation.table import RECALL, Group
from llmesr.evaluation.verdict import Verdict
from llmesr.store import Store
from llmesr.views.cache import artifacts, evidence, slices
from llmesr.views.shared import alike, links, pickers, pins, widgets, words

KS, METRICS = ("5", "10", "20"), ("HR", "NDCG", "MRR")


@dataclass(frozen=True, eq=False)
class Choice:
    """What the visitor asks about."""

    root: Store
    dataset: Dataset
    chosen: list[Contender]
    reference: str
    thresholds: Thresholds
    protocol: str
    metric: str
    k: int

    @property
    def lineup(self) -> dict[str, tuple[str, ...]]:
        return {c.name: c.ids for c in self.chosen}

    @property
    def labels(self) -> dict[str, str]:
        return {c.name: c.label for c in self.chosen}

    @property
    def others(self) -> list[str]:
        return [c.name for c in self.chosen if c.name != self.reference]

    @property
    def foremost(self) -> str:
        """Whom a view of one configuration beside the baseline opens on: of the others the best on validation that
        reads text, else the best; the baseline itself where it is alone."""
        others = [c for c in self.chosen if c.name != self.reference]
        blind, reading = best_without_and_with_text(others, partial(evidence.validation, self.root))
        best = reading or blind
        return best.name if best else (self.others or [self.reference])[-1]

    @property
    def line(self) -> str:
        """Protocol and head/tail definition."""
        return words.protocol_line(self.protocol, self.thresholds, self.dataset.split_config)

    def labelled(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(label=frame["run"].map(self.labels))

    def summary(self) -> pd.DataFrame:
        return self.labelled(evidence.summary(self.root, self.lineup, self.thresholds, self.metric, self.protocol))

    def comparison(self) -> pd.DataFrame:
        return self.labelled(
            evidence.comparison(self.root, self.lineup, self.reference, self.thresholds, self.metric, self.protocol)
        )

    def judged(self) -> list[Verdict]:
        return evidence.judged(self.root, self.lineup, self.reference, self.thresholds, self.metric, self.protocol)

    def alike(self) -> str:
        """What text changes about models that are the same without it, on tail items; empty where there is no pair."""
        pairs = like_for_like(self.chosen, partial(evidence.validation, self.root))
        found = alike.judged(
            self.root, pairs, self.lineup, lambda c: c.name, self.thresholds, self.metric, self.protocol
        )
        return alike.sentence(found, self.summary(), "Tail Item", self.metric)

    def doubts(self) -> tuple[Doubt, ...]:
        return evidence.doubts(self.root, self.lineup, self.reference, self.thresholds, self.metric, self.protocol)

    def curves(self, dimension: str) -> pd.DataFrame:
        found = evidence.curves(self.root, self.lineup, dimension, self.metric, self.protocol)  # type: ignore[arg-type]
        return self.labelled(found)

    def beyond(self) -> pd.DataFrame:
        text = evidence.newest_embedding(self.root, self.dataset.id)
        return self.labelled(evidence.beyond(self.root, self.lineup, self.dataset.id, text, self.thresholds, self.k))

    def popularity(self) -> pd.DataFrame:
        return self.labelled(evidence.popularity(self.root, self.lineup, self.dataset.id, self.metric))

    def movers(self, after: str) -> pd.DataFrame:
        pair = {name: self.lineup[name] for name in (self.reference, after)}
        return evidence.movers(self.root, pair, self.metric, self.protocol)

    def slice_groups(self) -> list[Group]:
        return slices.slice_groups(self.root, self.lineup, self.dataset.id, self.metric, self.protocol)

    def by_slice(self) -> pd.DataFrame:
        return self.labelled(
            slices.values_by_slice(self.root, self.lineup, self.dataset.id, self.metric, self.protocol)
        )

    def tests_by_slice(self, run: str) -> pd.DataFrame:
        """One configuration against the baseline, corrected over all slices."""
        pair = {name: self.lineup[name] for name in (self.reference, run)}
        return slices.tests_by_slice(self.root, pair, self.reference, self.dataset.id, self.metric, self.protocol)

    def stand_out(self, run: str, question: Question) -> list[Found]:
        return slices.stand_out(
            self.root, self.lineup, run, self.reference, question, self.dataset.id, self.metric, self.protocol
        )

    def trade_off(self) -> pd.DataFrame:
        """Accuracy with its interval, exposure, and who is on the frontier."""
        summary = self.summary()
        table = pd.concat([summary, self.beyond()], ignore_index=True)
        points = frontier(table, accuracy=self.metric, exposure=f"APLT@{self.k}")
        bounds = summary.loc[summary["group"] == "Overall", ["run", "low", "high"]]
        return self.labelled(points.merge(bounds, on="run"))

    def pinnable(self, *, stated: bool = False) -> None:
        """From here on, what is shown can be kept as a finding. ``stated``: it says itself what its numbers are of."""
        runs = [id for c in self.chosen for id in c.ids]
        of = {} if stated else {"protocol": self.protocol, "metric": self.metric}
        pins.about(self.dataset, runs, self.thresholds, **of, doubts=self.doubts, stated=stated)

    def every_metric(self) -> pd.DataFrame:
        return evidence.full_table(self.root, self.lineup, self.thresholds, self.k, self.protocol)


def choose(root: Store, dataset_id: str) -> Choice | None:
    """The pickers. None, with a sentence saying what to do, while there is nothing to compare."""
    runs = artifacts.runs(root, dataset_id, finished=True)
    if not runs:
        widgets.empty("No run of this dataset has been evaluated yet.", links.TRAINING, "Train one")
        return None
    dataset = artifacts.dataset(root, dataset_id)
    every = {c.name: c for c in evidence.grouped(root, runs)}
    validation = partial(evidence.validation, root)
    first = [c.name for c in best_of_each(list(every.values()), validation) or every.values()]
    names = links.choose_many(
        "Configurations", list(every), "compare", show=lambda n: _with_seeds(every[n]), default=first
    )
    chosen = _of_seeds([every[n] for n in every if n in names])
    if not chosen:
        widgets.empty("Choose at least one configuration above.")
        return None
    with st.container(key="compare-how"):
        left, middle, right = st.columns([5, 4, 3])
    with left:
        options = [c.name for c in chosen]
        blind, _ = best_without_and_with_text(chosen, validation)
        plain = blind.name if blind else options[0]
        reference = links.choose("Baseline", options, "against", default=plain, help="Gains are measured against it.")
    with middle:
        several = (RECALL,) if dataset.split_config.targets == "all" else ()
        name = links.choose("Metric", [*METRICS, *several], "metric", kind="segmented", default="HR")
    with right:
        k = links.choose("K", list(KS), "k", kind="segmented", default="10", help="Length of the recommendation list.")
    protocol = pickers.pick_protocol()
    thresholds = pickers.pick_thresholds(root, dataset)
    return Choice(root, dataset, chosen, str(reference), thresholds, protocol, f"{name}@{k}", int(str(k)))


def _with_seeds(contender: Contender) -> str:
    seeds = len(contender.seeds)
    return contender.name if seeds == 1 else f"{contender.name} · {seeds} seeds"


def _of_seeds(chosen: list[Contender]) -> list[Contender]:
    seeds = sorted({s for c in chosen for s in c.seeds})
    if len(seeds) < 2:
        return chosen
    with st.sidebar:
        help = "Values are averaged over the seeds of a configuration before they are compared."
        kept = links.choose_many("Seeds", [str(s) for s in seeds], "seeds", default=[str(s) for s in seeds], help=help)
    # A configuration trained with one seed alone has nothing to be averaged with: it stays.
    left = [c.of_seeds(map(int, kept)) or (c if len(c.seeds) == 1 else None) for c in chosen]
    return [c for c in left if c is not None]
