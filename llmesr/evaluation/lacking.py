"""What a claim lacks, and what settles a finding of the guard, as trainings: each once, nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmesr.config import BLEND, EXTERNAL, has_backbone, named_with_backbone
from llmesr.evaluation.claim import Claim
from llmesr.evaluation.contenders import Contender, model_manifest
from llmesr.evaluation.findings import Finding, Remedy
from llmesr.runs.record import POLICY, Run
from llmesr.runs.wanted import FIRST_SEED, LONGEST, PATIENCE, SEEDS, Recipe, Training, seeds_after
from llmesr.store import Manifest, Store, read_json

_BUDGET = {"epochs": LONGEST, "patience": PATIENCE}


def missing(claim: Claim) -> list[Training]:
    """More epochs, more seeds, a policy for both sides or for none, classic baselines, the same in time."""
    policy = _policy_of(claim.run)
    found: list[Training] = []
    for side in (claim.run, claim.baseline):
        found += _of_side(side, claim.findings, policy)
    if policy is not None and not claim.baseline.tuned:
        again = {t.settings.get("seed", FIRST_SEED) for t in found if t.method == claim.baseline.method}
        found += _tuned_as_well(claim.baseline, policy, again)
    found += _baselines(claim)
    return found + list(_in_time(claim))


def trainings(store: Store, remedy: Remedy, dataset: str) -> list[Training]:
    """What a remedy that trains asks for. A search is a job of its own and not among them, and blends are made of
    runs: nothing can be trained of one."""
    found = (store.manifest("runs", id) for id in remedy.runs)
    manifests = [m for m in found if m.config["method"] not in (EXTERNAL, BLEND)]
    if remedy.action == "train-longer":
        return [
            Recipe.of(m).training(int(m.seed or 0), f"{_label(m)} until it no longer improves", values=remedy.values)
            for m in manifests
        ]
    if remedy.action == "add-seeds":
        return [
            Recipe.of(m).training(s, f"seed {s} of {_label(m)}", policy=_policy_settings(Run(store, m.id)))
            for m in manifests
            for s in remedy.seeds
        ]
    text = next((m.parent("embeddings") for m in store.list("runs") if m.parent("datasets") == dataset), None)
    return [t for method in remedy.methods for t in _classic(method, "sasrec", text)]


def _of_side(side: Contender, findings: Sequence[Finding], policy: dict[str, object] | None) -> Iterator[Training]:
    """What makes one side of the claim trained out and of three seeds."""
    if not side.seeded or side.method in (EXTERNAL, BLEND):
        return
    own = [f for f in findings if f.names == (side.name,)]
    cut = next((f for f in own if f.kind == "undertrained"), None)
    values = dict(cut.remedy.values) if cut is not None and cut.remedy is not None else {}
    recipe = Recipe.of(model_manifest(side, 0))
    for seed in side.seeds if cut is not None else ():
        yield recipe.training(seed, f"{side.name} until it no longer improves", values=values, policy=policy)
    for seed in seeds_after(side.seeds):
        yield recipe.training(seed, f"seed {seed} of {side.name}", values=values, policy=policy)


def _tuned_as_well(side: Contender, policy: dict[str, object], again: set[int]) -> Iterator[Training]:
    """The scoring of the baseline's runs, by the same objective; one whose tuning found nothing has been tuned."""
    if side.method == EXTERNAL:
        return
    recipe = Recipe.of(side.manifests[0]) if side.method != BLEND else Recipe(BLEND, "sasrec", None)
    for run, seed in zip(side.runs, side.seeds, strict=True):
        if seed not in again and not (run.folder / POLICY).is_file():
            why = f"the scoring of {side.name} tuned as well (seed {seed})" if side.seeded else f"{side.name} tuned too"
            yield recipe.training(seed, why, policy=policy, of_run=run.id)


def _baselines(claim: Claim) -> Iterator[Training]:
    """Classic baselines that the dataset has not seen."""
    lacking = next((f for f in claim.findings if f.kind == "missing-baseline"), None)
    manifest = claim.run.manifests[0]
    backbone = str(manifest.config.get("backbone") or "sasrec")
    for method in lacking.remedy.methods if lacking is not None and lacking.remedy is not None else ():
        yield from _classic(method, backbone, manifest.parent("embeddings"))


def _classic(method: str, backbone: str, text: str | None) -> Iterator[Training]:
    """Once where nothing is luck, else three seeds."""
    trained = has_backbone(method)
    for seed in range(FIRST_SEED, FIRST_SEED + (SEEDS if trained else 1)):
        values = _BUDGET if trained else {}
        yield Recipe(method, backbone, text).training(seed, f"{method}, a classic baseline", values=values)


def _in_time(claim: Claim) -> Iterator[Training]:
    """The two sides under a temporal split, trained out, with the seeds they lack there."""
    if claim.in_time is None:
        return
    policy = _policy_of(claim.run)
    findings = claim.in_time.comparison.findings if claim.in_time.comparison is not None else ()
    for side, there in zip((claim.run, claim.baseline), claim.in_time.sides, strict=True):
        if there is not None:
            for training in _of_side(there, findings, policy if there.tuned else None):
                yield _moved(training)
            continue
        recipe = Recipe.of(model_manifest(side, 0))
        for seed in range(FIRST_SEED, FIRST_SEED + (SEEDS if side.seeded else 1)):
            why = f"{side.name} under a temporal split" + (f", seed {seed}" if side.seeded else "")
            values = _BUDGET if side.trained else {}
            tuned = policy if side.tuned else None
            yield recipe.training(seed, why, values=values, policy=tuned, in_time=True)


def _moved(training: Training) -> Training:
    return Training(**{**vars(training), "in_time": True, "why": f"{training.why}, under the temporal split"})


def _policy_of(side: Contender) -> dict[str, object] | None:
    """What the scoring of a tuned contender was tuned for; None where it was not."""
    return _policy_settings(side.runs[0]) if side.tuned else None


def _policy_settings(run: Run) -> dict[str, object] | None:
    """The objective and the protocol of the tuning behind a run under a policy, where they are not the usual ones."""
    info = run.manifest.info.get("policy")
    if info is None:
        return None
    path = Run(run.store, info["run"]).folder / POLICY
    asked = read_json(path, f"Run {info['run']!r}", "Tune it again.").get("config", {}) if path.is_file() else {}
    usual = {"objective": "balanced", "protocol": "full"}
    return {k: asked[k] for k, v in usual.items() if asked.get(k, v) != v}


def _label(manifest: Manifest) -> str:
    method = str(manifest.config["method"])
    return f"{method}/{manifest.config['backbone']}" if named_with_backbone(method) else method
