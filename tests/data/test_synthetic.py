"""The generated marketplace: heavy tails, text that tells where it should and not where it should not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from llmesr.data.profile import gini
from llmesr.data.synthetic import frames, make
from llmesr.store import Store


def test_shape_and_contents() -> None:
    interactions, items = frames(500, 200, seed=3)
    assert interactions.columns.tolist() == ["user_id", "item_id", "timestamp"]
    assert items.columns.tolist() == ["item_id", "title", "brand", "category", "description"]
    assert items["item_id"].is_unique
    assert len(items) == 200
    assert set(interactions["item_id"]) <= set(items["item_id"])
    assert interactions["user_id"].nunique() == 500
    assert not interactions.duplicated(["user_id", "item_id"]).any()
    assert interactions.groupby("user_id")["timestamp"].is_monotonic_increasing.all()
    assert (items[["title", "brand", "category", "description"]] != "").all().all()
    assert items["title"].nunique() > 190


def test_seeds_repeat_and_differ() -> None:
    one, other, again = frames(50, 40, seed=1), frames(50, 40, seed=2), frames(50, 40, seed=1)
    pd.testing.assert_frame_equal(one[0], again[0])
    pd.testing.assert_frame_equal(one[1], again[1])
    assert not one[0].equals(other[0])


def test_signal_changes_text_only() -> None:
    full, none = frames(200, 100, seed=1), frames(200, 100, seed=1, signal=0.0)
    pd.testing.assert_frame_equal(full[0], none[0])
    assert (full[1]["brand"] != none[1]["brand"]).mean() > 0.5


def test_few_items_take_most_and_histories_are_short() -> None:
    interactions, _ = frames(5000, 1000, seed=0, mean_length=8)
    counts = interactions["item_id"].value_counts()
    assert counts.head(200).sum() / counts.sum() > 0.5
    assert gini(counts.to_numpy()) > 0.45
    lengths = interactions["user_id"].value_counts()
    assert 6 < lengths.mean() < 9
    assert lengths.median() < lengths.mean()
    assert lengths.max() > 4 * lengths.mean()


def _same_category(interactions: pd.DataFrame, items: pd.DataFrame) -> float:
    category = interactions["item_id"].map(items.set_index("item_id")["category"]).to_numpy()
    user = interactions["user_id"].to_numpy()
    return float((category[1:] == category[:-1])[user[1:] == user[:-1]].mean())


def test_text_predicts_the_next_choice_only_with_signal() -> None:
    chance = frames(1000, 400, seed=5, signal=0.0)
    told = frames(1000, 400, seed=5, signal=1.0)
    share = chance[1]["category"].value_counts(normalize=True).pow(2).sum()
    popular = chance[0]["item_id"].map(chance[1].set_index("item_id")["category"]).value_counts(normalize=True)
    expected = max(share, popular.pow(2).sum())
    assert _same_category(*told) > 4 * expected
    assert _same_category(*chance) < expected + 0.05


@pytest.mark.parametrize(("users", "items"), [(1, 4), (3, 7), (30, 12)])
def test_small_sizes(users: int, items: int) -> None:
    interactions, catalogue = frames(users, items)
    assert interactions["user_id"].nunique() == users
    assert len(catalogue) == items


def test_impossible_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="0 users"):
        frames(0, 10)


def test_make_stores_and_reuses(store: Store) -> None:
    dataset = make(store, users=60, items=40, seed=2)
    assert make(store, users=60, items=40, seed=2).manifest.created == dataset.manifest.created
    assert make(store, users=60, items=40, seed=3).id != dataset.id
    assert dataset.n_users == 60
    interactions, items = frames(60, 40, seed=2)
    titles = items.set_index("item_id")["title"]
    assert dataset.catalogue["title"].tolist() == titles[dataset.catalogue["item_id"]].tolist()
    first = interactions[interactions["user_id"] == dataset.user_ids[0]]["item_id"].tolist()
    assert dataset.catalogue["item_id"].to_numpy()[dataset.history(0) - 1].tolist() == first
    assert np.diff(dataset.offsets).min() >= 1
