"""Jobs on a Ray head of our own, on loopback: same states, log and stop as on this machine alone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from a_server import free_port
from small_commands import SELF

from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.jobs.engine import LocalEngine, engine_of_environment
from llmesr.jobs.queue import Jobs
from llmesr.jobs.ray_engine import RayEngine
from llmesr.jobs.record import ORPHANED, Job, JobStatus, read_job, typed_step, write_status
from llmesr.runs.record import Run
from llmesr.store import Store

HERE = Path(__file__).parent
here_is_ray = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not here_is_ray, reason="Ray is not installed here: pip install -e .[ray]")


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    """The address of a small Ray head, ended with the tests."""
    folder, port = tempfile.mkdtemp(prefix="ray-", dir="/tmp"), free_port()  # a short path: sockets live below it
    options = {
        "--port": 0,
        "--node-ip-address": "127.0.0.1",
        "--dashboard-host": "127.0.0.1",
        "--dashboard-port": port,
        "--num-cpus": 2,
        "--object-store-memory": 80 * 2**20,
        "--temp-dir": folder,
    }
    words = [str(word) for pair in options.items() for word in pair]
    call = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats", *words]
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p), "OMP_NUM_THREADS": "1"}
    with open(Path(folder) / "head.txt", "wb") as said:
        process = subprocess.Popen(call, stdout=said, stderr=said, env=environment, start_new_session=True)
    try:
        _until_it_answers(f"http://127.0.0.1:{port}", process, Path(folder) / "head.txt")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def _until_it_answers(address: str, process: subprocess.Popen[bytes], said: Path) -> None:
    from ray.job_submission import JobSubmissionClient

    until = time.monotonic() + 120
    while True:
        try:
            JobSubmissionClient(address).list_jobs()
            return
        except (ConnectionError, RuntimeError):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < until, said.read_text()
            time.sleep(0.5)


@pytest.fixture
def jobs(head: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.setenv("LLMESR_ENGINE", f"ray:{head}")
    monkeypatch.setenv("LLMESR_RAY_PYTHON", sys.executable)
    monkeypatch.setenv("LLMESR_STOP_GRACE", "20")
    monkeypatch.delenv("LLMESR_SLOTS", raising=False)
    return Jobs(store)


def wait(jobs: Jobs, id: str, holds: Callable[[Job], bool], seconds: float = 250) -> Job:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        jobs.reconcile()
        job = jobs.get(id)
        if holds(job):
            return job
        assert job.active, f"{job.status}\n{job.log()}"
        time.sleep(0.3)
    raise AssertionError(f"{jobs.get(id).status}\n{jobs.get(id).log()}")


def shop(folder: Path) -> Path:
    """Files of a shop in which users stay within a brand."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    items = [f"i{n:02d},{('Red', 'Blue', 'Green')[n % 3]} shirt number {n}" for n in range(30)]
    (folder / "items.csv").write_text("item_id,title\n" + "\n".join(items))
    lines = []
    for user in range(60):
        chosen = rng.permutation(np.arange(user % 3, 30, 3))[: 4 + user % 5]
        lines += [f"u{user},i{item:02d},{1_600_000_000 + 100 * at}" for at, item in enumerate(chosen)]
    (folder / "orders.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(lines))
    return folder


SMALL = ["--set", "embedding_size=8", "--set", "max_length=8", "--device", "cpu"]


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_files_to_an_evaluated_run_on_ray(jobs: Jobs, tmp_path: Path) -> None:
    steps = [
        typed_step(["ingest", str(shop(tmp_path / "shop")), "--name", "shop", "--json"], "read", saves="dataset"),
        typed_step(["embed", "{dataset}", "--json"], "embed", saves="embedding"),
        typed_step(
            ["train", "{dataset}", "--method", "llm-esr", "--run-id", "r1", "--set", "epochs=3", *SMALL], "train"
        ),
        typed_step(["evaluate", "r1", "--device", "cpu"], "evaluate"),
    ]
    made = jobs.submit_steps(steps, kind="pipeline", label="all of it")
    assert made.state == "RUNNING"
    assert str(made.status.worker).startswith(made.id)
    assert made.status.slot == "ray"
    job = wait(jobs, made.id, lambda j: j.state == "SUCCEEDED")
    assert len(job.status.seconds) == 4
    assert "$ llmesr train" in job.log()
    assert jobs.store.exists("embeddings", job.status.saved["embedding"])
    run = Run(jobs.store, "r1")
    assert run.status().state == "SUCCEEDED"
    assert len(run.events()) == 3
    assert {r["group"] for r in run.metrics()} >= {"Overall", "Tail Item"}


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_stop_leaves_a_checkpoint_and_resume_goes_on(jobs: Jobs, tiny: Dataset) -> None:
    words = ["train", tiny.id, "--method", "id", "--run-id", "r2", *SMALL, "--set", "patience=400"]
    made = jobs.submit([*words, "--set", "epochs=400"], kind="train", label="long")
    run = Run(jobs.store, "r2")
    wait(jobs, made.id, lambda j: run.folder.is_dir() and len(run.events()) >= 2)
    jobs.stop(made.id)
    until = time.monotonic() + 60
    while jobs.get(made.id).active:
        assert time.monotonic() < until, jobs.get(made.id).log()
        time.sleep(0.3)
    assert jobs.get(made.id).state == "STOPPED"
    assert run.status().state == "STOPPED"
    trained = len(run.events())
    again = jobs.resume(made.id)
    assert again.status.worker != made.status.worker
    wait(jobs, made.id, lambda j: "resume r2" in j.log() and len(run.events()) > trained)
    assert run.events()["epoch"].is_monotonic_increasing
    jobs.stop(made.id)
    jobs.stop(made.id, force=True)
    while jobs.get(made.id).active:
        assert time.monotonic() < until + 60
        jobs.reconcile()
        time.sleep(0.3)
    assert jobs.get(made.id).state == "STOPPED"


@needs_ray
@pytest.mark.slow
def test_a_job_ray_does_not_know_is_an_orphan_and_one_nobody_can_ask_about_is_not(jobs: Jobs, head: str) -> None:
    lost = JobStatus(state="RUNNING", worker="never-submitted", worker_started=1.0, slot="ray")
    assert not jobs.engine.alive(lost)
    jobs.engine.kill(lost)
    silent = RayEngine(f"http://127.0.0.1:{free_port()}")
    assert silent.alive(lost)
    silent.stop(lost)  # the request stands in the status; the worker will read it
    with pytest.raises(UserError, match="does not answer"):
        silent.kill(lost)
    assert jobs.engine.explain(lost) == ORPHANED


def test_the_engine_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMESR_ENGINE", raising=False)
    assert isinstance(engine_of_environment(), LocalEngine)
    monkeypatch.setenv("LLMESR_ENGINE", "ray:http://127.0.0.1:8265")
    found = engine_of_environment()
    assert isinstance(found, RayEngine)
    assert found.address == "http://127.0.0.1:8265"
    for wrong in ("ray:", "slurm"):
        monkeypatch.setenv("LLMESR_ENGINE", wrong)
        with pytest.raises(UserError, match=f"LLMESR_ENGINE={wrong} is no engine"):
            engine_of_environment()


@pytest.mark.skipif(here_is_ray, reason="Ray is installed here")
def test_without_ray_it_says_what_to_install(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMESR_ENGINE", "ray:http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"pip install -e \.\[ray\]"):
        Jobs(store).submit(["list"], kind="x", label="x")


def test_jobs_of_another_engine_are_left_alone(store: Store) -> None:
    ours = JobStatus(state="RUNNING", worker=2**22 + 1, worker_started=1.0)
    theirs = JobStatus(state="RUNNING", worker="train-1-abc", worker_started=1.0)
    assert LocalEngine().alive(theirs)
    assert not LocalEngine().alive(ours)
    assert RayEngine("http://127.0.0.1:1").alive(ours)
    LocalEngine().stop(theirs)
    LocalEngine().kill(theirs)


def test_a_worker_reads_in_the_shared_status_that_it_is_to_stop(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another machine: no signal reaches the worker."""
    monkeypatch.setenv("LLMESR_STOP_GRACE", "0.3")
    jobs = Jobs(store, LocalEngine(worker=SELF))
    job = jobs.submit(["until", str(tmp_path / "never")], kind="x", label="x")
    until = time.monotonic() + 30
    while jobs.get(job.id).status.child is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    write_status(job.folder, read_job(job.folder).status.model_copy(update={"stop_requested": True}))
    while jobs.get(job.id).active:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert jobs.get(job.id).state == "STOPPED"
