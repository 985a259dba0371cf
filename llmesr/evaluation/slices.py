"""Slices: the evaluated targets by what is known of their items and users, and a search for those that stand out.

A slice is a group like any other, so values, intervals and tests come from :mod:`evaluation.statistics`. The search
looks at one half of the users and tests what it found on the other half, so that a slice it names is no accident of
having looked at many (data splitting; Benjamini-Hochberg over the tests; the tests of this module simulate its level).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from llmesr.config import COLD
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.resampling import FLIPS, adjust
from llmesr.evaluation.slice_columns import FEWEST, bands, column_slices, date_of
from llmesr.evaluation.statistics import SIGNIFICANT
from llmesr.evaluation.table import Group, all_groups, in_order, metric_values, select
from llmesr.evaluation.values import Contenders

BETWEEN = " & "
NOTABLE = 1.5
"""Standard errors from the rest, in the half that is explored, from which a slice is tested on the other."""
ALIKE = 0.8
"""Two slices that share this much (Jaccard) are one finding: the stronger is tested."""
TRIPLES = 3
"""Slices of three conditions that are tested: there are so many that the luckiest would take the places of the rest."""
KEPT = 50
"""Slices of three conditions with the same first one that are looked at when the strongest are chosen."""
CELLS = 50_000_000
"""Permuted values in all; fewer permutations where there are many users."""


Question = Literal["fails", "helps", "hurts"]
QUESTIONS: dict[Question, str] = {
    "fails": "Where does a run fail more than elsewhere?",
    "helps": "Where does it gain more over the baseline than elsewhere?",
    "hurts": "Where does it gain less, or lose?",
}


class Found(NamedTuple):
    """A slice that stood out where it was explored, and what the other half of the users says of it.

    ``value``, ``rest`` and ``difference`` are means of the half that tests, ``explored`` is the difference in the half
    that was explored, ``p`` is one-sided (a permutation test of the direction that was explored).
    """

    group: Group
    users: int
    value: float
    rest: float
    difference: float
    explored: float
    p: float
    p_adjusted: float

    @property
    def confirmed(self) -> bool:
        """Whether the other half agrees, after correction for all that were tested."""
        return self.p_adjusted < SIGNIFICANT


def slices(
    rows: pd.DataFrame,
    thresholds: Thresholds,
    items: pd.DataFrame,
    users: pd.DataFrame | None = None,
    times: np.ndarray | None = None,
    *,
    fewest: int = FEWEST,
) -> list[Group]:
    """Every slice of ``rows`` (R targets, see :func:`evaluation.ranks.evaluate`) with at least ``fewest`` of them.

    ``items``: the catalogue, row i for item i + 1. ``users``: attributes with a column user_id, where there are any.
    ``times``: (R,) seconds at which each target was chosen (:func:`slice_columns.target_times`), where they are known.
    Columns of numbers become bands of similar size; a list ("Comedy; Crime") counts for each of its entries.
    Popularity, history length and cold items are slices too. The dimension of a slice is its column.
    """
    names = {"popularity": "item popularity", "length": "history length"}
    every = all_groups(rows, thresholds)
    found = [Group(names[g.dimension], g.name, g.members) for g in every if g.dimension in names]
    found += [Group(names["popularity"], COLD, g.members) for g in every if g.name == COLD]
    chosen = items.iloc[rows["target"].to_numpy() - 1]
    for column in items.columns.drop("item_id"):
        found += column_slices(column, chosen[column], fewest)
    if users is not None:
        known = users.set_index(users["user_id"].astype(str)).reindex(rows["user_id"].astype(str))
        for column in users.columns.drop("user_id"):
            found += column_slices(f"user {column}", known[column], fewest)
    if times is not None:
        found += bands("time", times, np.ones(len(times), bool), date_of)
    return [g for g in found if fewest <= g.members.sum() < len(rows)]


def target_values(frames: Sequence[pd.DataFrame], metric: str, protocol: str, part: str) -> np.ndarray:
    """(R,) what each target is worth by its own rank, means over the seeds' ``frames``, in the order of users."""
    ranks = [in_order(select(f, protocol, part))["rank"].to_numpy() for f in frames]
    return np.asarray(np.mean([metric_values(rank, metric) for rank in ranks], axis=0))


def stand_out(
    frames: Contenders,
    run: str,
    baseline: str,
    question: Question,
    groups: Sequence[Group],
    *,
    metric: str = "HR@10",
    protocol: str = "full",
    part: str = "test",
) -> list[Found]:
    """The answer to ``question`` about the contender ``run``; ``baseline`` matters to gains alone. See :func:`search`.

    Of every target its own rank counts, so of a metric over several targets of a user the part that is one's.
    """
    rows = in_order(select(frames[run][0], protocol, part))
    values = target_values(frames[run], metric, protocol, part)
    if question != "fails":
        values = values - target_values(frames[baseline], metric, protocol, part)
    return search(values, groups, rows["user"].to_numpy(), less=question != "helps")


def as_frame(found: Sequence[Found]) -> pd.DataFrame:
    """A row per slice that was tested; see :class:`Found`."""
    rows = [(f.group.name, *f[1:], f.confirmed) for f in found]
    return pd.DataFrame(rows, columns=["slice", *Found._fields[1:], "confirmed"])


def search(
    values: np.ndarray,
    groups: Sequence[Group],
    users: np.ndarray,
    *,
    less: bool,
    fewest: int = FEWEST,
    most: int = 10,
    triples: int = TRIPLES,
    seed: int = 0,
) -> list[Found]:
    """Slices, and slices of two or three columns at once, in which ``values`` (R,) differ most from those of the rest.

    ``users`` (R,) says whose target a row is; of several targets of a user one, drawn at random, is looked at.
    ``less``: slices with lower values are looked for, else with higher ones. Of a random half of the users the
    strongest ``most`` of one and two conditions and the strongest ``triples`` of three are tested on the other half and
    returned, the surest first. UserError with too few users to halve.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(users))
    one = order[np.unique(users[order], return_index=True)[1]]  # a random row of every user
    one = rng.permutation(one)
    explore, confirm = one[: len(one) // 2], one[len(one) // 2 :]
    if len(explore) < 2 * fewest:
        raise UserError(
            f"{len(one):,} users are too few to search: one half is explored, the other tests what was found there, "
            f"and each must hold at least {2 * fewest}."
        )
    signed = -values if less else values
    chosen = _explore(signed[explore], groups, explore, fewest, (most, triples))
    chosen = [(g, z) for g, z in chosen if fewest <= g.members[confirm].sum() < len(confirm)]
    if not chosen:
        return []
    inside = np.stack([g.members[confirm] for g, _ in chosen], axis=1)
    p = permutation_test(signed[confirm], inside, seed=seed)
    found = []
    for (group, explored), members, chance, adjusted in zip(chosen, inside.T, p, adjust(p), strict=True):
        value, rest = values[confirm][members].mean(), values[confirm][~members].mean()
        found.append(
            Found(
                group,
                int(members.sum()),
                float(value),
                float(rest),
                float(value - rest),
                -explored if less else explored,
                float(chance),
                float(adjusted),
            )
        )
    return sorted(found, key=lambda f: (f.p, -abs(f.difference)))


class _Candidate(NamedTuple):
    """How far the slice of all these ``conditions`` (numbers of groups) stands out, in standard errors."""

    z: float
    conditions: tuple[int, ...]


def _explore(
    values: np.ndarray, groups: Sequence[Group], at: np.ndarray, fewest: int, most: tuple[int, int]
) -> list[tuple[Group, float]]:
    """Slices with the highest mean of ``values`` (n,), at rows ``at``, each with its lead over the rest: so many
    (``most``) of one or two conditions, and of three."""
    members = np.stack([g.members[at] for g in groups], axis=1).astype(np.float32)  # (n, groups)
    columns = np.unique([g.dimension for g in groups], return_inverse=True)[1]
    counts, sums = members.T @ members, members.T @ (members * values[:, None].astype(np.float32))
    z = _against_rest(counts, sums, values)
    able = (counts >= fewest) & (columns[:, None] != columns)  # two conditions of different columns
    own = z.diagonal()
    # A slice earns its place: it must stand out more than each of its parts.
    better = np.triu(able & (z > own) & (z > own[:, None]))
    few = [_Candidate(own[i], (int(i),)) for i in np.flatnonzero(counts.diagonal() >= fewest)]
    few += [_Candidate(z[i, j], (int(i), int(j))) for i, j in np.argwhere(better)]
    chosen: list[tuple[Group, float]] = []
    for candidates, places in ((few, most[0]), (_of_three(values, members, able, z, fewest), most[1])):
        room = len(chosen) + places
        for score, conditions in sorted(candidates, reverse=True):
            if score < NOTABLE or len(chosen) == room:
                break
            group = _together(*(groups[c] for c in conditions))
            inside = group.members[at]
            if all(_jaccard(inside, other.members[at]) < ALIKE for other, _ in chosen):
                chosen.append((group, float(values[inside].mean() - values[~inside].mean())))
    return chosen


def _of_three(
    values: np.ndarray, members: np.ndarray, able: np.ndarray, z: np.ndarray, fewest: int
) -> list[_Candidate]:
    """Slices of three conditions that stand out more than any one or two of them. ``able`` (groups, groups): which two
    are large enough together. A third condition makes no slice larger (SliceLine, Sagadeeva & Boehm 2021), so with each
    first one only its own rows are looked at, and those conditions that may join it."""
    found: list[_Candidate] = []
    parts = np.maximum(z, np.maximum(z.diagonal(), z.diagonal()[:, None]))  # of two conditions the best part
    for first in range(len(able)):
        joins = np.flatnonzero(able[first, first + 1 :]) + first + 1
        rows = members[:, first] > 0
        some, own = members[rows][:, joins], values[rows, None].astype(np.float32)
        counts = some.T @ some
        scores = _against_rest(counts, some.T @ (some * own), values)
        best = np.maximum(parts[np.ix_(joins, joins)], np.maximum(parts[first, joins], parts[first, joins][:, None]))
        earned = np.triu(able[np.ix_(joins, joins)] & (counts >= fewest) & (scores > best))
        pairs = np.argwhere(earned & (scores >= NOTABLE))
        pairs = pairs[np.argsort(-scores[tuple(pairs.T)], kind="stable")[:KEPT]]
        found += [_Candidate(scores[i, j], (first, int(joins[i]), int(joins[j]))) for i, j in pairs]
    return found


def _against_rest(counts: np.ndarray, sums: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean minus that of the rest, in standard errors. Slices: ``counts`` rows that add up to ``sums``."""
    size, total, spread = len(values), float(values.sum()), max(float(values.std()), 1e-12)
    outside = np.maximum(size - counts, 1)
    inside = np.maximum(counts, 1)
    lead = sums / inside - (total - sums) / outside
    return np.asarray(lead / (spread * np.sqrt(1 / inside + 1 / outside)))


def _together(*parts: Group) -> Group:
    """The targets that are in all ``parts``, under a name that says so."""
    name = BETWEEN.join(f"{g.dimension}: {g.name}" for g in parts)
    return Group(BETWEEN.join(g.dimension for g in parts), name, np.logical_and.reduce([g.members for g in parts]))


def _jaccard(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def permutation_test(values: np.ndarray, members: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """(S,) one-sided p that the mean of ``values`` (n,) in a slice, ``members`` (n, S), is higher than by chance.

    Chance: which users are in the slice has nothing to do with their values. The observed assignment counts as one.
    """
    sizes = members.sum(axis=0)
    observed = values @ members
    permutations = int(min(FLIPS, max(1999, CELLS // len(values))))
    rng = np.random.default_rng(seed)
    reached = np.zeros(len(sizes), np.int64)
    step = max(1, 2**22 // len(values))
    for start in range(0, permutations, step):
        block = np.tile(values, (min(step, permutations - start), 1))
        sums = rng.permuted(block, axis=1).cumsum(axis=1)[:, sizes - 1]
        reached += (sums >= observed - 1e-9).sum(axis=0)
    return np.asarray((reached + 1) / (permutations + 1))
