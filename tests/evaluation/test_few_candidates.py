"""A note stands beside numbers that come from hardly any choice."""

from __future__ import annotations

import pandas as pd

from llmesr.evaluation.candidates import few_candidates


def frame(full: list[int], sampled: list[int]) -> pd.DataFrame:
    rows = [(u, "full", "test", c) for u, c in enumerate(full)] + [
        (u, "uni100", "test", c) for u, c in enumerate(sampled)
    ]
    return pd.DataFrame(rows, columns=["user", "protocol", "part", "candidates"])


def test_enough_candidates_are_no_note() -> None:
    assert few_candidates(frame([9, 500], [100, 100]), ["HR@10"]) == []


def test_fewer_than_the_cutoff_and_than_the_negatives() -> None:
    first, second = few_candidates(frame([8, 0, 500], [40, 100, 100]), ["HR@5", "NDCG@10"])
    assert first.startswith("2 of 3 users have fewer than 10 candidates in full")
    assert second.startswith("1 of 3 users have fewer than 101 candidates in uni100 (only 41 for one of them")


def test_the_cutoff_counts() -> None:
    assert few_candidates(frame([8, 8], [100, 100]), ["HR@5"]) == []
    assert len(few_candidates(frame([8, 8], [100, 100]), ["HR@20"])) == 1
