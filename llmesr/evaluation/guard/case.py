"""What the guard examines: contenders against a baseline, and whoever stands beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import Contender, Validation


@dataclass(frozen=True, eq=False)
class Case:
    """What is examined: ``chosen`` against ``baseline`` (a name). ``everyone``: all evaluated contenders of the
    dataset, chosen or not; ``frames``: name -> rank frames of the seeds of the chosen, of ``part`` under both
    protocols."""

    chosen: Sequence[Contender]
    baseline: str
    frames: Mapping[str, Sequence[pd.DataFrame]]
    everyone: Sequence[Contender]
    validation: Validation
    thresholds: Thresholds
    metrics: Sequence[str] = ("NDCG@10",)
    protocol: str = "full"
    part: str = "test"
    tied: float = 0.0
    """The share of users whose target has the time of the interaction before it (:meth:`data.dataset.Dataset.tied`)."""
    archived: Sequence[Contender] = ()
    """Those that were put away: nobody is shown them, but what was tried was tried."""

    @property
    def all(self) -> list[Contender]:
        """Everyone, put away or not."""
        return [*self.everyone, *self.archived]

    @property
    def base(self) -> Contender:
        return next(c for c in self.chosen if c.name == self.baseline)

    @property
    def pairs(self) -> list[tuple[Contender, Contender]]:
        """Each other contender with the baseline."""
        return [(c, self.base) for c in self.chosen if c.name != self.baseline]
