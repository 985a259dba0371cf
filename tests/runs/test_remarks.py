"""Tags, notes and archive: they change, no checksum covers them, and an archived run is chosen by nothing."""

from __future__ import annotations

import json

import pytest
from factories import corrupt, make_dataset, make_run
from typer.testing import CliRunner

import llmesr
from llmesr.cli.main import app
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.record import REMARKS, Remarks, Run, list_runs
from llmesr.store import Store, examine, export_archive, import_archive
from llmesr.views.cache import artifacts, evidence


@pytest.fixture
def data(store: Store) -> Dataset:
    return make_dataset(store)


def say(*words: str) -> list[dict[str, object]]:
    done = CliRunner().invoke(app, ["runs", *words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows: list[dict[str, object]] = json.loads(done.stdout)["runs"]
    return rows


def test_what_is_said_is_kept_and_changes_nothing_else(store: Store, data: Dataset) -> None:
    run = make_run(store, data, "id")
    digest = store.digest("runs", run.id)
    assert run.remarks == Remarks()
    run.remark(add=["paper", " the  best "], note="first")
    run.remark(add=["paper"], remove=["the best"])
    assert Run(store, run.id).remarks == Remarks(tags=("paper",), note="first")
    run.remark(note="")
    assert run.remarks.note == ""
    assert store.digest("runs", run.id) == digest
    run.finish(run.status(), {}, {})  # sealed anew: still no part of the checksums
    assert REMARKS not in run.manifest.files
    run.remark(note="after")
    assert examine(store) == []


@pytest.mark.parametrize("tag", ["", "  ", "a,b", "x" * 41])
def test_what_is_no_tag_is_refused(tag: str, store: Store, data: Dataset) -> None:
    run = make_run(store, data, "id")
    with pytest.raises(UserError, match="is no tag"):
        run.remark(add=[tag])
    assert run.remarks == Remarks()


def test_an_archived_run_is_chosen_by_nothing_and_found_by_its_id(store: Store, data: Dataset) -> None:
    weak, strong = make_run(store, data, "id", tail_skill=-2.0), make_run(store, data, "id", seed=43, tail_skill=3.0)
    other = make_run(store, data, "llm-esr")
    strong.remark(archived=True)
    assert {r.id for r in list_runs(store, data.id)} == {weak.id, other.id}
    assert {r.id for r in list_runs(store, data.id, archived=True)} == {weak.id, strong.id, other.id}
    assert {r.id for r in artifacts.runs(store, data.id, finished=True)} == {weak.id, other.id}
    assert [c.ids for c in evidence.everyone(store, data.id)] == [(weak.id,), (other.id,)]
    doubts = llmesr.compare([weak, other]).doubts
    assert [f for f in doubts if f.kind == "seeds-left-out"] == []
    (said,) = [f for f in doubts if f.kind == "seeds-archived"]  # but nobody is left with the lucky seeds in silence
    assert (said.severity, said.runs) == ("serious", (strong.id,))
    assert said.sentence == "1 seed of id/sasrec was archived and does not count here. Take it in."
    assert llmesr.compare([strong, other]).baseline.ids == (strong.id,)  # named: taken
    strong.remark(archived=False)
    assert [f.kind for f in llmesr.compare([weak, other]).doubts].count("seeds-left-out") == 1


def test_a_damaged_file_hurts_nothing_else(store: Store, data: Dataset) -> None:
    run = make_run(store, data, "id")
    run.remark(archived=True)
    corrupt(store, "runs", run.id, "remarks")
    assert "is damaged" in run.remarks.note
    assert [r.id for r in list_runs(store)] == [run.id]


def test_remarks_travel_with_the_run(store: Store, data: Dataset, tmp_path: object) -> None:
    run = make_run(store, data, "id")
    run.remark(add=["paper"])
    there = Store(store.root.parent / "other")
    import_archive(there, export_archive(store, "runs", run.id, store.root.parent / "run.tar.gz"))
    assert Run(there, run.id).remarks.tags == ("paper",)


def test_the_command_line(store: Store, data: Dataset) -> None:
    first, second = make_run(store, data, "id"), make_run(store, data, "llm-esr")
    assert say("tag", first.id, "paper", "final")[0]["tags"] == ["paper", "final"]
    assert say("tag", first.id, "final", "--remove")[0]["tags"] == ["paper"]
    assert say("note", first.id, "look again")[0]["note"] == "look again"
    assert [r["id"] for r in say("list", data.name, "--tag", "paper")] == [first.id]
    say("archive", first.id)
    assert [r["id"] for r in say("list")] == [second.id]
    assert {r["id"] for r in say("list", "--archived")} == {first.id, second.id}
    say("archive", first.id, "--back")
    assert len(say("list")) == 2
