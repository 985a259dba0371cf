"""Whom every page opens on: the two recommenders that the Overview and the Story are about.

A run that has no evaluation or a damaged one plays no part here; pages that need its numbers say so.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import partial

from llmesr.errors import UserError
from llmesr.evaluation.contenders import Contender, best_of_each, best_without_and_with_text
from llmesr.store import Store
from llmesr.views.cache import evidence


def protagonists(root: Store, dataset_id: str) -> tuple[Contender | None, Contender | None]:
    """The best without text and the best with it, on validation."""
    return best_without_and_with_text(evidence.everyone(root, dataset_id), partial(_validation, root))


def ranked(root: Store, dataset_id: str) -> list[Contender]:
    """The two, then the best of every other method, the best of them first; at the end whoever is left."""
    every, validation = evidence.everyone(root, dataset_id), partial(_validation, root)
    rest = sorted(best_of_each(every, validation), key=validation, reverse=True)
    order = [*(c for c in protagonists(root, dataset_id) if c is not None), *rest, *every]
    return list({c.name: c for c in order}.values())


def first_runs(root: Store, dataset_id: str, among: Collection[str], *, with_text: bool = False) -> list[str]:
    """``among`` (ids of runs) in the order in which pages open on them: a run of each of :func:`ranked`, then the rest.
    ``with_text``: those that read text first, for pages that ask what text does."""
    order = ranked(root, dataset_id)
    if with_text:
        order = sorted(order, key=lambda c: not c.with_text)
    firsts = [next((id for id in c.ids if id in among), None) for c in order]
    return list(dict.fromkeys([*(id for id in firsts if id is not None), *among]))


def _validation(root: Store, contender: Contender) -> float:
    try:
        return evidence.validation(root, contender)
    except UserError:
        return math.nan
