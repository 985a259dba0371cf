"""Findings are kept, ordered, edited, and say when what they show has become another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from factories import HOSTILE, corrupt, make_dataset, make_run
from hypothesis import given, settings
from hypothesis import strategies as some

from llmesr import findings
from llmesr.data.dataset import save_thresholds
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.findings import Pinned, Subject
from llmesr.findings.drawn import plain
from llmesr.findings.record import KIND, MOST_ROWS, TABLE
from llmesr.store import Store, examine, export_archive, import_archive


def pinned(store: Store, title: str = "Text helps the tail") -> Pinned:
    figure = go.Figure(go.Bar(x=np.array([1, 2]), y=np.array([0.5, np.nan])))
    return findings.pin(title, figure, pd.DataFrame({"group": ["tail", "head"], "value": [0.5, None]}), store=store)


def titles(store: Store) -> list[str]:
    return [p.title for p in findings.every(store)]


def test_what_was_pinned_comes_back(store: Store) -> None:
    data = make_dataset(store)
    run = make_run(store, data, "id")
    made = findings.pin("One", go.Figure(go.Bar(x=["a"], y=np.array([2.5]))), note=" why ", runs=[run])
    back = findings.find("One", store)
    assert (back.id, back.note, back.subject.runs, back.subject.dataset_name) == (made.id, "why", (run.id,), data.name)
    figure = back.figure()
    assert figure is not None
    assert figure["data"][0]["y"] == [2.5]
    assert "template" not in figure["layout"]
    assert back.table() is None
    assert back.link == ""


def test_numbers_of_a_table_come_back_and_a_long_one_says_how_long_it_was(store: Store) -> None:
    table = pinned(store).table()
    assert table is not None
    assert table["group"].tolist() == ["tail", "head"]
    assert table["value"].isna().tolist() == [False, True]
    long = findings.pin("Long", table=pd.DataFrame({"n": range(MOST_ROWS + 5)}), store=store)
    kept = long.table()
    assert kept is not None
    assert (len(kept), long.rows) == (MOST_ROWS, MOST_ROWS + 5)


def test_nothing_and_no_title_are_refused(store: Store) -> None:
    with pytest.raises(UserError, match="nothing to pin"):
        findings.pin("Title", store=store)
    with pytest.raises(UserError, match="needs a title"):
        findings.pin("  ", table=pd.DataFrame({"a": [1]}), store=store)


def test_titles_are_text_whatever_they_are(store: Store) -> None:
    for title in HOSTILE:
        made = findings.pin(title, table=pd.DataFrame({title: [title]}), store=store)
        assert findings.find(made.id, store).title == " ".join(title.split())[:200]


@settings(max_examples=25, deadline=None)
@given(some.lists(some.tuples(some.integers(0, 4), some.integers(-5, 5)), max_size=12))
def test_moving_is_moving_in_a_list(moves: list[tuple[int, int]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        expected = [pinned(store, name).title for name in "abcde"]
        for at, steps in moves:
            findings.move(findings.every(store)[at], steps)
            one = expected.pop(at)
            expected.insert(min(max(at + steps, 0), len(expected)), one)
            assert titles(store) == expected


def test_halves_never_run_out(store: Store) -> None:
    for name in "abc":
        pinned(store, name)
    for _ in range(70):
        findings.move(findings.every(store)[2], -1)
    assert sorted(titles(store)) == list("abc")
    assert len({p.place for p in findings.every(store)}) == 3


def test_editing_changes_words_alone(store: Store) -> None:
    made = pinned(store)
    findings.edit(made, title="Other", note="now with a note")
    (back,) = findings.every(store)
    assert (back.id, back.title, back.note) == (made.id, "Other", "now with a note")
    assert examine(store) == []
    with pytest.raises(UserError, match="needs a title"):
        findings.edit(made, title=" ")


def test_a_run_that_is_gone_or_was_evaluated_again_is_said_and_a_threshold_is_not(store: Store) -> None:
    data = make_dataset(store)
    run, other = make_run(store, data, "id"), make_run(store, data, "llm-esr")
    made = findings.pin("Two", table=pd.DataFrame({"a": [1]}), runs=[run, other])
    assert findings.changes(made) == []
    save_thresholds(store, data.id, Thresholds(item=3, user=3))
    assert findings.changes(made) == []
    per_user = run.per_user()
    run.write_results([per_user.assign(rank=per_user["rank"] + 1)], run.top_items(), run.metrics())
    run.finish(run.status(), {}, {})
    store.delete("runs", other.id)
    said = findings.changes(made)
    assert [run.id in s or other.id in s for s in said] == [True, True]
    assert "evaluated again" in said[0]
    assert "gone" in said[1]


def test_a_finding_does_not_hold_its_runs_back_and_is_deleted_alone(store: Store) -> None:
    run = make_run(store, make_dataset(store), "id")
    made = findings.pin("One", table=pd.DataFrame({"a": [1]}), runs=[run])
    store.delete(KIND, made.id)
    assert findings.every(store) == []
    assert store.exists("runs", run.id)


def test_damage_is_found_and_is_a_sentence(store: Store) -> None:
    made = pinned(store)
    corrupt(store, KIND, made.id, "table")
    assert [(f.kind, f.file) for f in examine(store)] == [(KIND, TABLE)]
    with pytest.raises(UserError, match="is damaged"):
        made.table()


@pytest.mark.parametrize("value", [None, 5, "x", [], {"a": 1}, True, float("nan"), [[]]])
@pytest.mark.parametrize("name", ["place", "subject", "seen", "query", "rows", "mode", "page", "alt"])
def test_damage_of_one_hurts_no_other(name: str, value: object, store: Store) -> None:
    one, other = pinned(store, "One"), pinned(store, "Other")
    with store.changing(KIND, one.id) as manifest:
        (manifest.info if name == "place" else manifest.config)[name] = value
    assert sorted(titles(store)) == ["One", "Other"]
    assert other.id not in findings.damaged(store)
    one = findings.find("One", store)
    if one.id in findings.damaged(store):
        with pytest.raises(UserError, match="Delete it"):
            one.document()
    else:
        assert one.document()["title"] == "One"
    findings.move(findings.find("Other", store), -1)
    assert titles(store)[0] == "Other"
    assert findings.pin("Third", table=pd.DataFrame({"n": [1]}), store=store).title == "Third"


def test_a_run_that_was_damaged_since_is_said(store: Store) -> None:
    run = make_run(store, make_dataset(store), "id")
    made = findings.pin("One", table=pd.DataFrame({"n": [1]}), runs=[run])
    corrupt(store, "runs", run.id)
    assert findings.changes(made) == [f"The run {run.id} cannot be read any more; what is shown is what it was."]


def test_a_finding_travels_as_an_archive(store: Store, tmp_path: Path) -> None:
    made = pinned(store)
    there = Store(tmp_path / "other")
    import_archive(there, export_archive(store, KIND, made.id, tmp_path / "one.tar.gz"))
    assert titles(there) == [made.title]


def test_plain_is_json_of_arrays_however_they_are_written() -> None:
    figure = go.Figure(go.Scatter(x=np.array([1, 2], np.int16), customdata=np.array([[1.5, np.inf], [2, 3]])))
    trace = plain(figure.to_plotly_json())["data"][0]
    assert trace["x"] == [1, 2]
    assert trace["customdata"] == [[1.5, None], [2.0, 3.0]]
    assert plain({"a": (np.float32(0.5), pd.NA, True, pd.Timestamp("2020-01-01"))}) == {
        "a": [0.5, None, True, "2020-01-01 00:00:00"]
    }


def test_a_link_carries_every_choice(store: Store) -> None:
    query = {"compare": ["id/sasrec", "llm-esr/sasrec"], "dataset": ["shop"]}
    made = findings.pin(
        "L", table=pd.DataFrame({"a": [1]}), page="compare", query=query, subject=Subject(), store=store
    )
    assert made.link == "compare?compare=id%2Fsasrec&compare=llm-esr%2Fsasrec&dataset=shop"
