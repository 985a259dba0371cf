"""Jobs as detached processes: their states, their order, and what survives a death."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from following import ended, run, small_queue, wait, worker_of

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.jobs.engine import LocalEngine
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Step, read_job, typed_step, write_status
from llmesr.runs.record import Run
from llmesr.store import Store


@pytest.fixture
def jobs(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    yield from small_queue(store, monkeypatch)


def test_a_command_runs_to_its_end(jobs: Jobs) -> None:
    job = ended(jobs, run(jobs, "echo", "hello", "you").id)
    assert job.state == "SUCCEEDED"
    assert "$ llmesr echo hello you\nhello you" in job.log()
    assert job.fraction == 1
    assert job.status.finished
    assert len(job.status.seconds) == 1


def test_a_failure_keeps_the_sentence_of_the_command(jobs: Jobs) -> None:
    job = ended(jobs, run(jobs, "fail", "Column 'x' is not in the file.").id)
    assert (job.state, job.status.message) == ("FAILED", "Column 'x' is not in the file.")


def test_a_crash_is_named(jobs: Jobs) -> None:
    job = ended(jobs, run(jobs, "crash").id)
    assert job.state == "FAILED"
    assert "SIGSEGV" in job.status.message


def test_two_launches_queue_on_one_slot_and_the_worker_starts_the_next(jobs: Jobs, tmp_path: Path) -> None:
    first, second = run(jobs, "until", str(tmp_path / "go")), run(jobs, "echo", "second")
    wait(jobs, first.id, lambda j: j.progress.stage == "waiting")
    assert [jobs.get(first.id).state, jobs.get(second.id).state] == ["RUNNING", "PENDING"]
    assert jobs.get(first.id).fraction == 0.25
    (tmp_path / "go").touch()
    assert ended(jobs, second.id).state == "SUCCEEDED"  # nobody but the first worker called dispatch
    assert str(jobs.get(first.id).status.finished) <= str(jobs.get(second.id).status.started)


def test_as_many_run_as_there_are_slots(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMESR_SLOTS", "a,b")
    made = [run(jobs, "until", str(tmp_path / "go")) for _ in range(3)]
    assert sorted(j.state for j in jobs.list()) == ["PENDING", "RUNNING", "RUNNING"]
    assert {jobs.get(j.id).status.slot for j in made[:2]} == {"a", "b"}
    (tmp_path / "go").touch()
    assert all(ended(jobs, j.id).state == "SUCCEEDED" for j in made)


def test_a_worker_is_in_a_session_of_its_own(jobs: Jobs, tmp_path: Path) -> None:
    job = run(jobs, "until", str(tmp_path / "go"))
    assert os.getsid(worker_of(job)) == worker_of(job) != os.getsid(0)


def test_steps_hand_ids_on(jobs: Jobs) -> None:
    steps = [typed_step(["make", "beauty-1"], "make", saves="dataset"), typed_step(["echo", "use", "{dataset}"], "use")]
    job = ended(jobs, jobs.submit_steps(steps, kind="chain", label="chain").id)
    assert job.state == "SUCCEEDED"
    assert job.status.saved == {"dataset": "beauty-1"}
    assert "datasets/beauty-1" in job.artifacts
    assert "use beauty-1" in job.log()


def test_a_step_that_prints_no_id_fails(jobs: Jobs) -> None:
    job = ended(jobs, jobs.submit_steps([typed_step(["echo", "no"], "make", saves="dataset")], kind="x", label="x").id)
    assert (job.state, job.status.message) == ("FAILED", "make ended without printing the id of what it made.")


def test_a_chain_goes_on_at_the_step_that_failed(jobs: Jobs, tmp_path: Path) -> None:
    steps = [
        typed_step(["echo", "once"], "one"),
        typed_step(["flaky", str(tmp_path / "seen")], "two"),
        typed_step(["echo", "end"], "3"),
    ]
    job = ended(jobs, jobs.submit_steps(steps, kind="chain", label="chain").id)
    assert (job.state, job.status.step, job.status.message) == ("FAILED", 1, "not yet")
    assert job.fraction == pytest.approx(1 / 3)
    job = ended(jobs, jobs.resume(job.id).id)
    assert job.state == "SUCCEEDED"
    assert job.log().count("once\n") == 2  # the command line and its output: it ran one time only
    with pytest.raises(UserError, match="only a stopped or failed one"):
        jobs.resume(job.id)


def test_retry_is_a_new_job_with_a_new_run(jobs: Jobs) -> None:
    old = ended(jobs, run(jobs, "fail", "x", "--run-id", "t-3").id)
    new = jobs.retry(old.id)
    assert new.id != old.id
    assert new.runs[0] != "t-3"
    assert new.record.steps[0].command[-1] == new.runs[0]


def test_tried_again_later_steps_name_the_new_runs(jobs: Jobs) -> None:
    steps = [
        typed_step(["fail", "x", "--run-id", "id-1"], "train"),
        Step(label="tune", verb="tune", arguments=["id-1", "--set", "teacher=id-1", "id-12"], reads=["runs/id-1"]),
        typed_step(["train", "shop", "--run-id", "id-12"], "train"),
        typed_step(["resume", "id-12"], "go on"),
        Step(label="map", verb="map", arguments=["run:id-1", "id-12", "my-id-1", "id-1.csv"]),
    ]
    old = ended(jobs, jobs.submit_steps(steps, kind="chain", label="chain", parents=["datasets/shop"]).id)
    new = jobs.retry(old.id)
    first, tune, second, again, drawn = new.record.steps
    assert first.run != "id-1"
    assert tune.arguments == [first.run, "--set", f"teacher={first.run}", "id-12"]  # nothing made that one before it
    assert tune.reads == [f"runs/{first.run}"]
    assert again.run == second.run != "id-12"
    assert drawn.arguments == [f"run:{first.run}", second.run, "my-id-1", "id-1.csv"]
    assert new.record.parents == ["datasets/shop", f"runs/{first.run}"]


def test_a_run_that_was_there_before_the_job_is_not_its_own(jobs: Jobs, tiny: Dataset) -> None:
    """The command is carried out, and refuses; tried once more it is refused again, and the run is left alone."""
    before = Run.create(jobs.store, RunConfig(method="id"), [tiny.manifest], name="t", id="t-6", device="cpu")
    before.set_state("RUNNING", "trained by somebody else")
    job = ended(jobs, run(jobs, "fail", "it exists", "--run-id", "t-6").id)
    job = ended(jobs, jobs.resume(job.id).id)
    assert job.log().count("$ llmesr fail it exists --run-id t-6\n") == 2
    assert before.status().message == "trained by somebody else"
    before.set_state("SUCCEEDED", "")
    assert ended(jobs, jobs.resume(job.id).id).state == "FAILED"


def test_a_job_written_before_that_was_kept_goes_on_and_says_so(jobs: Jobs, tiny: Dataset) -> None:
    job = ended(jobs, run(jobs, "fail", "boom", "--run-id", "t-7").id)
    write_status(job.folder, job.status.model_copy(update={"begun": None}))
    Run.create(jobs.store, RunConfig(method="id"), [tiny.manifest], name="t", id="t-7", device="cpu")
    job = ended(jobs, jobs.resume(job.id).id)
    assert "$ llmesr resume t-7" in job.log()
    assert "did not keep whether it began this itself; it goes on: t-7" in job.log()


def test_an_id_saved_under_another_name_is_of_the_kind_that_the_step_makes(
    jobs: Jobs, tiny: Dataset, tmp_path: Path
) -> None:
    steps = [
        Step(label="split", verb="split", saves="temporal"),
        Step(label="embed", verb="embed", saves="embedding1"),
        Step(label="blend", verb="blend", saves="blend0"),
        Step(label="demo", verb="demo", saves="generated"),
    ]
    job = ended(jobs, jobs.submit_steps(steps, kind="chain", label="chain").id)
    saved = {"temporal": tiny.id, "embedding1": "e", "blend0": "b", "generated": "g"}
    write_status(job.folder, job.status.model_copy(update={"saved": saved, "state": "PENDING"}))
    assert jobs.get(job.id).artifacts == {f"datasets/{tiny.id}", "embeddings/e", "runs/b", "datasets/g"}
    with pytest.raises(UserError, match="used by a job"):
        jobs.delete_artifact("datasets", tiny.id)


def test_what_a_job_uses_cannot_be_deleted(jobs: Jobs, tiny: Dataset, tmp_path: Path) -> None:
    job = run(jobs, "until", str(tmp_path / "go"), parents=[f"datasets/{tiny.id}"])
    with pytest.raises(UserError, match=r"used by a job that has not ended: until .*Stop it first"):
        jobs.delete_artifact("datasets", tiny.id)
    (tmp_path / "go").touch()
    ended(jobs, job.id)
    jobs.delete_artifact("datasets", tiny.id)
    assert jobs.store.list("datasets") == []


def test_only_ended_jobs_are_forgotten(jobs: Jobs, tmp_path: Path) -> None:
    job = run(jobs, "until", str(tmp_path / "go"))
    with pytest.raises(UserError, match="stop it first"):
        jobs.delete(job.id)
    (tmp_path / "go").touch()
    ended(jobs, job.id)
    jobs.delete(job.id)
    assert jobs.list() == []


def test_a_damaged_job_hides_no_other(jobs: Jobs) -> None:
    good = ended(jobs, run(jobs, "echo", "x").id)
    bad = ended(jobs, run(jobs, "echo", "y").id)
    (bad.folder / "job.json").write_text("{")
    assert [j.id for j in jobs.list()] == [good.id]
    assert list(jobs.broken()) == [bad.id]
    with pytest.raises(UserError, match="cannot be read"):
        jobs.get(bad.id)


@pytest.mark.parametrize("id", ["", "../datasets", ".lock", "nope"])
def test_strange_job_ids_are_refused(jobs: Jobs, id: str) -> None:
    with pytest.raises(UserError):
        jobs.get(id)


def test_progress_that_is_not_what_it_should_be_is_nothing(jobs: Jobs) -> None:
    job = ended(jobs, run(jobs, "echo", "x").id)
    for content in ("", "[]", json.dumps({"stage": "x"}), json.dumps({"stage": "x", "done": None, "total": 2})):
        (job.folder / "progress.json").write_text(content)
        assert read_job(job.folder).progress.total == 0


def test_the_end_of_a_long_log_is_read(jobs: Jobs) -> None:
    job = ended(jobs, run(jobs, "echo", "x" * 500).id)
    assert job.log(10) == "xxxxxxxxx\n"


def test_slots_are_the_cards_of_the_machine_or_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMESR_SLOTS", raising=False)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    assert LocalEngine().slots() == ["cpu"]
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter((Path("/dev/nvidia1"), Path("/dev/nvidia0"))))
    assert LocalEngine().slots() == ["cuda:0", "cuda:1"]


def test_a_resumed_training_keeps_its_number_of_processes(jobs: Jobs, tiny: Dataset) -> None:
    job = ended(jobs, run(jobs, "train", "tiny", "--run-id", "t-4", "--processes", "2").id)
    Run.create(jobs.store, RunConfig(method="id"), [tiny.manifest], name="t", id="t-4", device="cpu")
    job = ended(jobs, jobs.resume(job.id).id)
    assert "$ llmesr resume t-4 --processes 2\n" in job.log()


def test_a_run_with_a_damaged_status_stops_no_other_job(jobs: Jobs, tiny: Dataset) -> None:
    bad = ended(jobs, run(jobs, "train", "tiny", "--run-id", "t-5").id)
    run_ = Run.create(jobs.store, RunConfig(method="id"), [tiny.manifest], name="t", id="t-5", device="cpu")
    (run_.folder / "status.json").write_text("{")
    bad, good = jobs.resume(bad.id), run(jobs, "echo", "fine")
    assert "$ llmesr resume t-5" in ended(jobs, bad.id).log()
    assert ended(jobs, good.id).state == "SUCCEEDED"
