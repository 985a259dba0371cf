"""Evidence about runs: intervals per group, paired tests between runs, seeds taken together.

Users and seeds are both samples (:mod:`evaluation.uncertainty`): intervals and p speak about other users and other luck
in training, as far as several seeds show it. Contenders named in ``alone`` have no luck: nothing of theirs is trained.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.resampling import FLIPS, RESAMPLES, adjust, intervals, sign_flip_test, wilcoxon_test
from llmesr.evaluation.table import Group, all_groups, named_groups
from llmesr.evaluation.uncertainty import Error, bound, detectable, error_of, t_test, widen
from llmesr.evaluation.values import Contenders, Values, per_user
from llmesr.prose import counted

Which = Literal["named", "all"]
"""The five named groups (and cold items); or the cells and the buckets too."""
DEFAULT_METRICS = ("HR@10", "NDCG@10")
FEW_USERS = 100
FEW_EVENTS = 10
SIGNIFICANT = 0.05


def summary(
    contenders: Contenders | Values,
    thresholds: Thresholds,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    protocol: str = "full",
    part: str = "test",
    groups: Which | Sequence[Group] = "named",
    only: Sequence[str] = (),
    alone: Collection[str] = (),
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Mean per contender, group and metric with its 95% interval over users and seeds; of the dimensions in ``only``
    if given. ``groups`` may be groups of your own, such as :mod:`evaluation.slices` makes.

    Columns run, dimension, group, metric, value, low, high, users, seeds, spread (standard deviation of the
    seeds' means; NaN for one seed), warning (empty when the group is large enough).
    """
    data = per_user(contenders, metrics, protocol, part)
    table: list[dict[str, Any]] = []
    for group in _groups(data.rows, thresholds, groups):
        if only and group.dimension not in only:
            continue
        members = {label: data.inside(label, group) for label in data.values}  # (seeds, users of the group, metrics)
        lows, highs = intervals(np.concatenate([m.mean(0) for m in members.values()], axis=1), resamples=resamples)
        for c, (label, member) in enumerate(members.items()):
            seeds, users = member.shape[:2]
            means = member.mean(axis=1) if users else np.full((seeds, len(metrics)), np.nan)  # (seeds, metrics)
            own = slice(c * len(metrics), (c + 1) * len(metrics))
            low, high = lows[own], highs[own]
            if seeds > 1 and users > 1:
                error = error_of(member.mean(axis=0), [member], [label in alone])
                low, high = np.clip(widen(means.mean(axis=0), low, high, error), 0.0, 1.0)
            for m, metric in enumerate(metrics):
                hits = int((member[:, :, m] > 0).sum()) // seeds
                table.append(
                    {
                        "run": label,
                        "dimension": group.dimension,
                        "group": group.name,
                        "metric": metric,
                        "value": means[:, m].mean(),
                        "low": low[m],
                        "high": high[m],
                        "users": users,
                        "seeds": seeds,
                        "spread": means[:, m].std(ddof=1) if seeds > 1 else np.nan,
                        "warning": _small(users, hits, "hit"),
                    }
                )
    return pd.DataFrame(table)


def compare(
    contenders: Contenders | Values,
    thresholds: Thresholds,
    *,
    baseline: str | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    protocol: str = "full",
    part: str = "test",
    groups: Which | Sequence[Group] = "named",
    alone: Collection[str] = (),
    resamples: int = RESAMPLES,
    flips: int = FLIPS,
) -> pd.DataFrame:
    """Every other contender against ``baseline`` (the first by default), paired by user.

    Columns run, baseline, dimension, group, metric, difference (run - baseline), low, high (95%, over users and
    seeds), relative (difference / baseline), users, better, worse (users whose value rose or fell), missed (users whom
    neither reaches: both values are 0 under every seed), p_permutation,
    p_wilcoxon (over users alone), p (the larger of p_permutation and a t-test over users and seeds), p and p_wilcoxon
    adjusted by Benjamini-Hochberg over this whole table (p_adjusted, p_wilcoxon_adjusted), floor (no permutation was
    as extreme: p is at most what is given), error, error_seeds (standard errors: in all, and of the seeds), bound (two
    one-sided tests leave no larger difference), detectable (what four such tests in five would show), effect (mean /
    standard deviation of the differences, Cohen's d of pairs), rank_biserial (share of rank sum gained minus lost,
    -1..1), significant (p_adjusted < .05), warning.
    """
    data = per_user(contenders, metrics, protocol, part)
    labels = list(data.values)
    base = baseline or labels[0]
    if base not in data.values:
        raise UserError(f"The baseline {base!r} is not among the runs: {', '.join(labels)}.")
    others = [label for label in labels if label != base]
    if not others:
        raise UserError("Give at least two different configurations to compare.")
    chosen = _groups(data.rows, thresholds, groups)
    differences = [_differences(data, others, base, group) for group in chosen]
    # (U, groups * others * metrics): nobody moves in a group without a target there
    tested = np.concatenate([_spread(d, data.users(g)) for d, g in zip(differences, chosen, strict=True)], axis=1)
    p = np.split(sign_flip_test(tested, resamples=flips), len(chosen))
    table = []
    for group, inside, flipped in zip(chosen, differences, p, strict=True):
        start = data.inside(base, group).mean(axis=0)
        low, high = intervals(inside, resamples=resamples, differences=True)
        wilcoxon = wilcoxon_test(inside)
        for o, label in enumerate(others):
            own = slice(o * len(metrics), (o + 1) * len(metrics))
            arms = [data.inside(name, group) for name in (label, base)]
            error = error_of(inside[:, own], arms, [label in alone, base in alone])
            table += _contrasts(
                {"run": label, "baseline": base, "dimension": group.dimension, "group": group.name},
                metrics,
                inside[:, own],
                start,
                (low[own], high[own]),
                (flipped[own], wilcoxon[own], 1 / (flips + 1)),
                error,
            )
    return _judged(pd.DataFrame(table))


def _differences(data: Values, others: Sequence[str], base: str, group: Group) -> np.ndarray:
    """(users of the group, others * metrics) of what each of ``others`` gains over ``base``."""
    start = data.inside(base, group).mean(axis=0)
    difference = np.concatenate([data.inside(label, group).mean(axis=0) - start for label in others], axis=1)
    difference[np.abs(difference) < 1e-12] = 0.0  # what averaging over seeds rounds
    return np.asarray(difference)


def _spread(inside: np.ndarray, users: np.ndarray) -> np.ndarray:
    """(U, columns) of the users of a group among all, 0 for the others."""
    whole = np.zeros((len(users), inside.shape[1]), np.float32)
    whole[users] = inside
    return whole


def _contrasts(
    names: dict[str, str],
    metrics: Sequence[str],
    d: np.ndarray,
    start: np.ndarray,
    interval: tuple[np.ndarray, np.ndarray],
    tests: tuple[np.ndarray, np.ndarray, float],
    error: Error,
) -> list[dict[str, Any]]:
    """One row per metric of one contender in one group. ``d`` (users, metrics) are differences from ``start``."""
    mean = d.mean(axis=0) if len(d) else np.full(len(metrics), np.nan)
    low, high = widen(mean, *interval, error) if len(d) > 1 else interval
    flipped, wilcoxon, floor = tests
    seeds = t_test(mean, error) if len(d) > 1 else flipped
    p = np.where(error.seeds > 0, np.maximum(flipped, seeds), flipped)
    rows = []
    for m, metric in enumerate(metrics):
        row: dict[str, Any] = {**names, "metric": metric, **_contrast(d[:, m], start[:, m])}
        row |= {"low": low[m], "high": high[m], "error": error.standard[m], "error_seeds": np.sqrt(error.seeds[m])}
        row |= {"bound": bound(mean, error)[m], "detectable": detectable(error)[m]}
        row |= {"p_permutation": flipped[m], "p_wilcoxon": wilcoxon[m], "p": p[m], "floor": p[m] <= floor}
        if not len(d):
            row |= {"p_permutation": np.nan, "p_wilcoxon": np.nan, "p": np.nan, "floor": False}
        rows.append(row)
    return rows


def _contrast(d: np.ndarray, start: np.ndarray) -> dict[str, Any]:
    better, worse = int((d > 0).sum()), int((d < 0).sum())
    mean = float(d.mean()) if len(d) else np.nan
    deviation = float(d.std(ddof=1)) if len(d) > 1 else 0.0
    level = float(start.mean()) if len(d) else np.nan
    moved = d[d != 0]
    ranks = rankdata(np.abs(moved))
    return {
        "difference": mean,
        "relative": mean / level if level else np.nan,
        "users": len(d),
        "better": better,
        "worse": worse,
        "missed": int(((d == 0) & (start == 0)).sum()),
        "effect": mean / deviation if deviation else (0.0 if len(d) else np.nan),
        "rank_biserial": float((ranks * np.sign(moved)).sum() / ranks.sum()) if len(moved) else 0.0,
        "warning": _small(len(d), better + worse or FEW_EVENTS, "difference"),  # nobody differs: that is clear
    }


_ORDER = ["run", "baseline", "dimension", "group", "metric", "difference", "low", "high", "relative", "users", "better"]
_ORDER += ["worse", "missed", "p_permutation", "p_wilcoxon", "p", "p_adjusted", "floor", "p_wilcoxon_adjusted", "error"]
_ORDER += ["error_seeds", "bound", "detectable", "effect", "rank_biserial", "significant", "warning"]


def _judged(table: pd.DataFrame) -> pd.DataFrame:
    table["p_adjusted"] = adjust(table["p"].to_numpy())
    table["p_wilcoxon_adjusted"] = adjust(table["p_wilcoxon"].to_numpy())
    table["significant"] = table["p_adjusted"] < SIGNIFICANT
    return table[_ORDER]


def _groups(rows: pd.DataFrame, thresholds: Thresholds, which: Which | Sequence[Group]) -> Sequence[Group]:
    if isinstance(which, str):
        return named_groups(rows, thresholds) if which == "named" else all_groups(rows, thresholds)
    return which


def _small(users: int, events: int, event: str) -> str:
    if users == 0:
        return "no users in this group"
    if users < FEW_USERS:
        return f"only {counted(users, 'user')}: read the interval, not the value"
    if events < FEW_EVENTS:
        count = f"only {counted(events, 'user')}" if events else "no user"
        return f"{count} with a {event}: too few to judge"
    return ""
