"""Which spaces there are: the text embeddings of a dataset, and the views of its runs; for items and for users.

A space is named by a *spec*: ``embedding:ID``, ``run:ID:collaborative`` or ``run:ID:adapted`` (the run's own view of
the text). All spaces of one map have the same points in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from llmesr.config import LINEAR, NEEDS_TEXT, UNTRAINED
from llmesr.config.needs import needs_text
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.finetune import tuned_on_choices
from llmesr.runs.record import MODEL, Run, find_run, list_runs
from llmesr.semantic.embed import load_embedding, whole_embeddings
from llmesr.store import Manifest, Store

Of = Literal["items", "users"]
VIEWS = {"collaborative": "collaborative", "adapted": "semantic"}
"""Part of a spec -> name of the view in a run's model."""
_BATCH = 512


@dataclass(frozen=True)
class Space:
    """A space that can be drawn. ``key`` is short and names it within one map."""

    spec: str
    label: str
    key: str
    manifest: Manifest
    mixed: str = ""
    """How text got into a space called collaborative, see :func:`mixed`, or behaviour into one of text; empty where it
    did not."""

    @property
    def source(self) -> str:
        """``embedding`` or ``run``."""
        return self.spec.split(":", 1)[0]

    @property
    def part(self) -> str:
        """``semantic``, ``collaborative`` or ``adapted``."""
        return "semantic" if self.source == "embedding" else self.spec.rsplit(":", 1)[1]


def parts_of(run: Run) -> list[str]:
    """The parts of a finished run that can be drawn, known from its configuration alone."""
    config = run.config
    if config.method in UNTRAINED or not (run.folder / MODEL).is_file():
        return []
    if config.method == "llm-esr":
        views = {"collaborative": config.collaborative_view, "adapted": config.semantic_view}
        return [part for part, there in views.items() if there]
    return ["collaborative"] if config.method in ("id", "llm-init", *LINEAR) else ["adapted"]


def mixed(run: Run) -> str:
    """How text got into the collaborative vectors of a run, as what is said of them; empty where behaviour alone made
    them, so that they do not agree with the text by construction."""
    config = run.config
    if config.method == "text-ease":
        return "is made from the text as well"
    if needs_text(config):
        return "begins from the text" if config.item_init == "pca" else "was learned beside the text"
    guides = {p.id for p in run.manifest.parents if p.kind == "runs"}
    there = [m for m in run.store.list("runs") if m.id in guides] if guides else []
    if any(m.config.get("method") in NEEDS_TEXT or m.parent("embeddings") for m in there):
        return "was learned with a run that reads the text"
    return ""


def available(store: Store, dataset: Dataset) -> list[Space]:
    """Every space of ``dataset``: its embeddings, then its runs' views, newest first."""
    made = [_text_space(store, m) for m in store.list("embeddings") if m.parent("datasets") == dataset.id]
    return made + [_run_space(run, part) for run in list_runs(store, dataset.id) for part in parts_of(run)]


def open_space(store: Store, spec: str, dataset: Dataset) -> Space:
    """A space from its spec. UserError when it is not one, or belongs to another dataset."""
    source, _, rest = spec.partition(":")
    if source == "embedding" and rest:
        space = _text_space(store, store.find("embeddings", rest))
    elif source == "run" and rest.rpartition(":")[2] in VIEWS:
        ref, _, part = rest.rpartition(":")
        run = find_run(store, ref)
        if part not in parts_of(run):
            there = " and ".join(parts_of(run)) or "nothing that can be drawn"
            raise UserError(f"Run {run.id!r} ({run.label}) has no {part} space; it has {there}.")
        space = _run_space(run, part)
    else:
        raise UserError(f"{spec!r} is not a space: give embedding:ID, run:ID:collaborative or run:ID:adapted.")
    if space.manifest.parent("datasets") != dataset.id:
        raise UserError(f"{spec} belongs to dataset {space.manifest.parent('datasets')!r}, not to {dataset.id!r}.")
    return space


def _text_space(store: Store, manifest: Manifest) -> Space:
    label = f"text · {manifest.config.get('embedder', manifest.name)}"
    if manifest.config.get("adapter"):
        label += " · tuned"
    learned = "was tuned on what is chosen" if tuned_on_choices(store, manifest) else ""
    return Space(f"embedding:{manifest.id}", label, "semantic", manifest, learned)


def _run_space(run: Run, part: str) -> Space:
    manifest = run.manifest
    label = f"{part} · {run.label} · seed {manifest.seed}"
    return Space(f"run:{run.id}:{part}", label, part, manifest, mixed(run) if part == "collaborative" else "")


def choose(store: Store, refs: list[str]) -> tuple[str, list[str]]:
    """What to draw for datasets, runs, embeddings and specs: the dataset id, and specs without repetition.

    A dataset stands for its newest embedding, the newest space that behaviour alone made and the views of its newest
    finished run, a run for the text it was made with (or the newest) and its own views. UserError when nothing can be
    drawn or the datasets differ.
    """
    if not refs:
        raise UserError("Name a dataset, a run or a space to draw.")
    specs: list[str] = []
    datasets: list[str] = []
    for ref in refs:
        dataset, found = _stands_for(store, ref)
        datasets.append(dataset)
        specs += found
    if len(set(datasets)) > 1:
        raise UserError(f"A map shows one dataset; these belong to {' and '.join(sorted(set(datasets)))}.")
    if not specs:
        raise UserError(
            f"Dataset {datasets[0]!r} has no embedding and no trained run yet; run `llmesr embed {datasets[0]}` first."
        )
    return datasets[0], list(dict.fromkeys(specs))


def _stands_for(store: Store, ref: str) -> tuple[str, list[str]]:
    source, _, rest = ref.partition(":")
    if source in ("embedding", "run") and rest:
        kind, id = ("embeddings", rest) if source == "embedding" else ("runs", rest.rpartition(":")[0])
        if id:
            return str(store.find(kind, id).parent("datasets")), [ref]
    if (manifest := _find(store, "datasets", ref)) is not None:
        runs = [r for r in list_runs(store, manifest.id) if parts_of(r)]
        # A space that text got into agrees with the text by construction: on its own it would show nothing.
        alone = next((r for r in runs if "collaborative" in parts_of(r) and not mixed(r)), None)
        behaviour = [] if alone is None else [f"run:{alone.id}:collaborative"]
        return manifest.id, _text(store, manifest.id) + behaviour + (_views(runs[0]) if runs else [])
    if (manifest := _find(store, "embeddings", ref)) is not None:
        return str(manifest.parent("datasets")), [f"embedding:{manifest.id}"]
    run = find_run(store, ref)
    made_with = run.manifest.parent("embeddings")
    text = [f"embedding:{made_with}"] if made_with else _text(store, run.dataset_id)
    if (policy := run.manifest.info.get("policy")) is not None:  # it has no model of its own
        run = find_run(store, policy["run"])
    if not parts_of(run):
        raise UserError(f"Run {run.id!r} ({run.label}, {run.status().state}) has no item vectors to draw.")
    return run.dataset_id, text + _views(run)


def _find(store: Store, kind: str, ref: str) -> Manifest | None:
    made = store.list(kind)
    return next((m for m in made if ref in (m.id, m.name)), None) or next(
        (m for m in made if m.id.startswith(ref)), None
    )


def _text(store: Store, dataset: str) -> list[str]:
    return [f"embedding:{m.id}" for m in whole_embeddings(store.list("embeddings"), dataset)[:1]]


def _views(run: Run) -> list[str]:
    return [f"run:{run.id}:{part}" for part in parts_of(run)]


def vectors(store: Store, space: Space, dataset: Dataset, of: Of = "items") -> np.ndarray:
    """The vectors of a space: (N, E) for items 1..N, (U, E) for users; zero rows where there is nothing to go by.

    A user is represented by the training part of the history.
    """
    if space.source == "embedding":
        embedding = load_embedding(store, space.manifest.id, dataset)
        return embedding.item_vectors if of == "items" else embedding.user_vectors
    return run_vectors(Run(store, space.manifest.id), dataset, of)[VIEWS[space.part]]


def run_vectors(run: Run, dataset: Dataset, of: Of) -> dict[str, np.ndarray]:
    """View -> vectors of a run's items (N, D) or users (U, D)."""
    import torch

    from llmesr.data.batches import Sequences, in_order
    from llmesr.linear.scorer import LinearScorer
    from llmesr.linear.spectral import SpectralScorer
    from llmesr.models.scorers import DotScorer, NeuralScorer, WritingScorer
    from llmesr.training.load import load_scorer

    scorer: Any = load_scorer(run, dataset=dataset)
    if isinstance(scorer, LinearScorer):
        scorer = SpectralScorer(scorer)
    elif isinstance(scorer, WritingScorer):  # an item is what its codes add up to where a history is read
        scorer = NeuralScorer(scorer.model)
    if not isinstance(scorer, DotScorer):
        raise UserError(f"Run {run.id!r} ({run.label}) has no vectors: it learned none.")
    if of == "items":
        matrix = scorer.item_matrix()[1:].numpy()
    else:
        lengths = dataset.split.train_lengths
        sequences = Sequences(dataset)
        matrix = np.zeros((dataset.n_users, int(scorer.item_matrix().shape[1])), np.float32)
        for users in in_order(np.flatnonzero(lengths), lengths, _BATCH):
            read = torch.from_numpy(lengths[users])
            history, _ = sequences.padded(torch.from_numpy(users), read, run.config.max_length)
            matrix[users] = scorer.represent(history).numpy()
    return {name: np.ascontiguousarray(matrix[:, part]) for name, part in scorer.view_slices.items()}
