"""What a claim lacks, and what settles a doubt of the guard, as trainings: each once, nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmesr.config import BLEND, BLEND_EMPHASIS, EXTERNAL, has_backbone, named_with_backbone
from llmesr.evaluation.across import BUDGET
from llmesr.evaluation.claim import Claim
from llmesr.evaluation.contenders import Contender
from llmesr.evaluation.doubts import Doubt, Remedy
from llmesr.evaluation.guard import WAITED, waited
from llmesr.evaluation.origins import GUIDES, identity, lucky, origins, sources
from llmesr.runs.record import POLICY, Run, list_runs
from llmesr.runs.wanted import FIRST_SEED, LONGEST, PATIENCE, SEEDS, Recipe, Training, in_turn, seeds_after
from llmesr.store import Manifest, Store, read_json

_BUDGET = {"epochs": LONGEST, "patience": PATIENCE}


def missing(claim: Claim) -> list[Training]:
    """More epochs, more seeds, a policy for both sides or for none, classic baselines, the same in time."""
    policy = _policy_of(claim.run)
    found: list[Training] = []
    for side in (claim.run, claim.baseline):
        found += _of_side(side, claim.doubts, policy)
    if policy is not None and not claim.baseline.tuned:
        redone = {t.settings.get("seed", FIRST_SEED) for t in found if t.method == claim.baseline.method}
        found += _tuned_as_well(claim.baseline, policy, redone)
    found += _baselines(claim)
    return in_turn(found + list(_in_time(claim)))


def trainings(store: Store, remedy: Remedy, dataset: str) -> list[Training]:
    """What a remedy that trains asks for. A search is a job of its own and not among them, and of a ranking made
    elsewhere nothing can be trained."""
    found = (store.manifest("runs", id) for id in remedy.runs)
    manifests = [m for m in found if m.config["method"] != EXTERNAL]
    if remedy.action == "train-longer":
        return [
            again(store, m, int(m.seed or 0), f"{_label(m)} until it no longer improves", values=remedy.values)
            for m in manifests
        ]
    if remedy.action == "add-seeds":
        return [
            again(store, m, s, f"seed {s} of {_label(m)}", policy=_policy_settings(Run(store, m.id)))
            for m in manifests
            for s in remedy.seeds
        ]
    if remedy.action == "part-seeds":
        return [_of_own_seed(store, m) for m in manifests]
    text = next((m.parent("embeddings") for m in store.list("runs") if m.parent("datasets") == dataset), None)
    return [t for method in remedy.methods for t in _classic(method, "sasrec", text)]


def _of_side(side: Contender, doubts: Sequence[Doubt], policy: dict[str, object] | None) -> Iterator[Training]:
    """What makes one side of the claim trained out and of three seeds."""
    if not side.seeded or side.method == EXTERNAL:
        return
    own = [d for d in doubts if d.names == (side.name,)]
    cut = next((d for d in own if d.kind == "undertrained"), None)
    values = dict(cut.remedy.values) if cut is not None and cut.remedy is not None else {}
    store, manifests = side.runs[0].store, side.manifests
    for seed, manifest in zip(side.seeds, manifests, strict=True) if cut is not None else ():
        why = f"{side.name} until it no longer improves"
        yield again(store, manifest, seed, why, values=values, policy=policy)
    shared = next((d.remedy for d in own if d.kind == "shared-part"), None)
    for id in shared.runs if shared is not None and cut is None else ():
        yield _of_own_seed(store, store.manifest("runs", id))
    for seed in seeds_after(side.seeds):
        why = f"seed {seed} of {side.name}"
        yield again(store, manifests[0], seed, why, values=values, policy=policy)


def _of_own_seed(store: Store, manifest: Manifest) -> Training:
    """A run that shares a part with its other seeds, made of parts of its own seed."""
    seed = int(manifest.seed or FIRST_SEED)
    why = f"{_label(manifest)} of parts of seed {seed}"
    return again(store, manifest, seed, why, policy=_policy_settings(Run(store, manifest.id)))


def _tuned_as_well(side: Contender, policy: dict[str, object], redone: set[int]) -> Iterator[Training]:
    """The scoring of the baseline's runs, by the same objective; one whose tuning found nothing has been tuned."""
    if side.method == EXTERNAL:
        return
    recipe = Recipe.of(side.manifests[0]) if side.method != BLEND else Recipe(BLEND, "sasrec", None)
    for run, seed in zip(side.runs, side.seeds, strict=True):
        if seed not in redone and not (run.folder / POLICY).is_file():
            why = f"the scoring of {side.name} tuned as well (seed {seed})" if side.seeded else f"{side.name} tuned too"
            yield recipe.training(seed, why, policy=policy, of_run=run.id)


def _baselines(claim: Claim) -> Iterator[Training]:
    """Classic baselines that the dataset has not seen."""
    lacking = next((d for d in claim.doubts if d.kind == "missing-baseline"), None)
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
    policy, later = _policy_of(claim.run), claim.in_time.dataset
    doubts = claim.in_time.comparison.doubts if claim.in_time.comparison is not None else ()
    for side, there in zip((claim.run, claim.baseline), claim.in_time.sides, strict=True):
        if there is not None:
            for training in _of_side(there, doubts, policy if there.tuned else None):
                yield _moved(training)
            continue
        store, manifest = side.runs[0].store, side.manifests[0]
        for seed in range(FIRST_SEED, FIRST_SEED + (SEEDS if side.seeded else 1)):
            why = f"{side.name} under a temporal split" + (f", seed {seed}" if side.seeded else "")
            values, tuned = _BUDGET if side.seeded else {}, policy if side.tuned else None
            yield again(store, manifest, seed, why, values=values, policy=tuned, later=later, in_time=True)


def _moved(training: Training) -> Training:
    parts = tuple(_moved(m) if isinstance(m, Training) else m for m in training.members)
    guides = {k: _moved(g) if isinstance(g, Training) else g for k, g in training.guides.items()}
    why = f"{training.why}, under the temporal split"
    return replace(training, in_time=True, why=why, members=parts, guides=guides)


def again(
    store: Store,
    manifest: Manifest,
    seed: int,
    why: str,
    *,
    values: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    later: str | None = None,
    in_time: bool = False,
) -> Training:
    """A run to be made as that of ``manifest`` was, with what it is made of: by another seed, with ``values``, under a
    temporal split (``later``: its dataset, None where there is none yet). A policy is tuned anew where one is given.

    Parts that are there already are taken as they are; of a blend only what ended too early gets ``values``.
    """
    if (info := manifest.info.get("policy")) is not None and store.exists("runs", info["run"]):
        manifest = store.manifest("runs", info["run"])

    def part(id: str, seed: int) -> Training | str:
        return _part(store, store.manifest("runs", id), seed, values or {}, later, in_time)

    if manifest.config["method"] == BLEND:
        emphasis = manifest.info["blend"].get("emphasis", BLEND_EMPHASIS)
        settings = {"seed": seed} | ({} if emphasis == BLEND_EMPHASIS else {"emphasis": emphasis})
        settings |= {"trees": True} if "trees" in manifest.info["blend"] else {}
        members = tuple(part(id, seed) for id in sources(manifest))
        text = manifest.parent("embeddings")
        return Training(BLEND, "sasrec", settings, text, why, policy=policy, in_time=in_time, members=members)
    trained = has_backbone(str(manifest.config["method"]))
    longer = values if trained else None
    made = Recipe.of(manifest).training(seed, why, values=longer, policy=policy, in_time=in_time)
    if not in_time:
        return made
    named = {name: str(id) for name in GUIDES if (id := made.settings.get(name))}
    guides = {name: part(id, int(store.manifest("runs", id).seed or FIRST_SEED)) for name, id in named.items()}
    return replace(made, settings={k: v for k, v in made.settings.items() if k not in guides}, guides=guides)


def _part(
    store: Store, manifest: Manifest, seed: int, values: Mapping[str, Any], later: str | None, in_time: bool
) -> Training | str:
    """The run that takes the place of a part: one that is there, or one to be made."""
    seeded = any(lucky(m) for m in origins(store, manifest))
    wait, seed = waited(manifest), seed if seeded else int(manifest.seed or FIRST_SEED)
    if not in_time and (not seeded or (manifest.seed == seed and (wait is None or wait >= WAITED))):
        return manifest.id
    longer = values if in_time or (wait is not None and wait < WAITED) else {}
    why = f"a part: {_label(manifest)}" + (f", seed {seed}" if seeded else "")
    made = again(store, manifest, seed, why, values=longer, later=later, in_time=in_time)

    def same(there: Manifest) -> bool:
        if in_time:
            sides = (identity(store, m, but=BUDGET, under_any_split=True) for m in (there, manifest))
            return (there.seed == seed or not seeded) and next(sides) == next(sides)
        mine = there.config["method"] == made.method != BLEND
        return mine and Recipe.of(there).training(int(there.seed or FIRST_SEED), "").key == made.key

    place = later if in_time else manifest.parent("datasets")
    for run in list_runs(store, place) if place else ():
        if "policy" not in run.manifest.info and same(run.manifest) and run.status().state == "SUCCEEDED":
            return run.id
    return made


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
