"""From a finished run back to something that scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from llmesr.config import BLEND, LINEAR, RunConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.split import Part
from llmesr.errors import UserError
from llmesr.linear.build import MODELS
from llmesr.linear.scorer import LinearScorer
from llmesr.methods import Inputs
from llmesr.models.blend import BlendScorer
from llmesr.models.boosted import BoostedScorer, Trees, Usual, many_features
from llmesr.models.folded import Folded
from llmesr.models.residual import scorer_of
from llmesr.models.scorers import PopularityScorer, Scorer, SemanticKnnScorer, WritingScorer
from llmesr.runs.record import Run
from llmesr.semantic.embed import Embedding
from llmesr.training.checkpoint import load_tensors
from llmesr.training.inputs import reload
from llmesr.training.linear import linear_scorer
from llmesr.training.model import load_model, stored_model
from llmesr.training.text_tables import compared_table

FOLD = "fold"
"""Of the tensors of a blend: who is in which half of the users of validation."""
FROM_CHANCE = "from_chance"
"""Said of a blend in its manifest: its weights are of log-probabilities that are counted from chance."""


def load_scorer(
    run: Run,
    *,
    dataset: Dataset | None = None,
    embedding: Embedding | None = None,
    part: Part = "test",
    device: torch.device | str = "cpu",
) -> Scorer:
    """The scorer of a finished run that ``part`` is asked of. ``dataset`` and ``embedding`` spare loading them.

    On validation a blend, which was fitted there, scores each half of the users by what was fitted on the other half.
    UserError when the run has no model or an artifact it needs is gone."""
    dataset = dataset or load_dataset(run.store, run.dataset_id)
    if run.config.method == BLEND:
        return _blend(run, dataset, part, device)
    inputs = reload(run, dataset, part=part, embedding=embedding)
    if run.config.method in ("popularity", "semantic-knn"):
        return untrained_scorer(run.config, dataset.training_for(part), inputs, device)
    if run.config.method in LINEAR:
        return linear_scorer(run, dataset, inputs, part, device)
    base = None if run.config.base is None else base_scorer(part_of(run, run.config.base), dataset, part, device)
    return scorer_of(load_model(run, inputs, part), base, device)


def base_scorer(run: Run, dataset: Dataset, part: Part = "test", device: torch.device | str = "cpu") -> LinearScorer:
    """The weights of a linear run as a base: without its fallback, which the sequence model replaces."""
    scorer = linear_scorer(run, dataset, reload(run, dataset), part, device)
    if not isinstance(scorer, LinearScorer):
        raise UserError(f"Run {run.id!r} has no weights between items; base is one of {', '.join(MODELS)}, or its run.")
    return LinearScorer(scorer.weights, decay=scorer.decay, device=device)


def part_of(run: Run, id: str, of: str = "adds its scores to those of run") -> Run:
    """A run that ``run`` is made of. UserError when it is gone, or ranks the items of another dataset."""
    if not run.store.exists("runs", id):
        raise UserError(f"Run {run.id!r} {of} {id!r}, which is gone.")
    found = Run(run.store, id)
    if found.dataset_id != run.dataset_id:
        raise UserError(f"Run {run.id!r} {of} {id!r}, which is of another dataset. Make it again.")
    return found


def stored_tensors(run: Run, shapes: Mapping[str, tuple[int, ...]]) -> list[Tensor]:
    """The tensors of a run that is made of others. UserError unless they have these shapes."""
    tensors, _ = load_tensors(stored_model(run))
    for name, shape in shapes.items():
        if name not in tensors or tuple(tensors[name].shape) != shape:
            raise UserError(f"The model of run {run.id!r} does not fit its dataset or the runs it is made of.")
    return [tensors[name] for name in shapes]


def _blend(run: Run, dataset: Dataset, part: Part, device: torch.device | str) -> Scorer:
    """The weights that were fitted on all of validation; asked of validation, each half by those of the other half."""
    runs = [part_of(run, id, "is a blend of run") for id in run.manifest.info["blend"]["runs"]]
    fold = _fold(run, dataset) if part == "valid" else None
    stored = [_stored_blend(run, dataset, f"{half}.") for half in range(2 if fold is not None and fold.any() else 0)]
    stored.append(_stored_blend(run, dataset))
    members = [load_scorer(member, dataset=dataset, part=part, device=device) for member in runs]
    for member in members:
        if isinstance(member, WritingScorer) and not run.manifest.info["blend"].get(FROM_CHANCE):
            member.zero = 0.0  # an earlier version weighed them as they were
    made = [blended(members, tensors, dataset, device) for tensors in stored]
    return made[-1] if fold is None else Folded(made, fold.to(device, torch.long))


def _fold(run: Run, dataset: Dataset) -> Tensor:
    """(U,) 0 and 1 for who is in which half of validation, 2 for all others; 0 throughout where there are no halves."""
    tensors, _ = load_tensors(stored_model(run))
    if FOLD not in tensors:
        ids = " ".join(run.manifest.info["blend"]["runs"])
        raise UserError(
            f"Run {run.id!r} was blended by an earlier version, which did not keep the weights that validation is "
            f"ranked by. Blend it again: `llmesr blend {ids}`."
        )
    return stored_tensors(run, {FOLD: (dataset.n_users,)})[0]


def _stored_blend(run: Run, dataset: Dataset, half: str = "") -> dict[str, Tensor]:
    """The tensors of a blend by name, or those of a ``half``. UserError where they do not fit."""
    made, width = run.manifest.info["blend"], dataset.n_items + 1
    shapes: dict[str, tuple[int, ...]] = {"weights": (len(made["runs"]), width), "bias": (width,)}
    if "trees" in made:
        grown = made["trees"]
        by_half = grown.get("halves", [grown["rounds"]] * 2)  # earlier versions had as many for all
        rounds = by_half[int(half[0])] if half else grown["rounds"]
        inner = 2 ** grown["depth"] - 1
        shapes |= {"tree_features": (rounds, inner), "tree_cuts": (rounds, inner)}
        shapes |= {"tree_values": (rounds, 2 * inner + 1), "usual": (2, len(made["runs"]), width)}
    found = stored_tensors(run, {half + name: shape for name, shape in shapes.items()})
    tensors = dict(zip(shapes, found, strict=True))
    chosen, many = tensors.get("tree_features"), many_features(len(made["runs"]))
    if chosen is not None and chosen.numel() and not 0 <= int(chosen.min()) <= int(chosen.max()) < many:
        raise UserError(f"The model of run {run.id!r} does not fit its dataset or the runs it is made of.")
    return tensors


def blended(
    members: Sequence[Scorer], tensors: Mapping[str, Tensor], dataset: Dataset, device: torch.device | str
) -> BlendScorer | BoostedScorer:
    """The scorer of a blend of ``members``, from the tensors that are stored of it."""
    made = BlendScorer(members, tensors["weights"].to(device), tensors["bias"].to(device))
    if "tree_values" not in tensors:
        return made
    trees = Trees(tensors["tree_features"], tensors["tree_cuts"], tensors["tree_values"]).to(device)
    counts = torch.from_numpy(np.asarray(dataset.item_counts)).to(device)
    usual = Usual(*tensors["usual"].to(device))
    return BoostedScorer(made, trees, torch.log1p(counts.float()), usual)


def untrained_scorer(config: RunConfig, dataset: Dataset, inputs: Inputs, device: torch.device | str) -> Scorer:
    """The two methods that have no parameters. ``dataset`` as :meth:`~llmesr.data.dataset.Dataset.training_for`."""
    if config.method == "popularity":
        return PopularityScorer(dataset.item_counts, device)
    if inputs.text is None:
        raise UserError("semantic-knn needs item text vectors; run `llmesr embed` first.")
    return semantic_knn(config, dataset, inputs.text, device)


def semantic_knn(
    config: RunConfig, dataset: Dataset, text: Tensor, device: torch.device | str = "cpu"
) -> SemanticKnnScorer:
    """Neighbours by what ``config`` compares; ``text`` (N + 1, E) are the vectors of the items' texts."""
    decay = config.decay if config.pooling == "sum" else None
    return SemanticKnnScorer(compared_table(config, dataset, text), device, decay=decay)
