"""A fine-tuning from dataset to adapter: resume, stop, failure, use, and what a person is told."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from interruption import StopAfter
from resumed_tuning import numbers, small_tuning, with_catalogue
from safetensors.torch import load_file
from tiny_models import write_decoder, write_encoder
from typer.testing import CliRunner

from llmesr.cli import finetune as cli
from llmesr.config import EmbedConfig, FinetuneConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.jobs.record import Job, typed_step
from llmesr.jobs.worker import _command
from llmesr.runs.finetune import Finetune, find_finetune, list_finetunes
from llmesr.semantic.embed import embed
from llmesr.semantic.embedders.backbone import load_model, locate
from llmesr.store import Store
from llmesr.training import finetune as training
from llmesr.training.finetune import finetune, resume_finetune
from llmesr.training.finetune_loop import learning_rate
from llmesr.training.material import gather
from llmesr.training.stopping import Stopped

WEIGHTS = "adapter/adapter_model.safetensors"


@pytest.fixture
def config(tiny: Dataset, tmp_path: Path) -> FinetuneConfig:
    return small_tuning(tiny, tmp_path)


def test_tuning_learns_and_keeps_only_the_adapter(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    before = {k: v.clone() for k, v in load_model(locate(config.base)).state_dict().items()}
    harder = config.but(
        steps=20, evaluate_every=20, batch_size=16, chunk_size=None, drop_ratio=0.6, held_out=0.4, learning_rate=1e-3,
        temperature=0.3,
    )  # fmt: skip
    tuning = finetune(tiny, harder, store)
    info = tuning.manifest.info
    assert info["after"]["accuracy"] > info["before"]["accuracy"]
    assert info["after"]["mean_cosine"] < info["before"]["mean_cosine"] - 0.2
    assert tuning.status().state == "SUCCEEDED"
    assert tuning.config.pooling == "mean"
    assert tuning.manifest.parent("datasets") == tiny.id
    saved = load_file(tuning.folder / WEIGHTS)
    assert len(saved) == 2 * 7 * 2  # A and B of seven projections in two blocks
    assert all("lora_" in name for name in saved)
    assert {WEIGHTS, "adapter/adapter_config.json", "events.jsonl"} <= set(tuning.manifest.files)
    assert sum(t.numel() for t in saved.values()) + 1 == info["parameters_tuned"]  # and the temperature
    assert not (tuning.folder / "checkpoints").exists()
    for name, value in load_model(locate(config.base)).state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert [t.id for t in list_finetunes(store, tiny.id)] == [tuning.id]


@pytest.mark.parametrize(
    "questions", [0, 3, 4]
)  # before the first step, inside an accumulated one, after an evaluation
def test_resume_equals_uninterrupted(
    store: Store, tiny: Dataset, config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch, questions: int
) -> None:
    whole = finetune(tiny, config, store, run_id="whole")
    with monkeypatch.context() as patched:
        patched.setattr(training, "terminate", StopAfter(questions))
        with pytest.raises(Stopped):
            finetune(tiny, config, store, run_id="broken")
    broken = find_finetune(store, "broken")
    assert broken.status().state == "STOPPED"
    assert not (broken.folder / "adapter").exists()
    resume_finetune(broken)
    pd.testing.assert_frame_equal(numbers(whole), numbers(broken))
    a, b = load_file(whole.folder / WEIGHTS), load_file(broken.folder / WEIGHTS)
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_killed_tuning_goes_on_from_its_checkpoint(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    whole = finetune(tiny, config, store, run_id="whole")

    def die(stage: str, done: int, total: int) -> None:
        if done == 3:  # after the checkpoint of step 2
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        finetune(tiny, config, store, run_id="killed", progress=die)
    killed = find_finetune(store, "killed")
    killed.append_event({"step": 4, "loss": 0.0})  # written, but its checkpoint was not
    assert (killed.status().state, killed.status().message) == ("FAILED", "killed")
    resume_finetune(killed)
    pd.testing.assert_frame_equal(numbers(whole), numbers(killed))
    with pytest.raises(UserError, match="is finished"):
        resume_finetune(killed)


def test_stops_early_and_keeps_the_best(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    tuning = finetune(tiny, config.but(steps=400, evaluate_every=1, patience=2, learning_rate=1e-12), store)
    assert tuning.manifest.info["steps"] == 3  # the first evaluation is the best, then two that are no better
    assert tuning.manifest.info["best_step"] == 1


def test_embedding_with_the_adapter(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    tuning = finetune(tiny, config, store)
    raw = embed(tiny, EmbedConfig(embedder=config.base, pooling="mean"), store)
    tuned = embed(tiny, EmbedConfig(adapter=tuning.id), store)  # the base need not be named again
    assert tuned.manifest.config["embedder"] == config.base
    assert tuned.item_vectors.shape == raw.item_vectors.shape == (tiny.n_items, 32)
    assert tuned.fingerprint != raw.fingerprint
    assert not np.allclose(tuned.item_vectors, raw.item_vectors, atol=1e-3)
    small = embed(tiny, EmbedConfig(adapter=tuning.id, dimension=5), store)
    assert small.dimension == 5
    assert 0 < small.manifest.info["explained_variance"] <= 1


def test_an_encoder_and_the_published_loss(store: Store, tiny: Dataset, tmp_path: Path) -> None:
    texts = tiny.catalogue[tiny.text_columns].to_numpy().ravel().tolist()
    base = f"hf:{write_encoder(tmp_path / 'bert', texts)}"
    tuning = finetune(tiny, FinetuneConfig(base=base, steps=2, batch_size=500, gradient_checkpointing=True), store)
    assert tuning.events()["step"].tolist() == [0, 2]
    assert np.isfinite(tuning.events()["loss"].iloc[-1])


def test_items_longer_than_the_context_are_cut(store: Store, tiny: Dataset, tmp_path: Path) -> None:
    texts = tiny.catalogue["description"].tolist()
    base = f"hf:{write_decoder(tmp_path / 'short', texts, positions=16)}"
    long = tiny.catalogue.assign(description=[" ".join([t] * 40) for t in texts])
    dataset = with_catalogue(store, tiny, long)
    config = FinetuneConfig(base=base, steps=1, batch_size=4, max_characters=10_000, max_tokens=1024)
    assert finetune(dataset, config, store).status().state == "SUCCEEDED"


def test_what_is_held_out_is_never_trained_on(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    material = gather(tiny, config.but(held_out=0.25), store)
    assert not set(material.train.tolist()) & set(material.held_out.tolist())
    assert len(material.held_out) == round(0.25 * (tiny.n_items - material.skipped))


def test_learning_rate_rises_and_falls() -> None:
    config = FinetuneConfig(steps=10, warmup=0.2, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[-1] == pytest.approx(1 / 8)


def test_command_line(store: Store, tiny: Dataset, config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)
    cli.register(app)
    runner = CliRunner()
    settings = ["--base", config.base, "--set", "steps=2", "--set", "batch_size=8", "--set", "evaluate_every=1"]
    monkeypatch.setattr(training, "terminate", StopAfter(1))
    stopped = runner.invoke(app, ["finetune", "tiny", *settings, "--run-id", "mine", "--json"])
    assert stopped.exit_code == 130
    monkeypatch.undo()
    monkeypatch.setenv("LLMESR_ARTIFACTS", str(store.root))
    done = runner.invoke(app, ["finetune", "--resume", "mine", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["run"] == "mine"
    raw = embed(tiny, EmbedConfig(embedder=config.base, pooling="mean"), store)
    tuned = embed(tiny, EmbedConfig(adapter="mine"), store)
    shown = runner.invoke(app, ["diagnose", raw.id, tuned.id, "--json"])
    rows = json.loads(shown.stdout)["rows"]
    assert {"mean pairwise cosine", "uniformity", "effective rank", "precision@10", "alignment"} == {
        row["measure"] for row in rows
    }
    assert all(row[raw.id] is not None and row[tuned.id] is not None for row in rows)
    for wrong in (["finetune"], ["finetune", "tiny", "--resume", "mine"], ["finetune", "tiny", "--set", "epochs=3"]):
        refused = runner.invoke(app, wrong)
        assert isinstance(refused.exception, UserError)


def test_a_job_goes_on_with_the_tuning_it_began(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    job = cast(Job, SimpleNamespace(status=SimpleNamespace(saved={}), began=True))
    begin = typed_step(["finetune", "tiny", "--run-id", "mine", "--json"], "Tune")
    assert _command(job, begin, store) == begin.command
    Finetune.create(store, config, [tiny.manifest], name="mine", id="mine", device="cpu")
    assert _command(job, begin, store) == ["finetune", "--resume", "mine", "--json"]


CHANGES: dict[str, Any] = {
    "template": "beauty", "attributes": ["title", "brand"], "max_characters": 12, "drop_ratio": 0.8, "pooling": "last",
    "max_tokens": 8, "lora_rank": 2, "lora_alpha": 9, "lora_dropout": 0.6, "normalise": False, "targets": "soft",
    "temperature": 0.5, "learn_temperature": False, "steps": 2, "batch_size": 5, "accumulation": 1,
    "learning_rate": 1e-3, "warmup": 0.9, "weight_decay": 0.5, "clip_norm": 1e-3, "held_out": 0.5, "evaluate_every": 1,
    "precision": "bfloat16", "seed": 7, "chunk_size": None,
    "objective": "co_chosen",
}  # fmt: skip
# by the tests above, and by test_co_chosen.py and test_preferences.py
ELSEWHERE = {"base", "patience", "gradient_checkpointing", "window", "categories", "categories_of", "users"}


def test_no_setting_is_left_without_a_proof() -> None:
    assert set(FinetuneConfig.model_fields) == set(CHANGES) | ELSEWHERE


@pytest.mark.slow
def test_every_setting_changes_the_result(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    def outcome(chosen: FinetuneConfig) -> str:
        tuning = finetune(tiny, chosen, store)
        weights = load_file(tuning.folder / WEIGHTS)
        sums = {k: v.double().sum().item() for k, v in weights.items()}
        return f"{numbers(tuning).round(7).to_csv()}{sums}"

    plain = outcome(config)
    assert outcome(config) == plain
    assert [name for name, value in CHANGES.items() if outcome(config.but(**{name: value})) == plain] == []


@pytest.mark.slow
def test_a_real_request_to_stop_is_obeyed_and_gone_on_from(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    settings = config.but(steps=60, evaluate_every=20)
    words = [f"--set={k}={v}" for k, v in settings.model_dump(exclude_defaults=True).items() if k != "base"]
    command = [sys.executable, "-m", "llmesr", "finetune"]
    begin = [*command, "tiny", "--base", config.base, *words, "--json", "--run-id"]
    process = subprocess.Popen([*begin, "stopped"], stdout=subprocess.PIPE)
    tuning = Finetune(store, "stopped")
    deadline = time.monotonic() + 120
    while tuning.status().epoch < 20 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.terminate()
    assert process.wait(60) == 130
    assert tuning.status().state == "STOPPED"
    assert json.loads(subprocess.check_output([*command, "--resume", "stopped", "--json"]))["run"] == "stopped"
    subprocess.check_call([*begin, "whole"], stdout=subprocess.DEVNULL)
    pd.testing.assert_frame_equal(numbers(Finetune(store, "whole")), numbers(tuning))
