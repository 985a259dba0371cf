"""Whether a comparison is fair and its runs are trained out: computed once, shown wherever the comparison is stated.

Dacrema et al. (2019) found that most published gains vanish against baselines that were trained and tuned with the
same care. The guard looks for what makes a gain vanish: training cut short, luck, unequal effort, weak baselines,
metrics that cannot tell. While something *serious* stands, nobody says "better" and nobody gives a ratio.
"""

from __future__ import annotations

from llmesr.evaluation.doubts import Doubt, in_order
from llmesr.evaluation.guard import measure, pairs, training
from llmesr.evaluation.guard.case import Case
from llmesr.evaluation.guard.training import WAITED, waited

__all__ = ["WAITED", "Case", "by_group", "examine", "standing", "waited"]


def examine(case: Case) -> tuple[Doubt, ...]:
    """Everything that stands against a comparison, the most serious first."""
    return in_order([*standing(case), *by_group(case)])


def by_group(case: Case) -> list[Doubt]:
    """What depends on where head and tail part."""
    return list(measure.hits(case))


def standing(case: Case) -> list[Doubt]:
    """What stands wherever head and tail part: thresholds are not read."""
    found: list[Doubt] = []
    for contender in case.chosen:
        found += training.convergence(contender)
        found += training.leakage(contender)
        found += training.seeds_left_out(contender, case.everyone)
        found += training.seeds_archived(contender, case.archived)
        found += training.shared(contender)
        found += measure.ties(contender, case)
        found += measure.by_candidates(contender)
    found += measure.candidates(case)
    found += measure.chosen_there(case)
    found += measure.file_order(case)
    for run, base in case.pairs:
        found += pairs.luck(run, base)
        found += pairs.budgets(run, base)
        found += pairs.effort(run, base, case)
        found += pairs.texts(run, base)
        found += pairs.strength(run, base, case)
        found += measure.protocols(run, base, case)
    found += pairs.missing(case)
    return found
