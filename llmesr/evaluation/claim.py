"""A claim that one configuration ranks better than another: what it rests on, what it lacks, what would overturn it.

A claim is made of runs that are there. What the guard misses in it is written down as trainings
(:func:`missing`), so that a command or a job can run exactly those; then the claim is made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from llmesr.config import GROUPS, RunConfig, has_backbone, settings_read
from llmesr.errors import UserError
from llmesr.evaluation.comparison import Comparison, compare_runs
from llmesr.evaluation.contenders import Contender, best_of_each
from llmesr.evaluation.findings import Finding
from llmesr.evaluation.guard import LONGEST, PATIENCE, SEEDS
from llmesr.evaluation.verdict import Answer, Verdict
from llmesr.runs.record import Run
from llmesr.store import Store

_BUDGET = ("epochs", "patience")
FIRST_SEED = 42


@dataclass(frozen=True)
class Training:
    """A run that a claim lacks: the settings that differ from the defaults, its text, and why it is needed."""

    method: str
    backbone: str
    settings: Mapping[str, Any]
    embedding: str | None
    why: str


@dataclass(frozen=True, eq=False)
class Claim:
    """``comparison``: the run against the baseline; ``elsewhere``: the same under the other protocol; ``rivals``: the
    best of every other method against the run (which is the baseline there)."""

    comparison: Comparison
    elsewhere: Comparison
    rivals: Comparison

    @property
    def run(self) -> Contender:
        return next(c for c in self.comparison.chosen if c.name != self.comparison.baseline.name)

    @property
    def baseline(self) -> Contender:
        return self.comparison.baseline

    @property
    def metric(self) -> str:
        return self.comparison.metrics[0]

    @cached_property
    def verdict(self) -> Verdict:
        return self.comparison.verdicts[0]

    @property
    def findings(self) -> Sequence[Finding]:
        return self.comparison.findings

    @property
    def stands(self) -> bool:
        """Whether the run is better overall, with nothing serious against it."""
        overall = self.verdict.answer(GROUPS[0])
        return not self.verdict.doubts and overall is not None and overall.outcome == "better"

    @property
    def sentence(self) -> str:
        """The claim in one sentence, qualified as far as it must be."""
        return f"{self.run.name} against {self.baseline.name}: {self.verdict.sentence()}"

    @property
    def tested_against(self) -> list[tuple[Contender, Answer]]:
        """The best of every other method on validation, with the run's lead over it overall (positive: ahead)."""
        found = []
        for verdict in self.rivals.verdicts:
            answer = verdict.answer(GROUPS[0])
            rival = next(c for c in self.rivals.chosen if c.name == verdict.run)
            if answer is not None:
                found.append((rival, _turned(answer)))
        return found

    @property
    def overturned_by(self) -> list[str]:
        """What would take the claim back, in sentences made of its numbers."""
        overall, said = self.verdict.answer(GROUPS[0]), []
        if overall is not None and overall.outcome == "better":
            said.append(
                f"A baseline that gains {overall.low:.3f} {self.metric} overall (better settings, more training) "
                "leaves no sure difference."
            )
        unbeaten = [c.name for c, a in self.tested_against if a.outcome not in ("better", "few")]
        if unbeaten:
            said.append(f"It does not hold against every method that is here: {', '.join(unbeaten)}.")
        other = self.elsewhere.verdicts[0]
        there = other.answer(GROUPS[0])
        if overall is not None and there is not None and overall.outcome != there.outcome:
            said.append(f"Under {self.elsewhere.protocol} the answer is another: {other.sentence()}")
        worse = [a.group for a in self.verdict.answers if a.outcome == "worse"]
        if worse:
            said.append(f"Whoever cares for {' and '.join(worse)} first: there it is behind.")
        said += [finding.sentence for finding in self.findings]
        said.append(
            "Other users, another time: the split leaves each user's last item out, so models may have seen other "
            "users' future. A split in time would show whether that matters."
        )
        return said


def make_claim(store: Store, run: Run, baseline: Run, *, metric: str = "NDCG@10", protocol: str = "full") -> Claim:
    """The claim that the configuration of ``run`` is better than that of ``baseline``, from all their seeds.

    Where a configuration was trained again with a longer budget, that one is taken. UserError when the two are one
    configuration or cannot be compared.
    """
    asked = compare_runs(store, [run, baseline], baseline=baseline, metrics=(metric,), protocol=protocol)
    if len(asked.chosen) < 2:
        raise UserError("A claim needs two configurations; these two runs differ in nothing but the seed.")
    ours, base = (_settled(_whole(r, asked.everyone), asked.everyone) for r in (run, baseline))
    pair = replace(asked, chosen=[base, ours], baseline=base)
    other = replace(pair, protocol="uni100" if protocol == "full" else "full")
    taken = {*ours.ids, *base.ids}
    rest = [c for c in asked.everyone if not taken & set(c.ids)]
    best = [c for c in best_of_each(rest, asked.validation) if c.method not in (ours.method, base.method)]
    return Claim(pair, other, replace(pair, chosen=[ours, base, *best], baseline=ours))


def missing(claim: Claim) -> list[Training]:
    """The trainings that the guard asks for: more epochs, more seeds, classic baselines. Each once."""
    found: list[Training] = []
    for side in (claim.run, claim.baseline):
        if side.seeded and not side.tuned:
            found += _of_side(side, claim)
    found += _baselines(claim)
    return found


def trained_anew(training: Training) -> RunConfig:
    """The settings of a training as a run reads them."""
    given = {"method": training.method, "backbone": training.backbone, **training.settings}
    return RunConfig.read(None, **given)


def _of_side(side: Contender, claim: Claim) -> Iterator[Training]:
    """What makes one side of the claim trained out and of three seeds."""
    own = [f for f in claim.findings if f.names == (side.name,)]
    cut = next((f for f in own if f.kind == "undertrained"), None)
    manifest = side.manifests[0]
    defaults = RunConfig(method=manifest.config["method"], backbone=manifest.config["backbone"]).model_dump()
    known = {k: v for k, v in settings_read(manifest.config).items() if k in defaults and k != "alignment_run"}
    settings = {k: v for k, v in known.items() if v != defaults[k] and k not in ("method", "backbone", "seed")}
    seeds: list[int] = list(side.seeds) if cut is not None else []
    if cut is not None and cut.remedy is not None:
        settings |= {k: v for k, v in cut.remedy.values.items() if v != defaults[k]}
        settings = {k: v for k, v in settings.items() if v != defaults[k]}
    first = max(side.seeds) + 1
    seeds += range(first, first + max(0, SEEDS - len(side.seeds)))
    for seed in seeds:
        again = cut is not None and seed in side.seeds
        why = f"{side.name} until it no longer improves" if again else f"seed {seed} of {side.name}"
        given = {**settings, **({"seed": seed} if seed != defaults["seed"] else {})}
        yield Training(side.method, manifest.config["backbone"], given, manifest.parent("embeddings"), why)


def _baselines(claim: Claim) -> Iterator[Training]:
    """Classic baselines that the dataset has not seen: once where nothing is luck, else three seeds."""
    lacking = next((f for f in claim.findings if f.kind == "missing-baseline"), None)
    backbone = str(claim.run.manifests[0].config.get("backbone") or "sasrec")
    text = claim.run.manifests[0].parent("embeddings")
    for method in lacking.remedy.methods if lacking is not None and lacking.remedy is not None else ():
        trained = has_backbone(method)
        budget = {"epochs": LONGEST, "patience": PATIENCE}
        defaults = RunConfig().model_dump()
        for seed in range(FIRST_SEED, FIRST_SEED + (SEEDS if trained else 1)):
            given = {**(budget if trained else {}), "seed": seed}
            settings = {k: v for k, v in given.items() if v != defaults[k]}
            yield Training(method, backbone, settings, text, f"{method}, a classic baseline")


def _whole(run: Run, everyone: Sequence[Contender]) -> Contender:
    """The contender of a run with all its seeds."""
    return next(c for c in everyone if run.id in c.ids)


def _settled(contender: Contender, everyone: Sequence[Contender]) -> Contender:
    """The same configuration with the longest budget it was trained with."""
    wanted = _but_budget(contender)
    twins = [c for c in everyone if _but_budget(c) == wanted]
    return max(twins, key=lambda c: tuple(int(c.manifests[0].config.get(k, 0)) for k in _BUDGET))


def _but_budget(c: Contender) -> tuple[Any, ...]:
    manifest = c.manifests[0]
    if not c.trained or c.tuned:
        return (c.ids,)
    read = settings_read(manifest.config)
    settings = {k: v for k, v in read.items() if k not in (*_BUDGET, "seed", "alignment_run")}
    return manifest.parent("embeddings"), tuple(sorted((k, repr(v)) for k, v in settings.items()))


def _turned(a: Answer) -> Answer:
    """An answer from the other side."""
    outcomes = {"better": "worse", "worse": "better"}
    outcome = outcomes.get(a.outcome, a.outcome)
    return replace(a, outcome=outcome, difference=-a.difference, low=-a.high, high=-a.low)  # type: ignore[arg-type]
