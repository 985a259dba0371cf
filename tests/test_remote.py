"""Copies of artifacts elsewhere: complete or not listed, damaged never taken."""

from __future__ import annotations

import errno
import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset, make_embedding, make_run, make_running_run
from small_commands import SELF
from typer.testing import CliRunner

from llmesr.cli.main import app
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.errors import UserError, machine_failure
from llmesr.jobs.engine import LocalEngine
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job, Step, typed_step
from llmesr.remote import FILES, Remote
from llmesr.runs.record import Run, find_run
from llmesr.store import MANIFEST, Store, archive


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://{uuid.uuid4().hex}" if request.param == "memory" else f"file://{tmp_path / 'shared'}"


@pytest.fixture
def other(tmp_path: Path) -> Store:
    """An artifact root on another machine."""
    return Store(tmp_path / "other")


@pytest.fixture
def run(store: Store) -> Run:
    data = make_dataset(store)
    return make_run(store, data, "llm-esr", parents=(make_embedding(store, data).manifest,))


def test_a_run_travels_with_all_it_was_made_from(url: str, store: Store, other: Store, run: Run) -> None:
    remote = Remote(url)
    sent = remote.push(store, "runs", run.id)
    assert [name.partition("/")[0] for name in sent] == ["datasets", "embeddings", "runs"]
    assert remote.push(store, "runs", run.id) == []  # all of it is there
    assert Remote(url).pull(other, "runs", run.id) == sent
    arrived = find_run(other, run.id)
    assert arrived.status().state == "SUCCEEDED"
    assert arrived.per_user().equals(run.per_user())
    assert load_dataset(other, run.dataset_id).n_items == 60
    assert arrived.manifest == run.manifest
    assert remote.pull(other, "runs", run.id) == []
    assert sorted(p.name for p in (other.root / "runs").iterdir()) == [run.id]  # nothing temporary stays


def test_a_push_that_broke_off_is_not_there_until_it_is_done_again(
    url: str, store: Store, other: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Remote(url)
    send, count = remote.fs.put_file, 0

    def broken(here: str, there: str, **more: object) -> None:
        nonlocal count
        count += 1
        if count > 6:
            raise ConnectionResetError("the line went dead")
        send(here, there, **more)

    with monkeypatch.context() as patch:
        patch.setattr(remote.fs, "put_file", broken)
        with pytest.raises(UserError, match="cannot be read or written: the line went dead"):
            remote.push(store, "runs", run.id)
    assert len(remote.list("datasets")) == 1
    broken_off = "embeddings" if not remote.list("embeddings") else "runs"
    assert remote.fs.ls(f"{remote.root}/{broken_off}")  # something lies there, and nobody is shown it
    assert remote.list(broken_off) == []
    with pytest.raises(UserError, match="There is no complete runs/"):
        remote.pull(other, "runs", run.id)
    sent = remote.push(store, "runs", run.id)
    assert f"datasets/{run.dataset_id}" not in sent  # complete already
    assert remote.pull(other, "runs", run.id)[-1] == f"runs/{run.id}"


@pytest.mark.parametrize("how", ["changed", "missing", "unnamed", "outside"])
def test_what_is_damaged_is_refused(how: str, url: str, store: Store, other: Store, run: Run) -> None:
    remote = Remote(url)
    remote.push(store, "runs", run.id)
    there = f"{remote.root}/runs/{run.id}"
    names = json.loads(remote.fs.cat_file(f"{there}/{FILES}"))
    if how == "changed":
        remote.fs.pipe_file(f"{there}/metrics.json", b"[]")
    elif how == "missing":
        remote.fs.rm_file(f"{there}/metrics.json")
    elif how == "unnamed":
        remote.fs.pipe_file(f"{there}/{FILES}", json.dumps({MANIFEST: names[MANIFEST]}).encode())
    else:
        remote.fs.pipe_file(f"{there}/{FILES}", json.dumps({**names, "../../../x": "0"}).encode())
    said = {
        "changed": "metrics.json .* is damaged",
        "missing": "metrics.json is missing",
        "unnamed": "does not name all of its files",
        "outside": "outside of itself",
    }
    with pytest.raises(UserError, match=said[how]):
        remote.pull(other, "runs", run.id)
    assert list((other.root / "runs").iterdir()) == []


def test_only_what_is_whole_is_sent(url: str, store: Store, run: Run) -> None:
    remote = Remote(url)
    live = make_running_run(store, load_dataset(store, run.dataset_id))
    with pytest.raises(UserError, match="has not finished"):
        remote.push(store, "runs", live.id)
    (run.folder / "metrics.json").write_text("[]")
    with pytest.raises(UserError, match=r"damaged here: metrics.json"):
        remote.push(store, "runs", run.id)
    assert remote.list("runs") == []


def test_a_damaged_status_keeps_no_other_run_at_home(url: str, store: Store, run: Run) -> None:
    bad = make_run(store, load_dataset(store, run.dataset_id), "id")
    (bad.folder / "status.json").write_text("{")
    sent = CliRunner().invoke(app, ["push", "--all", "--to", url, "--json"], env={"LLMESR_ARTIFACTS": str(store.root)})
    assert sent.exit_code == 0, sent.output
    assert f"runs/{run.id}" in json.loads(sent.stdout)["sent"]
    assert f"runs/{bad.id}" not in json.loads(sent.stdout)["sent"]


def test_what_changed_since_is_sent_again(url: str, store: Store, other: Store, run: Run) -> None:
    remote = Remote(url)
    remote.push(store, "runs", run.id)
    (run.folder / "policy.json").write_text("{}")  # chosen after the run was sealed
    assert remote.push(store, "runs", run.id) == [f"runs/{run.id}"]
    remote.pull(other, "runs", run.id)
    assert (other.path("runs", run.id) / "policy.json").read_text() == "{}"


def test_the_commands(url: str, store: Store, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*words: str) -> dict[str, list[Any]]:
        result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
        assert result.exit_code == 0
        found: dict[str, list[Any]] = json.loads(result.stdout)
        return found

    make_running_run(store, load_dataset(store, run.dataset_id))
    assert len(call("push", "--all", "--to", url)["sent"]) == 3  # not the one that still trains
    there = call("list", "--at", url)["artifacts"]
    assert {m["kind"] for m in there} == {"datasets", "embeddings", "runs"}
    monkeypatch.setenv("LLMESR_ARTIFACTS", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("LLMESR_REMOTE", url)
    assert call("pull", f"runs/{run.manifest.name}")["brought"][-1] == f"runs/{run.id}"
    assert call("pull", "--all")["brought"] == []
    for words, why in (
        (["pull", "runs/nobody"], "fits no runs at"),
        (["pull", run.id], "does not say of which kind"),
        (["push"], "or give --all"),
        (["push", "runs/x", "--all"], "or give --all"),
    ):
        with pytest.raises(UserError, match=why):
            app(words, standalone_mode=False)


@pytest.mark.parametrize("url", ["nothing://x", "file:///proc/1/nowhere"])
def test_a_place_that_is_none_is_a_sentence(url: str, store: Store, tiny: Dataset) -> None:
    with pytest.raises(UserError, match="cannot be (opened|read or written)"):
        Remote(url).push(store, "datasets", tiny.id)


def test_a_job_takes_what_it_needs_and_leaves_what_it_made(
    store: Store, other: Store, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job runs at ``other``, which has nothing; ``make`` stands for a command that made the embedding."""
    remote = Remote(f"file://{tmp_path / 'shared'}")
    monkeypatch.setenv("LLMESR_REMOTE", remote.url)
    remote.push(store, "datasets", run.dataset_id)
    jobs = Jobs(other, LocalEngine(worker=SELF))
    embedding = make_embedding(store, load_dataset(store, run.dataset_id), id="made-here")
    other.path("embeddings", "made-here").parent.mkdir(parents=True)
    store.path("embeddings", "made-here").rename(other.path("embeddings", "made-here"))
    steps = [typed_step(["make", embedding.id], "make", saves="embedding")]
    done = ended(jobs, steps, f"datasets/{run.dataset_id}")
    assert done.state == "SUCCEEDED"
    assert other.exists("datasets", run.dataset_id)
    assert [m.id for m in remote.list("embeddings")] == ["made-here"]
    assert f"fetched: datasets/{run.dataset_id}" in done.log()
    assert "sent: embeddings/made-here" in done.log()
    done = ended(jobs, steps, "datasets/nobody-has-it")
    assert (done.state, done.status.message[:40]) == ("FAILED", "There is no complete datasets/nobody-has")


def ended(jobs: Jobs, steps: list[Step], parent: str) -> Job:
    job = jobs.submit_steps(steps, kind="x", label="x", parents=[parent])
    until = time.monotonic() + 30
    while jobs.get(job.id).active:
        assert time.monotonic() < until
        time.sleep(0.05)
    return jobs.get(job.id)


@pytest.mark.parametrize("how", ["another id", "itself", "too large", "too many"])
def test_what_a_remote_claims_is_checked(
    how: str, url: str, store: Store, other: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Remote(url)
    remote.push(store, "runs", run.id)
    there = f"{remote.root}/runs/{run.id}/{MANIFEST}"
    told = json.loads(remote.fs.cat_file(there))
    if how == "another id":
        told["id"] = "victim"
    elif how == "itself":
        told["parents"] = [{"kind": "runs", "id": run.id, "digest": ""}]
    elif how == "too large":
        monkeypatch.setattr(archive, "MOST_BYTES", 1_000)
    else:
        monkeypatch.setattr(archive, "MOST_FILES", 2)
    remote.fs.pipe_file(there, json.dumps(told).encode())
    said = {"another id": "says that it is runs/victim", "itself": "names itself"}
    with pytest.raises(UserError, match=said.get(how, "It is not taken")):
        remote.pull(other, "runs", run.id)
    assert not other.exists("runs", run.id)


def test_the_password_of_a_place_is_never_shown() -> None:
    remote = Remote("memory://me:hunter2@shared/llmesr")
    assert remote.url == "memory://me:***@shared/llmesr"
    assert "hunter2" in remote.root  # it is used


def test_a_full_disk_is_not_the_fault_of_the_remote(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_dataset(store)
    remote = Remote(f"file://{tmp_path}/remote")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(remote.fs, "put_file", full)
    with pytest.raises(OSError, match="No space left") as failed:
        remote.push(store, "datasets", data.id)
    assert "The disk is full" in (machine_failure(failed.value) or "")
