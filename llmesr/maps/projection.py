"""From vectors to two dimensions: PCA at once, UMAP in a worker, and separate pictures turned onto each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from pydantic import Field

from llmesr.config import Config
from llmesr.data.unit_rows import unit_rows
from llmesr.maps.knn import Knn, nearest_in_space
from llmesr.progress import Progress, silent
from llmesr.semantic.matrix import fit_pca

_ANCHORS_EXACT = 20_000


def pca_points(vectors: np.ndarray) -> np.ndarray:
    """The first two principal components of the unit rows of ``vectors`` (n, E): (n, 2) float32.

    NaN where a row is zero (no text): such a point has no place. The sign is fixed, so the picture is repeatable.
    """
    units = unit_rows(vectors)
    points = fit_pca(units, 2).apply(units)
    points[~units.any(axis=1)] = np.nan
    return points


def aligned(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Turn, mirror, scale and shift ``points`` (n, 2) onto ``reference`` (n, 2): orthogonal Procrustes.

    Only rows with a place in both decide. Distances within the picture keep their proportions.
    """
    both = np.isfinite(points).all(axis=1) & np.isfinite(reference).all(axis=1)
    if both.sum() < 3:
        return points
    own, target = points[both].astype(np.float64), reference[both].astype(np.float64)
    own_mean, target_mean = own.mean(axis=0), target.mean(axis=0)
    own, target = own - own_mean, target - target_mean
    u, _, v = np.linalg.svd(own.T @ target)
    spread = np.linalg.norm(own)
    scale = np.linalg.norm(target) / spread if spread else 1.0
    turned: np.ndarray = (points - own_mean) @ (u @ v) * scale + target_mean
    return turned.astype(np.float32)


class MapConfig(Config):
    """Parameters of a map; saved with it."""

    of: Literal["items", "users"] = Field("items", description="Draw items or users.")
    umap: bool = Field(True, description="Lay out by UMAP as well as by PCA.")
    neighbours: int = Field(15, ge=3, description="Neighbours kept per point: for UMAP, the gap and trustworthiness.")
    min_dist: float = Field(0.1, ge=0, le=1, description="UMAP: how close points may stand.")
    epochs: int | None = Field(None, ge=1, description="UMAP: rounds; 500 up to 10,000 points, 200 above.")
    exact_up_to: int = Field(
        100_000, ge=100, description="Search neighbours exactly and lay out every point up to here."
    )
    landmarks: int = Field(50_000, ge=50, description="Above it: points laid out; the others are placed between them.")
    sample: int = Field(2000, ge=100, description="Points on which trustworthiness is measured.")
    seed: int = Field(42, ge=0, description="Seed of the layout, the landmarks and the samples.")

    def epochs_for(self, n: int) -> int:
        """As umap-learn chooses: 500 up to 10,000 points, 200 above."""
        return self.epochs or (500 if n <= 10_000 else 200)


def umap_points(
    vectors: np.ndarray,
    knn: Knn | None,
    config: MapConfig,
    *,
    keep: np.ndarray | None = None,
    progress: Progress = silent,
    stage: str = "laying out",
) -> np.ndarray:
    """UMAP of ``vectors`` (n, E) -> (n, 2) float32; NaN where a row is zero.

    ``knn`` are the neighbours if they are known already. Above ``config.exact_up_to`` only landmarks are laid out,
    ``keep`` rows (n,) bool among them first, and every other point is placed between its nearest landmarks.
    """
    known = np.flatnonzero(np.asarray(vectors).any(axis=1))
    points = np.full((len(vectors), 2), np.nan, np.float32)
    if len(known) <= 3:
        points[known] = pca_points(vectors)[known]
    elif len(known) <= config.exact_up_to:
        near = knn if knn is not None else nearest_in_space(vectors, config.neighbours, exact_up_to=config.exact_up_to)
        points[known] = _laid_out(vectors[known], _within(near, known), config, progress, stage)
    else:
        chosen = landmarks(known, min(config.landmarks, config.exact_up_to), keep, config.seed)
        points[chosen] = umap_points(vectors[chosen], None, config, progress=progress, stage=stage)
        rest = np.setdiff1d(known, chosen)
        points[rest] = place_between(vectors[rest], vectors[chosen], points[chosen], progress=progress)
    return points


def _laid_out(
    vectors: np.ndarray, near: tuple[np.ndarray, np.ndarray], config: MapConfig, progress: Progress, stage: str
) -> np.ndarray:
    from llmesr.maps.layout import fuzzy_graph, optimise

    width = min(config.neighbours - 1, near[0].shape[1])
    rows, similarity = near[0][:, :width], near[1][:, :width]
    graph = fuzzy_graph(rows, np.clip(1 - similarity, 0, None), config.seed)
    start = pca_points(vectors)
    start = start / max(float(start.std(axis=0).max()), 1e-12)
    # Exact duplicates would never part: a little noise, as umap-learn adds.
    start = start + np.random.default_rng(config.seed).normal(scale=1e-3, size=start.shape)
    epochs = config.epochs_for(len(vectors))
    return optimise(
        graph, start, epochs=epochs, min_dist=config.min_dist, seed=config.seed, progress=progress, stage=stage
    )


def _within(knn: Knn, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours as positions in ``known``, without the columns that some point lacks."""
    rows, similarity = knn.rows[known], knn.similarity[known]
    full = (rows >= 0).all(axis=0)
    place = np.zeros(len(knn.rows), np.int32)
    place[known] = np.arange(len(known))
    return place[rows[:, full]], similarity[:, full]


def landmarks(rows: np.ndarray, count: int, keep: np.ndarray | None, seed: int) -> np.ndarray:
    """``count`` of ``rows``: half of them at most from those marked in ``keep``, the rest drawn evenly; sorted."""
    rng = np.random.default_rng(seed)
    first = rows[keep[rows]] if keep is not None else rows[:0]
    if len(first) > count // 2:
        first = rng.choice(first, count // 2, replace=False)
    others = np.setdiff1d(rows, first)
    return np.sort(np.concatenate([first, rng.choice(others, min(count - len(first), len(others)), replace=False)]))


def place_between(
    vectors: np.ndarray, anchors: np.ndarray, places: np.ndarray, k: int = 5, *, progress: Progress = silent
) -> np.ndarray:
    """Places (q, 2) of ``vectors`` (q, E): the mean of the places (m, 2) of their ``k`` nearest ``anchors`` (m, E).

    Weights fall with the distance relative to the nearest anchor's, so a point close to one anchor stands by it.
    """
    from llmesr.retrieval.index import nearest

    answer = nearest(anchors, vectors, min(k, len(anchors)), exact_up_to=_ANCHORS_EXACT, progress=progress)
    distance = np.clip(1 - answer.similarity, 1e-6, None)
    weight = (distance[:, :1] / distance) ** 2  # (q, k), 1 for the nearest
    weight[answer.rows < 0] = 0
    found = np.where(answer.rows < 0, 0, answer.rows)
    means: np.ndarray = (places[found] * weight[:, :, None]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
    return means.astype(np.float32)


def lay_out_all(
    spaces: dict[str, tuple[np.ndarray, Knn]],
    config: MapConfig,
    *,
    keep: np.ndarray | None = None,
    progress: Progress = silent,
) -> dict[str, np.ndarray]:
    """UMAP of several spaces of the same points, one thread each, every one turned onto the first."""
    from llmesr.maps import layout  # noqa: F401  numba must be imported by one thread only

    with ThreadPoolExecutor(max_workers=2) as pool:
        running = {
            key: pool.submit(umap_points, vectors, knn, config, keep=keep, progress=progress, stage=f"laying out {key}")
            for key, (vectors, knn) in spaces.items()
        }
        made = {key: future.result() for key, future in running.items()}
    return align_all(made)


def align_all(pictures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every picture turned onto the first, which is centred and scaled to a root mean square of 1."""
    reference: np.ndarray | None = None
    result: dict[str, np.ndarray] = {}
    for key, points in pictures.items():
        if reference is None:
            centred = points - np.nanmean(points, axis=0)
            reference = (centred / max(float(np.sqrt(np.nanmean(centred**2))), 1e-12)).astype(np.float32)
            result[key] = reference
        else:
            result[key] = aligned(points, reference)
    return result
