"""How jobs end before their time: stopped, killed, orphaned; and what goes on afterwards."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from following import child_of, ended, run, small_queue, wait, worker_of

from llmesr.config import BestConfig, RunConfig, SearchConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.jobs.engine import is_running, started_at
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job, JobStatus, Step, write_status
from llmesr.jobs.settle import settle
from llmesr.runs.contest import Contest
from llmesr.runs.live import Status
from llmesr.runs.record import Run
from llmesr.runs.search import Search
from llmesr.store import Store


@pytest.fixture
def jobs(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    yield from small_queue(store, monkeypatch)


def test_stop_ends_a_running_job_and_starts_the_next(jobs: Jobs, tmp_path: Path) -> None:
    first, second = run(jobs, "until", str(tmp_path / "never")), run(jobs, "echo", "next")
    wait(jobs, first.id, lambda j: j.progress.total == 4)
    jobs.stop(first.id)
    job = ended(jobs, first.id)
    assert job.state == "STOPPED"
    assert ended(jobs, second.id).state == "SUCCEEDED"
    with pytest.raises(UserError, match="nothing to stop"):
        jobs.stop(first.id)


def test_a_waiting_job_stops_without_starting(jobs: Jobs, tmp_path: Path) -> None:
    first, second = run(jobs, "until", str(tmp_path / "go")), run(jobs, "echo", "never said")
    assert jobs.stop(second.id).state == "STOPPED"
    (tmp_path / "go").touch()
    ended(jobs, first.id)
    assert "never said" not in jobs.get(second.id).log()


def test_a_command_that_ignores_the_request_is_killed_after_the_grace(jobs: Jobs) -> None:
    job = run(jobs, "stubborn")
    wait(jobs, job.id, lambda j: (j.folder / "ready").exists())
    child = child_of(jobs.get(job.id))
    jobs.stop(job.id)
    assert ended(jobs, job.id).state == "STOPPED"
    assert started_at(child) is None


def test_asked_again_a_job_still_ends_well_and_by_force_at_once(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMESR_STOP_GRACE", "3")
    job = run(jobs, "stubborn")
    wait(jobs, job.id, lambda j: (j.folder / "ready").exists())
    jobs.stop(job.id)
    assert jobs.stop(job.id).state == "RUNNING"
    assert ended(jobs, job.id).status.message == "Stopped; it can go on where it was."
    monkeypatch.setenv("LLMESR_STOP_GRACE", "600")
    job = run(jobs, "stubborn")
    wait(jobs, job.id, lambda j: (j.folder / "ready").exists())
    jobs.stop(job.id)
    jobs.stop(job.id, force=True)

    def settled(job: Job) -> bool:
        jobs.reconcile()
        return not jobs.get(job.id).active

    wait(jobs, job.id, settled)
    assert jobs.get(job.id).status.message == "Stopped by force."


def test_a_killed_worker_leaves_a_failed_job_and_no_command_behind(jobs: Jobs, tmp_path: Path) -> None:
    job = run(jobs, "until", str(tmp_path / "never"))
    running = wait(jobs, job.id, lambda j: j.progress.total == 4)
    os.kill(worker_of(running), signal.SIGKILL)
    wait(jobs, job.id, lambda _: started_at(worker_of(running)) is None)
    jobs.reconcile()
    job = jobs.get(job.id)
    assert job.state == "FAILED"
    assert "Resume it" in job.status.message
    time.sleep(0.1)
    assert started_at(child_of(running)) is None


def test_a_reused_pid_is_not_the_worker(jobs: Jobs, tmp_path: Path) -> None:
    """The same process id with another start time is another process: the job is an orphan, the process lives."""
    job = run(jobs, "until", str(tmp_path / "go"))
    wait(jobs, job.id, lambda j: j.progress.total == 4)
    (tmp_path / "go").touch()
    job = ended(jobs, job.id)
    mine, started = os.getpid(), started_at(os.getpid())
    assert started is not None
    stolen = JobStatus(state="RUNNING", worker=mine, worker_started=started - 1000, slot="cpu")
    write_status(job.folder, stolen)
    jobs.reconcile()
    assert jobs.get(job.id).state == "FAILED"
    assert is_running(mine, started)


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere the system tells when a process started by the clock of then")
@pytest.mark.parametrize("seconds", [-86_400, 3_600])
def test_a_clock_that_is_put_right_orphans_nobody(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    started = started_at(os.getpid())
    moment = psutil.Process().create_time()
    booted = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted + seconds)  # the system reckons it back from today
    assert abs(psutil.Process().create_time() - moment) > 1_000
    assert is_running(os.getpid(), started)


def test_an_orphans_run_is_settled_too(jobs: Jobs, tiny: Dataset) -> None:
    first = ended(jobs, run(jobs, "fail", "boom", "--run-id", "t-1").id)  # it began, and then:
    config = RunConfig(method="id", epochs=3)
    training = Run.create(jobs.store, config, [tiny.manifest], name="t", id="t-1", device="cpu")
    training.set_status(training.status().model_copy(update={"state": "RUNNING"}))
    job = ended(jobs, jobs.resume(first.id).id)
    assert job.runs == ["t-1"]
    assert training.status().state == "FAILED"


def test_a_training_step_that_made_its_run_is_resumed(jobs: Jobs, tiny: Dataset) -> None:
    job = ended(jobs, run(jobs, "train", "tiny", "--run-id", "t-2").id)
    Run.create(jobs.store, RunConfig(method="id"), [tiny.manifest], name="t", id="t-2", device="cpu")
    job = ended(jobs, jobs.resume(job.id).id)
    assert "$ llmesr resume t-2" in job.log()


def test_a_search_that_was_begun_is_resumed_and_settled_with_its_run(jobs: Jobs, tiny: Dataset) -> None:
    fixed = {"method": "id", "backbone": "sasrec"}
    job = ended(jobs, run(jobs, "search", "tiny", "--run-id", "s-1").id)
    search = Search.create(jobs.store, SearchConfig(fixed=fixed), [tiny.manifest], name="s", id="s-1", device="cpu")
    trial = Run.create(jobs.store, RunConfig(method="id"), [tiny.manifest], name="t", id="s-1-01", device="cpu")
    job = ended(jobs, jobs.resume(job.id).id)
    assert "$ llmesr search --resume s-1 --json" in job.log()
    assert job.runs == []
    assert (search.status().state, trial.status().state) == ("FAILED", "FAILED")


def test_an_ended_contest_ends_the_run_it_was_at_and_no_other(store: Store, tiny: Dataset) -> None:
    contest = Contest.create(store, BestConfig(), [tiny.manifest], name="c", id="shop", device="cpu")
    own, other = (
        Run.create(store, RunConfig(method="id"), [tiny.manifest], name="t", id=id, device="cpu")
        for id in (contest.run_id("llm-esr"), "shop-id-sasrec-abc123")
    )
    for made in (own, other):
        made.set_state("RUNNING", "")
    contest.set_status(Status(state="RUNNING", run=own.id))
    settle(store, Step(label="l", verb="best", makes="contests", run="shop"), "FAILED", "killed")
    assert [made.status().state for made in (contest, own, other)] == ["FAILED", "FAILED", "RUNNING"]
