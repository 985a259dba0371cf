"""Ranks that are kept as arrays are the frame they were, however few rows are made at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from evaluation_cases import Table, Threads, dataset_of

from llmesr.config import RunConfig, SplitConfig
from llmesr.data.dataset import Dataset
from llmesr.evaluation import frames, table
from llmesr.evaluation.frames import Ranks
from llmesr.evaluation.ranks import PROTOCOLS, evaluate
from llmesr.evaluation.results import Results, evaluate_parts
from llmesr.evaluation.table import metric_table
from llmesr.runs import record
from llmesr.runs.record import PER_USER, Run
from llmesr.store import Store

N_ITEMS, DAY = 40, 86_400
SEVERAL = SplitConfig(kind="temporal", valid_from="1970-02-01", test_from="1970-03-01", targets="all")
ONLY_TEST = SplitConfig(kind="temporal", valid_from="1970-03-01", test_from="1970-03-01", targets="first")
SPLITS = pytest.mark.parametrize("split", [None, SEVERAL, ONLY_TEST], ids=["one target", "several", "no validation"])


def world(split: SplitConfig | None, users: int = 30) -> tuple[Dataset, Table]:
    rng = np.random.default_rng(3)
    histories = [rng.integers(1, N_ITEMS + 1, rng.integers(2, 15)).tolist() for _ in range(users)]
    times = [np.sort(rng.integers(0, 90 * DAY, len(h))).tolist() for h in histories] if split else None
    data = dataset_of(histories, N_ITEMS, times=times, split=split)
    return data, Table(rng.integers(0, 9, (users, N_ITEMS + 1)))


def whole(ranks: Ranks) -> pd.DataFrame:
    """The frame of a part, made of whole columns."""
    data, (users, targets) = ranks.dataset, ranks.pairs
    same = {"user": users, "user_id": data.user_ids[users], "target": targets}
    same |= {"target_id": data.catalogue["item_id"].to_numpy(object)[targets - 1], "part": ranks.part}
    counts = {
        "history_length": data.split.train_lengths[users],
        "target_popularity": data.item_counts[targets],
    }
    made = [
        pd.DataFrame({**same, "protocol": p, "rank": rank, "candidates": many, **counts})
        for p, (rank, many) in ranks.found.items()
    ]
    texts = dict.fromkeys(("user_id", "target_id", "part", "protocol"), "str")
    return pd.concat(made, ignore_index=True).astype(texts)


def kept(store: Store, results: Results, id: str = "r") -> Run:
    run = Run.create(store, RunConfig(), [], name=id, id=id, device="cpu")
    run.write_results(*results)
    return run


@SPLITS
@pytest.mark.parametrize("at_once", [1, 7, 10_000])
def test_what_is_read_back_is_the_frame_of_whole_columns(
    split: SplitConfig | None, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "AT_ONCE", at_once)
    data, scorer = world(split)
    results = evaluate_parts(scorer, data)
    assert max(len(frame) for frame in results.frames) <= at_once
    expected = pd.concat([whole(ranks) for ranks in results.frames.parts], ignore_index=True)
    run = kept(Store(tmp_path), results)
    read = run.per_user()
    pd.testing.assert_frame_equal(read, expected, check_exact=True)
    assert read.attrs == {"dataset": data.id, "negatives_seed": data.seed}
    for part, ranks in zip(("valid", "test"), results.frames.parts, strict=True):
        pd.testing.assert_frame_equal(ranks.frame, whole(ranks), check_exact=True)
        for protocol in ranks.found:
            own = expected[(expected["part"] == part) & (expected["protocol"] == protocol)].reset_index(drop=True)
            some = run.per_user(part, protocol)
            pd.testing.assert_frame_equal(some, own, check_exact=True)
            assert some.attrs == read.attrs
            numbers = ranks.numbers(protocol)
            pd.testing.assert_frame_equal(numbers, own[numbers.columns.tolist()], check_exact=True)
            pd.testing.assert_frame_equal(run.per_user(part, protocol, ["rank"]), own[["rank"]], check_exact=True)


@SPLITS
def test_the_metrics_are_those_of_the_frame(
    split: SplitConfig | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, scorer = world(split)
    run = kept(Store(tmp_path), evaluate_parts(scorer, data))

    def tables() -> pd.DataFrame:
        read = run.per_user()
        made = [metric_table(read, data.thresholds, protocol=p).assign(protocol=p) for p in PROTOCOLS]
        return pd.concat(made, ignore_index=True)

    expected = tables()
    pd.testing.assert_frame_equal(pd.DataFrame(run.metrics()), expected, check_exact=True)
    monkeypatch.setattr(table, "AT_ONCE", 5)
    pd.testing.assert_frame_equal(tables(), expected, rtol=1e-12)


@pytest.mark.parametrize("split", [None, SEVERAL], ids=["one target", "several"])
def test_processes_that_rank_a_share_each_have_the_ranks_of_one(split: SplitConfig | None) -> None:
    data, scorer = world(split)
    alone, size = evaluate(scorer, data, "test", batch_size=4), 3
    meeting, places = threading.Barrier(size), dict[int, Any]()
    with ThreadPoolExecutor(size) as pool:
        team = [Threads(rank, size, "cpu", meeting, places) for rank in range(size)]
        found = list(pool.map(lambda own: evaluate(scorer, data, "test", batch_size=4, processes=own), team))
    for each in found:
        pd.testing.assert_frame_equal(each.frame, alone.frame)
        np.testing.assert_array_equal(each.top_items, alone.top_items)


def test_stopped_while_ranks_are_written_nothing_or_the_old_ones_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "AT_ONCE", 7)
    data, scorer = world(None)
    results = evaluate_parts(scorer, data)

    def cut_off() -> Iterator[pd.DataFrame]:
        for number, frame in enumerate(results.frames):
            if number == 3:
                raise KeyboardInterrupt
            yield frame.assign(rank=1)

    run = Run.create(Store(tmp_path), RunConfig(), [], name="r", id="r", device="cpu")
    for there in (False, True):
        with pytest.raises(KeyboardInterrupt):
            run.write_results(cut_off(), results.top_items, results.rows)
        assert (run.folder / PER_USER).exists() is there
        assert [p.name for p in run.folder.glob(f".{PER_USER}*")] == []
        if not there:
            run.write_results(*results)
    pd.testing.assert_frame_equal(run.per_user(), pd.concat(list(results.frames), ignore_index=True))


@SPLITS
def test_a_file_in_one_piece_is_read_in_part_as_well(split: SplitConfig | None, tmp_path: Path) -> None:
    """Runs that were finished before ranks were written by part have one."""
    data, scorer = world(split)
    results = evaluate_parts(scorer, data)
    run = kept(Store(tmp_path), results)
    pd.concat(list(results.frames), ignore_index=True).to_parquet(run.folder / PER_USER, index=False)
    for ranks in results.frames.parts:
        for protocol in PROTOCOLS:
            own = whole(ranks).loc[lambda rows, p=protocol: rows["protocol"] == p].reset_index(drop=True)
            found = run.per_user(ranks.part, protocol)
            pd.testing.assert_frame_equal(found, own, check_exact=True)
            assert found.attrs == {"dataset": data.id, "negatives_seed": data.seed}


def test_lists_are_the_same_from_memory_and_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, scorer = world(None)
    results = evaluate_parts(scorer, data)
    run = kept(Store(tmp_path), results)
    small = run.top_items()
    monkeypatch.setattr(record, "MAPPED_FROM", 0)
    for found in (small, run.top_items()):
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, results.top_items)
