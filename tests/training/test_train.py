"""Training ends in a sealed run; stopped at any moment it resumes to the same result, bit for bit."""

from typing import Any

import numpy as np
import pytest
import torch
from interruption import stopped

import llmesr
from llmesr.config import EmbedConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.objectives import distillation
from llmesr.runs.record import MODEL, Run
from llmesr.semantic.embed import Embedding, embed
from llmesr.store import Store
from llmesr.training import loop, user_states
from llmesr.training.checkpoint import load_tensors
from llmesr.training.loop import Loop
from llmesr.training.stopping import Stopped
from llmesr.training.train import resume, train

SMALL: dict[str, Any] = {"embedding_size": 8, "epochs": 3, "batch_size": 16, "dropout": 0.3, "max_length": 8}


@pytest.fixture
def vectors(tiny: Dataset, store: Store, tmp_path: Any) -> Embedding:
    """Precomputed vectors: no language model needed."""
    rows = np.random.default_rng(0).normal(size=(tiny.n_items, 12)).astype(np.float32)
    np.savez(tmp_path / "vectors.npz", item_ids=tiny.catalogue["item_id"].to_numpy(str), vectors=rows)
    return embed(tiny, EmbedConfig(embedder=f"file:{tmp_path / 'vectors.npz'}"), store)


@pytest.mark.parametrize("backbone", ["sasrec", "bert4rec", "gru4rec"])
@pytest.mark.parametrize("steps", [2, 9])
def test_resuming_equals_never_having_stopped(
    backbone: str, steps: int, tiny: Dataset, vectors: Embedding, store: Store
) -> None:
    config = RunConfig(method="llm-esr", backbone=backbone, teacher_refresh=3, loss="bce", **SMALL)
    whole = train(tiny, config, store, embedding=vectors, run_id="whole")
    stopped(steps, tiny, config, store, embedding=vectors, run_id="broken")
    broken = Run(store, "broken")
    assert broken.status().state == "STOPPED"
    torch.rand(5)  # the generators are somewhere else by now
    resume(broken)
    first, second = load_tensors(whole.folder / MODEL)[0], load_tensors(broken.folder / MODEL)[0]
    assert all(torch.equal(first[name], second[name]) for name in first)
    losses = [run.events()["loss"].tolist() for run in (whole, broken)]
    assert losses[0] == losses[1]
    assert broken.status().state == "SUCCEEDED"


@pytest.mark.parametrize("limit", [2**27, 1], ids=["memory", "file"])
def test_an_epoch_begins_again_where_batches_are_cut_otherwise(
    tiny: Dataset, vectors: Embedding, store: Store, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Behind a checkpoint of before lie other batches: going on would read some users twice and others not at all."""
    monkeypatch.setattr(user_states, "IN_FILE_FROM", limit)
    config = RunConfig.read(None, method="llm-esr", **SMALL)
    with monkeypatch.context() as before:
        before.setattr(loop, "CUTTING", 1)
        stopped(9, tiny, config, store, embedding=vectors, run_id="broken")
    broken = Run(store, "broken")
    epoch = load_tensors(broken.checkpoint(loop.LAST))[1]["epoch"]
    read: list[np.ndarray] = []
    step = loop.Loop._step

    def noted(self: loop.Loop, chosen: np.ndarray) -> Any:
        if self.epoch == epoch:
            read.append(chosen)
        return step(self, chosen)

    monkeypatch.setattr(loop.Loop, "_step", noted)
    said: list[str] = []
    resume(broken, progress=lambda stage, done, total: said.append(stage))
    rows = np.concatenate(read)
    assert sorted(rows.tolist()) == list(range(len(rows)))
    assert any(stage.startswith(f"epoch {epoch + 1} begins again") for stage in said)
    assert broken.manifest.info["begun_again"] == epoch + 1
    assert broken.events()["epoch"].tolist() == [1, 2, 3]
    assert not list(broken.folder.rglob("*.states"))


def test_batches_of_users_are_gone_on_with_as_before(
    tiny: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig.read(None, method="id", batches="users", **SMALL)
    whole = train(tiny, config, store, run_id="whole")
    with monkeypatch.context() as before:
        before.setattr(loop, "CUTTING", 1)
        stopped(9, tiny, config, store, run_id="broken")
    broken = resume(Run(store, "broken"))
    assert "begun_again" not in broken.manifest.info
    assert whole.events()["loss"].tolist() == broken.events()["loss"].tolist()


def test_contrastive_distillation_compares_no_more_users_than_a_batch_of_users_has(
    tiny: Dataset, vectors: Embedding, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    contrastive = distillation.contrastive

    def noted(students: torch.Tensor, *given: Any, most: int) -> torch.Tensor:
        seen.append((len(students), most))
        return contrastive(students, *given, most=most)

    monkeypatch.setattr(distillation, "contrastive", noted)
    config = RunConfig.read(
        None, method="llm-esr", distillation="contrastive", **{**SMALL, "epochs": 1, "batch_size": 8}
    )
    train(tiny, config, store, embedding=vectors)
    assert max(users for users, _ in seen) > 8
    assert {most for _, most in seen} == {8}


def test_a_run_is_sealed_with_its_checksums_parents_and_events(tiny: Dataset, vectors: Embedding, store: Store) -> None:
    run = train(tiny, RunConfig(method="llm-esr", **SMALL), store, embedding=vectors)
    manifest = run.manifest
    assert {p.kind for p in manifest.parents} == {"datasets", "embeddings", "neighbours"}
    assert {"model.safetensors", "per_user.parquet", "metrics.json", "events.jsonl"} <= set(manifest.files)
    events = run.events()
    assert events["epoch"].tolist() == [1, 2, 3]
    assert {"loss", "loss/next_item", "loss/distillation", "full/Tail Item/NDCG@10"} <= set(events.columns)
    frame = run.per_user()
    assert set(frame["part"]) == {"valid", "test"}
    assert len(frame) == 4 * len(tiny.split.users("test"))


def test_the_seed_decides_everything(tiny: Dataset, store: Store) -> None:
    runs = [train(tiny, RunConfig(method="id", seed=s, **SMALL), store) for s in (1, 1, 2)]
    models = [load_tensors(run.folder / MODEL)[0] for run in runs]
    same = [all(torch.equal(models[0][k], m[k]) for k in m) for m in models]
    assert same == [True, True, False]


def test_a_loss_that_is_no_number_stops_with_the_reason(
    tiny: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"loss": torch.tensor(float("nan"))}
    monkeypatch.setattr(Loop, "_step", lambda self, chosen: broken)
    with pytest.raises(UserError, match="loss became nan in epoch 1. Lower learning_rate"):
        train(tiny, RunConfig(method="id", **SMALL), store, run_id="nan")
    assert Run(store, "nan").status().state == "FAILED"


def test_text_is_asked_for_when_it_is_missing(tiny: Dataset, store: Store) -> None:
    with pytest.raises(UserError, match="llmesr embed"):
        train(tiny, RunConfig(method="adapter", **SMALL), store)


def test_llmemb_makes_the_run_it_aligns_to(tiny: Dataset, vectors: Embedding, store: Store) -> None:
    run = train(tiny, RunConfig(method="llmemb", **SMALL), store, embedding=vectors)
    reference = Run(store, str(run.config.alignment_run))
    assert reference.label == "id/sasrec"
    assert run.manifest.parent("runs") == reference.id
    again = train(tiny, RunConfig(method="llmemb", alignment_weight=0.1, **SMALL), store, embedding=vectors)
    assert again.config.alignment_run == reference.id, "a finished run of the same settings is taken"
    other = train(tiny, RunConfig(method="llmemb", **{**SMALL, "seed": 7}), store, embedding=vectors)
    assert other.config.alignment_run != reference.id
    with pytest.raises(UserError, match="embedding_size 8, this one 16"):
        train(
            tiny,
            RunConfig(method="llmemb", alignment_run=reference.id, **{**SMALL, "embedding_size": 16}),
            store,
            embedding=vectors,
        )


def test_python_refuses_what_would_do_nothing_as_the_command_line_does(tiny: Dataset, store: Store) -> None:
    with pytest.raises(UserError, match="'popularity' does not read epochs"):
        llmesr.train(tiny, store=store, method="popularity", epochs=3)
    with pytest.raises(UserError, match="'negatives' does nothing here"):
        llmesr.train(tiny, store=store, method="id", negatives=7)
    assert not store.list("runs")


def test_frozen_items_need_no_run_to_align_to(tiny: Dataset, vectors: Embedding, store: Store) -> None:
    run = train(tiny, RunConfig(method="llmemb", adapter=False, **SMALL), store, embedding=vectors)
    assert [m.id for m in store.list("runs")] == [run.id]
    assert "loss/alignment" not in run.events()


def test_a_run_that_was_cut_short_is_no_reference(tiny: Dataset, vectors: Embedding, store: Store) -> None:
    begun = Run(store, "cut")
    cut = train(tiny, RunConfig(method="id", **SMALL), store, run_id="cut", enough=lambda: len(begun.events()) > 0)
    assert cut.manifest.info["cut_short"] is True
    run = train(tiny, RunConfig(method="llmemb", **SMALL), store, embedding=vectors)
    assert run.config.alignment_run != cut.id
    assert "cut_short" not in Run(store, str(run.config.alignment_run)).manifest.info


def test_stopping_early_keeps_the_best_epoch(tiny: Dataset, store: Store) -> None:
    config = RunConfig(method="id", **{**SMALL, "epochs": 40, "patience": 2, "learning_rate": 0.01})
    run = train(tiny, config, store)
    watched = run.events()["full/Overall/NDCG@10"]
    assert len(watched) < 40
    assert run.manifest.info["best_epoch"] == int(watched.idxmax()) + 1
    assert len(watched) == run.manifest.info["best_epoch"] + 2


def test_nobody_else_trains_or_deletes_a_run_in_training(tiny: Dataset, store: Store) -> None:
    refused = []

    def meddle(run: Run) -> None:
        """Called before every epoch."""
        for attempt in (lambda: resume(run), lambda: store.delete("runs", run.id)):
            with pytest.raises(UserError, match="is being worked on") as error:
                attempt()
            refused.append(str(error.value))

    run = train(tiny, RunConfig(method="id", **SMALL), store, run_id="busy", give_up=meddle)
    assert len(refused) == 2 * SMALL["epochs"]
    assert run.events()["epoch"].tolist() == [1, 2, 3], "no epoch was trained twice"
    assert run.status().state == "SUCCEEDED"
    store.delete("runs", "busy")


def test_a_run_with_a_damaged_status_is_mended_by_resuming(tiny: Dataset, store: Store) -> None:
    config = RunConfig(method="id", **SMALL)
    run = train(tiny, config, store, run_id="r")
    before = load_tensors(run.folder / MODEL)[0]
    (run.folder / "status.json").write_text("{")
    assert run.status().state == "FAILED"
    again = train(tiny, config.but(seed=1), store, run_id="another")  # it hurts no other
    assert again.status().state == "SUCCEEDED"
    resume(run)
    assert run.status().state == "SUCCEEDED"
    after = load_tensors(run.folder / MODEL)[0]
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_when_it_is_enough_the_best_epoch_so_far_is_taken(tiny: Dataset, store: Store) -> None:
    config = RunConfig(method="id", **SMALL)
    asked: list[int] = []
    steps = -(-len(tiny.split.users("valid")) // int(SMALL["batch_size"]))

    def after_an_epoch() -> bool:
        asked.append(1)
        return len(asked) > steps + 2  # in the second epoch

    run = train(tiny, config, store, run_id="short", enough=after_an_epoch)
    info = run.manifest.info
    assert (info["cut_short"], info["epochs"], info["best_epoch"]) == (True, 1, 1)
    assert len(run.events()) == 1
    one = train(tiny, config.but(epochs=1), store)
    assert (run.folder / MODEL).read_bytes() == (one.folder / MODEL).read_bytes()
    assert "cut_short" not in one.manifest.info


def test_without_an_epoch_it_stops_and_can_go_on(tiny: Dataset, store: Store) -> None:
    config = RunConfig(method="id", **SMALL)
    with pytest.raises(Stopped):
        train(tiny, config, store, run_id="none", enough=lambda: True)
    assert Run(store, "none").status().state == "STOPPED"
    whole = train(tiny, config, store)
    assert (resume(Run(store, "none")).folder / MODEL).read_bytes() == (whole.folder / MODEL).read_bytes()
