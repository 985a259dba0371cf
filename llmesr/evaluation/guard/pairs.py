"""Doubts about a contender and its baseline: were both given the same care, and is the baseline a strong one?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np

from llmesr.config import EXTERNAL, MethodName
from llmesr.evaluation.contenders import CHOSEN_BY, Contender, configuration
from llmesr.evaluation.doubts import Doubt, Remedy, Severity
from llmesr.evaluation.guard.case import Case
from llmesr.evaluation.guard.training import waited
from llmesr.runs.wanted import PATIENCE, SEEDS, seeds_after
from llmesr.store import Manifest

UNEVEN = 5
"""Configurations tried from which a baseline tried once is at a disadvantage."""
STRONGER = 1.02
"""A baseline is stronger from 2% on validation: less is luck."""
_BUDGET = ("epochs", "patience", "evaluate_every", "validation_users", "monitor", "monitor_group", "monitor_protocol")
_CLASSIC, _CLASSIC_TEXT = ("popularity", "item-knn", "ease"), ("llm-init", "text-ease")


def luck(run: Contender, base: Contender) -> Iterator[Doubt]:
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


def budgets(run: Contender, base: Contender) -> Iterator[Doubt]:
    """Other budgets matter where one of the two ended by its budget; another watched metric always may."""
    if not (run.trained and base.trained):
        return
    mine, theirs = run.manifests[0].config, base.manifests[0].config
    other = [k for k in _BUDGET if mine.get(k) != theirs.get(k)]
    watched = [k for k in other if k.startswith("monitor")]
    longest = max(int(c.get("patience", PATIENCE)) for c in (mine, theirs))
    ended = [any(_ended_by_budget(m, longest) for of_run in c.behind for m in of_run) for c in (run, base)]
    if watched or (other and any(ended)):
        settings = [f"{k} {mine.get(k)} and {theirs.get(k)}" for k in other]
        yield Doubt("budget", "caution", (run.name, base.name), (*run.ids, *base.ids), {"settings": settings})


def _ended_by_budget(m: Manifest, patience: int) -> bool:
    """Whether it would have gone on with the ``patience`` that the other side had."""
    passed = waited(m)
    return passed is not None and passed < patience


def effort(run: Contender, base: Contender, case: Case) -> Iterator[Doubt]:
    """Configurations tried of each method, those put away included, and scoring tuned on one side alone."""
    tried = [len({configuration(c) for c in case.all if c.label == side.label and not c.tuned}) for side in (run, base)]
    if run.label != base.label and tried[0] >= UNEVEN and 2 * tried[1] < tried[0] and base.trained:
        numbers = {"run": tried[0], "baseline": max(tried[1], 1)}
        remedy = Remedy("search-baseline", base.ids[:1], trials=tried[0])
        severity: Severity = "serious" if tried[1] <= 1 else "caution"
        yield Doubt("search", severity, (run.name, base.name), (), numbers, remedy)
    if run.tuned and not base.tuned:
        yield Doubt("policy", "caution", (run.name, base.name), run.ids)


def texts(run: Contender, base: Contender) -> Iterator[Doubt]:
    texts = [c.manifests[0].parent("embeddings") for c in (run, base)]
    if all(texts) and texts[0] != texts[1]:
        numbers = {"run": texts[0], "baseline": texts[1]}
        yield Doubt("text", "caution", (run.name, base.name), (*run.ids, *base.ids), numbers)


def strength(run: Contender, base: Contender, case: Case) -> Iterator[Doubt]:
    """A baseline of the same kind (with or without text) that is stronger on validation."""
    rivals = [
        c
        for c in case.all
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
        "archived": best not in case.everyone,
    }
    severity: Severity = "caution" if mine > top else "serious"
    yield Doubt("weak-baseline", severity, (run.name, base.name), best.ids, numbers, Remedy("compare-with", best.ids))


def missing(case: Case) -> Iterator[Doubt]:
    """Classic baselines this dataset has not seen yet."""
    asked = [c for c in case.chosen if c.method not in (*_CLASSIC, EXTERNAL)]
    wanted = _CLASSIC + (_CLASSIC_TEXT if any(c.with_text for c in asked) else ())
    known, there = get_args(MethodName), {c.method for c in case.everyone}
    missing = tuple(m for m in wanted if m in known and m not in there)
    if asked and missing and case.pairs:
        numbers = {"methods": list(missing), "count": len(missing)}
        yield Doubt("missing-baseline", "caution", (), (), numbers, Remedy("train-baseline", methods=missing))
