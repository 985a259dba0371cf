"""Frames behind the pictures of two or more runs: curves, seesaw, frontier, and who gained or lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.pareto import efficient
from llmesr.evaluation.resampling import RESAMPLES
from llmesr.evaluation.statistics import summary
from llmesr.evaluation.values import Contenders, per_user

Dimension = Literal["popularity", "length"]


def curves(
    contenders: Contenders,
    thresholds: Thresholds,
    dimension: Dimension,
    *,
    metric: str = "NDCG@10",
    protocol: str = "full",
    part: str = "test",
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """A metric along five buckets of target popularity or history length, with 95% intervals.

    The columns of :func:`evaluation.statistics.summary` and ``position`` (0 is the least popular or shortest).
    """
    table = summary(
        contenders,
        thresholds,
        metrics=[metric],
        protocol=protocol,
        part=part,
        groups="all",
        only=(dimension,),
        resamples=resamples,
    )
    return table.assign(position=table["group"].map({g: i for i, g in enumerate(table["group"].unique())}))


def seesaw(comparison: pd.DataFrame, metric: str, *, side: Literal["item", "user"] = "item") -> pd.DataFrame:
    """Gain on the tail against gain (or loss) on the head, per run, from :func:`evaluation.statistics.compare`.

    Columns run, baseline, metric, tail, tail_low, tail_high, tail_p, head, head_low, head_high, head_p, overall and
    kind: "lifts both", "trades head for tail", "trades tail for head" or "lowers both".
    """
    rows = comparison[comparison["metric"] == metric]
    if rows.empty:
        raise UserError(f"The comparison holds no {metric}; it has {', '.join(comparison['metric'].unique())}.")
    names = {"tail": f"Tail {side.title()}", "head": f"Head {side.title()}"}
    found = []
    for (run, base), group in rows.groupby(["run", "baseline"], sort=False):
        by = group.set_index("group")
        row = {"run": run, "baseline": base, "metric": metric}
        for end, name in names.items():
            row |= {end: by.loc[name, "difference"], f"{end}_p": by.loc[name, "p_adjusted"]}
            row |= {f"{end}_{bound}": by.loc[name, bound] for bound in ("low", "high")}
        row["overall"] = by.loc["Overall", "difference"]
        row["kind"] = _kind(row["tail"], row["head"])
        found.append(row)
    return pd.DataFrame(found)


def _kind(tail: float, head: float) -> str:
    if tail >= 0 and head >= 0:
        return "lifts both"
    if tail > 0:
        return "trades head for tail"
    return "trades tail for head" if head > 0 else "lowers both"


def frontier(table: pd.DataFrame, *, accuracy: str = "NDCG@10", exposure: str = "APLT@10") -> pd.DataFrame:
    """Accuracy against tail exposure: run, accuracy, exposure, efficient (on the Pareto front).

    ``table``: columns run, group, metric, value of any number of runs, accuracy and exposure metrics together.
    """
    overall = table[(table["group"] == "Overall") & table["metric"].isin([accuracy, exposure])]
    wide = overall.pivot_table(index="run", columns="metric", values="value", sort=False)
    if missing := {accuracy, exposure} - set(wide.columns):
        raise UserError(f"The runs have no {' and no '.join(sorted(missing))}: evaluate them again.")
    points = wide[[accuracy, exposure]].dropna().to_numpy()
    return pd.DataFrame(
        {
            "run": wide[[accuracy, exposure]].dropna().index,
            "accuracy": points[:, 0],
            "exposure": points[:, 1],
            "efficient": efficient(points),
        }
    )


def movers(
    before: Sequence[pd.DataFrame],
    after: Sequence[pd.DataFrame],
    *,
    metric: str = "NDCG@10",
    protocol: str = "full",
    part: str = "test",
) -> pd.DataFrame:
    """Every user, the one who gained most first and the one who lost most last.

    ``before`` and ``after`` are the frames of the seeds of two configurations. Columns user, user_id, target,
    target_id, history_length, target_popularity, rank_before and rank_after (geometric means over seeds), gain
    (difference of ``metric``), outcome (gained, lost, missed by both, or same), doublings (log2(rank_before /
    rank_after), which orders users of equal gain). Of several targets of a user the first is named and the best rank
    counts.
    """
    contenders = {"before": before, "after": after}
    data = per_user(contenders, [metric], protocol, part)
    ranks = {label: _log_ranks(frames, protocol, part) for label, frames in contenders.items()}
    first = data.rows.drop_duplicates("user", ignore_index=True)
    table = first[["user", "user_id", "target", "target_id", "history_length", "target_popularity"]].copy()
    table["rank_before"], table["rank_after"] = 2 ** ranks["before"], 2 ** ranks["after"]
    start = data.mean("before")[:, 0]
    table["gain"] = data.mean("after")[:, 0] - start
    told = [table["gain"] > 0, table["gain"] < 0, start == 0]
    table["outcome"] = np.select(told, ["gained", "lost", "missed"], "same")
    table["doublings"] = ranks["before"] - ranks["after"]
    return table.sort_values(["gain", "doublings", "user"], ascending=[False, False, True], ignore_index=True)


def outcomes(
    contenders: Contenders, *, metric: str = "HR@10", protocol: str = "full", part: str = "test"
) -> pd.DataFrame:
    """What every user gets from every contender: columns user, target (the first of several), and per contender the
    value of ``metric``, the mean of its seeds."""
    data = per_user(contenders, [metric], protocol, part)
    table = data.rows.drop_duplicates("user", ignore_index=True)[["user", "target"]]
    return table.assign(**{label: data.mean(label)[:, 0] for label in contenders})


def _log_ranks(frames: Sequence[pd.DataFrame], protocol: str, part: str) -> np.ndarray:
    """(U,) mean over seeds of log2 of a user's rank (the best of several), in the order of users."""
    ranks = [f[f["protocol"].eq(protocol) & f["part"].eq(part)].groupby("user")["rank"].min() for f in frames]
    return np.asarray(np.mean([np.log2(r.to_numpy(dtype=float)) for r in ranks], axis=0))
