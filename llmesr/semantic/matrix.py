"""Matrices whose rows are items: reduction, whitening, padding, and the check that rows and items belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmesr.data.row_file import RowFile, blocks
from llmesr.data.unit_rows import unit_rows
from llmesr.errors import UserError


@dataclass(frozen=True)
class Pca:
    """A fitted projection: ``mean`` (E,), ``components`` (size, E), ``explained`` (size,) shares of variance."""

    mean: np.ndarray
    components: np.ndarray
    explained: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """(n, E) -> (n, size) float32. A zero row means "no text" and stays zero."""
        projected: np.ndarray = (vectors - self.mean) @ self.components.T
        projected[~vectors.any(axis=1)] = 0
        return projected.astype(np.float32)


def fit_pca(vectors: np.ndarray | RowFile, size: int) -> Pca:
    """PCA of the rows (N, E) that are not zero, by the eigenvectors of the (E, E) covariance in float64. They are gone
    through twice, some at a time: no copy of a large matrix ever exists.

    The sign of each component is fixed: its largest entry by magnitude is positive. When there are fewer than
    ``size`` directions (few rows, small E) the rest are zero.
    """
    if size < 1:
        raise ValueError(f"size must be positive, not {size}")
    width = vectors.shape[1]
    n, summed = 0, np.zeros(width)
    for known in _with_text(vectors):
        n, summed = n + len(known), summed + known.sum(axis=0, dtype=np.float64)
    if n == 0:
        return Pca(np.zeros(width, np.float32), np.zeros((size, width), np.float32), np.zeros(size))
    mean, covariance = summed / n, np.zeros((width, width))
    for known in _with_text(vectors):
        block = known - mean
        covariance += block.T @ block
    values, directions = np.linalg.eigh(covariance / max(n - 1, 1))
    order = np.argsort(-values, kind="stable")[:size]
    values, components = np.clip(values[order], 0, None), directions[:, order].T  # (size, E)
    real = values > 1e-12 * max(float(np.trace(covariance) / max(n - 1, 1)), 1e-300)
    components[~real] = 0
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    components *= np.where(largest < 0, -1.0, 1.0)[:, None]
    total = max(float(np.trace(covariance)) / max(n - 1, 1), 1e-300)
    padded = np.zeros((size, width))
    padded[: len(components)] = components
    explained = np.zeros(size)
    explained[: len(values)] = np.where(real, values, 0) / total
    return Pca(mean.astype(np.float32), padded.astype(np.float32), explained)


def _with_text(vectors: np.ndarray | RowFile) -> Iterator[np.ndarray]:
    for block in blocks(vectors, 8192):
        yield block[block.any(axis=1)]


def pca(vectors: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """``vectors`` (N, E) -> their ``size`` principal components (N, size) float32, and the shares of variance."""
    fitted = fit_pca(vectors, size)
    return fitted.apply(vectors), fitted.explained


def whitened(
    text: np.ndarray | Tensor, strength: float, like: np.ndarray | Tensor | None = None
) -> np.ndarray | Tensor:
    """(N + 1, E) vectors in which common directions of text count less, so that cosines spread.

    Rows are scaled to length 1 and centred, and each principal direction is divided by (its standard
    deviation) ** ``strength``: 0 returns the text as it is, 1 makes all directions equal. Language models
    put most texts into a narrow cone (Mu and Viswanath 2018, "All-but-the-top"); a history then hardly
    tells candidates apart. Rows without text stay zero. Mean and directions are those of the text itself, or of
    other rows that it shall be compared ``like``.
    """
    if strength == 0:
        return text
    table = unit_rows(torch.as_tensor(text, dtype=torch.float32))
    of = table if like is None else unit_rows(torch.as_tensor(like, dtype=torch.float32, device=table.device))
    real = of.any(dim=1)
    if not real.any():
        return text
    mean = of[real].mean(0)
    centred = torch.where(real[:, None], of - mean, 0.0)
    variance, directions = torch.linalg.eigh(centred.T.double() @ centred.double() / real.sum())
    kept = variance > variance.max() * 1e-6  # directions that only rounding put there
    scale = torch.where(kept, variance.clamp(min=1e-30) ** (-strength / 2), 0.0)
    if like is not None:
        centred = torch.where(table.any(dim=1)[:, None], table - mean, 0.0)
    evened: Tensor = centred @ (directions * scale).float()
    return evened


def pad(vectors: np.ndarray) -> np.ndarray:
    """(N, E) with row i - 1 for item i -> (N + 1, E) with row i for item i and a zero row 0."""
    return np.concatenate([np.zeros((1, vectors.shape[1]), vectors.dtype), vectors])


def check_rows(
    have: Sequence[str] | np.ndarray, want: Sequence[str] | np.ndarray, what: str, noun: str = "item"
) -> None:
    """UserError that names the first difference when the rows ``have`` are not exactly ``want``, in order."""
    have, want = np.asarray(have, dtype=object), np.asarray(want, dtype=object)
    if len(have) != len(want):
        raise UserError(f"{what} has {len(have)} {noun} rows, but the dataset has {len(want)} {noun}s. Embed it again.")
    wrong = np.flatnonzero(have != want)
    if len(wrong):
        row = int(wrong[0])
        raise UserError(
            f"{what} does not belong to this dataset: row {row + 1} is {noun} {have[row]!r} where the dataset has "
            f"{want[row]!r} ({len(wrong)} of {len(want)} rows differ). Embed it again."
        )


def align(
    vectors: np.ndarray,
    ids: Sequence[str] | np.ndarray,
    wanted: Sequence[str] | np.ndarray,
    what: str,
    *,
    missing: bool = False,
) -> np.ndarray:
    """Rows of ``vectors`` (n, E), which belong to ``ids``, in the order of ``wanted`` (N,) -> (N, E) float32.

    UserError on duplicate ids, on NaN or infinite rows among those wanted, and on wanted ids that are missing; with
    ``missing`` those get a zero row, and only all of them missing is an error.
    """
    if len(ids) != len(vectors):
        raise UserError(f"{what} has {len(vectors)} vectors but {len(ids)} item ids.")
    place: dict[str, int] = {}
    for row, id in enumerate(ids):
        if place.setdefault(str(id), row) != row:
            raise UserError(
                f"{what} has item {str(id)!r} twice (rows {place[str(id)] + 1} and {row + 1}); keep one row per item."
            )
    absent = [str(id) for id in wanted if str(id) not in place]
    if absent and (not missing or len(absent) == len(wanted)):
        hint = (
            "Check its ids." if missing else "Add them, ingest without those items, or allow it: --set missing=allow."
        )
        raise UserError(
            f"{what} has no vector for {len(absent)} of {len(wanted)} items, such as {', '.join(absent[:3])}. {hint}"
        )
    known = np.array([str(id) in place for id in wanted], dtype=bool)
    aligned = np.zeros((len(wanted), vectors.shape[1]), np.float32)
    aligned[known] = vectors[[place[str(id)] for id in wanted if str(id) in place]]
    bad = np.flatnonzero(~np.isfinite(aligned).all(axis=1))
    if len(bad):
        raise UserError(
            f"{what} has NaN or infinite values in the vectors of {len(bad)} items, such as item "
            f"{str(wanted[int(bad[0])])!r} (row {place[str(wanted[int(bad[0])])] + 1}). Compute those again."
        )
    return aligned
