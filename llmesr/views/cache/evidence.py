"""Evidence about contenders, computed once per choice of runs, thresholds, metric and protocol, and kept.

A *lineup* is what is asked about: contender name -> the ids of its runs. Its order is the order of every table.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from llmesr.config import EVERY_GROUP
from llmesr.data.groups import Thresholds
from llmesr.evaluation import contrast, statistics
from llmesr.evaluation.beyond import beyond_table
from llmesr.evaluation.claim import Claim, make_claim
from llmesr.evaluation.contenders import Contender, contenders, validation_score
from llmesr.evaluation.doubts import Doubt, in_order
from llmesr.evaluation.guard import Case, by_group, standing
from llmesr.evaluation.popularity import KEYS, explained, popularity_ranks
from llmesr.evaluation.table import READ, metric_table, parse_metric, table_of
from llmesr.evaluation.values import Values, per_user
from llmesr.evaluation.verdict import Verdict, verdicts
from llmesr.runs.record import Run
from llmesr.semantic.embed import Embedding, load_embedding, whole_embeddings
from llmesr.store import Store
from llmesr.views.cache import artifacts
from llmesr.views.cache.kept import digests, kept

Lineup = Mapping[str, Sequence[str]]
SAID = "Computing statistics …"
ANYWHERE = Thresholds(item=1, user=1)
"""For what does not depend on where head and tail part."""
_of_runs = kept(digests(lineup="runs"), copies=True, entries=128, spinner=SAID)


@_of_runs
def summary(root: Store, lineup: Lineup, thresholds: Thresholds, metric: str, protocol: str) -> pd.DataFrame:
    """See :func:`evaluation.statistics.summary`: one metric, the five named groups, the test part."""
    values = values_of(root, lineup, metric, protocol)
    alone = without_luck(root, lineup)
    return statistics.summary(values, thresholds, metrics=[metric], protocol=protocol, alone=alone)


@_of_runs
def comparison(
    root: Store, lineup: Lineup, reference: str, thresholds: Thresholds, metric: str, protocol: str
) -> pd.DataFrame:
    """See :func:`evaluation.statistics.compare`: everybody against ``reference``."""
    values = values_of(root, lineup, metric, protocol)
    alone = without_luck(root, lineup)
    return statistics.compare(values, thresholds, baseline=reference, metrics=[metric], protocol=protocol, alone=alone)


def doubts(
    root: Store, lineup: Lineup, reference: str, thresholds: Thresholds, metric: str, protocol: str
) -> tuple[Doubt, ...]:
    """What stands against comparing everybody with ``reference`` (see :mod:`evaluation.guard`)."""
    dataset = Run(root, next(iter(lineup.values()))[0]).dataset_id
    there = {c.name: c.ids for c in everyone(root, dataset)}
    chosen = {id for ids in (*there.values(), *lineup.values()) for id in ids}
    rest = [r for r in artifacts.runs(root, dataset, archived=True) if r.id not in chosen]  # also those that train yet
    away = grouped(root, [r for r in rest if r.status().state == "SUCCEEDED"])
    archived = {c.name: c.ids for c in away}
    return _doubts(root, lineup, there, archived, reference, thresholds, metric, protocol)


def judged(
    root: Store,
    lineup: Lineup,
    reference: str,
    thresholds: Thresholds,
    metric: str,
    protocol: str,
    *,
    among: Lineup | None = None,
) -> list[Verdict]:
    """One verdict per other contender, qualified by what the guard found.

    ``among`` holds ``lineup`` and whoever stands beside it on the page: p is corrected for all of them, so that a pair
    has one p, whether it is picked out for a headline or looked up on Compare.
    """
    tested = comparison(root, among or lineup, reference, thresholds, metric, protocol)
    return verdicts(tested[tested["run"].isin(lineup)], doubts(root, lineup, reference, thresholds, metric, protocol))


@kept(digests(pair="runs", there="runs"), entries=16, spinner=SAID)
def claim(
    root: Store,
    pair: Lineup,
    there: Lineup,  # noqa: ARG001 only a part of the key
    thresholds: Thresholds,
    metric: str,
    protocol: str,
) -> Claim:
    """The claim that the first of ``pair`` is better than the second; ``there``: all runs of the data (any split),
    which it is made anew for."""
    run, baseline = (Run(root, ids[0]) for ids in pair.values())
    return make_claim(root, run, baseline, metric=metric, protocol=protocol, thresholds=thresholds)


def everyone(root: Store, dataset_id: str) -> list[Contender]:
    """All evaluated contenders of a dataset."""
    return grouped(root, artifacts.runs(root, dataset_id, finished=True))


def grouped(root: Store, runs: Sequence[Run]) -> list[Contender]:
    """The contenders that ``runs`` make (see :func:`evaluation.contenders.contenders`), shared: a page asks for them
    five times."""
    return list(_grouped(root, tuple(r.id for r in runs)))


def _any_run(root: Store, **_: object) -> Hashable:
    return artifacts.all_as_written(root, "runs")  # a blend is named by its members, whichever runs they are


@kept(_any_run, entries=64)
def _grouped(root: Store, ids: tuple[str, ...]) -> tuple[Contender, ...]:
    return tuple(contenders([Run(root, id) for id in ids]))


@_of_runs
def curves(
    root: Store, lineup: Lineup, dimension: Literal["popularity", "length"], metric: str, protocol: str
) -> pd.DataFrame:
    """See :func:`evaluation.contrast.curves`; buckets do not depend on the thresholds."""
    return contrast.curves(frames_of(root, lineup), ANYWHERE, dimension, metric=metric, protocol=protocol)


@_of_runs
def movers(root: Store, lineup: Lineup, metric: str, protocol: str) -> pd.DataFrame:
    """See :func:`evaluation.contrast.movers`: ``lineup`` holds who was before, then who came after."""
    before, after = frames_of(root, lineup).values()
    return contrast.movers(before, after, metric=metric, protocol=protocol)


@_of_runs
def outcomes(root: Store, lineup: Lineup, metric: str, protocol: str) -> pd.DataFrame:
    """See :func:`evaluation.contrast.outcomes`."""
    return contrast.outcomes(frames_of(root, lineup), metric=metric, protocol=protocol)


@_of_runs
def full_table(root: Store, lineup: Lineup, thresholds: Thresholds, k: int, protocol: str) -> pd.DataFrame:
    """Every metric at ``k`` for every group and cell, means of seeds: run, dimension, group, metric, value, users."""
    tables = [
        metric_table(frame, thresholds, protocol=protocol, ks=(k,)).assign(run=name)
        for name, frames in frames_of(root, lineup).items()
        for frame in frames
    ]
    return _mean_of_seeds(tables, ["run", "dimension", "group", "metric"])


def validation(root: Store, contender: Contender) -> float:
    """How good a contender is on validation (see :func:`evaluation.contenders.validation_score`)."""
    return _validation(root, {contender.name: contender.ids})


@kept(
    digests(lineup="runs", dataset_id="datasets", embedding_id="embeddings"),
    copies=True,
    entries=128,
    spinner=SAID,
)
def beyond(
    root: Store, lineup: Lineup, dataset_id: str, embedding_id: str | None, thresholds: Thresholds, k: int
) -> pd.DataFrame:
    """Coverage, Gini, ARP, APLT, Novelty and, given an embedding, ILD: run, group, metric, value; means of seeds."""
    dataset = artifacts.dataset(root, dataset_id)
    vectors = None if embedding_id is None else embedding(root, embedding_id).check(dataset).padded()
    tables = [
        beyond_table(np.asarray(artifacts.top_items(root, id)), dataset, thresholds, ks=(k,), vectors=vectors).assign(
            run=name
        )
        for name, ids in lineup.items()
        for id in ids
    ]
    return _mean_of_seeds(tables, ["run", "group", "metric"])


@kept(digests(lineup="runs", dataset_id="datasets"), copies=True, entries=64, spinner=SAID)
def popularity(root: Store, lineup: Lineup, dataset_id: str, metric: str) -> pd.DataFrame:
    """See :func:`evaluation.popularity.explained`."""
    return explained(frames_of(root, lineup), _popular(root, dataset_id), metric)


@kept(digests(lineup="runs", dataset_id="datasets"), copies=True, entries=16, spinner=SAID)
def movers_from_popularity(root: Store, lineup: Lineup, dataset_id: str, metric: str, protocol: str) -> pd.DataFrame:
    """:func:`movers` of one contender; before it every target stands where its training interactions alone rank it."""
    (frames,) = frames_of(root, lineup).values()
    own = frames[0].drop(columns="rank")
    before = own.merge(_popular(root, dataset_id)[[*KEYS, "rank"]], on=KEYS, validate="one_to_one")
    return contrast.movers([before], frames, metric=metric, protocol=protocol)


@kept(digests(dataset_id="datasets"), entries=4)
def _popular(root: Store, dataset_id: str) -> pd.DataFrame:
    return popularity_ranks(artifacts.dataset(root, dataset_id))


def newest_embedding(root: Store, dataset_id: str) -> str | None:
    """The id of the newest embedding of a dataset that is of every item; None when there is none."""
    return next((m.id for m in whole_embeddings(artifacts.manifests(root, "embeddings"), dataset_id)), None)


@kept(digests(id="embeddings"), entries=4)
def embedding(root: Store, id: str) -> Embedding:
    """Text vectors, shared: read only."""
    return load_embedding(root, id)


@kept(digests(lineup="runs"), entries=8)
def values_of(root: Store, lineup: Lineup, metric: str, protocol: str) -> Values:
    """What a moved threshold leaves as it is."""
    return per_user(frames_of(root, lineup), [metric], protocol, "test")


@kept(digests(lineup="runs", there="runs", archived="runs"), entries=128, spinner=SAID)
def _doubts(
    root: Store,
    lineup: Lineup,
    there: Lineup,
    archived: Lineup,
    reference: str,
    thresholds: Thresholds,
    metric: str,
    protocol: str,
) -> tuple[Doubt, ...]:
    case = _case(root, lineup, reference, metric, protocol)
    found = _standing(root, lineup, there, archived, reference, metric, protocol)
    return in_order([*found, *by_group(replace(case, thresholds=thresholds))])


@kept(digests(lineup="runs", there="runs", archived="runs"), entries=32, spinner=SAID)
def _standing(
    root: Store, lineup: Lineup, there: Lineup, archived: Lineup, reference: str, metric: str, protocol: str
) -> list[Doubt]:
    """What a moved threshold leaves as it is."""
    case = _case(root, lineup, reference, metric, protocol)
    tied = artifacts.dataset(root, Run(root, next(iter(lineup.values()))[0]).dataset_id).tied("test")
    return standing(replace(case, everyone=_contenders(root, there), archived=_contenders(root, archived), tied=tied))


def _case(root: Store, lineup: Lineup, reference: str, metric: str, protocol: str) -> Case:
    """Without anybody beside the chosen, and with thresholds that are not to be read."""
    return Case(
        chosen=_contenders(root, lineup),
        baseline=reference,
        frames=frames_of(root, lineup),
        everyone=(),
        validation=lambda contender: validation(root, contender),
        thresholds=ANYWHERE,
        metrics=(metric,),
        protocol=protocol,
    )


@kept(digests(id="runs"), entries=4096)
def validated(root: Store, id: str, thresholds: Thresholds, metric: str, protocol: str) -> dict[str, float]:
    """What a run reached on validation, by named group; empty for a ranking made elsewhere, which has none."""
    ranks = Run(root, id).per_user("valid", protocol, READ)
    if ranks.empty:
        return {}
    table = table_of(ranks, thresholds, (parse_metric(metric)[1],))
    rows = table[(table["metric"] == metric) & table["group"].isin(EVERY_GROUP)]
    return dict(zip(rows["group"], rows["value"], strict=True))


@kept(digests(lineup="runs"), entries=1024)
def _validation(root: Store, lineup: Lineup) -> float:
    return validation_score(Run(root, id) for ids in lineup.values() for id in ids)


def _contenders(root: Store, lineup: Lineup) -> list[Contender]:
    return [Contender.named(name, [Run(root, id) for id in ids]) for name, ids in lineup.items()]


def without_luck(root: Store, lineup: Lineup) -> set[str]:
    """The names of those in whose training luck has no part."""
    return {c.name for c in _contenders(root, lineup) if c.alone}


def frames_of(root: Store, lineup: Lineup) -> dict[str, list[pd.DataFrame]]:
    """Name -> the ranks of the test part of its runs."""
    return {name: [artifacts.per_user(root, id) for id in ids] for name, ids in lineup.items()}


def _mean_of_seeds(tables: list[pd.DataFrame], by: list[str]) -> pd.DataFrame:
    whole = pd.concat(tables, ignore_index=True)
    return whole.groupby(by, sort=False, as_index=False)[["value", "users"]].mean().astype({"users": int})
