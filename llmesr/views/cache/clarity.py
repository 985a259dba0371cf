"""How clearly a dataset answers whether text helps: the app opens on the clearest."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from llmesr.errors import UserError
from llmesr.evaluation.contenders import best_of_each, best_without_and_with_text
from llmesr.runs.wanted import SEEDS
from llmesr.store import Store
from llmesr.views.cache import artifacts, evidence
from llmesr.views.cache.kept import digests, kept

METRIC, PROTOCOL = "HR@10", "full"
"""What the comparison is made in."""
RULE = (
    "At first the dataset with the clearest answer to whether text helps: nothing serious stands against its "
    "comparison, then the smallest corrected p, then the difference on tail items in standard errors, then seeds, then "
    "age."
)


class Clarity(NamedTuple):
    """The greater, the clearer: compared by the first field that differs."""

    compared: bool = False  # something that reads text, and something that does not
    settled: bool = False  # nothing serious stands against it
    sure: float = -1.0  # minus the smallest corrected p of a named group
    apart: float = 0.0  # the difference on tail items in standard errors, either way
    seeds: int = 0  # of the side that has fewer, where luck has a part; more than three make no story clearer


def clarity(root: Store, dataset_id: str) -> Clarity:
    """Of the comparison that Overview opens with, under the saved definition of head and tail."""
    lineup = {c.name: c.ids for c in evidence.everyone(root, dataset_id)}
    try:
        return _clarity(root, dataset_id, lineup)
    except UserError:
        return Clarity()  # a damaged run, which the page about this dataset names


@kept(digests(dataset_id="datasets", lineup="runs"), entries=64, spinner=evidence.SAID)
def _clarity(root: Store, dataset_id: str, lineup: evidence.Lineup) -> Clarity:  # noqa: ARG001 only a part of the key
    every, validation = evidence.everyone(root, dataset_id), partial(evidence.validation, root)
    if len({c.with_text for c in every}) < 2:
        return Clarity()
    plain, text = best_without_and_with_text(every, validation)
    if plain is None or text is None:
        return Clarity()
    pair, among = ({c.label: c.ids for c in side} for side in ((plain, text), best_of_each(every, validation)))
    thresholds = artifacts.dataset(root, dataset_id).thresholds
    at = (plain.label, thresholds, METRIC, PROTOCOL)
    said = evidence.judged(root, pair, *at, among=among)[0]
    tested = evidence.comparison(root, among, *at)
    tail = tested[(tested["run"] == text.label) & (tested["group"] == "Tail Item")]
    apart = (tail["difference"].abs() / tail["error"].where(tail["error"] > 0)).fillna(0).max() if len(tail) else 0.0
    sure = max((-a.p for a in said.answers if a.outcome != "few"), default=-1.0)
    seeds = min((len(c.seeds) for c in (plain, text) if c.seeded), default=SEEDS)
    return Clarity(True, not said.doubts, float(sure), float(apart), min(seeds, SEEDS))
