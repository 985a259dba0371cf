"""What popularity alone explains of a score: why full ranking and uni100 may disagree.

Uniform negatives are mostly rare items, so ranking by popularity alone finds far more popular targets among them than
among all items. A method that knows what is popular is rewarded for that under uni100 most of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from llmesr.data.dataset import Dataset
from llmesr.data.split import Part
from llmesr.evaluation.ranks import PROTOCOLS, evaluate
from llmesr.evaluation.table import metric_values

KEYS = ["user", "target", "protocol"]


class _Counts:
    """Scores every item by its training interactions."""

    def __init__(self, dataset: Dataset) -> None:
        self.counts = torch.from_numpy(np.asarray(dataset.item_counts)).float()  # (N + 1,)

    def score(self, sequences: Tensor, users: Tensor | None) -> Tensor:  # noqa: ARG002 (the same for everybody)
        return self.counts.expand(len(sequences), -1)


def popularity_ranks(dataset: Dataset, part: Part = "test") -> pd.DataFrame:
    """The ranks that training counts alone give the targets of ``part``, as ``evaluate`` gives them."""
    return evaluate(_Counts(dataset), dataset, part, top=0).frame


def explained(
    contenders: Mapping[str, Sequence[pd.DataFrame]], popular: pd.DataFrame, metric: str, part: str = "test"
) -> pd.DataFrame:
    """A row per contender and protocol: ``value`` of the metric over all targets, ``popularity``, the part of it that
    popularity alone scores on the same targets, and ``share`` = popularity / value (NaN where nothing is found).

    Of each target the part is the smaller of two values: the method's, and that of :func:`popularity_ranks`. For HR@K
    it counts the targets both find. Frames of several seeds are averaged.
    """
    rows = []
    for name, frames in contenders.items():
        for protocol in PROTOCOLS:
            each = [_parts(frame, popular, metric, protocol, part) for frame in frames]
            value, both = np.mean(each, axis=0)
            share = both / value if value else np.nan
            rows.append({"run": name, "protocol": protocol, "value": value, "popularity": both, "share": share})
    return pd.DataFrame(rows)


def _parts(frame: pd.DataFrame, popular: pd.DataFrame, metric: str, protocol: str, part: str) -> tuple[float, float]:
    own = frame[(frame["part"] == part) & (frame["protocol"] == protocol)]
    pairs = own.merge(popular[[*KEYS, "rank"]], on=KEYS, suffixes=("", "_popular"), validate="one_to_one")
    if len(pairs) != len(own):
        raise ValueError("the ranks are of different targets")
    value = metric_values(pairs["rank"].to_numpy(), metric)
    alone = metric_values(pairs["rank_popular"].to_numpy(), metric)
    return float(value.mean()), float(np.minimum(value, alone).mean())
