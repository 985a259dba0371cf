"""A run that is another run under a scoring policy: no model of its own, its own evaluation.

It stands beside its parent wherever runs are compared. ``manifest.info["policy"]`` holds the policy
and the id of the run whose model it uses.
"""

from __future__ import annotations

import time

from llmesr.errors import UserError
from llmesr.evaluation.results import evaluate_parts
from llmesr.models.scorers import Scorer
from llmesr.progress import Progress, silent
from llmesr.runs.record import Run, Status
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.scored_run import ScoredRun, own_policy
from llmesr.store import config_digest

SUFFIX = "policy"
CROSS_FITTED = "cross-fitted: each half of the users is ranked by what was fitted on the other half"


def derive(
    scored: ScoredRun, policy: ScoringPolicy, progress: Progress = silent, *, validating: Scorer | None = None
) -> Run:
    """The run that a run becomes under ``policy``, evaluated on validation and test; made once per policy.

    ``validating`` ranks validation in its place: what was tuned there is judged by others.
    UserError when the policy changes nothing, or when the run is itself such a run.
    """
    run, store = scored.run, scored.store
    if policy.inert:
        raise UserError("This policy leaves every score as it is; there is nothing to evaluate.")
    if own_policy(run) is not None:
        raise UserError(f"Run {run.id!r} already stands for a policy; tune the run it was made from.")
    id = f"{run.id}-{SUFFIX}-{config_digest(policy.model_dump())}"
    derived = Run(store, id)
    if store.exists("runs", id) and derived.status().state == "SUCCEEDED":
        return derived
    started = time.perf_counter()
    parents = [scored.dataset.manifest, run.manifest] + ([scored.embedding.manifest] if scored.embedding else [])
    results = evaluate_parts(
        {"valid": validating or scored.of("valid").under(policy), "test": scored.of("test").under(policy)},
        scored.dataset,
        max_length=scored.max_length,
        device=scored.device,
        progress=progress,
    )
    if derived.folder.exists():  # what an interrupted attempt left
        store.delete("runs", id)
    # Made only now: whoever is interrupted while evaluating leaves no run behind.
    name, device = f"{run.manifest.name} + policy", str(scored.device)
    info = {name: run.manifest.info[name] for name in ("blend",) if name in run.manifest.info}
    info |= {"policy": {"run": run.id, "values": policy.model_dump(), "describe": policy.describe()}}
    info |= {} if validating is None else {"validation": CROSS_FITTED}
    derived = Run.create(store, run.config, parents, name=name, id=id, device=device, info=info)
    derived.write_results(*results)
    seconds = round(time.perf_counter() - started, 3)
    derived.finish(Status(state="SUCCEEDED", message=policy.describe()), {"evaluate": seconds}, {})
    return derived
