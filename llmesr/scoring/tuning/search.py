"""Choosing a scoring policy for a trained run, on validation only.

A grid of content weights, routing thresholds and routing weights is ranked without re-scoring, and so are weights
of all parts that follow popularity, fitted for several emphases on tail items; then the best of all with several
popularity weights. The points that no other beats on both overall and tail-item accuracy are the Pareto front. One
of them is chosen by an objective, or by the analyst.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from llmesr.config import Protocol
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.errors import UserError
from llmesr.evaluation.table import event_metrics
from llmesr.progress import Progress, silent
from llmesr.runs.record import Run, find_run
from llmesr.scoring.derived import own_policy
from llmesr.scoring.policy import Ground, ScoringPolicy
from llmesr.scoring.recommender import text_of
from llmesr.scoring.tuning.fit import Choices, fit_weights
from llmesr.scoring.tuning.grid import Block, blocks, rank_grid
from llmesr.scoring.tuning.outcome import CUT, Point, TuneConfig, Tuned, best_point, front, load_tuned, ranking
from llmesr.scoring.units import matching, median, short, spread
from llmesr.store import Store, now

__all__ = ["Point", "TuneConfig", "Tuned", "best_point", "front", "grid", "load_tuned", "tune"]


def tune(
    run: Run,
    store: Store,
    config: TuneConfig | None = None,
    *,
    scorer: Any | None = None,
    dataset: Dataset | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Tuned:
    """Choose a policy for ``run`` on validation and store it as its ``policy.json``.

    ``scorer`` replaces the run's own, ``dataset`` spares loading it. UserError when the run has no model, is itself a
    run under a policy, or when its dataset has nobody to validate on.
    """
    from llmesr.training.load import load_scorer

    config = config or TuneConfig()
    started = time.perf_counter()
    if own_policy(run) is not None:
        raise UserError(f"Run {run.id!r} already stands for a policy; tune the run it was made from.")
    dataset = dataset or load_dataset(store, run.dataset_id)
    if not len(dataset.split.users("valid")):
        raise UserError(f"Dataset {dataset.name!r} has no user with three interactions, so nobody to validate on.")
    embedding = text_of(store, run, dataset)
    scorer = scorer or load_scorer(run, dataset=dataset, device=device)
    ground = Ground.of(dataset, None if embedding is None else embedding.padded(), device)
    judged = None if config.reference is None else _judged(find_run(store, config.reference), dataset)
    search = _Search(scorer, dataset, ground, config, judged, run.config.max_length, device, progress)
    points, sampled, units = search.points()
    floor = search.floor(dataset.split.users("valid"))
    tuned = Tuned(
        run=run.id,
        dataset=dataset.id,
        embedding=None if embedding is None else embedding.id,
        config=config,
        thresholds=dataset.thresholds,
        units=units,
        reference=floor,
        users=len(dataset.split.users("valid")),
        seconds=round(time.perf_counter() - started, 2),
        created=now(),
        points=points,
        sampled=sampled,
        chosen=best_point(points, config, floor),
    )
    tuned.save(run)
    return tuned


def _judged(reference: Run, dataset: Dataset) -> pd.DataFrame:
    """The reference run's ranks on validation. UserError when it is of another dataset or not evaluated."""
    if reference.dataset_id != dataset.id:
        raise UserError(f"Run {reference.id!r} is of another dataset; the reference must be a run of {dataset.name!r}.")
    frame = reference.per_user()
    return frame[frame["part"] == "valid"]


class _Units(NamedTuple):
    """The spread of a run's scores over the catalogue, and the weights at which a term spreads as far: medians."""

    spread: float
    content: dict[float, float]  # by whitening
    cooccurrence: float  # 0 where nothing was ever chosen together


class _Search:
    """The grid and fitted weights on a sample of users, the best of both with popularity weights, then the finalists on
    all users."""

    def __init__(
        self,
        scorer: Any,
        dataset: Dataset,
        ground: Ground,
        config: TuneConfig,
        judged: pd.DataFrame | None,
        max_length: int,
        device: torch.device | str,
        progress: Progress,
    ) -> None:
        self.scorer = scorer
        self.dataset = dataset
        self.ground = ground
        self.config = config
        self.judged = judged
        self.max_length = max_length
        self.device = device
        self.progress = progress
        everyone = dataset.split.users("valid")
        targets = np.zeros(dataset.n_users, np.int64)
        targets[everyone] = dataset.split.targets("valid")
        self._members = dataset.thresholds.members(dataset.item_counts[targets], dataset.split.train_lengths)  # (U,)

    def floor(self, users: np.ndarray) -> dict[str, float]:
        """What the reference run reaches for ``users``; empty without one."""
        if self.judged is None:
            return {}
        return event_metrics(self.judged[self.judged["user"].isin(users)], self.dataset.thresholds)

    def points(self) -> tuple[list[Point], list[Point], dict[float, float]]:
        """Points on all users with the front marked, the grid on a sample (if one was used), the units of gamma."""
        everyone = self.dataset.split.users("valid")
        few = everyone
        if len(everyone) > self.config.sample:
            few = np.sort(np.random.default_rng(self.config.seed).choice(everyone, self.config.sample, replace=False))
        units, floor = self._units(few), self.floor(few)
        points, sampled = self._measure(grid(self.config, units.content, self.dataset.thresholds.item), few), []
        plain = ScoringPolicy()
        points += self._measure([plain, *self._fitted(points, units, floor)], few)[1:]
        points += self._measure([plain, *self._with_popularity(points, units, floor)], few)[1:]
        if len(few) < len(everyone):
            points, sampled = self._measure(self._finalists(points, floor), everyone), points
        for i in front(points, self.config.protocol):
            points[i].front = True
        return points, sampled, units.content

    def _blocks(self, users: np.ndarray, whitenings: Collection[float]) -> Iterator[Block]:
        return blocks(
            self.scorer,
            self.dataset,
            self.ground,
            users,
            "valid",
            whitenings=whitenings,
            cooccurrence=bool(self.config.emphases) and self.config.cooccurrence,
            max_length=self.max_length,
            device=self.device,
        )

    def _units(self, users: np.ndarray) -> _Units:
        """From some of the users."""
        whitenings = self.config.whitenings if self.ground.has_text else ()
        spreads: list[Tensor] = []
        content: dict[float, list[Tensor]] = {w: [] for w in whitenings}
        together: list[Tensor] = []
        with torch.inference_mode():
            for block in self._blocks(users[:: max(1, len(users) // 256)], whitenings):
                own = spread(block.collaborative + block.semantic)
                spreads.append(own)
                for whitening, part in block.content.items():
                    content[whitening].append(matching(own, part))
                if block.cooccurrence is not None:
                    together.append(matching(own, block.cooccurrence))
        return _Units(median(spreads), {w: median(c) for w, c in content.items()}, median(together))

    def _fitted(self, points: list[Point], units: _Units, floor: dict[str, float]) -> list[ScoringPolicy]:
        """Weights that follow popularity, for every emphasis on tail items, in the text space that was best so far."""
        if not self.config.emphases or units.spread <= 0:
            return []
        order = ranking(points, self.config, floor)
        whitening = next((points[i].policy.whitening for i in order if points[i].policy.gamma), 0.0)
        users = self.dataset.split.users("valid")
        if len(users) > self.config.fitted_users:
            chosen = np.random.default_rng(self.config.seed).choice(users, self.config.fitted_users, replace=False)
            users = np.sort(chosen)
        gamma = units.content.get(whitening, 0.0)
        with torch.no_grad():
            choices = Choices.of(self._blocks(users, (whitening,) if gamma else ()), whitening, seed=self.config.seed)
        tail = self.dataset.thresholds.tail_items(self.ground.item_counts[choices.items[:, 0]])
        scale = {name: v for name, v in (("content", gamma), ("cooccurrence", units.cooccurrence)) if v}
        found = fit_weights(choices, self.ground, tail, spread=units.spread, units=scale, emphases=self.config.emphases)
        fixed = ScoringPolicy(gamma=short(gamma), whitening=whitening, cooccurrence=short(units.cooccurrence))
        return [fixed.but(weights=weights) for weights in found]

    def _with_popularity(self, points: list[Point], units: _Units, floor: dict[str, float]) -> list[ScoringPolicy]:
        """The best policies so far, each with every popularity weight."""
        unit = units.spread / float(self.ground.log_counts[1:].std().clamp(min=1e-6))
        order = ranking(points, self.config, floor)
        plain = list(dict.fromkeys(points[i].policy.but(tail_users_only=False) for i in order))
        weights = [short(p * unit) for p in self.config.popularities if p]
        return [policy.but(popularity=w) for policy in plain[: self.config.refined] for w in weights]

    def _measure(self, policies: Sequence[ScoringPolicy], users: np.ndarray) -> list[Point]:
        """Each policy once as it is and once for tail users only (the same ranks, put together otherwise).

        The first of ``policies`` changes nothing: it is what head users keep.
        """
        ranks = rank_grid(
            self.scorer,
            self.dataset,
            self.ground,
            policies,
            users,
            max_length=self.max_length,
            device=self.device,
            progress=self.progress,
        )
        points = []
        tail = self._members["Tail User"][users]
        for i, policy in enumerate(policies):
            points.append(self._point(policy, {p: r[i] for p, r in ranks.items()}, users))
            if not policy.inert:
                only = {p: np.where(tail, r[i], r[0]) for p, r in ranks.items()}
                points.append(self._point(policy.but(tail_users_only=True), only, users))
        return points

    def _point(self, policy: ScoringPolicy, ranks: dict[Protocol, np.ndarray], users: np.ndarray) -> Point:
        metrics: dict[str, float] = {}
        for protocol, rank in ranks.items():
            values = {f"HR@{CUT}": rank <= CUT, f"NDCG@{CUT}": np.where(rank <= CUT, 1 / np.log2(rank + 1.0), 0.0)}
            for group, mask in self._members.items():
                rows = mask[users]
                if rows.any():
                    metrics |= {f"{protocol}/{group}/{m}": float(v[rows].mean()) for m, v in values.items()}
        return Point(policy=policy, metrics=metrics, users=len(users))

    def _finalists(self, points: list[Point], floor: dict[str, float]) -> list[ScoringPolicy]:
        """No policy, then the front and the points nearest to being chosen, in turn."""
        best = front(points, self.config.protocol)
        turns = zip_longest(ranking(points, self.config, floor), best)
        order = [0, *(i for turn in turns for i in turn if i is not None)]
        plain = [points[i].policy.but(tail_users_only=False) for i in order]
        return list(dict.fromkeys(plain))[: self.config.finalists + 1]


def grid(config: TuneConfig, units: dict[float, float], tail_threshold: int) -> list[ScoringPolicy]:
    """Every combination, without duplicates; the first changes nothing. No ``units``: no content term."""
    routes = [(0, 0.0)] + [(round(t * tail_threshold), w) for t in config.thresholds for w in config.weights]
    contents = [(0.0, 0.0)] + [(short(g * unit), w) for w, unit in units.items() for g in config.gammas if g]
    made = [
        ScoringPolicy(gamma=g, whitening=w, route_threshold=t, route_weight=share)
        for t, share in routes
        for g, w in contents
    ]
    return list(dict.fromkeys(made))
