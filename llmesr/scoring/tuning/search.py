"""Choosing a scoring policy for a trained run, on validation only.

A grid of content weights, routing thresholds and routing weights is ranked without re-scoring, and so are weights
of all parts that follow popularity, fitted for several emphases on tail items; then the best of all with several
popularity weights. The points that no other beats on both overall and tail-item accuracy are the Pareto front. One
of them is chosen by an objective, or by the analyst.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from llmesr.config import Protocol
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation.table import event_metrics
from llmesr.progress import Progress, silent
from llmesr.runs.record import Run, find_run
from llmesr.scoring.halves import halved
from llmesr.scoring.linear_term import LinearKind
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.scored_run import ScoredRun, own_policy
from llmesr.scoring.terms import TERMS, Key, Variant
from llmesr.scoring.tuning.fit import Choices, fit_weights
from llmesr.scoring.tuning.grid import Block, blocks, rank_grid
from llmesr.scoring.tuning.outcome import (
    CUT,
    PolicyPoint,
    PolicyTuningConfig,
    TunedPolicy,
    best_point,
    policy_front,
    ranking,
)
from llmesr.scoring.units import matching, median, short, spread
from llmesr.store import now


def tune_policy(
    scored: ScoredRun, config: PolicyTuningConfig | None = None, *, progress: Progress = silent
) -> TunedPolicy:
    """Choose a policy for a run on validation and store it as the run's ``policy.json``.

    UserError when the run has no model, is itself a run under a policy, or when its dataset has nobody to validate on.
    """
    tuned = _tuned(scored.of("valid"), config or PolicyTuningConfig(), scored.dataset.split.users("valid"), progress)
    tuned.save(scored.run)
    return tuned


def cross_fitted(
    scored: ScoredRun, config: PolicyTuningConfig | None = None, *, progress: Progress = silent
) -> list[ScoringPolicy] | None:
    """A policy for each half of the users of validation, tuned on the other half.

    A policy flatters itself on the users it was tuned for; ranked by these (:func:`~llmesr.scoring.derived.derive`),
    validation tells it from other candidates. None where there are too few users to halve. Nothing is stored.
    """
    scored = scored.of("valid")
    _, halves = halved(scored.dataset.split.users("valid"), scored.dataset.n_users, scored.dataset.seed)
    if min(map(len, halves)) == 0:
        return None
    return [_tuned(scored, config or PolicyTuningConfig(), half, progress).policy for half in reversed(halves)]


def _tuned(scored: ScoredRun, config: PolicyTuningConfig, users: np.ndarray, progress: Progress) -> TunedPolicy:
    """The policy chosen on ``users`` of validation."""
    started = time.perf_counter()
    run, dataset = scored.run, scored.dataset
    if own_policy(run) is not None:
        raise UserError(f"Run {run.id!r} already stands for a policy; tune the run it was made from.")
    if not len(users):
        raise UserError(f"Dataset {dataset.name!r} has nobody to validate on: nobody has a past and a target there.")
    judged = None if config.reference is None else _judged(find_run(scored.store, config.reference), dataset)
    search = _Search(scored, config, judged, users, progress)
    points, sampled, units = search.points()
    floor = search.floor(users)
    return TunedPolicy(
        run=run.id,
        dataset=dataset.id,
        embedding=None if scored.embedding is None else scored.embedding.id,
        config=config,
        thresholds=dataset.thresholds,
        units=units,
        reference=floor,
        users=len(users),
        seconds=round(time.perf_counter() - started, 2),
        created=now(),
        points=points,
        sampled=sampled,
        chosen=best_point(points, config, floor),
    )


def _judged(reference: Run, dataset: Dataset) -> pd.DataFrame:
    """The reference run's ranks on validation. UserError when it is of another dataset or not evaluated."""
    if reference.dataset_id != dataset.id:
        raise UserError(f"Run {reference.id!r} is of another dataset; the reference must be a run of {dataset.name!r}.")
    frame = reference.per_user("valid")
    return frame[~frame.duplicated(["protocol", "user"])]  # policies are judged by the first target of a user


class _Units(NamedTuple):
    """The spread of a run's scores over the catalogue, and the weight at which a term spreads as far: medians.

    A term that says nothing to anyone has unit 0.
    """

    spread: float
    of: dict[Key, float]

    def content(self) -> dict[float, float]:
        """The units of the content term, by whitening."""
        return {float(variant or 0.0): unit for (name, variant), unit in self.of.items() if name == "content"}


class _Search:
    """The grid and fitted weights on a sample of users, the best of both with popularity weights, then the finalists on
    all users."""

    def __init__(
        self,
        scored: ScoredRun,
        config: PolicyTuningConfig,
        judged: pd.DataFrame | None,
        users: np.ndarray,
        progress: Progress,
    ) -> None:
        self.scored = scored
        self.dataset = dataset = scored.dataset
        self.ground = scored.ground
        self.config = config
        self.judged = judged
        self.progress = progress
        self.everyone = users
        targets = np.zeros(dataset.n_users, np.int64)
        targets[dataset.split.users("valid")] = dataset.split.targets("valid")
        self._kinds = config.linear_kinds if config.emphases else ()
        self._members = dataset.thresholds.members(dataset.item_counts[targets], dataset.split.train_lengths)  # (U,)

    def floor(self, users: np.ndarray) -> dict[str, float]:
        """What the reference run reaches for ``users``; empty without one."""
        if self.judged is None:
            return {}
        return event_metrics(self.judged[self.judged["user"].isin(users)], self.dataset.thresholds)

    def points(self) -> tuple[list[PolicyPoint], list[PolicyPoint], dict[float, float]]:
        """Points on all users with the front marked, the grid on a sample (if one was used), the units of gamma."""
        few = everyone = self.everyone
        if len(everyone) > self.config.sample:
            few = np.sort(np.random.default_rng(self.config.seed).choice(everyone, self.config.sample, replace=False))
        units, floor = self._units(few), self.floor(few)
        points, sampled = (
            self._measure(policy_grid(self.config, units.content(), self.dataset.thresholds.item), few),
            [],
        )
        plain = ScoringPolicy()
        points += self._measure([plain, *self._fitted(points, units, floor)], few)[1:]
        points += self._measure([plain, *self._with_popularity(points, units, floor)], few)[1:]
        if len(few) < len(everyone):
            points, sampled = self._measure(self._finalists(points, floor), everyone), points
        for i in policy_front(points, self.config.protocol):
            points[i].front = True
        return points, sampled, units.content()

    def _keys(self, whitenings: Sequence[float], kinds: Sequence[LinearKind]) -> list[Key]:
        """Every term that there is what it needs for; content in each of ``whitenings``, the linear term of each of
        ``kinds``."""
        plain = ScoringPolicy()
        variants: dict[str, Sequence[Variant]] = {"content": whitenings, "linear": kinds}
        keys = [(t.name, v) for t in TERMS.values() for v in variants.get(t.name, [plain.key(t)[1]])]
        return [key for key in keys if self.ground.has_text or not TERMS[key[0]].reads_text(key[1])]

    def _blocks(self, users: np.ndarray, keys: Sequence[Key]) -> Iterator[Block]:
        return blocks(self.scored, users, "valid", keys)

    def _units(self, users: np.ndarray) -> _Units:
        """From some of the users."""
        keys = self._keys(self.config.whitenings, self._kinds)
        spreads: list[Tensor] = []
        found: dict[Key, list[Tensor]] = {key: [] for key in keys if TERMS[key[0]].setting}
        with torch.inference_mode():
            for block in self._blocks(users[:: max(1, len(users) // 256)], keys):
                own = spread(block.own())
                spreads.append(own)
                for key, weights in found.items():
                    weights.append(matching(own, block.terms[key]))
        return _Units(median(spreads), {key: median(weights) for key, weights in found.items()})

    def _fitted(self, points: list[PolicyPoint], units: _Units, floor: dict[str, float]) -> list[ScoringPolicy]:
        """Weights that follow popularity, for every kind of the linear term and every emphasis on tail items, in the
        text space that was best so far."""
        if not self.config.emphases or units.spread <= 0:
            return []
        order = ranking(points, self.config, floor)
        whitening = next((points[i].policy.whitening for i in order if points[i].policy.gamma), 0.0)
        users = self.everyone
        if len(users) > self.config.fitted_users:
            chosen = np.random.default_rng(self.config.seed).choice(users, self.config.fitted_users, replace=False)
            users = np.sort(chosen)
        keys = [
            k
            for k in self._keys((whitening,), self._kinds)
            if TERMS[k[0]].curved and (TERMS[k[0]].setting is None or units.of.get(k))
        ]
        with torch.no_grad():
            choices = Choices.of(self._blocks(users, keys), seed=self.config.seed)
        tail = self.dataset.thresholds.tail_items(self.ground.item_counts[choices.items[:, 0]])
        made = []
        linear = [key for key in keys if key[0] == "linear"]
        for others in [[k for k in linear if k != kind] for kind in linear] or [[]]:
            used = [key for key in keys if key not in others]
            scale = {key: units.of[key] for key in used if key in units.of}
            found = fit_weights(
                choices.among(used),
                self.ground,
                tail,
                spread=units.spread,
                units=scale,
                emphases=self.config.emphases,
            )
            fixed = ScoringPolicy(**_settings(scale))
            made += [fixed.but(weights=weights) for weights in found]
        return made

    def _with_popularity(
        self, points: list[PolicyPoint], units: _Units, floor: dict[str, float]
    ) -> list[ScoringPolicy]:
        """The best policies so far, each with every popularity weight."""
        unit = units.of["popularity", None]
        order = ranking(points, self.config, floor)
        plain = list(dict.fromkeys(points[i].policy.but(tail_users_only=False) for i in order))
        weights = [short(p * unit) for p in self.config.popularities if p and unit]
        return [policy.but(popularity=w) for policy in plain[: self.config.refined] for w in weights]

    def _measure(self, policies: Sequence[ScoringPolicy], users: np.ndarray) -> list[PolicyPoint]:
        """Each policy once as it is and once for tail users only (the same ranks, put together otherwise).

        The first of ``policies`` changes nothing: it is what head users keep.
        """
        ranks = rank_grid(self.scored, policies, users, progress=self.progress)
        points = []
        tail = self._members["Tail User"][users]
        for i, policy in enumerate(policies):
            points.append(self._point(policy, {p: r[i] for p, r in ranks.items()}, users))
            if not policy.inert:
                only = {p: np.where(tail, r[i], r[0]) for p, r in ranks.items()}
                points.append(self._point(policy.but(tail_users_only=True), only, users))
        return points

    def _point(self, policy: ScoringPolicy, ranks: dict[Protocol, np.ndarray], users: np.ndarray) -> PolicyPoint:
        metrics: dict[str, float] = {}
        for protocol, rank in ranks.items():
            values = {f"HR@{CUT}": rank <= CUT, f"NDCG@{CUT}": np.where(rank <= CUT, 1 / np.log2(rank + 1.0), 0.0)}
            for group, mask in self._members.items():
                rows = mask[users]
                if rows.any():
                    metrics |= {f"{protocol}/{group}/{m}": float(v[rows].mean()) for m, v in values.items()}
        return PolicyPoint(policy=policy, metrics=metrics, users=len(users))

    def _finalists(self, points: list[PolicyPoint], floor: dict[str, float]) -> list[ScoringPolicy]:
        """No policy, then the front and the points nearest to being chosen, in turn."""
        best = policy_front(points, self.config.protocol)
        turns = zip_longest(ranking(points, self.config, floor), best)
        order = [0, *(i for turn in turns for i in turn if i is not None)]
        plain = [points[i].policy.but(tail_users_only=False) for i in order]
        return list(dict.fromkeys(plain))[: self.config.finalists + 1]


def _settings(units: Mapping[Key, float]) -> dict[str, Any]:
    """What a policy says of terms that count by these units."""
    found: dict[str, Any] = {}
    for (name, variant), unit in units.items():
        term = TERMS[name]
        found |= {str(term.setting): short(unit)} | ({} if term.variant is None else {term.variant: variant})
    return found


def policy_grid(config: PolicyTuningConfig, units: dict[float, float], tail_threshold: int) -> list[ScoringPolicy]:
    """Every combination, without duplicates; the first changes nothing. No ``units``: no content term."""
    routes = [(0, 0.0)] + [(round(t * tail_threshold), w) for t in config.thresholds for w in config.weights]
    contents = [(0.0, 0.0)] + [(short(g * unit), w) for w, unit in units.items() for g in config.gammas if g]
    made = [
        ScoringPolicy(gamma=g, whitening=w, route_threshold=t, route_weight=share)
        for t, share in routes
        for g, w in contents
    ]
    return list(dict.fromkeys(made))
