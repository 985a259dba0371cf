"""The sum of separately trained runs, as a run of its own.

What a linear model and a neural one know of a history differs, and their sum ranks better than either. How much each
counts, for items of every popularity, is fitted on validation as the weights of a policy are: a conditional logit
(:mod:`llmesr.scoring.tuning.fit`) over scores that are brought to the same spread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import or_

import numpy as np
import torch
from torch import Tensor

from llmesr.config import BLEND, BLEND_EMPHASIS, EXTERNAL
from llmesr.data.batches import Sequences, in_order
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.split import Part
from llmesr.errors import UserError
from llmesr.evaluation.questions import Questions
from llmesr.evaluation.results import evaluate_parts
from llmesr.models.blend import BlendScorer
from llmesr.models.boosted import BoostedScorer
from llmesr.models.folded import Folded
from llmesr.models.scorers import Scorer
from llmesr.progress import Progress, silent
from llmesr.runs.record import MODEL, Run, Status
from llmesr.scoring.boosting import boosted
from llmesr.scoring.derived import CROSS_FITTED
from llmesr.scoring.halves import halved
from llmesr.scoring.scored_run import own_policy
from llmesr.scoring.tuning.fit import Choices, knots, most_likely
from llmesr.scoring.tuning.grid import BLOCK, Block
from llmesr.scoring.units import median, spread
from llmesr.scoring.weights import hats
from llmesr.store import Manifest, config_digest, slug
from llmesr.training.checkpoint import save_tensors
from llmesr.training.load import FOLD, FROM_CHANCE, blended, load_scorer

FITTED_USERS = 3000
"""Most users of validation the weights are fitted on."""


def blend(
    runs: Sequence[Run],
    *,
    emphasis: float = BLEND_EMPHASIS,
    trees: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Run:
    """The sum of ``runs``, fitted on validation, evaluated and stored; the same runs again replace it.

    ``trees``: what the members say is weighed once more by trees, grown on validation as well
    (:mod:`llmesr.scoring.boosting`).

    Validation ranks each half of the users it was fitted on by weights of the other half, so that the blend does not
    flatter itself there; the test is ranked by the weights of all of them.
    ``info["blend"]`` of its manifest holds the runs and their weights. UserError for fewer than two runs, for one that
    is named twice, has no model of its own, or is of another dataset (each split is a dataset), for runs that read
    histories of different lengths, for a dataset with nobody to validate on, and for an emphasis that is no number.
    """
    _check(runs)
    if not 0 <= emphasis < math.inf:
        raise UserError(f"The emphasis on tail items is a number, 0 or more, not {emphasis}.")
    started, store = time.perf_counter(), runs[0].store
    dataset = load_dataset(store, runs[0].dataset_id)
    if not len(dataset.split.users("valid")):
        raise UserError(f"Dataset {dataset.name!r} has nobody to validate on: nobody has a past and a target there.")
    max_length = runs[0].config.max_length
    members = [load_scorer(run, dataset=dataset, part="valid", device=device) for run in runs]
    users, on = _users(dataset), torch.device(device)
    sum_of, judging, found = fitted_blend(members, dataset, users, max_length, emphasis, on, progress)
    scorer: BlendScorer | BoostedScorer = sum_of
    if trees:
        asked = {"max_length": max_length, "emphasis": emphasis, "device": on, "progress": progress}
        scorer, judging, found["trees"] = boosted(sum_of, judging, dataset, users, **asked)  # type: ignore[arg-type]
    tensors = _tensors(scorer) | _judged_by(judging)
    scorers: dict[Part, Scorer] = {"valid": judging, "test": scorer}
    if dataset.split_config.refit or any(run.config.method == BLEND for run in runs):
        members = [load_scorer(run, dataset=dataset, device=device) for run in runs]
        scorers["test"] = blended(members, tensors, dataset, device)
    results = evaluate_parts(scorers, dataset, max_length=max_length, device=device, progress=progress)
    labels = [run.label for run in runs]
    ids = [run.id for run in runs]
    config = {"method": BLEND, "backbone": None, "max_length": max_length}
    digest = config_digest(ids, emphasis, "trees") if trees else config_digest(ids, emphasis)
    id = f"{slug(f'{dataset.name} {BLEND}')}-{digest}"
    parents = list({m.id: m for run in runs for m in _parents(run)}.values())
    seed = next((run.manifest.seed for run in runs if run.manifest.seed is not None), None)
    name = f"{dataset.name} {' + '.join(labels)}{' with trees' if trees else ''}"
    with store.draft("runs", id, name=name, parents=parents, config=config, seed=seed, device=str(device)) as draft:
        made = Run(store, id)
        made.folder = draft.path
        save_tensors(draft.path / MODEL, tensors, {})
        made.write_results(*results)
        made.set_status(Status(state="SUCCEEDED", message=" + ".join(labels)))
        draft.manifest.info["blend"] = {
            "runs": ids,
            "members": labels,
            "emphasis": emphasis,
            FROM_CHANCE: True,
            **found,
        }
        draft.manifest.info["validation"] = CROSS_FITTED
        draft.manifest.timings = {"blend": round(time.perf_counter() - started, 3)}
    return Run(store, id)


def _check(runs: Sequence[Run]) -> None:
    if len(runs) < 2:
        raise UserError("A blend is of two runs or more.")
    if twice := [run.id for i, run in enumerate(runs) if run.id in {r.id for r in runs[:i]}]:
        raise UserError(f"Run {twice[0]!r} is named twice; once is enough.")
    first = runs[0]
    for run in runs:
        if run.dataset_id != first.dataset_id:
            raise UserError(
                f"Run {run.id!r} is of dataset {run.dataset_id!r}, {first.id!r} of {first.dataset_id!r}: only runs of "
                "one dataset, under one split, can be blended."
            )
        if run.config.method == EXTERNAL:
            raise UserError(f"Run {run.id!r} is a ranking made elsewhere, without a model to blend.")
        if own_policy(run) is not None:
            raise UserError(f"Run {run.id!r} stands for a policy: blend the run it was made from, then tune the blend.")
        if run.config.max_length != first.config.max_length:
            raise UserError(
                f"Run {run.id!r} reads {run.config.max_length} items of a history, {first.id!r} "
                f"{first.config.max_length}: train them with the same max_length."
            )


def _parents(run: Run) -> list[Manifest]:
    """Its dataset and text, then the run itself."""
    store = run.store
    kept = [p for p in run.manifest.parents if p.kind in ("datasets", "embeddings")]
    return [*(store.manifest(p.kind, p.id) for p in kept), run.manifest]


def _users(dataset: Dataset) -> np.ndarray:
    """Those of validation that weights are fitted on, in rising order."""
    users = dataset.split.users("valid")
    if len(users) <= FITTED_USERS:
        return users
    return np.sort(np.random.default_rng(dataset.seed).choice(users, FITTED_USERS, replace=False))


def _tensors(scorer: BlendScorer | BoostedScorer) -> dict[str, Tensor]:
    """What is stored of a blend."""
    if isinstance(scorer, BlendScorer):
        return {"weights": scorer.weights, "bias": scorer.bias}
    trees = scorer.trees
    grown = {"tree_features": trees.features, "tree_cuts": trees.cuts, "tree_values": trees.values}
    grown["usual"] = torch.stack(scorer.usual)
    return _tensors(scorer.blend) | grown


def _judged_by(judging: Folded) -> dict[str, Tensor]:
    """What is stored of the blends that validation is ranked by: the weights of each half, and who is in which."""
    halves = [
        {f"{number}.{name}": tensor for name, tensor in _tensors(half).items()}  # type: ignore[arg-type]
        for number, half in enumerate(judging.scorers[:-1])
    ]
    return reduce(or_, halves, {FOLD: judging.fold.byte()})


def fitted_blend(
    members: Sequence[Scorer],
    dataset: Dataset,
    users: np.ndarray,
    max_length: int,
    emphasis: float,
    device: torch.device,
    progress: Progress,
) -> tuple[BlendScorer, Folded, dict[str, object]]:
    """The weights that are likeliest on validation, those to judge them by, and what the manifest says of them."""
    asked: list[np.ndarray] = []
    spreads: list[list[Tensor]] = [[] for _ in members]
    with torch.no_grad():
        choices = Choices.of(_blocks(members, dataset, users, max_length, device, spreads, asked, progress))
    units = [median(each) or 1.0 for each in spreads]
    item_counts = torch.from_numpy(np.asarray(dataset.item_counts)).to(device)
    counts = knots(np.asarray(dataset.item_counts)[1:])
    places = hats(counts, torch.log1p(item_counts.float()))  # (N + 1, K)
    shares = places[choices.items]  # (U, C, K)
    parts = [scores / unit for scores, unit in zip(choices.terms.values(), units, strict=True)]
    features = torch.cat([shares, *(part[..., None] * shares for part in parts)], dim=-1)
    prior = torch.tensor([[float(row > 0)] * len(counts) for row in range(len(members) + 1)], device=device)
    least = torch.where(prior > 0, 0.0, -torch.inf)
    weighed = 1 + emphasis * dataset.thresholds.tail_items(item_counts[choices.items[:, 0]]).float()

    def fitted(rows: Tensor) -> tuple[BlendScorer, dict[str, object]]:
        found = most_likely(
            features[rows], choices.barred[rows], weighed[rows], begin=prior, prior=prior, least=least, ridge=3.0
        )
        bias, *curves = found  # (K,) each
        weights = torch.stack([places @ curve / unit for curve, unit in zip(curves, units, strict=True)])
        said = {
            "counts": list(counts),
            "weights": [[round(float(v / unit), 6) for v in curve] for curve, unit in zip(curves, units, strict=True)],
            "bias": [round(float(v), 6) for v in bias],
        }
        return BlendScorer(members, weights, places @ bias), said

    whole, said = fitted(torch.arange(len(features), device=device))
    return whole, _judging(whole, fitted, dataset, users, np.concatenate(asked), device), said


def _judging(
    whole: BlendScorer,
    fitted: Callable[[Tensor], tuple[BlendScorer, dict[str, object]]],
    dataset: Dataset,
    users: np.ndarray,
    asked: np.ndarray,
    device: torch.device,
) -> Folded:
    """Each half of ``users`` by the weights of the other half, and everybody else by those of all of them; ``asked``
    are the users in the order of the rows that are fitted."""
    half, halves = halved(users, dataset.n_users, dataset.seed)
    if not len(halves[0]):  # a single user: there is nobody else to fit on
        return Folded([whole], torch.zeros(dataset.n_users, dtype=torch.long, device=device))
    fold = torch.full((dataset.n_users,), 2)
    fold[users] = half[users]
    rows = [torch.from_numpy(np.flatnonzero(np.isin(asked, other))).to(device) for other in reversed(halves)]
    return Folded([*(fitted(of)[0] for of in rows), whole], fold.to(device))


def _blocks(
    members: Sequence[Scorer],
    dataset: Dataset,
    users: np.ndarray,
    max_length: int,
    device: torch.device,
    spreads: list[list[Tensor]],
    order: list[np.ndarray],
    progress: Progress,
) -> Iterator[Block]:
    """The members' scores of ``users``; how far they spread, and in which order users come, are added to the lists."""
    asked = Questions(dataset, "valid", Sequences(dataset, device), max_length)
    done = 0
    for some in in_order(
        users, dataset.split.input_lengths("valid"), max(1, min(1024, BLOCK // (dataset.n_items + 1)))
    ):
        batch = asked.batch(some)
        scores = [member.score(batch.inputs, batch.users).float() for member in members]
        for found, part in zip(spreads, scores, strict=True):
            found.append(spread(part))
        order.append(some)
        done += len(some)
        progress("blending", done, len(users))
        yield Block(
            users=some,
            terms={(str(number), None): part for number, part in enumerate(scores)},
            target=batch.targets[:, 0],
            excluded=batch.seen,
            negatives=asked.negatives(batch),
        )
