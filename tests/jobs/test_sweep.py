"""Leftovers are found by their age, shown by doctor and removed, and nothing in use is touched."""

from __future__ import annotations

import errno
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from factories import corrupt, make_dataset, make_embedding
from typer.testing import CliRunner

from llmesr.cli.main import app
from llmesr.errors import UserError
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import JobStatus, write_status
from llmesr.jobs.sweep import EVERY, STAMP, remains, sweep, sweep_now_and_then
from llmesr.jobs.uploads import KEEP_DAYS, Uploads
from llmesr.store import MANIFEST, Store, locked


def aged(path: Path, days: float) -> Path:
    then = time.time() - days * 86_400
    os.utime(path, (then, then))
    return path


def upload(store: Store, days: float) -> Path:
    token = Uploads(store).receive([("a.csv", io.BytesIO(b"x"))], limit=100)
    return aged(store.work_folder("uploads") / token, days)


def doctor(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["doctor", *words, "--json"])
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[0])
    assert isinstance(result.exception, UserError) == bool([f for f in document["findings"] if f["damaged"]])
    return document


@pytest.fixture
def littered(store: Store) -> tuple[list[Path], list[Path]]:
    """What is left over, and what is not."""
    data = make_dataset(store)
    folder = store.path("datasets", data.id)
    names = (".status.json.0a1b2c3d", ".last.safetensors", ".tmpe07acA", ".status.json.99999999", ".keep")
    old, earlier, library, young, own = (folder / name for name in names)
    for path in (old, earlier, library, young, own):
        path.write_text("half")
    for path in (old, earlier, library, own):
        aged(path, 2)
    return [old, earlier, library, upload(store, KEEP_DAYS + 1)], [
        young,
        own,
        upload(store, KEEP_DAYS - 1),
        folder / MANIFEST,
    ]


def test_doctor_shows_and_removes_what_is_left_over(store: Store, littered: tuple[list[Path], list[Path]]) -> None:
    gone, kept = littered
    shown = doctor()
    assert {store.root / name for name in shown["left_over"]} == set(gone)
    assert all(path.exists() for path in gone)
    assert {store.root / name for name in doctor("--repair")["removed"]} == set(gone)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)
    assert doctor()["left_over"] == []


def test_an_upload_that_a_job_will_read_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Jobs, "dispatch", lambda self: None)  # it waits
    folder = upload(store, KEEP_DAYS + 1)
    job = Jobs(store).submit(["ingest", str(folder / "a.csv")], kind="ingest", label="x")
    assert remains(store) == []
    write_status(job.folder, JobStatus(state="FAILED", queued=job.status.queued))
    assert remains(store) == [folder]


def test_a_file_that_was_being_written_beside_a_download_is_swept(store: Store) -> None:
    folder = store.work_folder("downloads") / "tiny"
    folder.mkdir(parents=True)
    names = (".items.csv.part", ".provenance.json.ed72d42e", "interactions.csv", "interactions.csv.part")
    for name in names:
        (folder / name).write_text("half")
        aged(folder / name, 400)
    assert sorted(remains(store)) == [folder / name for name in names[:2]]


def test_what_was_fetched_and_never_imported_grows_old(store: Store) -> None:
    homes = [store.work_folder("addresses") / name for name in ("old", "new")]
    for home, days in zip(homes, (KEEP_DAYS + 1, 1), strict=True):
        home.mkdir(parents=True)
        (home / ".lock").touch()
        aged(home / ".lock", days)
    assert remains(store) == [homes[0]]


def test_what_is_worked_on_stays_however_old_the_clock_makes_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_dataset(store)
    monkeypatch.setattr(Jobs, "dispatch", lambda self: None)  # it waits
    job = Jobs(store).submit(["profile", "shop"], kind="profile", label="x")
    written = [folder / ".status.json.0a1b2c3d" for folder in (store.path("datasets", data.id), job.folder)]
    for path in written:
        path.write_text("half")
    later = time.time() + 365 * 86_400
    with store.hold("datasets", data.id):
        assert remains(store, now=later) == written[1:]
        with locked(store.work_folder("jobs")):  # somebody changes what waits
            assert remains(store, now=later) == []
    with locked(store.work_folder("jobs")):
        assert remains(store, now=later) == written[:1]
    write_status(job.folder, job.status.model_copy(update={"state": "RUNNING"}))
    assert remains(store, now=later) == written[:1]
    write_status(job.folder, job.status.model_copy(update={"state": "FAILED"}))
    assert set(remains(store, now=later)) == set(written)


def test_what_a_kill_left_beside_a_job_that_waits_is_swept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Jobs, "dispatch", lambda self: None)  # it waits
    job = Jobs(store).submit(["profile", "shop"], kind="profile", label="x")
    half = job.folder / ".status.json.0a1b2c3d"
    half.write_text("half")
    assert remains(store) == []  # young
    aged(half, 2)
    assert remains(store) == [half]
    assert Jobs(store).get(job.id).state == "PENDING"


def test_sweeping_is_done_now_and_then(store: Store) -> None:
    jobs = Jobs(store)
    old = upload(store, KEEP_DAYS + 1)
    sweep_now_and_then(jobs)
    assert not old.exists()
    again = upload(store, KEEP_DAYS + 1)
    sweep_now_and_then(jobs)
    assert again.exists()  # an hour has not passed
    aged(store.root / STAMP, EVERY / 86_400 + 0.01)
    sweep_now_and_then(jobs)
    assert not again.exists()


def test_doctor_finds_what_is_damaged(store: Store) -> None:
    data = make_dataset(store)
    vectors = make_embedding(store, data)
    assert doctor()["findings"] == []
    folder = store.path("embeddings", vectors.id)
    largest = max((p for p in folder.iterdir() if p.name != MANIFEST), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    [finding] = doctor()["findings"]
    assert (finding["id"], finding["what"]) == (vectors.id, f"{largest.name} does not match its checksum.")
    assert doctor("--quick")["findings"] == []
    largest.unlink()
    assert doctor("--quick")["findings"][0]["what"] == f"{largest.name} is missing."


def test_doctor_tells_of_parents_that_are_gone_or_others(store: Store) -> None:
    data = make_dataset(store)
    make_embedding(store, data)
    with store.changing("datasets", data.id) as manifest:
        manifest.name = "renamed"
    [finding] = doctor()["findings"]
    assert finding["what"].endswith("which has been made anew since.")
    corrupt(store, "datasets", data.id)
    unreadable, child = doctor()["findings"]
    assert unreadable["damaged"]
    assert child["what"] == f"It was made from datasets/{data.id}, which cannot be read."
    store.path("datasets", data.id).rename(store.root / "away")
    assert doctor()["findings"][0]["what"].endswith("which is gone.")


@pytest.mark.parametrize("write", ["write_status", "write_record"])
def test_a_submission_that_fails_leaves_no_job(write: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Jobs, "dispatch", lambda self: None)
    jobs = Jobs(store)
    whole = jobs.submit(["profile", "shop"], kind="profile", label="Look")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(f"llmesr.jobs.queue.{write}", full)
        jobs.submit(["profile", "shop"], kind="profile", label="Look")
    assert ([job.id for job in jobs.list()], jobs.broken()) == ([whole.id], {})
    assert jobs.get("profile").id == whole.id


def test_a_submission_that_is_killed_is_swept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Jobs, "dispatch", lambda self: None)
    jobs = Jobs(store)
    left = store.work_folder("jobs") / ".scratch.ab12cd34"
    left.mkdir(parents=True)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 120)
    sweep(store)
    assert not left.exists()
    assert (jobs.list(), jobs.broken()) == ([], {})
