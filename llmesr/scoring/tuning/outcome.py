"""What tuning tries and what it leaves: the points of the grid, the Pareto front, the one chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from llmesr.config import GROUPS, Config, Protocol
from llmesr.config.base import Seed
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.pareto import pareto_front
from llmesr.evaluation.ranks import PROTOCOLS
from llmesr.runs.record import POLICY, Run
from llmesr.scoring.linear_term import KINDS, PLAINEST, LinearKind
from llmesr.scoring.policy import ScoringPolicy, Whitening
from llmesr.scoring.scored_run import own_policy
from llmesr.store import write_json

PolicyObjective = Literal["balanced", "overall", "tail"]
PolicyWord = Literal["none", "tuned"]
CUT = 10


class PolicyTuningConfig(Config):
    """What is tried, and what counts as best."""

    objective: PolicyObjective = Field(
        "balanced",
        description="balanced: best product of tail- and head-item NDCG@10 over both protocols, with no group further "
        "below the run without policy than the slack; overall: best overall; tail: best on tail items, with overall "
        "no further below.",
    )
    slack: float = Field(0.05, ge=0, lt=1, description="Share of its value without policy that a group may lose.")
    protocol: Protocol = Field("full", description="Protocol whose NDCG@10 overall, tail and the front look at.")
    reference: str | None = Field(
        None,
        description="A run of the same dataset below which no group may fall, in HR@10 or NDCG@10 of any protocol.",
    )
    gammas: tuple[float, ...] = Field(
        (0.0, 0.15, 0.3, 0.5, 0.8, 1.3),
        description="Content weights, in units of (spread of the model's scores / spread of the content term).",
    )
    whitenings: tuple[Whitening, ...] = Field((0.0, 0.5), description="How far text space is evened out.")
    thresholds: tuple[float, ...] = Field((1.0, 4.0), description="Routing thresholds, times the tail threshold.")
    weights: tuple[float, ...] = Field((0.0, 0.5), description="Weights of the collaborative part of routed items.")
    popularities: tuple[float, ...] = Field(
        (-0.1, 0.05, 0.1, 0.2, 0.3),
        description="Popularity weights, in units of (spread of the model's scores / spread of log popularity).",
    )
    emphases: tuple[float, ...] = Field(
        (0.0, 0.5, 1.0, 2.0, 4.0),
        description="How much more tail items count in the weights fitted by popularity; empty: none are fitted.",
    )
    linear_kinds: tuple[LinearKind, ...] = Field(
        KINDS, description="Kinds of the linear term that the fitted weights are tried with; empty: without the term."
    )
    fitted_users: int = Field(3000, ge=100, description="Most users the weights are fitted on.")
    refined: int = Field(8, ge=0, description="Best points of the rest that are tried with each popularity weight.")
    sample: int = Field(4000, ge=100, description="Most users the whole grid is tried on; the finalists see all.")
    finalists: int = Field(12, ge=1, description="Points that are measured on all users when a sample was used.")
    seed: Seed = Field(0, description="Seed of the sample of users.")

    @model_validator(mode="before")
    @classmethod
    def _formerly(cls, values: Any) -> Any:
        """Outcomes stored when cosines were all that the linear term had say whether it was fitted."""
        if not isinstance(values, dict) or "cooccurrence" not in values:
            return values
        kept = {name: value for name, value in values.items() if name != "cooccurrence"}
        return {"linear_kinds": (PLAINEST,) if values["cooccurrence"] else (), **kept}


class PolicyPoint(BaseModel):
    """One policy and what it does on validation: ``<protocol>/<group>/<metric>`` -> value."""

    model_config = ConfigDict(extra="forbid")
    policy: ScoringPolicy
    metrics: dict[str, float]
    users: int
    front: bool = False


class TunedPolicy(BaseModel):
    """The outcome, kept as ``policy.json`` in the run.

    ``points`` are measured on all users and ``points[0]`` is the run without a policy; ``sampled`` is the
    whole grid on a sample, where one was needed to save time. ``reference`` holds the metrics of the run
    below which no group may fall.
    """

    model_config = ConfigDict(extra="forbid")
    run: str
    dataset: str
    embedding: str | None
    part: Literal["valid"] = "valid"
    config: PolicyTuningConfig
    thresholds: Thresholds
    units: dict[float, float]
    reference: dict[str, float] = {}
    users: int
    seconds: float
    created: str
    points: list[PolicyPoint]
    sampled: list[PolicyPoint]
    chosen: int

    @property
    def policy(self) -> ScoringPolicy:
        """The chosen policy."""
        return self.points[self.chosen].policy

    def choose(self, point: int) -> TunedPolicy:
        """A copy with another point chosen. UserError when there is no such point."""
        if not 0 <= point < len(self.points):
            raise UserError(f"There is no point {point}; the policy was tuned over points 0..{len(self.points) - 1}.")
        return self.model_copy(update={"chosen": point})

    def save(self, run: Run) -> None:
        """Write ``policy.json``."""
        write_json(run.folder / POLICY, self.model_dump(mode="json"))


def load_tuned_policy(run: Run) -> TunedPolicy | None:
    """What tuning left in ``run``; None when it was never tuned. UserError when the file is damaged."""
    path = run.folder / POLICY
    if not path.is_file():
        return None
    try:
        return TunedPolicy.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"The policy of run {run.id!r} cannot be read; run `llmesr tune {run.id}` again.") from error


def tuned_policy(run: Run) -> ScoringPolicy | None:
    """What "tuned" means of a run: the policy that it stands for, else the one it was tuned to, else None."""
    if (own := own_policy(run)) is not None:
        return own
    tuned = load_tuned_policy(run)
    return None if tuned is None else tuned.policy


def named_policy(run: Run, word: PolicyWord | None) -> ScoringPolicy | None:
    """What a word asks of a run for, as a request to the server does: "none" for no policy at all, "tuned" for
    :func:`tuned_policy`; without a word None, which is the run as it is. UserError where none was tuned."""
    if word is None:
        return None
    policy = ScoringPolicy() if word == "none" else tuned_policy(run)
    if policy is None:
        raise UserError(f"Run {run.id!r} was not tuned yet; run `llmesr tune {run.id}` first.")
    return policy


def policy_front(points: Sequence[PolicyPoint], protocol: Protocol = "full") -> list[int]:
    """Points no other point beats on both overall and tail-item NDCG@10, best overall first."""
    pairs = [(_value(p, protocol, "Overall"), _value(p, protocol, "Tail Item")) for p in points]
    return pareto_front(np.array(pairs))


def ranking(
    points: Sequence[PolicyPoint], config: PolicyTuningConfig, reference: Mapping[str, float] | None = None
) -> list[int]:
    """The points in the order of the objective; those that break its condition last, by how far they do."""
    held = {
        "balanced": [f"{p}/{g}/NDCG@{CUT}" for p in PROTOCOLS for g in GROUPS],
        "overall": [],
        "tail": [f"{config.protocol}/Overall/NDCG@{CUT}"],
    }[config.objective]
    floor = {name: (1 - config.slack) * points[0].metrics.get(name, 0.0) for name in held}
    for name, value in (reference or {}).items():
        floor[name] = max(value, floor.get(name, 0.0))

    def key(i: int) -> tuple[float, ...]:
        overall = _value(points[i], config.protocol, "Overall")
        goal = _goal(points[i], config)
        short = sum(max(0.0, 1 - points[i].metrics.get(name, 0.0) / least) for name, least in floor.items() if least)
        return (round(short, 6), -goal, -overall, i)

    return sorted(range(len(points)), key=key)


def _goal(point: PolicyPoint, config: PolicyTuningConfig) -> float:
    if config.objective == "balanced":
        names = [f"{p}/{g}/NDCG@{CUT}" for p in PROTOCOLS for g in ("Tail Item", "Head Item")]
        return float(np.prod([point.metrics[name] for name in names if name in point.metrics]))
    return _value(point, config.protocol, "Overall" if config.objective == "overall" else "Tail Item")


def best_point(
    points: Sequence[PolicyPoint], config: PolicyTuningConfig, reference: Mapping[str, float] | None = None
) -> int:
    """The point the objective asks for; without ``reference`` the first (no policy) when none does better."""
    return ranking(points, config, reference)[0]


def _value(point: PolicyPoint, protocol: Protocol, group: str) -> float:
    return point.metrics.get(f"{protocol}/{group}/NDCG@{CUT}", 0.0)
