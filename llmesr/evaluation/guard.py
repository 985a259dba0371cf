"""Whether a comparison is fair and its runs are trained out: computed once, shown wherever the comparison is stated.

Dacrema et al. (2019) found that most published gains vanish against baselines that were trained and tuned with the
same care. The guard looks for what makes a gain vanish: training cut short, luck, unequal effort, weak baselines,
metrics that cannot tell. While something *serious* stands, nobody says "better" and nobody gives a ratio.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from llmesr.config import BLEND, EXTERNAL, MethodName, has_backbone
from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import CHOSEN_BY, Contender, Validation, configuration
from llmesr.evaluation.doubts import Doubt, Remedy, Severity, about, in_order, serious
from llmesr.evaluation.negatives import NEGATIVES
from llmesr.evaluation.origins import described, lucky
from llmesr.evaluation.statistics import FEW_EVENTS
from llmesr.evaluation.table import UserValues, named_groups, select
from llmesr.runs.wanted import LONGEST, PATIENCE, SEEDS, seeds_after
from llmesr.store import Manifest

__all__ = ["Case", "Doubt", "Remedy", "about", "examine", "serious"]

WAITED = 5
"""Evaluations without a better one after which a run counts as trained out."""
UNEVEN = 5
"""Configurations tried from which a baseline tried once is at a disadvantage."""
STRONGER = 1.02
"""A baseline is stronger from 2% on validation: less is luck."""
_BUDGET = ("epochs", "patience", "evaluate_every", "validation_users", "monitor", "monitor_group", "monitor_protocol")
_CLASSIC, _CLASSIC_TEXT = ("popularity", "item-knn", "ease"), ("llm-init", "text-ease")


@dataclass(frozen=True, eq=False)
class Case:
    """What is examined: ``chosen`` against ``baseline`` (a name). ``everyone``: all evaluated contenders of the
    dataset, chosen or not; ``frames``: name -> rank frames of the seeds of the chosen."""

    chosen: Sequence[Contender]
    baseline: str
    frames: Mapping[str, Sequence[pd.DataFrame]]
    everyone: Sequence[Contender]
    validation: Validation
    thresholds: Thresholds
    metrics: Sequence[str] = ("NDCG@10",)
    protocol: str = "full"
    part: str = "test"
    archived: Sequence[Contender] = ()
    """Those that were put away, which nothing else counts."""

    @property
    def base(self) -> Contender:
        return next(c for c in self.chosen if c.name == self.baseline)

    @property
    def pairs(self) -> list[tuple[Contender, Contender]]:
        """Each other contender with the baseline."""
        return [(c, self.base) for c in self.chosen if c.name != self.baseline]


def examine(case: Case) -> tuple[Doubt, ...]:
    """Everything that stands against a comparison, the most serious first."""
    return in_order([*standing(case), *by_group(case)])


def by_group(case: Case) -> list[Doubt]:
    """What depends on where head and tail part."""
    return [doubt for contender in case.chosen for doubt in _hits(contender, case)]


def standing(case: Case) -> list[Doubt]:
    """What stands wherever head and tail part: thresholds are not read."""
    found: list[Doubt] = []
    for contender in case.chosen:
        found += _convergence(contender)
        found += _seeds_left_out(contender, case.everyone)
        found += _seeds_archived(contender, case.archived)
        found += _shared(contender)
        found += _ties(contender, case)
    found += _candidates(case)
    found += _chosen_there(case)
    for run, base in case.pairs:
        found += _luck(run, base)
        found += _budgets(run, base)
        found += _effort(run, base, case.everyone)
        found += _texts(run, base)
        found += _strength(run, base, case)
        found += _protocols(run, base, case)
    found += _missing(case)
    return found


def _convergence(c: Contender) -> Iterator[Doubt]:
    """Trainings behind a contender whose best epoch is among their last: its own, or those of what it is made of."""
    if c.elsewhere:
        yield Doubt("elsewhere", "caution", (c.name,), c.ids)
    elif c.method == EXTERNAL:
        yield Doubt("allocated", "caution", (c.name,), c.ids)
    every = {m.id: m for of_run in c.behind for m in of_run}
    methods = {id: str(m.config["method"]) for id, m in every.items()}
    waits = {id: w for id, m in every.items() if has_backbone(methods[id]) and (w := waited(m)) is not None}
    missing = tuple(i for i, method in methods.items() if i not in waits and (has_backbone(method) or method == BLEND))
    if missing:
        yield Doubt("untraceable", "caution", (c.name,), missing)
    short = {id: w for id, w in waits.items() if w < WAITED}
    if short:
        worst = every[min(short, key=lambda id: short[id])]
        numbers = {"best_epoch": worst.info["best_epoch"], "epochs": worst.info["epochs"], "waited": short[worst.id]}
        if worst.id not in c.ids and not c.trained:
            numbers["part"] = described(c.runs[0].store, worst.id)
        epochs = max(LONGEST, 2 * int(worst.config.get("epochs", 0)))
        values = {"epochs": epochs, "patience": max(PATIENCE, int(worst.config.get("patience", 0)))}
        remedy = Remedy("train-longer", tuple(short) if c.trained else c.ids, values)
        yield Doubt("undertrained", "serious", (c.name,), tuple(short), numbers, remedy)


def waited(m: Manifest) -> int | None:
    """Evaluations after the best one; None where the run does not say, or has no epochs."""
    best, epochs = m.info.get("best_epoch"), m.info.get("epochs")
    if best is None or epochs is None:
        return None
    return int((int(epochs) - int(best)) // int(m.config.get("evaluate_every", 1)))


def _seeds_left_out(c: Contender, everyone: Sequence[Contender]) -> Iterator[Doubt]:
    """Of five seeds the three that suit a claim would prove it."""
    whole = next((e for e in everyone if set(c.ids) & set(e.ids)), c)
    left = tuple(id for id in whole.ids if id not in c.ids)
    if left:
        remedy = Remedy("include-runs", left)
        yield Doubt("seeds-left-out", "serious", (c.name,), left, {"left_out": len(left)}, remedy)


def _seeds_archived(c: Contender, archived: Sequence[Contender]) -> Iterator[Doubt]:
    """Whoever puts the unlucky seeds away is left with the lucky ones."""
    alike = [a for a in archived if configuration(a) == configuration(c)]
    away = [id for a in alike for id, seed in zip(a.ids, a.seeds, strict=True) if seed not in c.seeds]
    if away:
        yield Doubt("seeds-archived", "caution", (c.name,), tuple(away), {"archived": len(away)})


def _shared(c: Contender) -> Iterator[Doubt]:
    """A training that several runs of a contender are made of: its luck is in each of them, and no seed shows it."""
    if len(c.runs) < 2:
        return
    of_runs = [{m.id for m in of_run if lucky(m)} for of_run in c.behind]
    everywhere = set.intersection(*of_runs)
    several = {id for ids in of_runs for id in ids if sum(id in other for other in of_runs) > 1}
    if several:
        severity: Severity = "serious" if everywhere else "caution"
        shared = tuple(sorted(everywhere or several))
        yield Doubt("shared-part", severity, (c.name,), shared, {"runs": len(c.runs), "part": list(shared)})


def _luck(run: Contender, base: Contender) -> Iterator[Doubt]:
    """One seed says nothing about the luck of training; where the other side has several it is borrowed from there."""
    seeded = [c for c in (run, base) if c.seeded]
    single = [c for c in seeded if len(c.seeds) == 1]
    if single and len(single) == len(seeded):
        names, runs = tuple(c.name for c in single), tuple(c.ids[0] for c in single)
        yield Doubt("one-seed", "serious", names, runs, {}, _more_seeds(single[0], runs))
    elif single:
        c = single[0]
        yield Doubt("one-seed", "caution", (c.name,), c.ids, {}, _more_seeds(c, c.ids))
    for c in seeded:
        if 1 < len(c.seeds) < SEEDS:
            remedy = _more_seeds(c, c.ids[:1])
            yield Doubt("few-seeds", "caution", (c.name,), c.ids, {"seeds": len(c.seeds)}, remedy)


def _more_seeds(c: Contender, runs: tuple[str, ...]) -> Remedy:
    return Remedy("add-seeds", runs, seeds=seeds_after(c.seeds))


def _budgets(run: Contender, base: Contender) -> Iterator[Doubt]:
    """Other budgets matter where one of the two ended by its budget; another watched metric always may."""
    if not (run.trained and base.trained):
        return
    mine, theirs = run.manifests[0].config, base.manifests[0].config
    other = [k for k in _BUDGET if mine.get(k) != theirs.get(k)]
    watched = [k for k in other if k.startswith("monitor")]
    ended = [any(_ended_by_budget(m) for of_run in c.behind for m in of_run) for c in (run, base)]
    if watched or (other and any(ended)):
        settings = [f"{k} {mine.get(k)} and {theirs.get(k)}" for k in other]
        yield Doubt("budget", "caution", (run.name, base.name), (*run.ids, *base.ids), {"settings": settings})


def _ended_by_budget(m: Manifest) -> bool:
    passed = waited(m)
    return passed is not None and passed < int(m.config.get("patience", PATIENCE))


def _effort(run: Contender, base: Contender, everyone: Sequence[Contender]) -> Iterator[Doubt]:
    """Configurations tried of each method, and scoring tuned on one side alone."""
    tried = [sum(c.label == side.label and not c.tuned for c in everyone) for side in (run, base)]
    if run.label != base.label and tried[0] >= UNEVEN and 2 * tried[1] < tried[0] and base.trained:
        numbers = {"run": tried[0], "baseline": max(tried[1], 1)}
        remedy = Remedy("search-baseline", base.ids[:1], trials=tried[0])
        severity: Severity = "serious" if tried[1] <= 1 else "caution"
        yield Doubt("search", severity, (run.name, base.name), (), numbers, remedy)
    if run.tuned and not base.tuned:
        yield Doubt("policy", "caution", (run.name, base.name), run.ids)


def _texts(run: Contender, base: Contender) -> Iterator[Doubt]:
    texts = [c.manifests[0].parent("embeddings") for c in (run, base)]
    if all(texts) and texts[0] != texts[1]:
        numbers = {"run": texts[0], "baseline": texts[1]}
        yield Doubt("text", "caution", (run.name, base.name), (*run.ids, *base.ids), numbers)


def _strength(run: Contender, base: Contender, case: Case) -> Iterator[Doubt]:
    """A baseline of the same kind (with or without text) that is stronger on validation."""
    rivals = [
        c
        for c in case.everyone
        if c.with_text == base.with_text and c.tuned == base.tuned and c.method not in (run.method, EXTERNAL)
    ]
    scored = {c.name: case.validation(c) for c in rivals}
    best = max(rivals, key=lambda c: np.nan_to_num(scored[c.name], nan=-1.0), default=None)
    own, mine = case.validation(base), case.validation(run)
    if best is None or set(best.ids) & set(base.ids) or not scored[best.name] > STRONGER * own:
        return
    top = scored[best.name]
    numbers = {
        "stronger": best.name,
        "metric": CHOSEN_BY,
        "best": top,
        "baseline": own,
        "run": mine,
        "ahead": mine > top,
    }
    severity: Severity = "caution" if mine > top else "serious"
    yield Doubt("weak-baseline", severity, (run.name, base.name), best.ids, numbers, Remedy("compare-with", best.ids))


def _missing(case: Case) -> Iterator[Doubt]:
    """Classic baselines this dataset has not seen yet."""
    asked = [c for c in case.chosen if c.method not in (*_CLASSIC, EXTERNAL)]
    wanted = _CLASSIC + (_CLASSIC_TEXT if any(c.with_text for c in asked) else ())
    known, there = get_args(MethodName), {c.method for c in case.everyone}
    missing = tuple(m for m in wanted if m in known and m not in there)
    if asked and missing and case.pairs:
        numbers = {"methods": list(missing), "count": len(missing)}
        yield Doubt("missing-baseline", "caution", (), (), numbers, Remedy("train-baseline", methods=missing))


def _hits(c: Contender, case: Case) -> Iterator[Doubt]:
    """Groups in which a contender hits for too few users to be judged by (the mean of its seeds)."""
    k = max(_k(m) for m in case.metrics)
    frames = [select(f, case.protocol, case.part).sort_values("user", kind="stable") for f in case.frames[c.name]]
    hits = [UserValues(f, [f"HR@{k}"]) for f in frames]
    groups = [g for g in named_groups(frames[0], case.thresholds) if g.members.any()]
    few = {g.name: int(np.mean([h.of(g.members)[0] for h in hits], axis=0).sum()) for g in groups}
    few = {name: hits for name, hits in few.items() if hits < FEW_EVENTS}
    if few:
        numbers = {"groups": list(few), "hits": list(few.values()), "enough": FEW_EVENTS}
        yield Doubt("few-hits", "caution", (c.name,), c.ids, numbers)


def _ties(c: Contender, case: Case) -> Iterator[Doubt]:
    """A metric that is 1 for everybody."""
    frames = [select(f, case.protocol, case.part) for f in case.frames[c.name]]
    for metric in case.metrics:
        values = [UserValues(f, [metric]).of(np.ones(len(f), bool)) for f in frames]
        if all((v == 1).all() for v in values):
            yield Doubt("tied", "serious", (c.name,), c.ids, {"metric": metric})


def _chosen_there(case: Case) -> Iterator[Doubt]:
    """Validation flatters whatever was chosen by it: the epoch, the fallback, the policy."""
    if case.part == "valid":
        yield Doubt("chosen-there", "serious")


def _candidates(case: Case) -> Iterator[Doubt]:
    """Fewer candidates than K make every list a hit; fewer than 101 leave no room for 100 negatives."""
    rows = select(case.frames[case.baseline][0], case.protocol, case.part)
    least, k = int(rows["candidates"].min()), max(_k(m) for m in case.metrics)
    if least <= k:
        yield Doubt("few-candidates", "serious", numbers={"candidates": least, "needed": k + 1})
    elif least < NEGATIVES + 1:
        yield Doubt("few-candidates", "caution", numbers={"candidates": least, "needed": NEGATIVES + 1})


def _protocols(run: Contender, base: Contender, case: Case) -> Iterator[Doubt]:
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
        own = [f.sort_values("user", kind="stable") for f in own]
        values = [UserValues(f, [metric]).of(np.ones(len(f), bool))[0] for f in own]
        sides.append(np.mean(values, axis=0))
    difference = sides[0] - sides[1]
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return float(difference.mean()), float(difference.mean() / error) if error > 0 else 0.0


def _k(metric: str) -> int:
    return int(metric.partition("@")[2])
