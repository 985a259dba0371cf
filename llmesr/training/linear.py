"""A linear method from a dataset to a stored model: solve, find the fallback on validation, save."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmesr.config import RunConfig
from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset
from llmesr.data.split import PARTS, Part
from llmesr.errors import UserError
from llmesr.linear.agreement import agreement
from llmesr.linear.build import COLUMNS, Source, build, is_dense, ridge_of
from llmesr.linear.factors import FactorScorer, fit
from llmesr.linear.fallback import Fallback
from llmesr.linear.interactions import bounded, chosen
from llmesr.linear.kernel import centred
from llmesr.linear.scorer import LinearScorer
from llmesr.linear.weights import Columns, Weights
from llmesr.methods import Inputs
from llmesr.retrieval.index_quantised import quantised
from llmesr.runs.record import MODEL, VALIDATED, Run
from llmesr.training.checkpoint import load_tensors, save_tensors
from llmesr.training.fallback import fit_fallback
from llmesr.training.model import stored_model
from llmesr.training.runtime import Runtime
from llmesr.training.stopping import Stopped, terminate

LinearModel = LinearScorer | FactorScorer
NEAREST = 64
"""Items of the nearest text that an item may have weights for, in catalogues too large to look at all."""
RECALL = 0.9
"""Of them that the search has to find."""


def fit_linear(
    run: Run,
    dataset: Dataset,
    inputs: Inputs,
    sequences: Sequences,
    runtime: Runtime,
) -> tuple[dict[Part, LinearModel], dict[str, object]]:
    """The scorers of a linear run for each part, stored as its models, and what its manifest says of it.

    A split that refits solves twice: for validation, which finds the fallback, then with validation for the test.
    Large catalogues are solved in parts that stay on disk: stopped, the run goes on with the parts it lacks. Of
    several processes the first one solves.
    """
    info: dict[str, object] = {}
    if runtime.processes.is_main:
        with terminate() as should_stop:
            stoppable = replace(runtime, should_stop=should_stop)
            tensors, state, info = _fitted(run, dataset, inputs, sequences, stoppable)
            whole = dataset.training_for("test")
            if whole is not dataset:
                save_tensors(run.folder / VALIDATED, tensors, state)
                tensors = _solve(run, whole, inputs, stoppable, info)
        save_tensors(run.folder / MODEL, tensors, state)
    runtime.processes.barrier()
    return {part: linear_scorer(run, dataset, inputs, part, runtime.device) for part in PARTS}, info


def linear_scorer(
    run: Run, dataset: Dataset, inputs: Inputs, part: Part = "test", device: torch.device | str = "cpu"
) -> LinearModel:
    """The stored model of a linear run that ``part`` is asked of. UserError when there is none, or the file is
    damaged."""
    tensors, state = load_tensors(stored_model(run, part))
    if not _fits(run.config.method, tensors, state, dataset.n_items):
        raise UserError(f"The model of run {run.id!r} does not fit its dataset, or is damaged. Train it again.")
    return _scorer(run.config, dataset.training_for(part), inputs, tensors, state, device)


def _fits(method: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any], n_items: int) -> bool:
    """Whether what is stored has the shapes of a model of so many items, and names no others."""
    main = tensors.get("factors" if method == "ials" else "weights")
    if main is None or main.dim() != 2 or len(main) != n_items + 1 or not main.is_floating_point():
        return False
    items, content, fallback = tensors.get("items"), tensors.get("content"), state.get("fallback", {})
    if method != "ials" and items is None and main.shape[1] != n_items + 1:
        return False
    if items is not None and (items.shape != main.shape or items.is_floating_point() or items.is_complex()):
        return False
    if items is not None and items.numel() and not 0 <= int(items.min()) <= int(items.max()) <= n_items:
        return False
    if content is not None and content.shape != main.shape:
        return False
    known = isinstance(fallback, Mapping) and set(fallback) <= {"popularity", "content"}
    return known and all(isinstance(weight, int | float) for weight in fallback.values())


def _scorer(
    config: RunConfig,
    dataset: Dataset,
    inputs: Inputs,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    device: torch.device | str,
) -> LinearModel:
    if config.method == "ials":
        settings = {"ridge": ridge_of(config, dataset), "confidence": config.confidence, "decay": config.decay}
        return FactorScorer(tensors["factors"], **settings, device=device)
    weights = state.get("fallback", {})
    fallback = None
    if any(weights.values()):
        vectors = centred(_text(inputs).to(device)) if weights.get("content") else None
        fallback = Fallback(torch.from_numpy(dataset.item_counts).to(device), vectors=vectors, **weights)
    return LinearScorer(Weights.read(tensors), decay=config.decay, fallback=fallback, device=device)


def _fitted(
    run: Run,
    dataset: Dataset,
    inputs: Inputs,
    sequences: Sequences,
    runtime: Runtime,
) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, object]]:
    """Tensors and state of the model, and what the manifest says of it."""
    info: dict[str, object] = {}
    tensors = _solve(run, dataset, inputs, runtime, info)
    if run.config.method == "ials":
        return tensors, {}, info
    popularity, content = _fallback(run.config, dataset, inputs, Weights.read(tensors), sequences, runtime)
    info["fallback"] = {"popularity": popularity, "content": content}
    return tensors, {"fallback": info["fallback"]}, info


def _solve(run: Run, dataset: Dataset, inputs: Inputs, runtime: Runtime, info: dict[str, object]) -> dict[str, Tensor]:
    """The tensors of the model that the training part of ``dataset`` gives; what is to be said of it goes to
    ``info``."""
    config = run.config
    if config.method == "ials":
        ridge = ridge_of(config, dataset)
        factors = fit(chosen(dataset), config, ridge)
        info |= {"parameters": factors.numel(), "ridge": ridge}
        return {"factors": factors}
    near = _Near(config.seed, runtime)
    source = Source(dataset, inputs.text, inputs.views, runtime.device, near if find_spec("faiss") else None)
    kept = _Kept(run.checkpoints, "whole" if dataset.refitted else "columns", dataset.n_items, runtime)
    weights = build(source, config, kept)
    info |= {"parameters": int((weights.weights != 0).sum())}
    if config.method in ("ease", "text-ease"):
        info |= _solved(source, config, weights)
    if near.recall is not None:
        info["partners_searched"] = {"nearest_texts": NEAREST, "recall": near.recall}
    return weights.tensors()


def _solved(source: Source, config: RunConfig, weights: Weights) -> dict[str, object]:
    """How the weights were solved for: the solver, repairs, shortened histories, agreement with the dense answer."""
    n_items = source.dataset.n_items
    dense = is_dense(config, n_items)
    said: dict[str, object] = {"solver": "dense" if dense else "local", "repaired": weights.shift}
    said["ridge"] = ridge_of(config, source.dataset)
    if config.ridge is None:
        said["ridge_from"] = "twice the mean training history, at least 20"
    if (newest := bounded(source.dataset.split.train_lengths)) is not None:
        said["newest_per_user"] = newest
    if not dense and n_items <= config.dense_up_to:
        said["agreement"] = agreement(weights, build(source, config.but(solver="dense")))
    return said


def _fallback(
    config: RunConfig,
    dataset: Dataset,
    inputs: Inputs,
    weights: Weights,
    sequences: Sequences,
    runtime: Runtime,
) -> tuple[float, float]:
    """The weights of popularity and content, found on validation."""
    if config.fallback == "none":
        return 0.0, 0.0
    reads_text = config.method == "text-ease" and config.fallback != "popularity"
    device = runtime.device
    vectors = centred(_text(inputs).to(device)) if reads_text else None
    counts = torch.from_numpy(dataset.item_counts).to(device)
    return fit_fallback(
        LinearScorer(weights, decay=config.decay, device=device),
        Fallback(counts, vectors=vectors),
        dataset,
        sequences,
        max_length=config.max_length,
        popularity=config.fallback != "content",
        progress=runtime.progress,
    )


def _text(inputs: Inputs) -> Tensor:
    if inputs.text is None:
        raise UserError("text-ease needs item text vectors; run `llmesr embed` first.")
    return inputs.text


class _Near:
    """The items whose text is nearest to each, by an index; asked of large catalogues only."""

    def __init__(self, seed: int, runtime: Runtime) -> None:
        self.seed, self.runtime = seed, runtime
        self.recall: float | None = None
        """Of the search, on a sample; None until it was asked."""

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        found = quantised(vectors, NEAREST, recall=RECALL, seed=self.seed, progress=self.runtime.progress)
        self.recall = round(found.recall, 4)
        nearest: np.ndarray = np.maximum(found.rows, 0)
        return nearest


class _Kept:
    """Solved columns on disk, where there are several parts of them; stops between two parts."""

    def __init__(self, folder: Path, name: str, n_items: int, runtime: Runtime) -> None:
        self.folder, self.name, self.n_items, self.runtime = folder, name, n_items, runtime

    def __call__(self, first: int, work: Callable[[], Columns]) -> Columns:
        path = self.folder / f"{self.name}-{first}.safetensors"
        if path.is_file():
            tensors, state = load_tensors(path)
            return Columns(tensors["items"], tensors["weights"], tensors.get("content"), state["shifted"])
        if self.runtime.should_stop() or self.runtime.enough():
            raise Stopped
        columns = work()
        if self.n_items > COLUMNS:
            self.folder.mkdir(exist_ok=True)
            save_tensors(path, columns.tensors(), {"shifted": columns.shifted})
        self.runtime.progress("solving", min(first + COLUMNS - 1, self.n_items), self.n_items)
        return columns
