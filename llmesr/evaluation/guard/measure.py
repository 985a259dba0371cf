"""Doubts about what is measured: can this metric, on this part and under this protocol, tell the two apart?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from llmesr.evaluation.contenders import Contender
from llmesr.evaluation.doubts import Doubt, Remedy, Severity
from llmesr.evaluation.guard.case import Case
from llmesr.evaluation.negatives import NEGATIVES
from llmesr.evaluation.statistics import FEW_EVENTS, FEW_USERS
from llmesr.evaluation.table import UserValues, in_order, named_groups, select
from llmesr.evaluation.two_stage import RECALL, described, recall_of

SOME_TIED, MANY_TIED = 0.01, 0.25
"""Shares of users whose target the order of the file decides: from the first it is said, from the second serious."""


def hits(case: Case) -> Iterator[Doubt]:
    """Groups in which contenders hit for too few users to be judged by (the mean of their seeds). Where a group is too
    small itself, everybody's hits are few, and it is marked as such wherever it stands."""
    k = max(_k(m) for m in case.metrics)
    alike: dict[tuple[str, ...], list[tuple[Contender, list[int]]]] = {}  # groups -> who has how many hits there
    for c in case.chosen:
        frames = [in_order(select(f, case.protocol, case.part)) for f in case.frames[c.name]]
        values = [UserValues(f, [f"HR@{k}"]) for f in frames]
        small = {}
        for group in named_groups(frames[0], case.thresholds):
            found = [v.of(group.members)[0] for v in values]  # (users,) of each seed
            hits = int(sum(f.sum() for f in found)) // len(found)
            if len(found[0]) >= FEW_USERS and hits < FEW_EVENTS:
                small[group.name] = hits
        if small:
            alike.setdefault(tuple(small), []).append((c, list(small.values())))
    for groups, who in alike.items():
        most = [max(each) for each in zip(*(few for _, few in who), strict=True)]
        numbers = {"groups": list(groups), "hits": most, "enough": FEW_EVENTS}
        ids = tuple(id for c, _ in who for id in c.ids)
        yield Doubt("few-hits", "caution", tuple(c.name for c, _ in who), ids, numbers)


def ties(c: Contender, case: Case) -> Iterator[Doubt]:
    """A metric that is 1 for everybody."""
    frames = [select(f, case.protocol, case.part) for f in case.frames[c.name]]
    for metric in case.metrics:
        values = [UserValues(f, [metric]).of(np.ones(len(f), bool)) for f in frames]
        if all((v == 1).all() for v in values):
            yield Doubt("tied", "serious", (c.name,), c.ids, {"metric": metric})


def by_candidates(c: Contender) -> Iterator[Doubt]:
    """Ranks that are exact only as far as an index found the best items."""
    recalls = {m.id: recall for m in c.manifests if (recall := recall_of(m)) is not None}
    if recalls:
        lowest = min(recalls.values())
        severity: Severity = "note" if lowest >= RECALL else "caution"
        yield Doubt(
            "by-candidates", severity, (c.name,), tuple(recalls), {"recall": lowest, "ranked": described(lowest)}
        )


def chosen_there(case: Case) -> Iterator[Doubt]:
    """Validation flatters whatever was chosen by it: the epoch, the fallback, the policy."""
    if case.part == "valid":
        yield Doubt("chosen-there", "serious")


def candidates(case: Case) -> Iterator[Doubt]:
    """Fewer candidates than K make every list a hit; fewer than 101 leave no room for 100 negatives."""
    rows = select(case.frames[case.baseline][0], case.protocol, case.part)
    least, k = int(rows["candidates"].min()), max(_k(m) for m in case.metrics)
    if least <= k:
        yield Doubt("few-candidates", "serious", numbers={"candidates": least, "needed": k + 1})
    elif least < NEGATIVES + 1:
        yield Doubt("few-candidates", "caution", numbers={"candidates": least, "needed": NEGATIVES + 1})


def file_order(case: Case) -> Iterator[Doubt]:
    """Leave-one-out holds out the newest item; where several are the newest, whichever the file has last."""
    if case.tied >= SOME_TIED:
        severity: Severity = "serious" if case.tied >= MANY_TIED else "caution"
        yield Doubt("file-order", severity, numbers={"share": case.tied}, remedy=Remedy("order-by-time"))


def protocols(run: Contender, base: Contender, case: Case) -> Iterator[Doubt]:
    """The other protocol says the opposite overall."""
    other = "uni100" if case.protocol == "full" else "full"
    metric = case.metrics[0]
    here, there = (_difference(case, run.name, base.name, metric, p) for p in (case.protocol, other))
    if here is None or there is None or here[0] * there[0] >= 0 or min(abs(here[1]), abs(there[1])) < 1.96:
        return
    numbers = {"other": other, "metric": metric, "difference": here[0], "other_difference": there[0]}
    remedy = Remedy("look-at", (*run.ids, *base.ids), {"protocol": other})
    yield Doubt("protocols", "caution", (run.name, base.name), (), numbers, remedy)


def _difference(case: Case, run: str, base: str, metric: str, protocol: str) -> tuple[float, float] | None:
    """Mean paired difference overall and its z; None where a run has no ranks under the protocol."""
    sides = []
    for name in (run, base):
        own = [f[(f["protocol"] == protocol) & (f["part"] == case.part)] for f in case.frames[name]]
        if any(f.empty for f in own):
            return None
        values = [UserValues(in_order(f), [metric]).of(np.ones(len(f), bool))[0] for f in own]
        sides.append(np.mean(values, axis=0))
    difference = sides[0] - sides[1]
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return float(difference.mean()), float(difference.mean() / error) if error > 0 else 0.0


def _k(metric: str) -> int:
    return int(metric.partition("@")[2])
