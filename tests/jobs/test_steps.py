"""A step is data: its command line is written from it, and one stored or typed as words becomes the same data."""

from __future__ import annotations

import json

import pytest

from llmesr.errors import UserError
from llmesr.jobs import plans
from llmesr.jobs.record import Record, Step, typed_step


def test_a_training_says_what_it_makes_reads_and_trains() -> None:
    step = plans.train_step("shop-1", "llm-esr", embedding="shop-1-minilm", values={"epochs": 3})
    assert (step.verb, step.makes, step.trainings) == ("train", "runs", 1)
    assert step.reads == ["datasets/shop-1", "embeddings/shop-1-minilm"]
    assert step.command[-2:] == ["--run-id", step.run]
    assert step.resume_command == ["resume", step.run]


def test_a_search_trains_as_many_runs_as_it_has_trials() -> None:
    step = plans.search_step("shop-1", "id", backbone="sasrec", trials=7, objective="Overall")
    assert (step.makes, step.trainings) == ("searches", 7)
    assert step.resume_command == ["search", "--resume", step.run, "--json"]


def test_a_text_method_alone_reads_the_embedding() -> None:
    assert plans.train_step("d", "id", embedding="e").reads == ["datasets/d"]


@pytest.mark.parametrize("words", [["--run-id", "r-1", "--set", "a=1"], ["--set", "a=1", "--run-id=r-1"]])
def test_a_typed_command_is_read_once(words: list[str]) -> None:
    step = typed_step(["train", "shop", *words, "--processes", "2"], "x")
    assert (step.run, step.makes, step.processes, step.resumes) == ("r-1", "runs", 2, False)
    assert step.command == ["train", "shop", "--set", "a=1", "--processes", "2", "--run-id", "r-1"]
    assert step.resume_command == ["resume", "r-1", "--processes", "2"]


def test_a_typed_resume_goes_on_with_its_run() -> None:
    step = typed_step(["resume", "r-1", "--processes", "2"], "x")
    assert (step.run, step.makes, step.resumes) == ("r-1", "runs", True)
    assert step.command == ["resume", "r-1", "--processes", "2"]


@pytest.mark.parametrize("words", [[], ["train", "shop", "--processes", "many"], ["train", "shop", "--run-id"]])
def test_words_that_are_no_command_are_a_sentence(words: list[str]) -> None:
    with pytest.raises(UserError, match=r"no command to run|cannot be run"):
        typed_step(words, "x")


def test_jobs_of_earlier_versions_are_read() -> None:
    """Steps were stored as command lines, with the run beside them."""
    command = ["finetune", "shop-1", "--set", "steps=4", "--run-id", "a-1", "--json"]
    old = {"command": command, "label": "Fine-tune the text model", "saves": "adapter", "run": "a-1"}
    stored = {"id": "j", "kind": "finetune", "label": "x", "created": "2025", "parents": [], "steps": [old]}
    record = Record.model_validate_json(json.dumps(stored))
    step = record.steps[0]
    assert (step.verb, step.makes, step.run, step.saves) == ("finetune", "adapters", "a-1", "adapter")
    assert sorted(step.command) == sorted(command)
    assert Record.model_validate_json(record.model_dump_json()) == record


def test_a_step_without_a_run_has_nothing_to_go_on_with() -> None:
    with pytest.raises(ValueError, match="no run"):
        _ = Step(verb="map", label="Draw").resume_command
