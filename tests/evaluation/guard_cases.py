"""Runs that are only their manifest and their ranks, and cases of the guard made of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from evaluation_cases import frame_of

from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import Contender, contenders, validation_score
from llmesr.evaluation.doubts import Doubt
from llmesr.evaluation.guard import Case, examine
from llmesr.runs.record import Run
from llmesr.store import Manifest, Parent, Store

THRESHOLDS = Thresholds(item=5, user=5)
USERS = 300
Make = Callable[..., Run]


class Known(Run):
    """A run that is only its manifest and its ranks."""

    def __init__(self, store: Store, manifest: Manifest, frame: pd.DataFrame) -> None:
        super().__init__(store, manifest.id)
        self.known, self.frame = manifest, frame

    @property
    def manifest(self) -> Manifest:
        return self.known

    def per_user(
        self, part: str | None = None, protocol: str | None = None, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        asked = {name: value for name, value in (("part", part), ("protocol", protocol)) if value is not None}
        rows = self.frame[(self.frame[list(asked)] == pd.Series(asked)).all(axis=1)] if asked else self.frame
        return rows if columns is None else rows[list(columns)]


def ranks(skill: float, seed: int) -> pd.DataFrame:
    """Validation and test, both protocols: a share ``skill`` of the users is hit at rank 3."""
    rng = np.random.default_rng(seed)
    parts = []
    for part in ("valid", "test"):
        for protocol in ("full", "uni100"):
            hit = rng.random(USERS) < skill
            frame = frame_of(
                np.where(hit, 3, 50),
                popularity=np.tile([1, 10], USERS // 2),
                length=np.repeat([2, 9], USERS // 2),
                protocol=protocol,
                part=part,
            )
            parts.append(frame.assign(candidates=101 if protocol == "uni100" else 400))
    return pd.concat(parts, ignore_index=True)


def maker(store: Store) -> Make:
    """``make(method, seed=, skill=, best=, epochs=, **settings)``: a run that trained 30 epochs, the best at 18."""
    count = itertools.count()

    def made(
        method: str = "id", *, seed: int = 42, skill: float = 0.3, best: int = 18, epochs: int = 30, **more: Any
    ) -> Any:
        parents = [Parent(kind="datasets", id="shop", digest="")]
        if text := more.pop("text", None):
            parents.append(Parent(kind="embeddings", id=text, digest=""))
        info = {"best_epoch": best, "epochs": epochs, **more.pop("info", {})}
        values = {"method": method, "backbone": "sasrec", "seed": seed, "epochs": 100, "patience": 10}
        values |= {"evaluate_every": 1, "monitor": "NDCG@10", "batches": "positions", **more}
        manifest = Manifest(kind="runs", id=f"{method}-{next(count)}", name="x", config=values, seed=seed, info=info)
        manifest.parents, manifest.created = parents, f"2026-01-01T00:00:{seed:02d}"
        frame = ranks(skill, [*map(ord, method), seed])  # type: ignore[arg-type]
        return Known(store, manifest, more.pop("frame", frame))

    return made


def classics(make: Make) -> list[Run]:
    return [make("popularity", skill=0.1), make("llm-init", skill=0.2, text="t")]


def seeds(make: Make, method: str, **settings: Any) -> list[Run]:
    return [make(method, seed=s, **settings) for s in (42, 43, 44)]


def found(
    runs: list[Run], rest: list[Run], *, metrics: tuple[str, ...] = ("HR@10",), base: str = "id"
) -> tuple[Doubt, ...]:
    chosen = contenders(runs)
    return examine(case(chosen, contenders([*runs, *rest]), metrics, base))


def case(
    chosen: list[Contender],
    everyone: list[Contender],
    metrics: tuple[str, ...],
    base: str,
    archived: Sequence[Contender] = (),
) -> Case:
    return Case(
        chosen=chosen,
        baseline=next(c.name for c in chosen if c.method == base),
        frames={c.name: [r.per_user() for r in c.runs] for c in chosen},
        everyone=everyone,
        validation=lambda c: validation_score(c.runs),
        thresholds=THRESHOLDS,
        metrics=metrics,
        archived=archived,
    )


def of(kind: str, doubts: tuple[Doubt, ...]) -> Doubt:
    (one,) = [f for f in doubts if f.kind == kind]
    return one


def blended(make: Make, seed: int, members: list[Run], **info: Any) -> Run:
    """A blend of ``members``, which are put where it finds them."""
    for run in members:
        put(run)
    blend = {"runs": [r.id for r in members], "members": [r.label for r in members], "emphasis": 0.5, **info}
    made: Any = make("blend", seed=seed, best=0, epochs=0, info={"blend": blend})
    made.known.config = {"method": "blend", "backbone": None, "max_length": 50}
    made.known.info = {"blend": blend}
    found: Run = made
    return found


def put(run: Run) -> None:
    """The manifest of a run on disk, so that others can name it."""
    with run.store.draft("runs", run.id, name="x", parents=[], config=run.manifest.config, seed=run.manifest.seed) as d:
        d.manifest.info = dict(run.manifest.info)
        d.manifest.parents = list(run.manifest.parents)
