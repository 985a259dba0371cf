"""The artifact kind ``maps``: the pictures of several spaces of the same points, and what they were made from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.maps import projection
from llmesr.maps.knn import Knn, nearest_in_space
from llmesr.maps.projection import MapConfig
from llmesr.maps.quality import gap, trustworthiness
from llmesr.maps.spaces import Space, open_space, vectors
from llmesr.progress import Progress, silent
from llmesr.store import Manifest, Store, config_digest, slug

POINTS, NEIGHBOURS = "points.parquet", "neighbours.safetensors"
METHODS = ("umap", "pca")


@dataclass(frozen=True, eq=False)
class Map:
    """A stored map. ``points`` has one row per point: ``item`` (1..N) or ``user`` (0..U-1), then for every space
    ``<key>_<method>_x`` and ``_y``, and for every two ``<key>_<key>_gap``."""

    manifest: Manifest
    points: pd.DataFrame
    neighbours: dict[str, np.ndarray]  # key -> (n, k) rows, -1 where there is none
    similarity: dict[str, np.ndarray]  # key -> (n, k)

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def keys(self) -> dict[str, str]:
        """Spec -> key of the spaces drawn."""
        return {s["spec"]: s["key"] for s in self.manifest.info["spaces"]}

    @property
    def methods(self) -> list[str]:
        return [m for m in METHODS if f"{next(iter(self.keys.values()))}_{m}_x" in self.points]

    def xy(self, key: str, method: str) -> np.ndarray:
        """(n, 2) float32; NaN where a point has no place."""
        return np.asarray(self.points[[f"{key}_{method}_x", f"{key}_{method}_y"]], np.float32)

    def trustworthiness(self, key: str, method: str) -> float:
        """Of one picture, as measured when it was made; NaN when there were too few points."""
        value = self.manifest.info["trustworthiness"][key].get(method)
        return float("nan") if value is None else float(value)

    def gap(self, first: str, second: str) -> np.ndarray | None:
        """(n,) between the original spaces of two keys (:func:`quality.gap`); None where the map was drawn before it
        was measured so."""
        column = next((c for c in (_gap_of(first, second), _gap_of(second, first)) if c in self.points), None)
        return None if column is None else self.points[column].to_numpy(float)


def make_map(dataset: Dataset, specs: list[str], config: MapConfig, store: Store, progress: Progress = silent) -> Map:
    """Draw the spaces ``specs`` of ``dataset``; the artifact that is there already is reused.

    UserError when a space is not one, belongs elsewhere, or has no vectors.
    """
    spaces = keyed([open_space(store, spec, dataset) for spec in specs])
    parents = {m.id: m for m in (s.manifest for s in spaces)}
    digests = [store.parent_of(m).digest for m in parents.values()]
    id = f"{slug(dataset.name)}-{config.of}-{config_digest(config.model_dump(), dataset.id, specs, digests)}"
    if store.exists("maps", id):
        return load_map(store, id)
    timings: dict[str, float] = {}
    tables = {s.key: _checked(vectors(store, s, dataset, config.of), s, config.of) for s in spaces}
    near = neighbourhoods(tables, config, timings, progress)
    drawn = pictures(tables, near, config, _rare(dataset, config.of), timings, progress)
    started = time.perf_counter()
    trust = _trust(tables, drawn, config)
    timings["trustworthiness"] = time.perf_counter() - started
    frame = _frame(drawn, near, tables, config.of)
    name = f"{dataset.name} {config.of}"
    with store.draft("maps", id, name=name, parents=[dataset.manifest, *parents.values()], seed=config.seed) as draft:
        draft.manifest.config = config.model_dump()
        draft.manifest.timings = {k: round(v, 3) for k, v in timings.items()}
        draft.manifest.info = _info(spaces, tables, near, trust, config)
        frame.to_parquet(draft.path / POINTS, index=False)
        arrays = {f"{key}/rows": k.rows for key, k in near.items()}
        save_file(arrays | {f"{key}/similarity": k.similarity for key, k in near.items()}, draft.path / NEIGHBOURS)
    return load_map(store, id)


def keyed(spaces: list[Space]) -> list[Space]:
    """The spaces with keys that differ: semantic, collaborative, adapted, collaborative-2 ..."""
    seen: dict[str, int] = {}
    result = []
    for space in spaces:
        number = seen[space.part] = seen.get(space.part, 0) + 1
        key = space.part if number == 1 else f"{space.part}-{number}"
        result.append(replace(space, key=key))
    return result


def _warm() -> None:
    from llmesr.maps.layout import fuzzy_graph

    ring = np.arange(32)
    fuzzy_graph(
        np.stack([(ring + i) % 32 for i in (1, 2, 3)], axis=1).astype(np.int32), np.ones((32, 3), np.float32), 0
    )


def _checked(table: np.ndarray, space: Space, of: str) -> np.ndarray:
    if not np.isfinite(table).all():
        bad = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise UserError(f"{space.spec} has NaN or infinite values, first in row {bad + 1}; make it again.")
    if not table.any():
        raise UserError(f"{space.spec} has no vectors of {of} to draw: all are zero.")
    return table


def _rare(dataset: Dataset, of: str) -> np.ndarray:
    """(n,) the tail: landmarks are chosen among it first, so that rare points are drawn where they belong."""
    if of == "items":
        return dataset.thresholds.tail_items(dataset.item_counts[1:])
    return dataset.thresholds.tail_users(dataset.split.train_lengths)


def neighbourhoods(
    tables: dict[str, np.ndarray], config: MapConfig, timings: dict[str, float], progress: Progress = silent
) -> dict[str, Knn]:
    """The neighbours of every point in each of ``tables`` (n, E); ``timings`` gets the seconds it took."""
    started = time.perf_counter()
    with ThreadPoolExecutor(max_workers=1) as pool:
        # umap-learn takes seconds to import and compile; meanwhile the matrix products below hold no lock.
        warm = pool.submit(_warm) if config.umap else None
        near = {
            key: nearest_in_space(
                table, config.neighbours, exact_up_to=config.exact_up_to, progress=progress, stage=f"neighbours {key}"
            )
            for key, table in tables.items()
        }
        if warm is not None:
            warm.result()
    timings["neighbours"] = time.perf_counter() - started
    return near


def pictures(
    tables: dict[str, np.ndarray],
    near: dict[str, Knn],
    config: MapConfig,
    keep: np.ndarray,
    timings: dict[str, float],
    progress: Progress = silent,
) -> dict[str, dict[str, np.ndarray]]:
    """Method -> key -> (n, 2) places. ``keep`` (n,) bool: drawn first when only landmarks are laid out."""
    started = time.perf_counter()
    made = {"pca": projection.align_all({key: projection.pca_points(v) for key, v in tables.items()})}
    timings["pca"] = time.perf_counter() - started
    if config.umap:
        started = time.perf_counter()
        spaces = {key: (tables[key], near[key]) for key in tables}
        made["umap"] = projection.lay_out_all(spaces, config, keep=keep, progress=progress)
        timings["umap"] = time.perf_counter() - started
    return made


def _gap_of(first: str, second: str) -> str:
    return f"{first}_{second}_gap"


def _frame(
    drawn: dict[str, dict[str, np.ndarray]], near: dict[str, Knn], tables: dict[str, np.ndarray], of: str
) -> pd.DataFrame:
    keys = list(near)
    n = len(near[keys[0]].rows)
    columns: dict[str, np.ndarray] = (
        {"item": np.arange(1, n + 1, dtype=np.int32)} if of == "items" else {"user": np.arange(n, dtype=np.int32)}
    )
    for method, by_key in drawn.items():
        for key, points in by_key.items():
            columns |= {f"{key}_{method}_x": points[:, 0], f"{key}_{method}_y": points[:, 1]}
    for a, b in combinations(keys, 2):
        columns[_gap_of(a, b)] = gap((tables[a], near[a].rows), (tables[b], near[b].rows)).astype(np.float32)
    return pd.DataFrame(columns)


def _trust(
    tables: dict[str, np.ndarray], drawn: dict[str, dict[str, np.ndarray]], config: MapConfig
) -> dict[str, dict[str, float | None]]:
    trust: dict[str, dict[str, float | None]] = {}
    for key, table in tables.items():
        measured = {
            method: trustworthiness(table, by_key[key], config.neighbours, sample=config.sample, seed=config.seed)
            for method, by_key in drawn.items()
        }
        trust[key] = {m: round(value, 5) if np.isfinite(value) else None for m, value in measured.items()}
    return trust


def _info(
    spaces: list[Space],
    tables: dict[str, np.ndarray],
    near: dict[str, Knn],
    trust: dict[str, dict[str, float | None]],
    config: MapConfig,
) -> dict[str, Any]:
    drawn = [
        {
            "spec": s.spec,
            "key": s.key,
            "label": s.label,
            "dimension": int(tables[s.key].shape[1]),
            "without_vector": int((~near[s.key].known).sum()),
            "recall": near[s.key].recall,
        }
        for s in spaces
    ]
    n = len(tables[spaces[0].key])
    landmarks = min(config.landmarks, config.exact_up_to) if config.umap and n > config.exact_up_to else None
    return {"of": config.of, "points": n, "spaces": drawn, "trustworthiness": trust, "landmarks": landmarks}


def load_map(store: Store, ref: str) -> Map:
    """A map by id, unique prefix or name. UserError when missing or damaged."""
    manifest = store.find("maps", ref)
    folder = store.path("maps", manifest.id)
    try:
        points = pd.read_parquet(folder / POINTS)
        arrays = load_file(folder / NEIGHBOURS)
        keys = [s["key"] for s in manifest.info["spaces"]]
        neighbours = {key: arrays[f"{key}/rows"] for key in keys}
        similarity = {key: arrays[f"{key}/similarity"] for key in keys}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(f"The map {manifest.id!r} is damaged: {error}. Delete it and draw it again.") from error
    return Map(manifest, points, neighbours, similarity)


def find_map(manifests: Sequence[Manifest], specs: Sequence[str]) -> Manifest | None:
    """The first of ``manifests`` (of maps, newest first) that draws all of ``specs``; None when there is none."""
    for manifest in manifests:
        if {s["spec"] for s in manifest.info.get("spaces", [])}.issuperset(specs):
            return manifest
    return None
