"""What popularity explains of a score, by a case worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from evaluation_cases import dataset_of, frame_of

from llmesr.evaluation.popularity import explained, popularity_ranks


def both(ranks: list[int], sampled: list[int]) -> pd.DataFrame:
    return pd.concat([frame_of(ranks), frame_of(sampled, protocol="uni100")], ignore_index=True)


def test_of_each_target_the_smaller_of_two_values_is_explained() -> None:
    popular = both([50, 50, 50, 50], [1, 3, 11, 40])
    # uni100, HR@10: found by the method 1, 2 and 3; by popularity 1 and 2; by both 2 of 3.
    method = both([2, 50, 50, 50], [5, 1, 2, 30])
    found = explained({"method": [method]}, popular, "HR@10").set_index("protocol")
    assert found.loc["uni100", ["value", "popularity", "share"]].tolist() == pytest.approx([0.75, 0.5, 2 / 3])
    assert found.loc["full", ["value", "popularity", "share"]].tolist() == pytest.approx([0.25, 0.0, 0.0])
    # NDCG@10 = 1 / log2(rank + 1): rank 5 of the method against 1, rank 1 against 3 (1/2), rank 2 against none.
    found = explained({"method": [method]}, popular, "NDCG@10").set_index("protocol")
    at = 1 / np.log2([6, 2, 3])
    assert found.loc["uni100", "value"] == pytest.approx(at.sum() / 4)
    assert found.loc["uni100", "popularity"] == pytest.approx((at[0] + 0.5) / 4)


def test_popularity_explains_all_of_itself_and_nothing_of_a_miss() -> None:
    popular = both([50, 1], [1, 3])
    found = explained({"itself": [popular], "nothing": [both([99, 99], [99, 99])]}, popular, "HR@10")
    assert found[found["run"] == "itself"]["share"].tolist() == [1.0, 1.0]
    assert found[found["run"] == "nothing"]["share"].isna().all()


def test_seeds_are_averaged_and_other_targets_refused() -> None:
    popular = both([50, 50], [1, 50])
    seeds = [both([50, 50], [1, 50]), both([50, 50], [50, 1])]
    found = explained({"method": seeds}, popular, "HR@10").set_index("protocol")
    assert found.loc["uni100", ["value", "popularity"]].tolist() == [0.5, 0.25]
    with pytest.raises(ValueError, match="different targets"):
        explained({"method": [both([1, 2], [1, 2]).assign(target=2)]}, popular, "HR@10")


def test_ranks_of_popularity_are_those_of_training_counts() -> None:
    # Item 1 is in three training parts, item 2 in one; item 4 is user 0's target, item 1 user 1's.
    data = dataset_of([[1, 2, 3, 4], [5, 3, 6, 1], [1, 6, 5, 3], [1, 5, 6, 2]], 6)
    ranks = popularity_ranks(data)
    full = ranks[ranks["protocol"] == "full"].set_index("user")["rank"]
    assert full[1] == 1
    assert data.item_counts[4] == 0
    assert full[0] == 1 + (1 if data.item_counts[5] else 0) + (1 if data.item_counts[6] else 0)
