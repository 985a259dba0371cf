"""The same methods under the splits that the same data were given: does their ranking survive without leakage?

Every split is a dataset of its own, and runs are compared only within one. What is put side by side here are results,
each judged by its own split's questions: places and differences, never one number minus another's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.stats import kendalltau

from llmesr.config import BLEND, EXTERNAL, WORDS, settings_read
from llmesr.data.dataset import split_of
from llmesr.evaluation.contenders import Contender
from llmesr.store import Manifest, Store

BUDGET = ("epochs", "patience")


def configuration(contender: Contender, store: Store) -> tuple[object, ...]:
    """What a contender shares with its like under another split: the settings but for the budget and the seed, and the
    embedder of its text. Policies are tuned under each split anew, so only having one counts."""
    manifest = contender.manifests[0]
    left_out = (*BUDGET, "seed", "alignment_run")
    settings = tuple(sorted((k, repr(v)) for k, v in settings_read(manifest.config).items() if k not in left_out))
    text = manifest.parent("embeddings")
    known = text is not None and store.exists("embeddings", text)
    embedder = store.manifest("embeddings", str(text)).info.get("fingerprint") if known else text
    return contender.label, settings, embedder, contender.tuned


def like(contender: Contender, others: Sequence[Contender], store: Store) -> Contender | None:
    """The same configuration among ``others``, the one with the longest budget; None where there is none."""
    wanted = configuration(contender, store)
    found = [c for c in others if configuration(c, store) == wanted]
    return max(found, key=lambda c: tuple(int(c.manifests[0].config.get(k) or 0) for k in BUDGET), default=None)


def repeatable(contender: Contender) -> bool:
    """Whether it can be trained under another split: neither a ranking made elsewhere nor a blend of runs, and without
    views that are embeddings of this dataset alone."""
    views = set(contender.manifests[0].config.get("views") or ())
    return contender.method not in (EXTERNAL, BLEND) and views <= {WORDS}


def named_splits(datasets: Sequence[Manifest]) -> dict[str, str]:
    """Dataset id -> its split in a few words; with the name of the dataset where two splits read alike."""
    said = {m.id: split_of(m).brief() for m in datasets}
    alike = list(said.values())
    return {m.id: said[m.id] if alike.count(said[m.id]) == 1 else f"{said[m.id]} ({m.name})" for m in datasets}


@dataclass(frozen=True)
class Agreement:
    """How far two splits order the same methods alike: Kendall's tau (1 the same order, −1 the reverse; None of fewer
    than three), and the ``pairs`` of methods whose order differs."""

    first: str
    second: str
    group: str
    methods: int
    tau: float | None
    pairs: tuple[tuple[str, str], ...]


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


def agreements(table: pd.DataFrame, group: str) -> list[Agreement]:
    """Every later split of a :func:`placed` table against the first, in one group."""
    rows = table[(table["group"] == group) & (table["users"] > 0)]
    wide = rows.pivot_table(index="run", columns="split", values="value", sort=False).dropna()
    first, *rest = [s for s in dict.fromkeys(table["split"]) if s in wide.columns] or [""]
    found = []
    for other in rest:
        values = [wide[first].to_numpy(), wide[other].to_numpy()]
        tau = float(kendalltau(*values).statistic) if len(wide) > 2 else None
        names = list(wide.index)
        turned = tuple(
            (a, b)
            for i, a in enumerate(names)
            for j, b in enumerate(names[i + 1 :], start=i + 1)
            if (values[0][i] - values[0][j]) * (values[1][i] - values[1][j]) < 0
        )
        found.append(Agreement(first, other, group, len(wide), tau, turned))
    return found
