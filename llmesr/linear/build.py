"""Every linear model by name: which weights, from what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sparse
import torch
from torch import Tensor

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.linear.counted import cosines, transitions
from llmesr.linear.evidence import Evidence
from llmesr.linear.interactions import bounded, chosen, followed, gram
from llmesr.linear.kernel import Kernel
from llmesr.linear.local import solve
from llmesr.linear.ridge import columns as dense_columns
from llmesr.linear.ridge import dense
from llmesr.linear.weights import Columns, Weights

LEAST_RIDGE, PER_CHOICE = 20.0, 2.0
"""The ridge where none is given: at least the first, and the second for each item of a mean training history.

A history of n items counts n^2 pairs, and most of a long one's are chance. Measured on validation, full and uni100."""
COLUMNS = 4096
"""Columns of the local solver that are worked out, and may be kept on disk, in one go."""
SEARCHED_FROM = 300_000
"""Items from which the local solver looks at an item's likely partners in place of all: see ``Source.near``."""
Solved = Callable[[int, Callable[[], Columns]], Columns]
"""Given the first item of some columns and how to work them out: the columns, from disk where they were kept."""


@dataclass(frozen=True, eq=False)
class Source:
    """What linear models are built from."""

    dataset: Dataset
    text: Tensor | None = None  # (N + 1, E) item text vectors, row 0 zero
    views: Mapping[str, Tensor] = field(default_factory=dict)  # name -> (N + 1, E') further vectors, zero: none
    device: torch.device | str = "cpu"
    near: Callable[[np.ndarray], np.ndarray] | None = None
    """Of vectors (n, E) the rows (n, K) nearest to each, 0 where there are fewer; asked where items are many."""


def at_once(first: int, work: Callable[[], Columns]) -> Columns:
    """Nothing kept: every part is worked out."""
    return work()


def build(source: Source, config: RunConfig, solved: Solved = at_once) -> Weights:
    """The weights of the linear model that ``config`` names."""
    return MODELS[config.method](source, config, solved)


def ridge_of(config: RunConfig, dataset: Dataset) -> float:
    """The ridge that ``config`` gives, or the one that follows from the length of the training histories."""
    if config.ridge is not None:
        return config.ridge
    if config.method == "ials":
        return LEAST_RIDGE
    lengths = np.asarray(dataset.split.train_lengths)
    mean = float(lengths[lengths > 0].mean()) if lengths.any() else 0.0
    return max(LEAST_RIDGE, round(PER_CHOICE * mean, 1))


def solved_again(weights: Weights, source: Source, config: RunConfig, items: Tensor) -> Weights:
    """``weights`` with the columns of ``items`` (S,) as :func:`build` would make them from ``source``, which may hold
    more items than ``weights``; all others stay, and an item beyond them that is not asked for has no weights.

    Only text-ease is solved: the weights of the other models come from who chose what alone.
    """
    grown = weights.grown(source.dataset.n_items)
    if config.method != "text-ease" or not len(items):
        return grown
    evidence = Evidence(_counts(source), kernels(source, config), source.device)
    ridge = ridge_of(config, source.dataset)
    if weights.items is None:
        whole, content = dense_columns(evidence, items, ridge)
        return grown.with_dense(items, whole, content)
    return grown.with_sparse(items, solve(evidence, items, ridge=ridge, neighbours=config.item_neighbours))


def _item_knn(source: Source, config: RunConfig, solved: Solved) -> Weights:
    return cosines(_counts(source), shrinkage=config.shrinkage, neighbours=config.item_neighbours)


def _markov(source: Source, config: RunConfig, solved: Solved) -> Weights:
    pairs = followed(source.dataset, config.window, config.reverse_weight)
    many = source.dataset.item_counts
    return transitions(pairs, many, shrinkage=config.shrinkage, neighbours=config.item_neighbours)


def _ease(source: Source, config: RunConfig, solved: Solved) -> Weights:
    return _solve(source, (), config, solved)


def _text_ease(source: Source, config: RunConfig, solved: Solved) -> Weights:
    return _solve(source, kernels(source, config), config, solved)


def kernels(source: Source, config: RunConfig) -> list[Kernel]:
    """Of the text and of each further view, where their weight is not 0."""
    if source.text is None:
        raise ValueError("text-ease needs item text vectors")
    weighed = [(source.text, config.text_weight), *((v, config.view_weight) for v in source.views.values())]
    return [Kernel.of(v, weight, config.kernel_power, source.device) for v, weight in weighed if weight]


MODELS: dict[str, Callable[[Source, RunConfig, Solved], Weights]] = {
    "item-knn": _item_knn,
    "markov": _markov,
    "ease": _ease,
    "text-ease": _text_ease,
}


def is_dense(config: RunConfig, n_items: int) -> bool:
    """Whether all items are inverted at once."""
    return config.solver == "dense" or (config.solver == "auto" and n_items <= config.dense_up_to)


def _solve(source: Source, kernels: Sequence[Kernel], config: RunConfig, solved: Solved) -> Weights:
    near, counts = None, _counts(source)
    if source.near is not None and kernels and source.dataset.n_items >= SEARCHED_FROM:
        near = source.near(kernels[0].vectors.cpu().numpy())
    evidence = Evidence(counts, kernels, source.device, near)
    ridge = ridge_of(config, source.dataset)
    if is_dense(config, evidence.size - 1):
        return dense(evidence, ridge)
    items = torch.arange(1, evidence.size, device=evidence.device)
    parts = [
        solved(
            int(part[0]),
            lambda part=part: solve(evidence, part, ridge=ridge, neighbours=config.item_neighbours),  # type: ignore[misc]
        )
        for part in torch.split(items, COLUMNS)
    ]
    return Weights.sparse(Columns.joined(parts))


def _counts(source: Source) -> sparse.csr_matrix:
    newest = bounded(source.dataset.split.train_lengths)
    return gram(chosen(source.dataset, newest))
