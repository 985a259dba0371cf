"""What the map and neighbour pages keep: spaces, their points and vectors, pairs of maps, similar users."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from llmesr.data.groups import Thresholds
from llmesr.data.unit_rows import unit_rows
from llmesr.maps import spaces as map_spaces
from llmesr.maps.knn import closeness, neighbours_of
from llmesr.maps.make import Map, find_map, load_map
from llmesr.maps.points import Pair, Points, live_pair, stored_pair
from llmesr.maps.regions import Region, Words, levels
from llmesr.maps.spaces import Of, Space
from llmesr.retrieval.similar import SimilarUsers, load_similar
from llmesr.runs.record import Run
from llmesr.semantic.diagnostics import compare
from llmesr.semantic.embed import load_embedding
from llmesr.store import Store
from llmesr.text.prompts import titled
from llmesr.views.cache import artifacts, evidence
from llmesr.views.cache.kept import digest, digests, kept

EXAMPLES = 2000
"""Tail items among which a typical one is looked for."""


def _drawable(root: Store, dataset_id: str) -> Hashable:
    texts = [(m.id, m.created) for m in artifacts.manifests(root, "embeddings") if m.parent("datasets") == dataset_id]
    finished = [run.id for run in artifacts.runs(root, dataset_id, finished=True)]
    return digest(root, "datasets", dataset_id), tuple(texts), tuple(finished)


def _kind(space: Space) -> str:
    return "embeddings" if space.source == "embedding" else "runs"


def _of_spaces(root: Store, **arguments: Any) -> Hashable:
    """The version of what was made from one or two spaces."""
    return tuple(digest(root, _kind(a), a.manifest.id) for a in arguments.values() if isinstance(a, Space))


@kept(_drawable, entries=16)
def spaces(root: Store, dataset_id: str) -> list[Space]:
    """Every space of a dataset that can be drawn."""
    return map_spaces.available(root, artifacts.dataset(root, dataset_id))


@kept(digests(dataset_id="datasets"), entries=8)
def points(root: Store, dataset_id: str, of: Of) -> Points:
    """The points of a map, shared: read only."""
    dataset = artifacts.dataset(root, dataset_id)
    return Points.of_items(dataset) if of == "items" else Points.of_users(dataset)


@kept(digests(dataset_id="datasets"), entries=32)
def attributes(root: Store, dataset_id: str) -> list[str]:
    """Attributes of the items worth colouring by."""
    return points(root, dataset_id, "items").attributes


@kept(_of_spaces, entries=8, spinner="Reading the vectors …")
def vectors(root: Store, space: Space, dataset_id: str, of: Of) -> np.ndarray:
    """The vectors of a space, shared: read only."""
    dataset = artifacts.dataset(root, dataset_id)
    return map_spaces.vectors(root, map_spaces.open_space(root, space.spec, dataset), dataset, of)


def stored_map(root: Store, specs: list[str], of: Of) -> Map | None:
    """The newest readable map that holds all of ``specs``."""
    found = find_map([m for m in artifacts.manifests(root, "maps") if m.info.get("of") == of], specs)
    return None if found is None else _map(root, found.id)


@kept(digests(id="maps"), entries=6, spinner="Reading the map …")
def _map(root: Store, id: str) -> Map:
    return load_map(root, id)


def pair(root: Store, dataset_id: str, left: Space, right: Space, of: Of, method: str) -> Pair:
    """Two maps side by side: from an artifact when there is one, else PCA on the spot."""
    made = stored_map(root, [left.spec, right.spec], of)
    if made is not None and method in made.methods:
        return _drawn(root, dataset_id, made.id, left, right, of, method)
    return _live(root, dataset_id, left, right, of)


@kept(digests(map_id="maps"), entries=12)
def _drawn(root: Store, dataset_id: str, map_id: str, left: Space, right: Space, of: Of, method: str) -> Pair:
    return stored_pair(_map(root, map_id), left, right, method, lambda space: vectors(root, space, dataset_id, of))


@kept(_of_spaces, entries=8, spinner="Drawing by PCA …")
def _live(root: Store, dataset_id: str, left: Space, right: Space, of: Of) -> Pair:
    tables = [vectors(root, space, dataset_id, of) for space in (left, right)]
    return live_pair((left, tables[0]), (right, tables[1]))


@kept(digests(dataset_id="datasets"), entries=6)
def item_words(root: Store, dataset_id: str) -> Words:
    """Which item says which word, in its title and in the attributes that items share."""
    items = points(root, dataset_id, "items")
    assert items.catalogue is not None
    columns = [items.titles, *(items.catalogue[name].astype(str).to_numpy(object) for name in items.attributes)]
    return Words.of([" ".join(map(str, said)) for said in zip(*columns, strict=True)])


@kept(_of_spaces, entries=24, spinner="Naming the regions …")
def named_regions(
    root: Store,
    dataset_id: str,
    left: Space,
    right: Space,
    method: str,
    stored: bool,  # noqa: ARG001 a part of the key: a stored picture is turned another way
    side: str,
) -> list[list[Region]]:
    """The regions of one of two maps of items, by the words of their titles and attributes: seen whole, and closer."""
    return levels(pair(root, dataset_id, left, right, "items", method).sides[side].xy, item_words(root, dataset_id))


@kept(_of_spaces, entries=16, copies=True, spinner="Measuring the spaces …")
def diagnosis(root: Store, dataset_id: str, left: Space, right: Space) -> pd.DataFrame:
    """Spread, rank and attribute precision of the item vectors of two spaces, side by side."""
    tables = {space.label: vectors(root, space, dataset_id, "items") for space in (left, right)}
    return compare(tables, artifacts.dataset(root, dataset_id).catalogue).rename(
        columns={"measure": "Measure", "attribute": "Attribute", "better": "Better"}
    )


@kept(digests(dataset_id="datasets", embedding_id="embeddings"), entries=8)
def tail_by_closeness(root: Store, dataset_id: str, embedding_id: str, thresholds: Thresholds, k: int) -> np.ndarray:
    """The rarer half of the tail items (1..N) that have a text and, where any has one, a title, those least like their
    ``k`` nearest items first; of many a sample."""
    dataset = artifacts.dataset(root, dataset_id)
    vectors = evidence.embedding(root, embedding_id).check(dataset).item_vectors
    counts = np.asarray(dataset.item_counts[1:])
    tail = np.flatnonzero(thresholds.tail_items(counts) & vectors.any(axis=1))
    tail = tail[named] if (named := titled(dataset.catalogue)[tail]).any() else tail
    if not len(tail):
        return tail
    rare = tail[counts[tail] <= np.median(counts[tail])]
    if len(rare) > EXAMPLES:
        rare = np.sort(np.random.default_rng(0).choice(rare, EXAMPLES, replace=False))
    return np.asarray(rare[np.argsort(closeness(vectors, rare, k), kind="stable")] + 1)


@kept(digests(dataset_id="datasets", embedding_id="embeddings"), entries=64)
def nearest_by_text(
    root: Store, dataset_id: str, embedding_id: str, item: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` items (1..N) nearest to one by text, and their cosines, nearest first."""
    text = evidence.embedding(root, embedding_id).check(artifacts.dataset(root, dataset_id))
    rows, cosines = neighbours_of(text.item_vectors, item - 1, k)
    return rows + 1, cosines


@kept(digests(embedding_id="embeddings"), entries=3, spinner="Reading every user's history …")
def users_by_text(root: Store, dataset_id: str, embedding_id: str) -> np.ndarray:
    """Users as unit rows (U, E) by the text they chose, shared: read only."""
    return unit_rows(load_embedding(root, embedding_id, artifacts.dataset(root, dataset_id)).user_vectors)


@kept(digests(run_id="runs"), entries=3, spinner="Reading every user's history …")
def users_by_behaviour(root: Store, dataset_id: str, run_id: str) -> np.ndarray:
    """Users as unit rows (U, E) as a run represents them, shared: read only."""
    views = map_spaces.run_vectors(Run(root, run_id), artifacts.dataset(root, dataset_id), "users")
    return unit_rows(np.concatenate(list(views.values()), axis=1))


@kept(digests(id="neighbours"), entries=4)
def similar(root: Store, id: str) -> SimilarUsers:
    """Similar users as a run was taught with, shared: read only."""
    return load_similar(root, id)
