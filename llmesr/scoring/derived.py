"""A run that is another run under a scoring policy: no model of its own, its own evaluation.

It stands beside its parent wherever runs are compared. ``manifest.info["policy"]`` holds the policy
and the id of the run whose model it uses.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from llmesr.errors import UserError
from llmesr.evaluation.results import evaluate_parts
from llmesr.progress import Progress, silent
from llmesr.runs.record import Run, Status
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.policy_scorer import text_terms
from llmesr.scoring.scored_run import ScoredRun, own_policy
from llmesr.store import Manifest, config_digest

SUFFIX = "policy"
CROSS_FITTED = "cross-fitted: each half of the users is ranked by what was fitted on the other half"


def derive(
    scored: ScoredRun,
    policy: ScoringPolicy,
    progress: Progress = silent,
    *,
    halves: Sequence[ScoringPolicy] | None = None,
) -> Run:
    """The run that a run becomes under ``policy``, evaluated on validation and test; made once per policy, and again
    where the run, its text or the thresholds of its dataset have changed since.

    ``halves``: where the policy was tuned, that of each half of the users of validation, tuned on the other half
    (:func:`~llmesr.scoring.tuning.search.cross_fitted`); validation is ranked by these.
    UserError when the policy changes nothing, or when the run is itself such a run.
    """
    run, store = scored.run, scored.store
    if policy.inert:
        raise UserError("This policy leaves every score as it is; there is nothing to evaluate.")
    if own_policy(run) is not None:
        raise UserError(f"Run {run.id!r} already stands for a policy; tune the run it was made from.")
    derived = Run(store, f"{run.id}-{SUFFIX}-{config_digest(policy.model_dump())}")
    said: dict[str, Any] = {"run": run.id, "values": policy.model_dump(), "describe": policy.describe()}
    said |= {} if halves is None else {"halves": [half.model_dump() for half in halves]}
    parents = [scored.dataset.manifest, run.manifest]
    if scored.embedding and (run.manifest.parent("embeddings") or any(map(text_terms, [policy, *(halves or [])]))):
        parents.append(scored.embedding.manifest)
    if store.exists("runs", derived.id) and _holds(derived, said, parents):
        return derived
    started = time.perf_counter()
    validating = scored.of("valid")
    results = evaluate_parts(
        {
            "valid": validating.under(policy) if halves is None else validating.folded(halves),
            "test": scored.of("test").under(policy),
        },
        scored.dataset,
        max_length=scored.max_length,
        device=scored.device,
        progress=progress,
    )
    if derived.folder.exists():  # of before a change, or what an interrupted attempt left
        store.delete("runs", derived.id)
    # Made only now: whoever is interrupted while evaluating leaves no run behind.
    name, device = f"{run.manifest.name} + policy", str(scored.device)
    info = {name: run.manifest.info[name] for name in ("blend",) if name in run.manifest.info}
    info |= {"policy": said} if halves is None else {"policy": said, "validation": CROSS_FITTED}
    derived = Run.create(store, run.config, parents, name=name, id=derived.id, device=device, info=info)
    derived.write_results(*results)
    seconds = round(time.perf_counter() - started, 3)
    derived.finish(Status(state="SUCCEEDED", message=policy.describe()), {"evaluate": seconds}, {})
    return derived


def _holds(derived: Run, said: Mapping[str, Any], parents: Sequence[Manifest]) -> bool:
    """Whether a derived run that is there is what would be made now, from the same artifacts as they are now; or has
    halves to be judged by, which would not be there now."""
    made_from = [derived.store.parent_of(parent) for parent in parents]
    there = derived.manifest.info["policy"]
    judged_alike = "halves" not in said or said["halves"] == there.get("halves")
    return derived.manifest.parents == made_from and judged_alike and derived.status().state == "SUCCEEDED"
