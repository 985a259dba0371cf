"""Order, duplicates, repeats, ties and the k-core, on tables small enough to check by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marketplace import START, csv, finding, items_csv, rows, run

from llmesr.config import IngestConfig
from llmesr.data import histories
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest_frames
from llmesr.store import Store


def named(dataset: Dataset) -> dict[str, list[str]]:
    """user id -> item ids, oldest first."""
    ids = dataset.catalogue["item_id"].tolist()
    return {u: [ids[i - 1] for i in dataset.history(n)] for n, u in enumerate(dataset.user_ids.tolist())}


def test_histories_are_in_time_order_and_ties_in_file_order(store: Store, tmp_path: Path) -> None:
    table = [("a", "x", 30), ("b", "z", 5), ("a", "z", 10), ("a", "y", 10), ("b", "x", 4), ("b", "y", 4)]
    text = csv([(u, i, START + t) for u, i, t in table])
    dataset = run(store, tmp_path / "in", {"shop.csv": text})
    assert named(dataset) == {"a": ["z", "y", "x"], "b": ["x", "y", "z"]}
    assert dataset.timestamps is not None
    assert dataset.timestamps.tolist() == [START + t for t in (10, 10, 30, 4, 4, 5)]
    ties = finding(dataset, "ties")
    assert (ties["count"], ties["examples"]) == (2, ["user a", "user b"])


def test_targets_are_tied_as_precisely_as_times_are_read(store: Store, tmp_path: Path) -> None:
    """Milliseconds, all within one second: u0 has two at the start, u1 the last two, u2 the two before, u3 only two."""
    times = {"u0": (1, 1, 5, 6), "u1": (1, 2, 6, 6), "u2": (1, 5, 5, 6), "u3": (4, 4)}
    table = [(u, f"i{n}", f"{START}{t:03d}") for u, of in times.items() for n, t in enumerate(of)]
    dataset = run(store, tmp_path / "in", {"shop.csv": csv(table)})
    assert dataset.manifest.info["tied_targets"] == {"valid": 1, "test": 1}
    assert dataset.tied("test") == pytest.approx(1 / 3)


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_tied_targets_are_counted_across_parts(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(chunk)
    monkeypatch.setattr(histories, "CHUNK", chunk)
    for _ in range(30):
        user = np.sort(rng.integers(0, 6, 30)).astype(np.int32)
        item = rng.integers(0, 4, 30).astype(np.int32)
        time = np.concatenate([np.sort(rng.integers(0, 4, (user == u).sum())) for u in range(6)])
        kept = np.array([1, 2, 3, 0], np.int32)  # the last item is not
        numbering = histories.Numbering(np.arange(6, dtype=np.int32), kept, 6, 3, 0, 1, 0)
        wanted = {"valid": 0, "test": 0}
        for u in range(6):
            own = time[(user == u) & (item < 3)]
            if len(own) >= 3:
                wanted["test"] += own[-1] == own[-2]
                wanted["valid"] += own[-2] == own[-3]
        columns = {"user": user, "item": item, "time": time}
        assert histories.tied_targets(columns, numbering) == wanted


def test_sub_seconds_order_but_are_not_stored(store: Store, tmp_path: Path) -> None:
    table = [(u, i, f"{t}{900 - 100 * n:03d}") for u in "ab" for n, (i, t) in enumerate([("x", START)] * 1)]
    table += [
        ("a", "y", f"{START}500"),
        ("a", "z", f"{START}100"),
        ("b", "y", f"{START}950"),
        ("b", "z", f"{START}960"),
    ]
    dataset = run(store, tmp_path / "in", {"shop.csv": csv(table)})
    assert named(dataset) == {"a": ["z", "y", "x"], "b": ["x", "y", "z"]}
    assert dataset.timestamps is not None
    assert set(dataset.timestamps.tolist()) == {START}
    assert "ms" in finding(dataset, "time")["message"]


REPEATED = [("a", "x", 1), ("a", "y", 2), ("a", "x", 3), ("a", "z", 4), ("a", "y", 5), ("b", "x", 1), ("b", "y", 2)]


@pytest.mark.parametrize(
    ("policy", "kept"), [("keep", "x y x z y"), ("first", "x y z"), ("last", "x z y")], ids=["keep", "first", "last"]
)
def test_repeats_follow_the_policy(policy: str, kept: str, store: Store, tmp_path: Path) -> None:
    text = csv([(u, i, START + t) for u, i, t in REPEATED])
    dataset = run(store, tmp_path / "in", {"shop.csv": text}, repeats=policy)
    assert named(dataset)["a"] == kept.split()
    assert finding(dataset, "repeats")["count"] == 2


def test_exact_duplicates_go_whatever_the_policy(store: Store, tmp_path: Path) -> None:
    table = [("a", "x", 1), ("a", "y", 1), ("a", "x", 1), ("a", "x", 1), ("a", "z", 2), ("b", "x", 1), ("b", "y", 1)]
    dataset = run(store, tmp_path / "in", {"shop.csv": csv([(u, i, START + t) for u, i, t in table])}, repeats="keep")
    assert named(dataset)["a"] == ["x", "y", "z"]
    found = finding(dataset, "duplicates")
    assert (found["count"], found["examples"]) == (2, ["user a, item x", "user a, item x"])


def test_steps_add_up(store: Store, tmp_path: Path) -> None:
    base = rows(30)
    table = [*((*r, 5) for r in base), (*base[0], 5), ("u1", "i1", START + 99_999, 5), ("u2", "i0", START + 5, 1)]
    table += [("u77", "i1", START, 5), ("", "i1", START, 5)]
    text = csv(table, "user_id,item_id,timestamp,rating")
    dataset = run(store, tmp_path / "in", {"shop.csv": text}, k_core=2, min_weight=3)
    steps = {s["step"]: (s["interactions"], s["users"], s["items"]) for s in dataset.manifest.info["steps"]}
    assert steps == {
        "read": (125, None, None),
        "readable": (124, None, None),
        "usable": (123, 31, 5),
        "without duplicates": (122, 31, 5),
        "without repeats": (121, 31, 5),
        "2-core": (120, 30, 5),
    }
    assert finding(dataset, "min_weight")["count"] == 1
    assert finding(dataset, "k_core")["count"] == 1
    assert len(dataset.items) == dataset.manifest.info["interactions"] == 120


def test_cold_items_are_candidates_only_when_wanted(store: Store, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"shop.csv": csv(rows()), "items.csv": items_csv(7)}
    plain = run(store, tmp_path / "a", files)
    cold = run(store, tmp_path / "b", files, cold_items=True)
    assert (plain.n_items, cold.n_items) == (5, 7)
    assert cold.catalogue["title"].tolist()[5:] == ["Thing 5", "Thing 6"]
    assert cold.item_counts[6:].tolist() == [0, 0]
    assert finding(cold, "cold_items")["count"] == 2
    told = finding(plain, "unchosen_items")
    assert (told["count"], told["examples"], told["level"]) == (2, ["i5", "i6"], "info")
    assert "--set cold_items=true" in told["message"]
    none = run(store, tmp_path / "c", {**files, "items.csv": items_csv(5)})
    assert "unchosen_items" not in [f["code"] for f in none.manifest.info["report"]]


def test_what_the_k_core_leaves_out_was_chosen(store: Store, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"shop.csv": csv([*rows(), ("u1", "i5", START)]), "items.csv": items_csv(7)}
    cut = run(store, tmp_path / "in", files, k_core=2)
    assert finding(cut, "unchosen_items")["examples"] == ["i6"]


def test_rows_of_the_catalogue_are_the_items(store: Store, tmp_path: Path) -> None:
    shuffled = "item_id,title\n" + "".join(f"i{i},Thing {i}\n" for i in (3, 0, 4, 2, 1))
    dataset = run(store, tmp_path / "in", {"shop.csv": csv(rows()), "items.csv": shuffled})
    for number, row in enumerate(dataset.catalogue.itertuples(), 1):
        assert row.title == f"Thing {str(row.item_id)[1:]}"
        assert dataset.item(str(row.item_id)) == number


def test_the_same_content_reuses_and_other_content_does_not(store: Store, tmp_path: Path) -> None:
    first = run(store, tmp_path / "a", {"shop.csv": csv(rows())})
    again = run(store, tmp_path / "b", {"other-name.csv.gz": csv(rows())})
    assert again.id == first.id
    assert again.manifest.created == first.manifest.created
    other = run(store, tmp_path / "c", {"shop.csv": csv(rows(9))})
    renamed = run(store, tmp_path / "d", {"shop.csv": csv(rows())}, name="second")
    changed = run(store, tmp_path / "e", {"shop.csv": csv(rows())}, seed=7)
    assert len({first.id, other.id, renamed.id, changed.id}) == 4
    assert store.find("datasets", "shop").id == changed.id


def test_several_files_are_one_in_their_order(store: Store, tmp_path: Path) -> None:
    table = [(u, i) for u, i, _ in rows()]
    parts: dict[str, str | bytes] = {"1.csv": csv(table[:10], "user,item"), "2.csv": csv(table[10:], "user,item")}
    whole = run(store, tmp_path / "a", {"all.csv": csv(table, "user,item")})
    assert named(run(store, tmp_path / "b", parts)) == named(whole)


TABLES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(0, 4)), min_size=5, max_size=60)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TABLES, st.sampled_from(["keep", "first", "last"]), st.integers(1, 9))
def test_agrees_with_pandas(store: Store, table: list[tuple[int, int, int]], policy: str, batch: int) -> None:
    base = [(90 + u, i, 9 + i) for u in range(2) for i in range(3)]  # so that something is left
    frame = pd.DataFrame([*base, *table], columns=["user_id", "item_id", "timestamp"])
    frame["timestamp"] += START
    before, histories.BATCH = histories.BATCH, batch
    try:
        config = IngestConfig.read(None, name="any", k_core=2, repeats=policy)
        dataset = ingest_frames(frame, None, config, store)
    finally:
        histories.BATCH = before
    expected = frame.astype({"user_id": str, "item_id": str}).drop_duplicates()
    expected = expected.sort_values("timestamp", kind="stable")
    if policy != "keep":
        expected = expected.drop_duplicates(["user_id", "item_id"], keep=policy)
    while True:
        size = len(expected)
        for key in ("user_id", "item_id"):
            expected = expected[expected.groupby(key)[key].transform("size") >= 2]
        if len(expected) == size:
            break
    assert named(dataset) == {u: g["item_id"].tolist() for u, g in expected.groupby("user_id")}
    assert dataset.timestamps is not None
    for user, times in zip(dataset.user_ids, np.split(dataset.timestamps, dataset.offsets[1:-1]), strict=True):
        assert times.tolist() == expected[expected["user_id"] == user]["timestamp"].tolist()
