"""A run evaluated once more, with the model or the policy it has."""

from __future__ import annotations

import time

from llmesr.config import EXTERNAL
from llmesr.data.split import PARTS, Part
from llmesr.errors import UserError
from llmesr.evaluation.results import evaluate_parts
from llmesr.evaluation.two_stage import TwoStage, recall_of
from llmesr.progress import Progress, silent
from llmesr.retrieval.index_inner import InnerProducts
from llmesr.runs.record import Run
from llmesr.scoring.scored_run import ALLOCATION, ScoredRun, judged_by
from llmesr.training.devices import pick_device


def evaluate_again(run: Run, device: str = "auto", progress: Progress = silent) -> Run:
    """Rank every held-out item, and store the ranks with the run; for one whose weak users are handed to another run,
    those of the test, which is all it is judged on. By candidates where it was ranked so before. Validation is ranked
    by what was not fitted on it, as when the run was made.

    UserError for a ranking made elsewhere, for lists that something other than a run re-ordered, for a blend or a tuned
    policy of an earlier version, which did not keep what ranks validation, and while another process works on the run.
    """
    handed = ALLOCATION in run.manifest.info
    if run.label == EXTERNAL and not handed:
        raise UserError(_why_not(run))
    if "policy" in run.manifest.info and "validation" in run.manifest.info and judged_by(run) is None:
        of = run.manifest.info["policy"]["run"]
        raise UserError(
            f"Run {run.id!r} was made by an earlier version, which did not keep the policies that validation is ranked "
            f"by. Delete it and make it again: `llmesr tune {of}`."
        )
    parts: tuple[Part, ...] = ("test",) if handed else PARTS
    scored, started = ScoredRun(run.store, run, pick_device(device)), time.perf_counter()
    two_stage = None if recall_of(run.manifest) is None else TwoStage(InnerProducts)
    results = evaluate_parts(
        {part: scored.of(part).judging() for part in parts},
        scored.dataset,
        parts=parts,
        max_length=scored.max_length,
        device=scored.device,
        progress=progress,
        two_stage=two_stage,
    )
    info = {} if two_stage is None else {"ranking": two_stage.report()}
    with run.hold():
        run.write_results(*results)
        run.finish(run.status(), {"evaluate": round(time.perf_counter() - started, 3)}, info)
    return run


def _why_not(run: Run) -> str:
    config = run.manifest.config
    if "first" in config:
        return (
            f"Run {run.id!r} is the lists of run {config['first']!r} as {config['second']} ordered them, which is not "
            "kept: make it again with `llmesr allocate`."
        )
    return f"Run {run.id!r} is a ranking made elsewhere: evaluate its file again with --ranking."
