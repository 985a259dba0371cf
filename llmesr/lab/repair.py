"""Which texts to repair first: by the users who miss an item now, and by what a good text brings to items like it.

What a good text brings is measured, not assumed: items like the flawed ones, but with a good text, are given the same
flaw, and of the validation users who then miss them, the share who find them with the good text is the gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmesr.config import EmbedConfig, LabConfig
from llmesr.evaluation.ranks import evaluate
from llmesr.evaluation.resampling import bootstrap_means
from llmesr.lab.audience import reached
from llmesr.lab.change import with_texts
from llmesr.lab.flaws import FLAWS, flawed, spoilt
from llmesr.lab.rewritten import changed, check
from llmesr.progress import Progress, silent
from llmesr.retrieval.index import nearest
from llmesr.scoring.scored_run import ScoredRun

FEWEST_MISSES = 20
"""Users who miss spoilt items: with fewer, what a good text brings is not said."""
FEWEST_ITEMS = 30
"""Items spoilt at once, where there are as many; in a larger catalogue a tenth of it at most, so that those spoilt do
not make room for one another."""
RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Gain:
    """What a good text brings to items of one group that have one flaw: the share of the users who miss such an item
    that would find it, those it loses taken off, with a 95% interval over items; NaN where too few were there."""

    flaw: str
    group: str
    items: int
    misses: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Repairs:
    """``texts``: the flawed ones, those to repair first at the top, with item, item_id, title, group, flaw, words,
    same, users (whose validation item it is), misses (those who miss it now), and gain, low, high: users who would
    find it with a good text. NaN where no gain could be measured."""

    run: str
    k: int
    texts: pd.DataFrame
    gains: tuple[Gain, ...]

    @property
    def lacking(self) -> tuple[Gain, ...]:
        """Flaws and groups of which too few good examples were there to measure a gain."""
        return tuple(gain for gain in self.gains if np.isnan(gain.rate))


def repairs(scored: ScoredRun, config: LabConfig | None = None, progress: Progress = silent) -> Repairs:
    """The flawed texts of a run's dataset in the order in which to repair them, judged on validation.

    UserError for a run that scores no item by its text, and where its vectors came from a file.
    """
    config = config or LabConfig()
    check(scored.store, scored.run)
    judged = scored.of("valid")
    dataset = judged.dataset
    attributes = _attributes(judged)
    found = flawed(dataset.catalogue, attributes, short=config.short)
    tail = dataset.thresholds.tail_items(np.asarray(dataset.item_counts))
    groups = np.where(tail, "Tail Item", "Head Item")  # (N + 1,)
    found["group"] = groups[found["item"]]
    bad = set(found["item"])
    _, targets = dataset.split.pairs("valid")
    now = _ranks(judged, progress, "as it is")
    rng = np.random.default_rng(config.seed)
    gains: list[Gain] = []
    for flaw in FLAWS:
        like = found[found["flaw"] == flaw]
        if not len(like):
            continue
        among = [i for i in np.unique(targets) if int(i) not in bad and groups[i] in set(like["group"])]
        good = np.array(among, np.int64)
        some = np.sort(rng.permutation(good)[: min(config.examples, max(FEWEST_ITEMS, dataset.n_items // 10))])
        worse = now  # where no text is good, none is spoilt, and nothing is measured
        if len(some):
            words = int(like["words"].median())
            rows = spoilt(dataset.catalogue, some, flaw, words=words, twins=_twins(judged, some), attributes=attributes)
            worse = _ranks(changed(judged, with_texts(dataset, rows, progress)), progress, f"spoilt: {flaw}")
        hits = pd.DataFrame({"item": targets, "good": reached(now, config.k), "bad": reached(worse, config.k)})
        hits = hits[np.isin(targets, some)]
        gains += [_gain(flaw, group, hits[groups[hits["item"]] == group]) for group in sorted(set(like["group"]))]
    texts = _forecast(found, targets, now, gains, dataset.n_items, config.k)
    return Repairs(scored.run.id, config.k, texts, tuple(gains))


def _attributes(scored: ScoredRun) -> list[str] | None:
    """The item columns the run reads."""
    if scored.embedding is None:
        return None
    return EmbedConfig.read(None, **scored.embedding.manifest.config).attributes


def _twins(scored: ScoredRun, items: np.ndarray) -> np.ndarray:
    """(S,) the item that reads most like each of ``items``: what repeats a text as a rule repeats that of a variant."""
    if scored.embedding is None:
        return items % scored.dataset.n_items + 1
    vectors = scored.embedding.item_vectors
    return nearest(vectors, vectors[items - 1], 1, self_rows=items - 1).rows[:, 0].astype(np.int64) + 1


def _ranks(scored: ScoredRun, progress: Progress, stage: str) -> np.ndarray:
    """(R,) the rank of each validation target among all items, in the order of the pairs of the split."""
    found = evaluate(
        scored.judging(),
        scored.dataset,
        "valid",
        protocols=("full",),
        top=0,
        max_length=scored.max_length,
        device=scored.device,
        progress=lambda _, done, total: progress(stage, done, total),
    )
    return np.asarray(found.ranks.found["full"][0])


def _gain(flaw: str, group: str, hits: pd.DataFrame) -> Gain:
    """Of the users ``hits`` (item, good and bad: whether they find it with either text) that miss the spoilt item."""
    per_item = hits.assign(gain=hits["good"].astype(int) - hits["bad"], miss=~hits["bad"]).groupby("item")
    sums = per_item[["gain", "miss"]].sum().to_numpy(float)
    misses = int(sums[:, 1].sum())
    if misses < FEWEST_MISSES:
        return Gain(flaw, group, len(sums), misses, *(float("nan"),) * 3)
    drawn = bootstrap_means(sums, RESAMPLES)
    low, high = np.quantile(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-12), [0.025, 0.975])
    return Gain(flaw, group, len(sums), misses, float(sums[:, 0].sum() / misses), float(low), float(high))


def _forecast(
    found: pd.DataFrame, targets: np.ndarray, now: np.ndarray, gains: list[Gain], n_items: int, k: int
) -> pd.DataFrame:
    """The flawed texts with the users who could gain, those to repair first at the top."""
    users = np.bincount(targets, minlength=n_items + 1)
    missing = np.bincount(targets[~reached(now, k)], minlength=n_items + 1)
    by = {(gain.flaw, gain.group): gain for gain in gains}
    measured = [by[key] for key in zip(found["flaw"], found["group"], strict=True)]
    told = found.assign(users=users[found["item"]], misses=missing[found["item"]])
    for name, of in (("gain", "rate"), ("low", "low"), ("high", "high")):
        told[name] = told["misses"] * np.array([getattr(gain, of) for gain in measured])
    order = ["gain", "misses", "users"]
    return told.sort_values(order, ascending=False, kind="stable", na_position="last").reset_index(drop=True)
