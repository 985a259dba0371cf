"""Doubts about one contender: was each of its trainings long enough, and are all of its seeds here?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmesr.config import BLEND, EXTERNAL, has_backbone
from llmesr.evaluation.contenders import Contender, configuration
from llmesr.evaluation.doubts import Doubt, Remedy, Severity
from llmesr.evaluation.origins import described, lucky, texts
from llmesr.runs.finetune import tuned_on_choices
from llmesr.runs.wanted import LONGEST, PATIENCE
from llmesr.store import Manifest

WAITED = 5
"""Evaluations without a better one after which a run counts as trained out."""


def convergence(c: Contender) -> Iterator[Doubt]:
    """Trainings behind a contender whose best epoch is among their last: its own, or those of what it is made of."""
    if c.elsewhere:
        yield Doubt("elsewhere", "serious", (c.name,), c.ids)
    elif c.method == EXTERNAL:
        yield Doubt("allocated", "caution", (c.name,), c.ids)
    every = {m.id: m for of_run in c.behind for m in of_run}
    methods = {id: str(m.config["method"]) for id, m in every.items()}
    waits = {id: w for id, m in every.items() if has_backbone(methods[id]) and (w := waited(m)) is not None}
    missing = tuple(i for i, method in methods.items() if i not in waits and (has_backbone(method) or method == BLEND))
    if missing:
        yield Doubt("untraceable", "serious", (c.name,), missing)
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


def leakage(c: Contender) -> Iterator[Doubt]:
    """Text that an adapter made which learned what is chosen in another split: that may be what is asked here."""
    store = c.runs[0].store
    tuned = [(m, tuned_on_choices(store, m)) for run in c.manifests for m in texts(store, run)]
    other = [a for m, a in tuned if a is not None and a.dataset_id != m.parent("datasets")]
    if other:
        yield Doubt("leakage", "serious", (c.name,), c.ids, {"adapter": other[0].id, "dataset": other[0].dataset_id})


def waited(m: Manifest) -> int | None:
    """Evaluations after the best one; None where the run does not say, or has no epochs."""
    best, epochs = m.info.get("best_epoch"), m.info.get("epochs")
    if best is None or epochs is None:
        return None
    return int((int(epochs) - int(best)) // int(m.config.get("evaluate_every", 1)))


def seeds_left_out(c: Contender, everyone: Sequence[Contender]) -> Iterator[Doubt]:
    """Of five seeds the three that suit a claim would prove it."""
    whole = next((e for e in everyone if set(c.ids) & set(e.ids)), c)
    left = tuple(id for id in whole.ids if id not in c.ids)
    if left:
        remedy = Remedy("include-runs", left)
        yield Doubt("seeds-left-out", "serious", (c.name,), left, {"left_out": len(left)}, remedy)


def seeds_archived(c: Contender, archived: Sequence[Contender]) -> Iterator[Doubt]:
    """Whoever puts the unlucky seeds away is left with the lucky ones."""
    alike = [a for a in archived if configuration(a) == configuration(c)]
    away = [id for a in alike for id, seed in zip(a.ids, a.seeds, strict=True) if seed not in c.seeds]
    if away:
        remedy = Remedy("include-runs", tuple(away))
        yield Doubt("seeds-archived", "serious", (c.name,), tuple(away), {"archived": len(away)}, remedy)


def shared(c: Contender) -> Iterator[Doubt]:
    """A training that several runs of a contender are made of: its luck is in each of them, and no seed shows it."""
    if len(c.runs) < 2:
        return
    of_runs = [{m.id for m in of_run if lucky(m)} for of_run in c.behind]
    everywhere = set.intersection(*of_runs)
    several = {id for ids in of_runs for id in ids if sum(id in other for other in of_runs) > 1}
    if several:
        severity: Severity = "serious" if everywhere else "caution"
        parts = tuple(sorted(everywhere or several))
        theirs = {m.seed for of_run in c.behind for m in of_run if m.id in parts}
        remedy = Remedy("part-seeds", tuple(id for id, seed in zip(c.ids, c.seeds, strict=True) if seed not in theirs))
        numbers = {"runs": len(c.runs), "part": list(parts)}
        yield Doubt("shared-part", severity, (c.name,), parts, numbers, remedy)
