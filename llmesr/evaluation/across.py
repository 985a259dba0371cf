"""The same methods under the splits that the same data were given: does their ranking survive without leakage?

Every split is a dataset of its own, and runs are compared only within one. What is put side by side here are results,
each judged by its own split's questions: places and differences, never one number minus another's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from llmesr.config import EXTERNAL, WORDS
from llmesr.data.dataset import split_of
from llmesr.evaluation.contenders import Contender
from llmesr.evaluation.origins import GUIDES, identity, sources, texts
from llmesr.evaluation.resampling import adjust
from llmesr.runs.finetune import tuned_on_choices
from llmesr.store import Manifest, Store

BUDGET = ("epochs", "patience")


def configuration(contender: Contender, store: Store) -> tuple[object, ...]:
    """What a contender shares with its like under another split: the settings but for the budget and the seed, and the
    embedder of its text, of it and of what it is made of. Policies are tuned under each split anew, so only having one
    counts."""
    manifest = contender.manifests[0]
    if contender.tuned and (models := sources(manifest)) and store.exists("runs", models[0]):
        manifest = store.manifest("runs", models[0])
    return contender.label, identity(store, manifest, but=BUDGET, under_any_split=True), contender.tuned


def like(contender: Contender, others: Sequence[Contender], store: Store) -> Contender | None:
    """The same configuration among ``others``, the one with the longest budget; None where there is none."""
    wanted = configuration(contender, store)
    found = [c for c in others if configuration(c, store) == wanted]
    return max(found, key=longest, default=None)


def longest(contender: Contender) -> tuple[int, ...]:
    """Its budget, to order configurations by that are alike otherwise: the shortest of all trainings behind it."""
    trained = [m for of_run in contender.behind for m in of_run]
    return tuple(min(int(m.config.get(k) or 0) for m in trained) for k in BUDGET)


def repeatable(contender: Contender) -> bool:
    """Whether it can be made under another split: not a ranking made elsewhere nor lists that another run re-ordered,
    and everything it is made of, learned from or reads is still there."""
    return _repeatable(contender.runs[0].store, contender.manifests[0])


def _repeatable(store: Store, manifest: Manifest) -> bool:
    config = manifest.config
    if config["method"] == EXTERNAL:
        return False
    runs = [*sources(manifest), *(str(config[k]) for k in GUIDES if config.get(k))]
    views = [v for v in config.get("views") or () if v != WORDS]
    tuned = [tuned_on_choices(store, text) for text in texts(store, manifest)]
    if any(a is not None and a.config.categories_of for a in tuned):  # categories by a run of this split
        return False
    return all(store.exists("embeddings", v) for v in views) and all(
        store.exists("runs", id) and _repeatable(store, store.manifest("runs", id)) for id in runs
    )


def named_splits(datasets: Sequence[Manifest]) -> dict[str, str]:
    """Dataset id -> its split in a few words; with the name of the dataset where two splits read alike."""
    said = {m.id: split_of(m).brief() for m in datasets}
    alike = list(said.values())
    return {m.id: said[m.id] if alike.count(said[m.id]) == 1 else f"{said[m.id]} ({m.name})" for m in datasets}


def one_per_split(datasets: Sequence[Manifest], own: str, methods: Mapping[str, int]) -> list[Manifest]:
    """Of datasets that have one and the same split (data that was read twice) the one with the id ``own``, else the one
    with the most ``methods``."""
    kept: dict[str, Manifest] = {}
    for manifest in datasets:
        split = split_of(manifest).describe()
        there = kept.get(split)
        if there is None or (there.id != own and (manifest.id == own or methods[manifest.id] > methods[there.id])):
            kept[split] = manifest
    return list(kept.values())


Pair = tuple[str, str]
Tests = Callable[[str, str], pd.DataFrame]
"""(split, baseline) -> rows of :func:`evaluation.statistics.compare` of that split: everybody against the baseline."""
CLEAR = 0.05


@dataclass(frozen=True)
class Agreement:
    """How far two splits order the same methods alike.

    ``tau``: Kendall's (1 the same order, −1 the reverse), None of fewer than three methods or where all are tied.
    ``turned``: pairs whose order differs, ``clear`` those of them that a paired test tells apart under both splits
    (p < .05: the larger of the two, corrected by Benjamini-Hochberg for all pairs that turned); ``tied``: pairs that
    one of the splits does not order. ``users``: the fewest that a split asks in the group.
    """

    first: str
    second: str
    group: str
    methods: int
    users: int
    tau: float | None
    turned: tuple[Pair, ...]
    clear: tuple[Pair, ...]
    tied: int


def placed(summaries: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Split -> rows of :func:`evaluation.statistics.summary` (``run`` is the method) as one table with ``split`` and
    ``place``: 1 is the best of the methods that every split has."""
    common = set.intersection(*(set(s["run"]) for s in summaries.values())) if summaries else set()
    parts = []
    for split, summary in summaries.items():
        rows = summary[summary["run"].isin(common)].assign(split=split)
        place = rows.groupby(["metric", "group"])["value"].rank(ascending=False, method="min")
        parts.append(rows.assign(place=place))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def agreements(table: pd.DataFrame, group: str, tests: Tests) -> list[Agreement]:
    """Every later split of a :func:`placed` table against the first, in one group; pairs that turned are tested."""
    rows = table[(table["group"] == group) & (table["users"] > 0)]
    by = {split: part.set_index("run") for split, part in rows.groupby("split", sort=False)}
    first, *rest = [s for s in dict.fromkeys(table["split"]) if s in by] or [""]
    return [_agreement(first, other, group, by[first], by[other], tests) for other in rest]


def _agreement(first: str, second: str, group: str, one: pd.DataFrame, two: pd.DataFrame, tests: Tests) -> Agreement:
    names = [name for name in one.index if name in two.index]
    pairs = list(combinations(names, 2))
    steps = {p: [np.sign(f.loc[p[0], "value"] - f.loc[p[1], "value"]) for f in (one, two)] for p in pairs}
    turned = tuple(p for p, (a, b) in steps.items() if a * b < 0)
    tau = float(kendalltau(one.loc[names, "value"], two.loc[names, "value"]).statistic) if len(names) > 2 else math.nan
    return Agreement(
        first=first,
        second=second,
        group=group,
        methods=len(names),
        users=int(min(f["users"].min() for f in (one, two))),
        tau=None if math.isnan(tau) else tau,
        turned=turned,
        clear=_clear(turned, group, [partial(tests, split) for split in (first, second)]),
        tied=sum(a * b == 0 for a, b in steps.values()),
    )


def _clear(turned: Sequence[Pair], group: str, splits: Sequence[Callable[[str], pd.DataFrame]]) -> tuple[Pair, ...]:
    """A pair turns only if it differs under both splits, so that the larger p is its own (intersection-union test)."""

    def p(split: Callable[[str], pd.DataFrame], pair: Pair) -> float:
        rows = split(pair[1])
        return float(rows.loc[(rows["run"] == pair[0]) & (rows["group"] == group), "p"].iloc[0])

    adjusted = adjust(np.array([max(p(split, pair) for split in splits) for pair in turned]))
    return tuple(pair for pair, value in zip(turned, adjusted, strict=True) if value < CLEAR)
