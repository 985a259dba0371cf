"""A run that is another run under a scoring policy: no model of its own, its own evaluation.

It stands beside its parent wherever runs are compared. ``manifest.info["policy"]`` holds the policy
and the id of the run whose model it uses.
"""

from __future__ import annotations

import shutil
import time

import torch

from llmesr.data.dataset import Dataset, load_dataset
from llmesr.errors import UserError
from llmesr.evaluation.results import evaluate_parts
from llmesr.progress import Progress, silent
from llmesr.runs.record import Run, Status
from llmesr.scoring.policy import Ground, PolicyScorer, ScoringPolicy
from llmesr.store import MANIFEST, Store, config_digest, write_json

SUFFIX = "policy"


def own_policy(run: Run) -> ScoringPolicy | None:
    """The policy a derived run stands for; None for a run with a model of its own."""
    info = run.manifest.info.get("policy")
    return None if info is None else ScoringPolicy.read(None, **info["values"])


def model_run(run: Run) -> Run:
    """The run whose model is used: the run itself, or the parent of a derived run."""
    info = run.manifest.info.get("policy")
    if info is None:
        return run
    if not run.store.exists("runs", info["run"]):
        raise UserError(f"Run {run.id!r} uses the model of run {info['run']!r}, which is gone.")
    return Run(run.store, info["run"])


def derive(
    run: Run,
    policy: ScoringPolicy,
    store: Store,
    *,
    dataset: Dataset | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Run:
    """The run that ``run`` becomes under ``policy``, evaluated on validation and test; made once per policy.

    ``dataset`` spares loading it. UserError when the policy changes nothing, or when ``run`` is itself such a run.
    """
    from llmesr.scoring.recommender import text_of
    from llmesr.training.load import load_scorer

    if policy.inert:
        raise UserError("This policy leaves every score as it is; there is nothing to evaluate.")
    if own_policy(run) is not None:
        raise UserError(f"Run {run.id!r} already stands for a policy; tune the run it was made from.")
    id = f"{run.id}-{SUFFIX}-{config_digest(policy.model_dump())}"
    derived = Run(store, id)
    if store.exists("runs", id) and derived.status().state == "SUCCEEDED":
        return derived
    started = time.perf_counter()
    dataset = dataset or load_dataset(store, run.dataset_id)
    embedding = text_of(store, run, dataset)
    parents = [dataset.manifest, run.manifest] + ([embedding.manifest] if embedding else [])
    text = None if embedding is None else embedding.padded()
    scorer = PolicyScorer(load_scorer(run, dataset=dataset, device=device), policy, Ground.of(dataset, text, device))
    results = evaluate_parts(scorer, dataset, max_length=run.config.max_length, device=device, progress=progress)
    if derived.folder.exists():  # what an interrupted attempt left
        shutil.rmtree(derived.folder)
    # Made only now: whoever is interrupted while evaluating leaves no run behind.
    derived = Run.create(store, run.config, parents, name=f"{run.manifest.name} + policy", id=id, device=str(device))
    manifest = derived.manifest
    manifest.info["policy"] = {"run": run.id, "values": policy.model_dump(), "describe": policy.describe()}
    write_json(derived.folder / MANIFEST, manifest.model_dump())
    derived.write_results(*results)
    seconds = round(time.perf_counter() - started, 3)
    derived.finish(Status(state="SUCCEEDED", message=policy.describe()), {"evaluate": seconds}, {})
    return derived
