"""One comparison of runs: means, tests, the guard's doubts and verdicts, for whoever states it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast, get_args

import pandas as pd

from llmesr import cards
from llmesr.config import EVERY_GROUP, Protocol
from llmesr.data.dataset import load_dataset
from llmesr.data.groups import Thresholds
from llmesr.data.split import PARTS, Part
from llmesr.errors import UserError
from llmesr.evaluation import statistics
from llmesr.evaluation.comparable import check_comparable
from llmesr.evaluation.contenders import Contender, contenders, validation_score
from llmesr.evaluation.doubts import Doubt
from llmesr.evaluation.fairness import Disparity, disparities
from llmesr.evaluation.guard import Case, examine
from llmesr.evaluation.slice_columns import target_times
from llmesr.evaluation.slices import Found, Question, slices, stand_out, target_values
from llmesr.evaluation.statistics import DEFAULT_METRICS, Which
from llmesr.evaluation.table import Group, parse_metric
from llmesr.evaluation.values import Values, per_user
from llmesr.evaluation.verdict import Verdict, verdicts
from llmesr.evaluation.worth import amounts, worth
from llmesr.prose import listed
from llmesr.runs.record import Run, list_runs
from llmesr.store import Store


@dataclass(frozen=True, eq=False)
class Comparison:
    """Contenders of one dataset against ``baseline``, one of them. ``everyone``: all evaluated ones of the dataset but
    those in ``archived``, which were put away."""

    store: Store
    chosen: Sequence[Contender]
    baseline: Contender
    everyone: Sequence[Contender]
    thresholds: Thresholds
    metrics: Sequence[str] = DEFAULT_METRICS
    protocol: str = "full"
    part: str = "test"
    groups: Which = "named"
    archived: Sequence[Contender] = ()

    @cached_property
    def frames(self) -> dict[str, list[pd.DataFrame]]:
        """Name -> rank frames of its seeds, of the part that is compared."""
        return {c.name: [run.per_user(self.part) for run in c.runs] for c in self.chosen}

    @property
    def alone(self) -> set[str]:
        """Those without luck in training."""
        return {c.name for c in self.chosen if c.alone}

    @cached_property
    def summary(self) -> pd.DataFrame:
        """See :func:`evaluation.statistics.summary`; a row per contender, group and metric."""
        return statistics.summary(self._values, self.thresholds, alone=self.alone, **self._asked)

    @cached_property
    def by_run(self) -> pd.DataFrame:
        """The same with every seed on its own; ``run`` is the id of the run."""
        if all(len(c.runs) == 1 for c in self.chosen):
            return self.summary.assign(run=self.summary["run"].map({c.name: c.ids[0] for c in self.chosen}))
        alone = {run.id: [f] for c in self.chosen for run, f in zip(c.runs, self.frames[c.name], strict=True)}
        return statistics.summary(alone, self.thresholds, **self._asked)

    @cached_property
    def tests(self) -> pd.DataFrame:
        """See :func:`evaluation.statistics.compare`; UserError where nothing stands beside the baseline."""
        return statistics.compare(
            self._values, self.thresholds, baseline=self.baseline.name, alone=self.alone, **self._asked
        )

    @cached_property
    def doubts(self) -> tuple[Doubt, ...]:
        """What stands against the comparison."""
        case = Case(
            chosen=self.chosen,
            baseline=self.baseline.name,
            frames=self.frames,
            everyone=self.everyone,
            validation=self.validation,
            thresholds=self.thresholds,
            metrics=self.metrics,
            protocol=self.protocol,
            part=self.part,
            archived=self.archived,
            tied=load_dataset(self.store, self.baseline.runs[0].dataset_id).tied(cast(Part, self.part)),
        )
        return examine(case)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """One per contender and metric, none where the baseline is alone."""
        return verdicts(self.tests, self.doubts, EVERY_GROUP) if len(self.chosen) > 1 else []

    @cached_property
    def slices(self) -> list[Group]:
        """The targets by what is known of their items and users (see :mod:`evaluation.slices`)."""
        dataset = load_dataset(self.store, self.baseline.runs[0].dataset_id)
        rows = self._values.rows
        times = target_times(dataset, rows, cast(Part, self.part))
        return slices(rows, self.thresholds, dataset.catalogue, dataset.user_attributes, times)

    @cached_property
    def values_by_slice(self) -> pd.DataFrame:
        """:attr:`summary` of every slice in the place of the groups; the dimension is the column."""
        asked = {**self._asked, "groups": self.slices}
        return statistics.summary(self._values, self.thresholds, alone=self.alone, **asked)

    @cached_property
    def tests_by_slice(self) -> pd.DataFrame:
        """:attr:`tests` of every slice, corrected over all of them."""
        asked = {**self._asked, "groups": self.slices, "baseline": self.baseline.name}
        return statistics.compare(self._values, self.thresholds, alone=self.alone, **asked)

    def stand_out(self, run: str, question: Question = "fails") -> list[Found]:
        """The slices, and pairs of slices, in which the contender named ``run`` fails, gains or loses most.

        See :func:`evaluation.slices.search`; of the first metric.
        """
        if run not in self.frames:
            raise UserError(f"{run!r} is not compared here: one of {', '.join(self.frames)}.")
        of = {"metric": self.metrics[0], "protocol": self.protocol, "part": self.part}
        return stand_out(self.frames, run, self.baseline.name, question, self.slices, **of)

    def disparities(self, run: str) -> list[Disparity]:
        """Whom the contender named ``run`` serves best and worst, by every column of users.

        See :func:`evaluation.fairness.disparities`; of the first metric.
        """
        if run not in self.frames:
            raise UserError(f"{run!r} is not compared here: one of {', '.join(self.frames)}.")
        values = target_values(self.frames[run], self.metrics[0], self.protocol, self.part)
        return disparities(values, self.slices, self._values.rows["user"].to_numpy())

    def worth(self, column: str) -> pd.DataFrame:
        """The first metric, each target weighing as much as a ``column`` of its item (see
        :func:`evaluation.worth.worth`). UserError where the column holds no money."""
        there = amounts(load_dataset(self.store, self.baseline.runs[0].dataset_id).catalogue)
        if column not in there:
            named = f"; there is {listed(list(there))}" if there else ""
            raise UserError(
                f"{column!r} is no column of money of the items{named}. Its name has to say price, margin, profit or "
                "revenue, and its values are amounts above 0."
            )
        of = {"metric": self.metrics[0], "protocol": self.protocol, "part": self.part}
        return worth(self.frames, self.baseline.name, there[column], **of)

    def table(self, metric: str | None = None) -> pd.DataFrame:
        """A row per contender, a column per group: the means of one metric (the first)."""
        rows = self.summary[self.summary["metric"] == (metric or self.metrics[0])]
        return rows.pivot_table(index="run", columns="group", values="value", sort=False)

    def __str__(self) -> str:
        where = f"{self.protocol} ranking, {self.part} part. {self.thresholds.describe()}"
        tables = [f"{metric}, {where}\n{self.table(metric)}" for metric in self.metrics]
        said = [f"{v.run} against {v.baseline} ({v.metric}): {v.sentence()}" for v in self.verdicts]
        return "\n".join([*tables, *said, *(f"{d.severity}: {d.sentence}" for d in self.doubts)])

    def _repr_html_(self) -> str:
        """What a notebook shows: the same as in print, the verdicts and what stands against them below the table."""
        where = f"{self.protocol} ranking, {self.part} part. {self.thresholds.describe()}"
        tables = [cards.grid(self.table(metric), metric) for metric in self.metrics]
        said = [f"{v.run} against {v.baseline} ({v.metric}): {v.sentence()}" for v in self.verdicts]
        said += [f"{d.severity}: {d.sentence}" for d in self.doubts]
        others = [c.name for c in self.chosen if c.name != self.baseline.name]
        title = f"{listed(others)} against {self.baseline.name}" if others else self.baseline.name
        return cards.card(title, where, *tables, cards.sentences(said))

    @cached_property
    def _values(self) -> Values:
        return per_user(self.frames, self.metrics, self.protocol, self.part)

    @property
    def _asked(self) -> dict[str, Any]:
        return {"metrics": self.metrics, "protocol": self.protocol, "part": self.part, "groups": self.groups}

    def validation(self, contender: Contender) -> float:
        """NDCG@10 on validation (see :func:`evaluation.contenders.validation_score`)."""
        if contender.ids not in self._validated:
            self._validated[contender.ids] = validation_score(contender.runs)
        return self._validated[contender.ids]

    @cached_property
    def _validated(self) -> dict[tuple[str, ...], float]:
        return {}


def compare_runs(
    store: Store,
    runs: Sequence[Run],
    *,
    baseline: Run | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    protocol: str = "full",
    part: str = "test",
    groups: Which = "named",
    thresholds: Thresholds | None = None,
) -> Comparison:
    """Runs of one dataset against ``baseline`` (the first), seeds of one configuration taken together.

    ``thresholds``: the dataset's own when absent. UserError for runs of different datasets, for a run without an
    evaluation, for an unknown metric, and for a baseline that a newer run of the same seed replaces.
    """
    if not runs:
        raise UserError("Give at least one run to compare.")
    for metric in metrics:
        parse_metric(metric)
    protocols = get_args(Protocol)
    if protocol not in protocols or part not in PARTS:
        raise UserError(
            f"There is no {protocol}/{part}: the protocol is {' or '.join(protocols)}, the part {' or '.join(PARTS)}."
        )
    first = baseline or runs[0]
    found = {run.id: run for run in [*runs, first]}
    check_comparable(store, [run.manifest for run in found.values()])
    whole = [r for r in list_runs(store, first.dataset_id, archived=True) if r.status().state == "SUCCEEDED"]
    evaluated, away = ({r.id: r for r in whole if r.remarks.archived is put} for put in (False, True))
    everyone = contenders(list({**evaluated, **found}.values()))
    chosen = contenders(list(found.values()))
    base = next((c for c in chosen if first.id in c.ids), None)
    if base is None:
        raise UserError(f"Run {first.id!r} is an older repetition of another one given: leave one of them out.")
    return Comparison(
        store=store,
        chosen=chosen,
        baseline=base,
        everyone=everyone,
        thresholds=thresholds or load_dataset(store, first.dataset_id).thresholds,
        metrics=tuple(metrics),
        protocol=protocol,
        part=part,
        groups=groups,
        archived=contenders([r for r in away.values() if r.id not in found]),
    )
