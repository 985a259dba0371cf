"""From a candidate to its run: solved, trained, blended or tuned; one that was interrupted goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmesr.config import BestConfig
from llmesr.contest.candidates import BLENDED, TUNED, Candidate
from llmesr.data.dataset import Dataset
from llmesr.progress import Progress
from llmesr.runs.contest import Contest
from llmesr.runs.record import Run
from llmesr.scoring.blend import blend
from llmesr.scoring.derived import derive
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.search import cross_fitted, tune_policy
from llmesr.semantic.embed import Embedding
from llmesr.training.devices import pick_device
from llmesr.training.train import resume, train


@dataclass
class Making:
    """What runs are made with."""

    contest: Contest
    config: BestConfig
    dataset: Dataset
    embedding: Embedding | None
    device: str


def make(
    making: Making, candidate: Candidate, members: Sequence[Run], enough: Callable[[], bool], progress: Progress
) -> Run:
    """The run of ``candidate``, evaluated; ``members`` are the runs it is made of, ``enough`` ends a training."""
    if candidate.kind == BLENDED:
        trees = bool(candidate.settings.get("trees"))
        return blend(members, trees=trees, device=pick_device(making.device), progress=progress)
    if candidate.kind == TUNED:
        return _tuned(making, members[0], progress)
    store, id = making.contest.store, making.contest.run_id(candidate.name)
    options = {"device": making.device, "enough": enough, "progress": progress}
    if store.exists("runs", id):
        run = Run(store, id)
        return run if run.status().state == "SUCCEEDED" else resume(run, **options)  # type: ignore[arg-type]
    config = candidate.run_config(making.config)
    return train(making.dataset, config, store, embedding=making.embedding, run_id=id, **options)  # type: ignore[arg-type]


def _tuned(making: Making, run: Run, progress: Progress) -> Run:
    """The run under the policy tuned for it, judged on validation by policies tuned on other users."""
    scored = ScoredRun(run.store, run, pick_device(making.device), dataset=making.dataset, embedding=making.embedding)
    tuned = tune_policy(scored, progress=progress)
    return derive(scored, tuned.policy, halves=cross_fitted(scored, tuned.config, progress=progress), progress=progress)
