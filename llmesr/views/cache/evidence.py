"""Evidence about contenders, computed once per choice of runs, thresholds, metric and protocol, and kept.

A *lineup* is what is asked about: contender name -> the ids of its runs. Its order is the order of every table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import streamlit as st

from llmesr.data.groups import Thresholds
from llmesr.evaluation import contrast, statistics
from llmesr.evaluation.beyond import beyond_table
from llmesr.evaluation.contenders import contenders
from llmesr.evaluation.table import metric_table
from llmesr.runs.record import Run
from llmesr.semantic.embed import Embedding, is_whole, load_embedding
from llmesr.store import Store
from llmesr.views.cache import artifacts
from llmesr.views.story import steps as story

Lineup = Mapping[str, Sequence[str]]
_Key = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
_CACHE: dict[str, Any] = {"max_entries": 128, "show_spinner": "Weighing the evidence …"}


def summary(root: Store, lineup: Lineup, thresholds: Thresholds, metric: str, protocol: str) -> pd.DataFrame:
    """See :func:`evaluation.statistics.summary`: one metric, the five named groups, the test part."""
    return _summary(str(root.root), _key(root, lineup), thresholds.item, thresholds.user, metric, protocol)


def comparison(
    root: Store, lineup: Lineup, reference: str, thresholds: Thresholds, metric: str, protocol: str
) -> pd.DataFrame:
    """See :func:`evaluation.statistics.compare`: everybody against ``reference``."""
    at = (thresholds.item, thresholds.user)
    return _comparison(str(root.root), _key(root, lineup), reference, *at, metric, protocol)


def curves(
    root: Store, lineup: Lineup, dimension: Literal["popularity", "length"], metric: str, protocol: str
) -> pd.DataFrame:
    """See :func:`evaluation.contrast.curves`; buckets do not depend on the thresholds."""
    return _curves(str(root.root), _key(root, lineup), dimension, metric, protocol)


def movers(root: Store, lineup: Lineup, before: str, after: str, metric: str, protocol: str) -> pd.DataFrame:
    """See :func:`evaluation.contrast.movers`."""
    pair = {name: lineup[name] for name in (before, after)}
    return _movers(str(root.root), _key(root, pair), metric, protocol)


def full_table(root: Store, lineup: Lineup, thresholds: Thresholds, k: int, protocol: str) -> pd.DataFrame:
    """Every metric at ``k`` for every group and cell, means of seeds: run, dimension, group, metric, value, users."""
    return _full_table(str(root.root), _key(root, lineup), thresholds.item, thresholds.user, k, protocol)


def beyond(
    root: Store, lineup: Lineup, dataset_id: str, embedding_id: str | None, thresholds: Thresholds, k: int
) -> pd.DataFrame:
    """Coverage, Gini, ARP, APLT, Novelty and, given an embedding, ILD: run, group, metric, value; means of seeds."""
    text = None if embedding_id is None else (embedding_id, artifacts.digest(root, "embeddings", embedding_id))
    data = (dataset_id, artifacts.digest(root, "datasets", dataset_id))
    return _beyond(str(root.root), _key(root, lineup), data, text, thresholds.item, thresholds.user, k)


def story_step(
    root: Store,
    lineup: Lineup,
    dataset_id: str,
    thresholds: Thresholds,
    number: int,
    metric: str,
    protocol: str,
    example: int = 0,
) -> story.Step:
    """Step ``number`` (1..5) of the story told by the runs of ``lineup`` (see :mod:`views.story.steps`)."""
    text = newest_embedding(root, dataset_id)
    made = None if text is None else (text, artifacts.digest(root, "embeddings", text))
    data = (dataset_id, artifacts.digest(root, "datasets", dataset_id))
    at = (thresholds.item, thresholds.user, number, metric, protocol, example)
    return _story_step(str(root.root), _key(root, lineup), data, made, *at)


def newest_embedding(root: Store, dataset_id: str) -> str | None:
    """The id of the newest embedding of a dataset that is of every item; None when there is none."""
    made = (m for m in artifacts.manifests(root, "embeddings") if m.parent("datasets") == dataset_id)
    return next((m.id for m in made if is_whole(m)), None)


def embedding(root: Store, id: str) -> Embedding:
    """Text vectors, shared: read only."""
    return _embedding(str(root.root), id, artifacts.digest(root, "embeddings", id))


def _key(root: Store, lineup: Lineup) -> _Key:
    return tuple((n, tuple((i, artifacts.digest(root, "runs", i)) for i in ids)) for n, ids in lineup.items())


def _frames(root: str, key: _Key) -> dict[str, list[pd.DataFrame]]:
    return {name: [artifacts.per_user(Store(root), id) for id, _ in runs] for name, runs in key}


@st.cache_resource(max_entries=8, show_spinner=False)
def _values(root: str, key: _Key, metric: str, protocol: str) -> statistics.Values:
    """What a moved threshold leaves as it is."""
    return statistics.per_user(_frames(root, key), [metric], protocol, "test")


@st.cache_data(**_CACHE)
def _summary(root: str, key: _Key, item: int, user: int, metric: str, protocol: str) -> pd.DataFrame:
    values = _values(root, key, metric, protocol)
    return statistics.summary(values, Thresholds(item=item, user=user), metrics=[metric], protocol=protocol)


@st.cache_data(**_CACHE)
def _comparison(root: str, key: _Key, reference: str, item: int, user: int, metric: str, protocol: str) -> pd.DataFrame:
    values, thresholds = _values(root, key, metric, protocol), Thresholds(item=item, user=user)
    return statistics.compare(values, thresholds, baseline=reference, metrics=[metric], protocol=protocol)


@st.cache_data(**_CACHE)
def _curves(root: str, key: _Key, dimension: Any, metric: str, protocol: str) -> pd.DataFrame:
    anywhere = Thresholds(item=1, user=1)
    return contrast.curves(_frames(root, key), anywhere, dimension, metric=metric, protocol=protocol)


@st.cache_data(**_CACHE)
def _movers(root: str, key: _Key, metric: str, protocol: str) -> pd.DataFrame:
    before, after = _frames(root, key).values()
    return contrast.movers(before, after, metric=metric, protocol=protocol)


@st.cache_data(**_CACHE)
def _full_table(root: str, key: _Key, item: int, user: int, k: int, protocol: str) -> pd.DataFrame:
    thresholds = Thresholds(item=item, user=user)
    tables = [
        metric_table(frame, thresholds, protocol=protocol, ks=(k,)).assign(run=name)
        for name, frames in _frames(root, key).items()
        for frame in frames
    ]
    return _mean_of_seeds(tables, ["run", "dimension", "group", "metric"])


@st.cache_data(**_CACHE)
def _beyond(
    root: str, key: _Key, data: tuple[str, str], text: tuple[str, str] | None, item: int, user: int, k: int
) -> pd.DataFrame:
    store = Store(root)
    dataset = artifacts.dataset(store, data[0])
    vectors = None if text is None else embedding(store, text[0]).check(dataset).padded()
    tables = [
        beyond_table(
            np.asarray(artifacts.top_items(store, id)),
            dataset,
            Thresholds(item=item, user=user),
            ks=(k,),
            vectors=vectors,
        ).assign(run=name)
        for name, runs in key
        for id, _ in runs
    ]
    return _mean_of_seeds(tables, ["run", "group", "metric"])


@st.cache_data(**_CACHE)
def _story_step(
    root: str,
    key: _Key,
    data: tuple[str, str],
    text: tuple[str, str] | None,
    item: int,
    user: int,
    number: int,
    metric: str,
    protocol: str,
    example: int,
) -> story.Step:
    store = Store(root)
    dataset = artifacts.dataset(store, data[0])
    material = story.Material(
        dataset=dataset,
        chosen=contenders([Run(store, id) for _, runs in key for id, _ in runs]),
        frames=_frames(root, key),
        thresholds=Thresholds(item=item, user=user),
        vectors=None if text is None else embedding(store, text[0]).check(dataset).item_vectors,
        protocol=protocol,
        metric=metric,
        example=example,
    )
    return story.STEPS[number - 1](material)


def _mean_of_seeds(tables: list[pd.DataFrame], by: list[str]) -> pd.DataFrame:
    whole = pd.concat(tables, ignore_index=True)
    return whole.groupby(by, sort=False, as_index=False)[["value", "users"]].mean().astype({"users": int})


@st.cache_resource(max_entries=4, show_spinner=False)
def _embedding(root: str, id: str, _digest: str) -> Embedding:
    return load_embedding(Store(root), id)
