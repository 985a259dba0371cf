"""How forecasts for new products came out for past launches: items new after the last cut of a temporal split.

Each past launch is scored as a new product is, by its text alone, for the users who were asked after the cut. Expected
hits are a sum over those whose list it would have entered, each counting as often as validation found the item at that
rank to be the one chosen. What happened is how many of these lists were right. Their ratio calibrates the forecast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from llmesr.config import LabConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation.resampling import bootstrap_means
from llmesr.lab.audience import Audience, asked, ranks_of, reached
from llmesr.lab.change import as_new
from llmesr.lab.rewritten import changed, check
from llmesr.progress import Progress, silent
from llmesr.prose import counted
from llmesr.runs.record import Run
from llmesr.scoring.scored_run import ScoredRun

FEWEST_LAUNCHES = 20
FEWEST_HITS = 10
FEWEST_USERS = 30
"""With fewer of any there is nothing to calibrate by."""
BINS = 4
LIKE = 20
"""Past launches with the forecasts nearest to one: what they came to is the range said for it."""
RESAMPLES = 2000
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Past:
    """The past launches of a run. ``launches`` has a row for each: item, item_id, title, reach (users whose list it
    would have entered), expected (hits, uncalibrated), hits, chosen (users who chose it after the last cut)."""

    run: str
    label: str
    split: str
    users: int
    k: int
    rates: np.ndarray
    """(k,) the share of validation questions whose answer stands at each rank."""
    launches: pd.DataFrame
    by_user: np.ndarray
    """(users, 2) hits and expected hits of each."""

    @property
    def lacking(self) -> str | None:
        """Why there is no calibration, in a sentence; None where there is one."""
        hits, many = int(self.launches["hits"].sum()), len(self.launches)
        enough = many >= FEWEST_LAUNCHES and hits >= FEWEST_HITS and self.users >= FEWEST_USERS
        if enough and self.launches["expected"].sum() > 0:
            return None
        return (
            f"Too little to calibrate by: {counted(many, 'item')} new after the last cut, "
            f"{counted(self.users, 'user')} asked there, {counted(hits, 'hit')} in their lists. At least "
            f"{FEWEST_LAUNCHES}, {FEWEST_USERS} and {FEWEST_HITS} are needed."
        )

    @cached_property
    def factor(self) -> tuple[float, float, float]:
        """What expected hits must be multiplied by, with a 95% interval. NaN where it is lacking.

        Launches and users are both samples: the interval is the widest that drawing either of them again gives.
        """
        if self.lacking:
            return (float("nan"),) * 3
        ends = []
        for sample in (self.launches[["hits", "expected"]].to_numpy(float), self.by_user):
            sums = bootstrap_means(sample, RESAMPLES)
            ends.append(np.quantile(sums[:, 0] / np.maximum(sums[:, 1], 1e-12), [0.025, 0.975]))
        low, high = min(e[0] for e in ends), max(e[1] for e in ends)
        return float(self.launches["hits"].sum() / self.launches["expected"].sum()), float(low), float(high)

    @cached_property
    def alike(self) -> list[pd.DataFrame]:
        """The launches in groups of like forecasts, the lowest first: the rows of :attr:`table`."""
        ordered = self.launches.sort_values("expected", kind="stable")
        parts = np.array_split(np.arange(len(ordered)), min(BINS, len(ordered) // 10) or 1)
        return [ordered.iloc[part] for part in parts]

    @cached_property
    def table(self) -> pd.DataFrame:
        """Launches in groups of like forecasts: launches, reach, expected and hits, a launch on average, the hits with
        a 95% interval (low, high). Empty where it is lacking."""
        columns = ["launches", "reach", "expected", "hits", "low", "high"]
        if self.lacking:
            return pd.DataFrame(columns=columns)
        rows = []
        for some in self.alike:
            drawn = bootstrap_means(some[["hits"]].to_numpy(float), RESAMPLES)[:, 0]
            means = some[["reach", "expected", "hits"]].mean()
            rows.append((len(some), *means, *np.quantile(drawn, [0.025, 0.975])))
        return pd.DataFrame(rows, columns=columns)

    def expected(self, ranks: np.ndarray) -> float:
        """Uncalibrated hits of an item that users would see at these ranks (0: not at all)."""
        return float(self.rates[ranks[reached(ranks, self.k)] - 1].sum())

    def forecast(self, ranks: np.ndarray) -> Forecast | None:
        """Calibrated hits, per 1,000 users asked once; None where the calibration is lacking.

        Beyond what any past launch was forecast there is no range: nothing says that the ratio holds there.
        """
        if self.lacking or not len(ranks):
            return None
        raw = 1000 * self.expected(ranks) / len(ranks)
        per = 1000 / self.users
        mean, low, high = (raw * factor for factor in self.factor)
        before = self.launches["expected"].to_numpy() * per
        least, most = before.min() * (1 - ROUNDING), before.max() * (1 + ROUNDING)
        if not least <= raw <= most:
            none = float("nan")
            return Forecast(mean, none, none, none, none, beyond="below" if raw < least else "above")
        like = self.launches["hits"].to_numpy()[np.argsort(np.abs(before - raw), kind="stable")[:LIKE]] * per
        ends = np.quantile(like, [0.1, 0.9])
        return Forecast(mean, low, high, float(ends[0]), float(ends[1]))


@dataclass(frozen=True)
class Forecast:
    """Hits per 1,000 users asked once. ``low`` and ``high``: how sure the calibration is of the mean. ``least`` and
    ``most``: between them came four of five of the past launches with the nearest forecasts. All four are NaN where
    this forecast lies ``beyond`` those of all past launches."""

    hits: float
    low: float
    high: float
    least: float
    most: float
    beyond: Literal["above", "below"] | None = None

    @property
    def surety(self) -> str:
        """How sure it is, in a clause."""
        if self.beyond:
            return (
                f"the forecast lies {self.beyond} those of all past launches, so nothing says that their ratio of hits "
                f"to expected hits holds there"
            )
        return (
            f"{self.low:.2f} to {self.high:.2f} on average (95%); of the {LIKE} past launches with the nearest "
            f"forecasts, four of five had {self.least:.2f} to {self.most:.2f}"
        )


def past_launches(scored: ScoredRun, config: LabConfig | None = None, progress: Progress = silent) -> Past:
    """The launches after the last cut of a temporal split, as the run would have forecast them.

    An item counts as launched there when nobody had chosen it before the cut and somebody did after it; of items
    that nobody ever chose the data do not say when they came. UserError for a run that scores no item by its text, for
    another split, and for a run without an evaluation.
    """
    config = config or LabConfig()
    check(scored.store, scored.run)
    judged = scored.of("test")
    dataset = judged.dataset
    if dataset.split_config.kind != "temporal":
        raise UserError(
            f"Dataset {dataset.name!r} holds out each user's last item, so no item of it is new after a date. Past "
            f"launches need `llmesr split {dataset.id} --set kind=temporal`, and a run on that."
        )
    items = launched(dataset)
    audience = asked(dataset, "test")
    ranks = np.zeros((len(audience), 0), np.int32)
    if len(items):
        after = changed(judged, as_new(dataset.training_for("test"), items))
        ranks = ranks_of(after, items, audience, progress, "past launches")
    rates = rates_by_rank(scored.run, config.k)
    inside = reached(ranks, config.k)
    expected = np.concatenate([[0.0], rates])[np.where(inside, ranks, 0)]  # (U, S)
    row, column = _chosen(dataset, items, audience)
    hit = inside[row, column]
    many = len(items)
    launches = dataset.catalogue.iloc[items - 1][["item_id", "title"]].reset_index(drop=True)
    launches.insert(0, "item", items)
    launches["reach"], launches["expected"] = inside.sum(0), expected.sum(0)
    launches["hits"] = np.bincount(column[hit], minlength=many)
    launches["chosen"] = np.bincount(column, minlength=many)
    hits_by_user = np.bincount(row[hit], minlength=len(audience))
    return Past(
        run=scored.run.id,
        label=scored.run.label,
        split=dataset.split_config.describe(),
        users=len(audience),
        k=config.k,
        rates=rates,
        launches=launches,
        by_user=np.stack([hits_by_user, expected.sum(1)], axis=1).astype(float),
    )


def _chosen(dataset: Dataset, items: np.ndarray, audience: Audience) -> tuple[np.ndarray, np.ndarray]:
    """Who chose which of ``items`` in the test: rows of the audience and columns, one pair a choice."""
    users, targets = dataset.split.pairs("test")
    mine = np.isin(targets, items)
    return np.searchsorted(audience.users, users[mine]), np.searchsorted(items, targets[mine])


def launched(dataset: Dataset) -> np.ndarray:
    """Numbers of the items that nobody chose before the test, and somebody in it.

    What was first chosen in validation is none of them, though training may not have seen it: it had been on sale when
    the test began, and had its buyers.
    """
    known = dataset.split.up_to("test").train_items
    _, targets = dataset.split.pairs("test")
    return np.setdiff1d(targets, known).astype(np.int64)


def rates_by_rank(run: Run, k: int) -> np.ndarray:
    """(k,) the share of validation questions (full ranking) whose answer stands at each rank from 1 to ``k``."""
    valid = run.per_user("valid", "full", ["user", "rank"])
    found = np.bincount(valid["rank"].clip(upper=k + 1), minlength=k + 2)[1 : k + 1]
    return np.asarray(found / max(valid["user"].nunique(), 1))
