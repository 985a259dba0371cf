"""A run evaluated once more, with the model or the policy it has."""

from __future__ import annotations

import time

from llmesr.config import EXTERNAL
from llmesr.data.split import PARTS
from llmesr.errors import UserError
from llmesr.evaluation.results import evaluate_parts
from llmesr.progress import Progress, silent
from llmesr.runs.record import Run
from llmesr.scoring.scored_run import ScoredRun
from llmesr.training.devices import pick_device


def evaluate_again(run: Run, device: str = "auto", progress: Progress = silent) -> Run:
    """Rank every held-out item, and store the ranks with the run. UserError for a ranking made elsewhere, and while
    another process works on the run."""
    if run.label == EXTERNAL:
        raise UserError(f"Run {run.id!r} is a ranking made elsewhere: evaluate its file again with --ranking.")
    scored, started = ScoredRun(run.store, run, pick_device(device)), time.perf_counter()
    results = evaluate_parts(
        {part: s.scorer if s.policy.inert else s.under() for part in PARTS for s in [scored.of(part)]},
        scored.dataset,
        max_length=scored.max_length,
        device=scored.device,
        progress=progress,
    )
    with run.hold():
        run.write_results(*results)
        run.finish(run.status(), {"evaluate": round(time.perf_counter() - started, 3)}, {})
    return run
