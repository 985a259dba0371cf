"""Runs that are wanted and not there, as data: what a claim lacks, what a remedy of the guard asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmesr.config import MADE_FOR_IT, RunConfig
from llmesr.runs.settings import settings_of
from llmesr.store import Manifest

LONGEST, PATIENCE = 200, 10
"""A budget that early stopping ends, and not the other way round."""
FIRST_SEED, SEEDS = 42, 3
_OWN = ("method", "backbone", "seed", *MADE_FOR_IT)
"""Settings of a run that a repetition of its configuration does not take over."""


@dataclass(frozen=True)
class Training:
    """A run to be made, and ``why``. ``settings`` are those that differ from the defaults.

    ``members``: of a blend, the runs it is the sum of; ``guides``: setting -> the run it names (a base, a teacher).
    Both are ids of runs that are there, or runs to be made before. ``policy``: settings of the scoring policy that is
    then tuned for it, None for none. ``of_run``: a run that is there, of which only the scoring is tuned. ``in_time``:
    under the temporal split of the dataset, not its own.
    """

    method: str
    backbone: str
    settings: Mapping[str, Any]
    embedding: str | None
    why: str
    policy: Mapping[str, Any] | None = None
    of_run: str | None = None
    in_time: bool = False
    members: tuple[Training | str, ...] = ()
    guides: Mapping[str, Training | str] = field(default_factory=dict)

    @property
    def parts(self) -> list[Training]:
        """What has to be made before it."""
        return [p for p in (*self.members, *self.guides.values()) if isinstance(p, Training)]

    @property
    def key(self) -> str:
        """The same for trainings that make the same, whatever for."""

        def plain(t: Training | str) -> Any:
            return t if isinstance(t, str) else json.loads(t.key)

        made_of = {"members": [plain(m) for m in self.members], "guides": {k: plain(v) for k, v in self.guides.items()}}
        policy = None if self.policy is None else dict(self.policy)
        settings = {"seed": FIRST_SEED, **self.settings}
        given = {**vars(self), "settings": settings, "policy": policy, **made_of, "why": ""}
        return json.dumps(given, sort_keys=True, default=str)

    @property
    def config(self) -> RunConfig:
        """The settings as a run reads them."""
        given = {"method": self.method, "backbone": self.backbone, **self.settings}
        return RunConfig.read(None, **given)

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        policy = None if self.policy is None else dict(self.policy)
        made_of = {
            "members": [m if isinstance(m, str) else m.document() for m in self.members],
            "guides": {k: v if isinstance(v, str) else v.document() for k, v in self.guides.items()},
        }
        return {**vars(self), "settings": dict(self.settings), "policy": policy, **made_of}


def in_turn(wanted: Sequence[Training]) -> list[Training]:
    """``wanted`` and what they are made of, each once, parts first."""
    found: dict[str, Training] = {}
    for training in wanted:
        for one in (*in_turn(training.parts), training):
            found.setdefault(one.key, one)
    return list(found.values())


@dataclass(frozen=True)
class Recipe:
    """What a run was made by, to be made again: by other seeds, with a longer budget, under another split."""

    method: str
    backbone: str
    embedding: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Recipe:
        """Of a training; settings that are the defaults are left out, and so is the seed."""
        method, backbone = str(manifest.config["method"]), str(manifest.config.get("backbone") or "sasrec")
        usual = RunConfig().model_dump()
        known = {k: v for k, v in settings_of(manifest).items() if k in usual and k not in _OWN}
        settings = {k: v for k, v in known.items() if v != usual[k]}
        return cls(method, backbone, manifest.parent("embeddings"), settings)

    def training(self, seed: int, why: str, *, values: Mapping[str, Any] | None = None, **more: Any) -> Training:
        """One run of it, with ``values`` in place of its own; ``more`` as :class:`Training`."""
        usual = RunConfig().model_dump()
        given = {**self.settings, **(values or {}), "seed": seed}
        settings = {k: v for k, v in given.items() if v != usual[k]}
        return Training(self.method, self.backbone, settings, self.embedding, why, **more)


def seeds_after(seeds: tuple[int, ...], wanted: int = SEEDS) -> tuple[int, ...]:
    """As many further seeds as bring ``seeds`` to ``wanted``."""
    first = max(seeds, default=FIRST_SEED - 1) + 1
    return tuple(range(first, first + max(0, wanted - len(seeds))))
