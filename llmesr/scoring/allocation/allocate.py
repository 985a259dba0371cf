"""The share of weak users chosen on validation, the test judged beside its controls, and the run that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from llmesr.config import EXTERNAL, AllocationConfig
from llmesr.data.batches import whole_pasts
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation import statistics
from llmesr.evaluation.ranks import PROTOCOLS, evaluate
from llmesr.evaluation.results import Results, evaluate_parts
from llmesr.evaluation.table import Group, named_groups
from llmesr.evaluation.values import per_user
from llmesr.models.allocated import AllocatedScorer
from llmesr.progress import Progress, silent
from llmesr.runs.record import MODEL, Run, Status
from llmesr.scoring.allocation.lists import Lists, Relisted, candidates
from llmesr.scoring.allocation.rankers import AtRandom, ByScore, SecondRanker
from llmesr.scoring.allocation.weakness import SHARES, features, threshold, weakness
from llmesr.scoring.scored_run import ALLOCATION, ScoredRun
from llmesr.store import config_digest, slug, write_json
from llmesr.training.checkpoint import save_tensors

RUN, ALLOCATED = "run", "allocated"
RANDOM_ORDER, RANDOM_USERS = "random order", "random users"
METRICS = ("NDCG@10", "HR@10")
REPORT = "allocation.json"
"""The whole report, in the folder of the run."""
SURE = 2.0
"""Standard errors that a share must gain on validation: the best of ten shares is lucky more often than one."""
_CUT = 10


@dataclass(eq=False)
class Allocation:
    """``weak`` (U,) bool; ``chosen``: what each share gains on validation (share, gain, error), empty where the share
    was given; ``frames``: arm -> ranks of the test part; ``run``: the stored run, None where nobody is weak."""

    second: str
    share: float
    weakness: np.ndarray
    weak: np.ndarray
    features: pd.DataFrame
    chosen: list[dict[str, float]]
    frames: Mapping[str, pd.DataFrame]
    dataset: Dataset
    run: Run | None = None

    @cached_property
    def document(self) -> dict[str, Any]:
        """All of it as JSON: who is weak, what validation chose from, the arms and tests under both protocols."""
        asked = self.dataset.split.users("test")
        rows: list[dict[str, Any]] = []
        tests: list[dict[str, Any]] = []
        for protocol in PROTOCOLS if len(self.frames) > 1 else ():
            level, against = self.evidence(protocol)
            rows += level.assign(protocol=protocol).to_dict("records")
            tests += against.assign(protocol=protocol).to_dict("records")
        return {
            "second": self.second,
            "share": self.share,
            "weak_users": int(self.weak[asked].sum()),
            "users": len(asked),
            "who": [_plain(row) for row in self.who().to_dict("records")],
            "chosen_from": self.chosen,
            "rows": [_plain(row) for row in rows],
            "tests": [_plain(row) for row in tests],
        }

    def groups(self, rows: pd.DataFrame) -> list[Group]:
        """Weak and strong users, then the usual groups, of targets ``rows``."""
        weak = self.weak[rows["user"].to_numpy()]
        own = [Group("user", "Weak User", weak), Group("user", "Strong User", ~weak)]
        return [*own, *named_groups(rows, self.dataset.thresholds)]

    def evidence(self, protocol: str, metrics: Sequence[str] = METRICS) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The arms by group with intervals, and every arm against the run, as :mod:`evaluation.statistics` has them."""
        values = per_user({arm: [f] for arm, f in self.frames.items()}, metrics, protocol, "test")
        groups = self.groups(values.rows)
        options: dict[str, Any] = {"metrics": metrics, "protocol": protocol, "groups": groups}
        level = statistics.summary(values, self.dataset.thresholds, **options)
        return level, statistics.compare(values, self.dataset.thresholds, baseline=RUN, **options)

    def who(self) -> pd.DataFrame:
        """The mean of every feature over weak and over strong users of the test: columns feature, weak, strong."""
        asked = np.isin(np.arange(len(self.weak)), self.dataset.split.users("test"))
        sides = {"weak": asked & self.weak, "strong": asked & ~self.weak}
        means = {side: self.features[members].mean() for side, members in sides.items()}
        return pd.DataFrame(means).rename_axis("feature").reset_index()


def allocate(
    scored: ScoredRun, second: SecondRanker, config: AllocationConfig, progress: Progress = silent
) -> Allocation:
    """Hand the weak users of ``scored`` to ``second``, and judge it on the test part.

    Who is weak follows from the training part; how many are, from validation, where the second ranker re-orders the
    lists of a sample: the share with the best NDCG@10, and nobody where that gain is within two standard errors of 0.
    Two controls stand beside it: the same users' lists in random order, and as many users drawn at random handed to
    the second ranker. UserError when no share is given and nobody can be asked, or when the run has no model.
    """
    dataset = scored.dataset
    if scored.run.config.method == EXTERNAL:
        raise UserError(f"Run {scored.run.id!r} is a ranking made elsewhere, which has no scores for other lists.")
    found = features(scored, config.features)
    weak = weakness(found)
    share, chosen = config.share, []
    if share is None:
        sample = sampled(scored, config, progress)
        gains = _gained(sample, second.order(sample, progress), dataset)
        chosen = by_share(weak[sample.users], gains)
        share = best_share(chosen)
    everyone = dataset.split.users("valid" if len(dataset.split.users("valid")) else "test")
    is_weak = weak >= threshold(weak[everyone], share)
    asked = dataset.split.users("test")
    handed = asked[is_weak[asked]]
    handed = handed[np.argsort(-weak[handed], kind="stable")]  # the weakest first
    frames = {RUN: scored.run.per_user("test")}
    if not len(handed):
        return Allocation(second.name, share, weak, is_weak, found, chosen, frames, dataset)
    lists = candidates(scored, "test", handed, config.candidates, progress)
    served = _served(scored, second, is_weak, config)
    results = _judged(scored, served or _relisted(scored, lists, second, progress), progress)
    frames[ALLOCATED] = pd.concat(results.frames, ignore_index=True)
    frames |= _controls(scored, second, lists, config, progress)
    made = Allocation(second.name, share, weak, is_weak, found, chosen, frames, dataset)
    made.run = _stored(scored, made, second, config, results, serves=served is not None)
    return made


def sampled(scored: ScoredRun, config: AllocationConfig, progress: Progress = silent) -> Lists:
    """Users of validation with their candidates: all, or as many as the config says, in random order."""
    users = scored.dataset.split.users("valid")
    if not len(users):
        raise UserError(
            f"Dataset {scored.dataset.name!r} has nobody to validate on, so no share can be chosen; give one: "
            "--set share=0.2."
        )
    users = np.random.default_rng(config.seed).permutation(users)[: config.sample]
    return candidates(scored, "valid", users, config.candidates, progress)


def by_share(weak: np.ndarray, gains: np.ndarray) -> list[dict[str, float]]:
    """For each share of the weakest users the mean gain over all of these users, and its standard error."""
    rows = []
    for share in SHARES:
        gained = np.where(weak >= threshold(weak, share), gains, 0.0)
        error = float(gained.std(ddof=1) / np.sqrt(len(gained))) if len(gained) > 1 else 0.0
        rows.append({"share": share, "gain": float(gained.mean()), "error": error})
    return rows


def best_share(chosen: Sequence[Mapping[str, float]]) -> float:
    """The share that gains most, the smallest of equal ones; 0 where that is within :data:`SURE` standard errors."""
    best = max(chosen, key=lambda row: (row["gain"], -row["share"]))
    return best["share"] if best["gain"] > SURE * best["error"] else 0.0


def _gained(lists: Lists, order: np.ndarray, dataset: Dataset) -> np.ndarray:
    """(V,) what each user's NDCG@10 gains by the new order, in full ranking."""
    user, target = dataset.split.pairs(lists.part)
    row = np.full(dataset.n_users, -1)
    row[lists.users] = np.arange(len(lists.users))
    user, target = row[user[row[user] >= 0]], target[row[user] >= 0]
    worth = np.zeros((2, len(lists.users)))
    for arm, items in enumerate((lists.items, lists.ordered(order).items)):
        hit = items[user, :_CUT] == target[:, None]
        np.add.at(worth[arm], user, (hit / np.log2(np.arange(2, hit.shape[1] + 2))).sum(1))
    many = np.minimum(np.bincount(user, minlength=len(lists.users)), _CUT)
    ideal = np.concatenate([[1.0], np.cumsum(1 / np.log2(np.arange(2, _CUT + 2)))])[many]
    return np.asarray((worth[1] - worth[0]) / ideal)


def _controls(
    scored: ScoredRun, second: SecondRanker, lists: Lists, config: AllocationConfig, progress: Progress
) -> dict[str, pd.DataFrame]:
    """Arm -> ranks. The second ranker on other users is left out where each of its lists costs money."""
    arms = {RANDOM_ORDER: lists.ordered(AtRandom(config.seed).order(lists))}
    if not second.paid:
        asked = scored.dataset.split.users("test")
        drawn = np.sort(np.random.default_rng(config.seed).choice(asked, len(lists.users), replace=False))
        others = candidates(scored, "test", drawn, config.candidates, progress)
        arms[RANDOM_USERS] = others.ordered(second.order(others, progress))
    tested = scored.of("test")
    options: dict[str, Any] = {"top": 0, "max_length": scored.max_length, "device": scored.device}
    found = {}
    for arm, order in arms.items():
        scorer = Relisted(tested.under(), order, scored.dataset.n_users, scored.device)
        found[arm] = evaluate(scorer, scored.dataset, "test", progress=progress, **options).frame
    return found


def _served(
    scored: ScoredRun, second: SecondRanker, weak: np.ndarray, config: AllocationConfig
) -> AllocatedScorer | None:
    """Both runs as one model, where that can be kept: the second is a run that reads the same stretch of a history."""
    other = second.run if isinstance(second, ByScore) else None
    if other is None or other.max_length != scored.max_length:
        return None
    flags = torch.from_numpy(weak).to(scored.device)
    pasts = whole_pasts(scored.dataset, "test", scored.device)
    return AllocatedScorer(scored.of("test").under(), other.of("test").under(), flags, config.candidates, pasts)


def _relisted(scored: ScoredRun, lists: Lists, second: SecondRanker, progress: Progress) -> Relisted:
    """The run with the lists of these users as the second ranker orders them."""
    ordered = lists.ordered(second.order(lists, progress))
    return Relisted(scored.of("test").under(), ordered, scored.dataset.n_users, scored.device)


def _judged(scored: ScoredRun, scorer: AllocatedScorer | Relisted, progress: Progress) -> Results:
    return evaluate_parts(
        scorer,
        scored.dataset,
        parts=("test",),
        max_length=scored.max_length,
        device=scored.device,
        progress=progress,
    )


def _stored(
    scored: ScoredRun,
    made: Allocation,
    second: SecondRanker,
    config: AllocationConfig,
    results: Results,
    *,
    serves: bool,
) -> Run:
    """The lists as a run of their own, which is compared like a ranking made elsewhere; the same again replaces it.
    Where the second is a run it also recommends, from both."""
    store, run = scored.store, scored.run
    source = f"{run.label} + {second.name}"
    settings: dict[str, Any] = {
        "method": EXTERNAL,
        "backbone": None,
        "source": source,
        "first": run.id,
        "second": second.name,
    }
    settings |= {"share": made.share, "candidates": config.candidates, "features": list(config.features)}
    id = f"{slug(f'{made.dataset.name} allocated')}-{config_digest(settings, config.model_dump())}"
    parents = [made.dataset.manifest, run.manifest]
    if serves and isinstance(second, ByScore) and second.run is not None:
        parents.append(second.run.run.manifest)
        settings["max_length"] = scored.max_length
    with store.draft("runs", id, name=source, parents=parents, config=settings, seed=run.manifest.seed) as draft:
        stored = Run(store, id)
        stored.folder = draft.path
        stored.write_results(*results)
        stored.set_status(Status(state="SUCCEEDED", message=f"Weak users of {run.id} by {second.name}."))
        write_json(draft.path / REPORT, made.document | {"settings": config.model_dump()} | second.report())
        if serves:
            assert isinstance(second, ByScore)
            assert second.run is not None
            save_tensors(draft.path / MODEL, {"weak": torch.from_numpy(made.weak)}, {})
            draft.manifest.info[ALLOCATION] = {
                "first": run.id,
                "second": second.run.run.id,
                "candidates": config.candidates,
            }
        draft.manifest.info["notes"] = [f"{int(made.weak.sum()):,} weak users of run {run.id} by {second.name}."]
    return Run(store, id)


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """What is not a number as null, and numpy's numbers as Python's."""
    kept: dict[str, Any] = {}
    for name, value in row.items():
        value = value.item() if isinstance(value, np.generic) else value
        kept[str(name)] = None if isinstance(value, float) and not np.isfinite(value) else value
    return kept
