"""Splits by hand, and leave-one-out as it always was."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from evaluation_cases import Table, dataset_of
from hypothesis import given, settings
from hypothesis import strategies as st

from llmesr.config import IngestConfig, SplitConfig
from llmesr.data.dataset import Dataset
from llmesr.data.profile import profile
from llmesr.data.split import Part, leave_one_out
from llmesr.data.splitting import dated
from llmesr.errors import UserError
from llmesr.evaluation.ranks import evaluate

DAY = 86_400
CUTS = SplitConfig(kind="temporal", valid_from="1970-01-11", test_from="1970-01-21")  # days 10 and 20

#            user 0: trained, validated, tested   1: nothing to validate   2: no past in the test   3: only a past
HISTORIES = [[1, 2, 3, 4, 5], [1, 2, 6, 7], [3, 6], [1, 2], [2, 8, 8]]
#                                                                                  4: first seen in validation
DAYS = [[1, 2, 12, 20, 25], [3, 9, 20, 30], [22, 23], [4, 5], [10, 21, 22]]


def temporal(**changes: object) -> Dataset:
    times = [[day * DAY for day in days] for days in DAYS]
    return dataset_of(HISTORIES, 8, times=times, split=CUTS.but(**changes))


def test_targets_that_share_their_time_are_counted() -> None:
    histories, times = [[1, 2, 3], [1, 2, 3], [1, 2, 3, 1], [1, 2]], [[1, 2, 3], [1, 2, 2], [5, 5, 5, 5], [7, 7]]
    data = dataset_of(histories, 3, times=times)
    assert data.tied("test") == pytest.approx(2 / 3)  # the fourth is not asked
    assert data.tied("valid") == pytest.approx(1 / 3)
    assert dataset_of(histories, 3).tied("test") == 0.0
    data.manifest.info["tied_targets"] = {"valid": 0, "test": 1}  # as they were read, one is alike
    assert data.tied("test") == pytest.approx(1 / 3)
    assert data.tied("valid") == 0
    cut = SplitConfig(kind="temporal", valid_from="1970-01-01 00:00:02", test_from="1970-01-01 00:00:03")
    assert dataset_of(histories, 3, times=times, split=cut).tied("test") == 0.0


def test_a_temporal_split_by_hand() -> None:
    data = temporal()
    split = data.split
    assert split.train_lengths.tolist() == [2, 2, 0, 2, 0]
    assert split.train_items.tolist() == [1, 2, 1, 2, 1, 2]
    assert data.item_counts.tolist() == [0, 3, 3, 0, 0, 0, 0, 0, 0]
    # Day 10 and day 20 lie behind their cuts.
    assert split.users("valid").tolist() == [0]
    assert split.targets("valid").tolist() == [3]
    assert split.users("test").tolist() == [0, 1, 4]
    assert split.targets("test").tolist() == [4, 6, 8]
    assert split.input_lengths("test").tolist() == [3, 2, 0, 2, 1]
    assert [split.without_past(part) for part in ("valid", "test")] == [1, 1]  # users 4 and 2
    assert data.train_history(0).tolist() == [1, 2]


def test_all_targets_by_hand() -> None:
    split = temporal(targets="all").split
    assert [a.tolist() for a in split.pairs("valid")] == [[0], [3]]
    # user 4 chooses item 8 twice: it is to be found once
    assert [a.tolist() for a in split.pairs("test")] == [[0, 0, 1, 1, 4], [4, 5, 6, 7, 8]]
    assert split.targets("test").tolist() == [4, 6, 8]


def test_negatives_know_what_happened_up_to_the_end_of_their_part() -> None:
    split = temporal().split
    assert split.known_lengths("valid").tolist() == [3, 2, 0, 2, 1]
    assert split.known_lengths("test").tolist() == [5, 4, 2, 2, 3]


def test_users_without_a_past_and_cold_targets_are_counted() -> None:
    summary = profile(temporal()).summary
    assert summary["valid_users"] == 1
    assert summary["test_users"] == 3
    assert (summary["valid_strangers"], summary["test_strangers"]) == (1, 1)
    assert summary["cold_targets"] == 3
    assert summary["short_users"] == 2  # users 2 and 3


def test_ranks_of_several_targets_are_places_in_one_list() -> None:
    data = temporal(targets="all")
    scores = np.tile(np.array([0, 0, 0, 0, 5, 1, 3, 3, 2], float), (5, 1))
    frame = evaluate(Table(scores), data, "test", protocols=("full",)).frame
    rows = [(r.user, r.target, r.rank, r.candidates) for r in frame.itertuples()]
    # user 0 read 1, 2, 3: candidates 4 to 8 with scores 5 1 3 3 2. User 1 read 1, 2: 3 to 8. User 4 read 2.
    assert rows == [(0, 4, 1, 5), (0, 5, 5, 5), (1, 6, 3, 6), (1, 7, 3, 6), (4, 8, 4, 7)]
    assert frame["target_popularity"].tolist() == [0] * 5
    assert frame["history_length"].tolist() == [2, 2, 2, 2, 0]


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_ranks_of_several_targets_by_counting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    histories = [rng.permutation(20)[: rng.integers(1, 12)] + 1 for _ in range(4)]
    times = [np.sort(rng.integers(0, 40, len(h)) * DAY).tolist() for h in histories]
    data = dataset_of([h.tolist() for h in histories], 20, times=times, split=CUTS.but(targets="all"))
    scores = rng.integers(0, 6, (4, 21)).astype(float)
    frame = evaluate(Table(scores), data, "test", protocols=("full", "uni100")).frame
    assert len(frame) == 2 * len(data.split.pairs("test")[0])
    for row in frame.itertuples():
        past = set(data.history(row.user)[: data.split.input_lengths("test")[row.user]].tolist())
        whole = set(data.history(row.user).tolist())
        own = scores[row.user, row.target]
        targets = whole - past
        outside = set(range(1, 21)) - (past if row.protocol == "full" else whole)  # fewer than 100: all of them
        others = [scores[row.user, i] for i in (outside | targets) - {row.target}]
        higher, equal = sum(s > own for s in others), sum(s == own for s in others)
        assert row.rank == 1 + higher + (equal + 1) // 2
        assert row.candidates == 1 + len(others)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12))
@settings(deadline=None)
def test_leave_one_out_by_its_definition(lengths: list[int]) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = np.arange(1, offsets[-1] + 1)
    split = leave_one_out(offsets, items)
    histories = [items[a:b].tolist() for a, b in pairwise(offsets)]
    judged = [h for h in histories if len(h) >= 3]
    assert split.train_items.tolist() == [i for h in histories for i in (h[:-2] if len(h) >= 3 else h)]
    places: dict[Part, int] = {"valid": -2, "test": -1}
    for part, place in places.items():
        assert split.targets(part).tolist() == [h[place] for h in judged]
        assert split.pairs(part)[1].tolist() == [h[place] for h in judged]
        assert split.input_lengths(part)[split.users(part)].tolist() == [len(h) + place for h in judged]
        assert split.known_lengths(part).tolist() == lengths
        assert split.without_past(part) == 0


def test_leave_one_out_is_what_it_was() -> None:
    """Ranks among all and among the negatives of a made-up scorer, as they were before there were other splits."""
    rng = np.random.default_rng(5)
    histories = [rng.integers(1, 150, rng.integers(2, 20)).tolist() for _ in range(60)]
    data = dataset_of(histories, 150, seed=3)
    scores = rng.integers(0, 40, (60, 151))
    found = [evaluate(Table(scores), data, part) for part in ("valid", "test")]
    columns = ["user", "target", "rank", "candidates", "history_length", "target_popularity"]
    content = b"".join(f.frame[columns].to_numpy(np.int64).tobytes() for f in found)
    assert hashlib.sha256(content).hexdigest()[:16] == "b816a877aefba67f"


def test_shares_become_dates() -> None:
    times = np.arange(10) * DAY
    split = dated(SplitConfig(kind="temporal"), times, "case", real=True)
    assert (split.valid_from, split.test_from) == ("1970-01-09", "1970-01-10")  # 8 before, 1 between, 1 behind
    skewed = np.array([0, 1, 2, 3, 4, 5, 6, 100]) * DAY
    by_time = dated(
        SplitConfig(kind="temporal", share_of="time", valid_from=0.05, test_from=0.5), skewed, "c", real=True
    )
    assert (by_time.valid_from, by_time.test_from) == ("1970-01-06", "1970-02-20")
    assert dated(by_time, skewed, "c", real=True) == by_time
    assert str(SplitConfig(kind="temporal", test_from="2024-03-01T12:00:00+02:00").test_from).startswith("2024")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid_from": 0.9, "test_from": 0.8}, "must come before"),
        ({"valid_from": "1960-01-01"}, "lies before the cuts"),
        ({"valid_from": "1990-01-01", "test_from": "1990-01-02"}, "lies between the cuts"),
        ({"valid_from": 0.5, "test_from": "2020-01-01"}, "behind the cut 2020-01-01; they reach from 1970-01-01"),
    ],
)
def test_cuts_that_leave_nothing_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dated(SplitConfig(kind="temporal").but(**changes), np.arange(10) * DAY, "case", real=True)


def test_an_order_is_no_time() -> None:
    for times, real in ((None, False), (np.arange(10), False)):
        with pytest.raises(UserError, match="needs real times, and 'case' has only an order"):
            dated(SplitConfig(kind="temporal"), times, "case", real=real)


@pytest.mark.parametrize("cut", [0.0, 1.0, 3, "soon", None])
def test_a_cut_is_a_share_or_a_date(cut: object) -> None:
    with pytest.raises(UserError, match="valid_from"):
        SplitConfig.read(None, kind="temporal", valid_from=cut)


def test_ingest_takes_a_word_or_settings() -> None:
    assert IngestConfig.read(None, name="a", split="temporal").split == SplitConfig(kind="temporal")
    given = IngestConfig.read(None, name="a", split={"kind": "temporal", "targets": "all"})
    assert given.split.targets == "all"
    assert IngestConfig.read(None, name="a").split.kind == "leave-one-out"
