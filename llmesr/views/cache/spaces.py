"""What the map, neighbour and recommend pages keep: spaces, pairs of maps, runs ready to score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from llmesr.maps import spaces as map_spaces
from llmesr.maps.knn import unit_rows
from llmesr.maps.make import Map, find_map, load_map
from llmesr.maps.spaces import Of, Space
from llmesr.retrieval.similar import SimilarUsers, load_similar
from llmesr.runs.record import Run
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.units import Units
from llmesr.semantic.diagnostics import compare
from llmesr.semantic.embed import load_embedding
from llmesr.store import Store
from llmesr.views.cache import artifacts
from llmesr.views.shared.points import Pair, Points, live_pair, stored_pair

_QUIET: dict[str, Any] = {"show_spinner": False}


def spaces(root: Store, dataset_id: str) -> list[Space]:
    """Every space of a dataset that can be drawn."""
    seen = [(m.id, m.created) for m in artifacts.manifests(root, "embeddings") if m.parent("datasets") == dataset_id]
    finished = [r.id for r in artifacts.runs(root, dataset_id, finished=True)]
    return _spaces(
        str(root.root), dataset_id, artifacts.digest(root, "datasets", dataset_id), tuple(seen), tuple(finished)
    )


@st.cache_resource(max_entries=16, **_QUIET)
def _spaces(
    root: str, dataset_id: str, version: str, embeddings: tuple[Any, ...], runs: tuple[str, ...]
) -> list[Space]:
    store = Store(root)
    return map_spaces.available(store, artifacts.dataset(store, dataset_id))


def points(root: Store, dataset_id: str, of: Of) -> Points:
    """The points of a map, shared: read only."""
    return _points(str(root.root), dataset_id, artifacts.digest(root, "datasets", dataset_id), of)


@st.cache_resource(max_entries=8, **_QUIET)
def _points(root: str, dataset_id: str, version: str, of: Of) -> Points:
    dataset = artifacts.dataset(Store(root), dataset_id)
    return Points.of_items(dataset) if of == "items" else Points.of_users(dataset)


@st.cache_resource(max_entries=32, **_QUIET)
def attributes(root: str, dataset_id: str, version: str) -> list[str]:
    """Attributes of the items worth colouring by."""
    return points(Store(root), dataset_id, "items").attributes


def vectors(root: Store, space: Space, dataset_id: str, of: Of) -> np.ndarray:
    """The vectors of a space, shared: read only."""
    return _vectors(str(root.root), space.spec, dataset_id, of, _version(root, space))


@st.cache_resource(max_entries=8, show_spinner="Reading the vectors …")
def _vectors(root: str, spec: str, dataset_id: str, of: Of, version: str) -> np.ndarray:
    store = Store(root)
    dataset = artifacts.dataset(store, dataset_id)
    return map_spaces.vectors(store, map_spaces.open_space(store, spec, dataset), dataset, of)


def stored_map(root: Store, specs: list[str], of: Of) -> Map | None:
    """The newest readable map that holds all of ``specs``."""
    made = [m for m in artifacts.manifests(root, "maps") if m.info.get("of") == of]
    found = find_map(made, specs)
    return None if found is None else _map(str(root.root), found.id, artifacts.digest(root, "maps", found.id))


@st.cache_resource(max_entries=6, show_spinner="Reading the map …")
def _map(root: str, id: str, version: str) -> Map:
    return load_map(Store(root), id)


def pair(root: Store, dataset_id: str, left: Space, right: Space, of: Of, method: str) -> Pair:
    """Two maps side by side: from an artifact when there is one, else PCA on the spot."""
    made = stored_map(root, [left.spec, right.spec], of)
    if made is not None and method in made.methods:
        return _stored(str(root.root), made.id, artifacts.digest(root, "maps", made.id), left, right, method)
    versions = (_version(root, left), _version(root, right))
    return _live(str(root.root), dataset_id, left, right, of, versions)


@st.cache_resource(max_entries=12, hash_funcs={Space: lambda s: s.spec}, **_QUIET)
def _stored(root: str, id: str, version: str, left: Space, right: Space, method: str) -> Pair:
    return stored_pair(_map(root, id, version), left, right, method)


@st.cache_resource(max_entries=8, hash_funcs={Space: lambda s: s.spec}, show_spinner="Drawing by PCA …")
def _live(root: str, dataset_id: str, left: Space, right: Space, of: Of, versions: tuple[str, ...]) -> Pair:
    store = Store(root)
    tables = [vectors(store, space, dataset_id, of) for space in (left, right)]
    return live_pair((left, tables[0]), (right, tables[1]))


def diagnosis(root: Store, dataset_id: str, both: tuple[Space, Space]) -> pd.DataFrame:
    """Spread, rank and attribute precision of the item vectors of two spaces, side by side."""
    versions = tuple(_version(root, space) for space in both)
    return _diagnosis(str(root.root), dataset_id, *both, versions)


@st.cache_data(max_entries=16, hash_funcs={Space: lambda s: s.spec}, show_spinner="Measuring the spaces …")
def _diagnosis(root: str, dataset_id: str, left: Space, right: Space, versions: tuple[str, ...]) -> pd.DataFrame:
    store = Store(root)
    catalogue = artifacts.dataset(store, dataset_id).catalogue
    tables = {space.label: vectors(store, space, dataset_id, "items") for space in (left, right)}
    return compare(tables, catalogue).rename(
        columns={"measure": "Measure", "attribute": "Attribute", "better": "Better"}
    )


def _version(root: Store, space: Space) -> str:
    return artifacts.digest(root, "embeddings" if space.source == "embedding" else "runs", space.manifest.id)


def user_vectors(root: Store, dataset_id: str, source: str, id: str) -> np.ndarray:
    """Users as unit rows (U, E), shared: by ``text`` (an embedding's id) or by ``behaviour`` (a run's id)."""
    kind = "embeddings" if source == "text" else "runs"
    return _user_vectors(str(root.root), dataset_id, source, id, artifacts.digest(root, kind, id))


@st.cache_resource(max_entries=6, show_spinner="Reading every user's history …")
def _user_vectors(root: str, dataset_id: str, source: str, id: str, version: str) -> np.ndarray:
    store = Store(root)
    data = artifacts.dataset(store, dataset_id)
    if source == "text":
        return unit_rows(load_embedding(store, id, data).user_vectors)
    views = map_spaces.run_vectors(Run(store, id), data, "users")
    return unit_rows(np.concatenate(list(views.values()), axis=1))


def similar(root: Store, id: str) -> SimilarUsers:
    """Similar users as a run was taught with, shared: read only."""
    return _similar(str(root.root), id, artifacts.digest(root, "neighbours", id))


@st.cache_resource(max_entries=4, **_QUIET)
def _similar(root: str, id: str, version: str) -> SimilarUsers:
    return load_similar(Store(root), id)


def recommender(root: Store, run_id: str) -> Recommender:
    """A run ready to recommend, shared by all visitors: it keeps no state between requests but caches."""
    return _recommender(str(root.root), run_id, artifacts.digest(root, "runs", run_id))


@st.cache_resource(max_entries=8, show_spinner="Loading the model …")
def _recommender(root: str, run_id: str, version: str) -> Recommender:
    store = Store(root)
    run = Run(store, run_id)
    return Recommender(ScoredRun(store, run, dataset=artifacts.dataset(store, run.dataset_id)))


def has_vectors(run: Run) -> bool:
    """Whether a run represents users and items by vectors."""
    return bool(map_spaces.parts_of(run))


def units(root: Store, run_id: str) -> Units:
    """The weights at which the terms of a policy spread as far as the run's own scores."""
    return _units(str(root.root), run_id, artifacts.digest(root, "runs", run_id))


@st.cache_resource(max_entries=8, **_QUIET)
def _units(root: str, run_id: str, version: str) -> Units:
    return Units(recommender(Store(root), run_id).scored)
