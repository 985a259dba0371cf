"""The numbers of a profile against hand-computed ones."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from marketplace import START, csv, run

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.data.profile import gini, lorenz, profile
from llmesr.store import Manifest, Store


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([1, 1, 1, 1], 0.0), ([0, 0, 0, 4], 0.75), ([1, 3], 0.25), ([1, 2, 3, 4], 0.25), ([0, 0], 0.0)],
)
def test_gini(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(expected)


def test_lorenz_goes_from_nothing_to_all() -> None:
    frame = lorenz(np.array([3, 0, 1]))
    assert frame["items"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert frame["interactions"].tolist() == pytest.approx([0, 0, 0.25, 1])


def test_counts_are_of_the_training_part(store: Store, tmp_path: Path) -> None:
    # a: x y z w, b: x y z, c: x y: training is x y | x | x y, targets w and z
    table = [("a", i) for i in "xyzw"] + [("b", i) for i in "xyz"] + [("c", i) for i in "xy"]
    text = csv([(u, i, START + n) for n, (u, i) in enumerate(table)])
    found = profile(run(store, tmp_path / "in", {"shop.csv": text}), Thresholds(item=2, user=2))
    s = found.summary
    assert found.popularity["count"].tolist() == [3, 2, 0, 0]
    assert found.lengths.to_numpy().tolist() == [[2, 1], [3, 1], [4, 1]]
    assert (s["users"], s["items"], s["interactions"], s["training_interactions"]) == (3, 4, 9, 5)
    assert (s["tail_items"], s["tail_item_interactions"], s["tail_item_targets"]) == (2, 0.0, 1.0)
    assert (s["tail_users"], s["short_users"], s["cold_items"]) == (1, 1, 2)
    assert s["gini"] == pytest.approx(gini(np.array([3, 2, 0, 0])))
    assert all(len(row) == 2 for row in found.rows())


def test_many_users_in_no_time() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 12, 300_000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = (100_000 * rng.random(offsets[-1]) ** 3).astype(np.int32) + 1
    catalogue = pd.DataFrame({"item_id": np.arange(100_000)})
    manifest = Manifest(kind="datasets", id="big", name="big")
    dataset = Dataset(manifest, offsets, items, None, np.zeros(0, object), catalogue)
    started = time.process_time()
    found = profile(dataset)
    assert time.process_time() - started < 3
    assert len(found.popularity) <= 400
    assert found.popularity["rank"].iloc[[0, -1]].tolist() == [1, 100_000]
