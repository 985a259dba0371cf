"""A search for the settings of a training run."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from llmesr.config.base import Config, Seed
from llmesr.config.groups import RANK_METRIC, Protocol, SearchObjective


class SearchConfig(Config):
    """A search for the settings of one method that are best on validation."""

    trials: int = Field(20, ge=1, description="Combinations of settings to try, each an ordinary run.")
    objective: SearchObjective = Field(
        "Overall", description="Group whose metric is maximised; Balanced: the geometric mean of Overall and Tail Item."
    )
    metric: str = Field("NDCG@10", pattern=RANK_METRIC, description="Validation metric that is maximised.")
    protocol: Protocol = Field("full", description="Protocol in which the metric is maximised.")
    epochs: int = Field(30, ge=1, description="Maximum number of epochs of a trial.")
    pruning: bool = Field(True, description="End a trial that is below the median of the earlier ones at its epoch.")
    random_trials: int = Field(
        5, ge=1, description="Random trials, never pruned, before earlier ones guide the search."
    )
    warmup: int = Field(3, ge=0, description="Epochs of a trial before it can be pruned.")
    seed: Seed = Field(42, description="Seed of the search and of every run in it.")
    preset: str = Field("default", description="Starting point of the settings that are neither fixed nor searched.")
    fixed: dict[str, Any] = Field(default_factory=dict, description="Settings that are the same in every trial.")
    space: dict[str, Any] = Field(
        default_factory=dict, description="Setting -> list of choices, or low, high and log; the usual ones when empty."
    )
