"""Studies of prompts, encoders and similarities: cells, judges by hand, what a change is worth, resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sparse
import torch
from tiny_models import write_encoder
from typer.testing import CliRunner

import llmesr
from llmesr.cli.main import app
from llmesr.cli.study import told
from llmesr.config import RunConfig, StudyConfig
from llmesr.data.dataset import Dataset, load_dataset, save_thresholds
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.runs.study import RANKS, Study, find_study
from llmesr.store import Store
from llmesr.studies import carry_out
from llmesr.studies.carry_out import resume_study, study, tasks
from llmesr.studies.cells import cells, planned
from llmesr.studies.judges import NearestItems, SimilarUsers, judged, prepared
from llmesr.training.train import train


@pytest.fixture
def varied(tiny: Dataset, tmp_path: Path) -> StudyConfig:
    texts = tiny.catalogue[tiny.text_columns].to_numpy().ravel().tolist()
    encoder = f"hf:{write_encoder(tmp_path / 'bert', texts)}"
    return StudyConfig(
        embedders=[encoder], attributes=["all", "title"], similarities=["cosine", "euclidean"],
        users=["mean", "prompt"], design="one",
    )  # fmt: skip


CHANGES = ["default", "attributes title", "similarity euclidean", "users prompt"]


def asked(config: StudyConfig) -> dict[str, list[str]]:
    """Judge -> the labels of what it judges."""
    found: dict[str, list[str]] = {}
    for task in tasks(config):
        found.setdefault(task.judge, []).append(task.cell.label(cells(config)[0]))
    return found


def test_the_grid_has_every_combination_and_one_at_a_time_only_single_changes(varied: StudyConfig) -> None:
    found = cells(varied)
    assert [cell.label(found[0]) for cell in found] == CHANGES
    whole = cells(varied.but(design="grid"))
    assert len(whole) == 8
    assert whole[-1].label(whole[0]) == "attributes title, similarity euclidean, users prompt"


def test_a_judge_is_asked_only_where_what_it_reads_differs(varied: StudyConfig) -> None:
    expected = {"text-ease": CHANGES[:2], "semantic-knn": CHANGES[:3], "similar-users": CHANGES}
    assert asked(varied) == expected
    assert set(asked(varied.but(similarities=["cosine"], users=["mean"]))) == {"text-ease", "semantic-knn"}
    only = varied.but(attributes=["all"], similarities=["cosine"])
    assert asked(only) == {"similar-users": ["default", "users prompt"]}


def test_similarities_by_hand() -> None:
    vectors = np.array([[0, 0], [1, 0], [3, 0], [0, 2]], np.float32)
    history = torch.tensor([[1, 0], [3, 0]])
    dot = NearestItems(*prepared(vectors, "dot")).score(history)
    assert dot[0, 1:].tolist() == [1, 3, 0]
    euclidean = NearestItems(*prepared(vectors, "euclidean")).score(history)
    assert euclidean[0, 1:].tolist() == [0, -4, -5]
    cosine = NearestItems(*prepared(vectors, "cosine")).score(history)
    assert cosine[0, 1:].tolist() == [1, 1, 0]
    best = NearestItems(*prepared(vectors, "dot")).score(torch.tensor([[1, 3]]))
    assert best[0, 1:].tolist() == [1, 3, 4]
    nothing = NearestItems(*prepared(vectors, "dot")).score(torch.tensor([[0, 0]]))
    assert len(nothing.unique()) == 1


def test_centred_and_whitened_take_off_what_all_share() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(200, 4)) * [5, 1, 1, 1] + [20, 0, 0, 0]).astype(np.float32)
    for similarity in ("centred", "whitened"):
        table, metric = prepared(vectors, similarity)
        assert metric == "cosine"
        np.testing.assert_allclose(np.linalg.norm(table, axis=1), 1, rtol=1e-5)
        assert abs((table @ table.T).mean()) < 0.05


def test_similar_users_count_by_place() -> None:
    chose = sparse.csr_matrix(np.array([[0, 1, 0], [0, 0, 1], [0, 1, 1]], np.float32))
    rows = np.array([[1, 2], [0, -1], [-1, -1]])
    scores = SimilarUsers(rows, chose).score(torch.zeros(3, 1), torch.tensor([0, 1, 2]))
    second = 1 / np.log2(3)
    np.testing.assert_allclose(scores.numpy(), [[0, second, 1 + second], [0, 1, 0], [0, 0, 0]], rtol=1e-6)


def test_a_study_says_what_each_change_is_worth(store: Store, tiny: Dataset, varied: StudyConfig) -> None:
    made = study(tiny, varied, store)
    table = made.table()
    full = table[(table["protocol"] == "full") & (table["group"] == "Overall")].set_index(["judge", "label"])
    assert np.isnan(full.loc[("text-ease", "default"), "difference"])
    for judge, label in [("text-ease", "attributes title"), ("similar-users", "users prompt")]:
        row = full.loc[(judge, label)]
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["value"] == pytest.approx(full.loc[(judge, "default"), "value"] + row["difference"], abs=1e-5)
    assert {"Tail Item", "Head Item", "Tail User", "Head User"} <= set(table["group"])
    ranks = {entry["judge"]: made.ranks(entry["key"]) for entry in made.entries()}
    assert all((frame["part"] == "valid").all() for frame in ranks.values())
    # vectors of length 1: Euclidean distances order items as cosines do
    assert full.loc[("semantic-knn", "similarity euclidean"), "difference"] == 0


def test_what_is_done_is_not_done_again(
    store: Store, tiny: Dataset, varied: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = study(tiny, varied, store, study_id="whole")
    done: list[str] = []
    judge = judged

    def broken(name: str, *given: Any) -> pd.DataFrame:
        if len(done) == 3:
            raise UserError("the service is gone")
        done.append(name)
        return judge(name, *given)

    monkeypatch.setattr(carry_out, "judged", broken)
    with pytest.raises(UserError, match="is gone"):
        study(tiny, varied, store)
    left = next(s for s in (find_study(store, m.id) for m in store.list("studies")) if s.id != "whole")
    assert left.status().state == "FAILED"
    assert len(list((left.folder / RANKS).iterdir())) == 3

    def counted(name: str, *given: Any) -> pd.DataFrame:
        done.append(name)
        return judge(name, *given)

    monkeypatch.setattr(carry_out, "judged", counted)
    again = study(tiny, varied, store)
    assert again.id == left.id
    assert len(done) == len(list(tasks(varied)))
    pd.testing.assert_frame_equal(again.table(), whole.table())
    assert study(tiny, varied, store).id == left.id  # finished: only looked up
    assert len(done) == len(list(tasks(varied)))
    with pytest.raises(UserError, match="is finished"):
        resume_study(again)


def test_finalists_are_trained_beside_the_default(store: Store, tiny: Dataset, varied: StudyConfig) -> None:
    config = varied.but(similarities=["cosine"], users=["mean"], finalists=1, method="adapter", epochs=1, max_length=10)
    made = study(tiny, config, store)
    runs = made.manifest.info["finalists"]
    assert list(runs) == ["default", "attributes title"]
    assert store.manifest("runs", runs["default"]).parent("embeddings") != store.manifest(
        "runs", runs["attributes title"]
    ).parent("embeddings")
    assert "adapter" in set(made.table()["judge"])


def test_finalists_with_names_that_begin_alike_are_runs_of_their_own(
    store: Store, tiny: Dataset, varied: StudyConfig
) -> None:
    begin = "The beauty product has the following attributes"
    config = varied.but(
        prompts=["default", f"{begin}: {{attributes}}.", f"{begin}, brand {{brand}} first."], attributes=["all"],
        similarities=["cosine"], users=["mean"], finalists=2, method="adapter", epochs=1, max_length=10,
    )  # fmt: skip
    runs = study(tiny, config, store).manifest.info["finalists"]
    assert len(set(runs.values())) == 3
    for label, id in runs.items():
        read = store.manifest("embeddings", str(store.manifest("runs", id).parent("embeddings"))).config["template"]
        assert label in ("default", f"prompt {read}")


def vectors_in(path: Path, dataset: Dataset, seed: int) -> str:
    rows = np.random.default_rng(seed).normal(size=(dataset.n_items, 4)).astype(np.float32)
    np.savez(path, vectors=rows, item_ids=dataset.catalogue["item_id"].to_numpy(str))
    return f"file:{path}"


def values_of(made: Study) -> list[float]:
    table = made.table()
    chosen = (table["judge"] == "text-ease") & (table["protocol"] == "full") & (table["group"] == "Overall")
    return [float(value) for value in table[chosen]["value"]]


def test_other_numbers_under_the_same_name_are_another_study(store: Store, tiny: Dataset, tmp_path: Path) -> None:
    """The second encoder's file is replaced: asked again, and gone on with, a study is of what lies there now."""
    config = StudyConfig(embedders=[vectors_in(tmp_path / f"{name}.npz", tiny, 0) for name in "ab"])
    first, named, stopped = study(tiny, config, store), study(tiny, config, store, study_id="mine"), "stopped"
    study(tiny, config, store, study_id=stopped).set_state("STOPPED", "")
    assert values_of(first)[0] == values_of(first)[1]
    vectors_in(tmp_path / "b.npz", tiny, 1)
    again = study(tiny, config, store)
    assert again.id != first.id
    assert values_of(again)[0] != values_of(again)[1]
    assert values_of(resume_study(find_study(store, stopped))) == values_of(again)
    with pytest.raises(UserError, match="was held when this was another: encoders"):
        study(tiny, config, store, study_id=named.id)
    with pytest.raises(UserError, match="exists already with other settings"):
        study(tiny, config.but(max_chars=99), store, study_id=named.id)


def test_another_head_and_tail_is_another_study_that_says_which(store: Store, tiny: Dataset, tmp_path: Path) -> None:
    config = StudyConfig(embedders=[vectors_in(tmp_path / f"{name}.npz", tiny, row) for row, name in enumerate("ab")])
    first = study(tiny, config, store)
    assert first.thresholds == tiny.thresholds.model_dump()
    everybody = Thresholds(item=10_000, user=10_000)
    save_thresholds(store, tiny.id, everybody)
    again = study(load_dataset(store, tiny.id), config, store)
    assert (again.thresholds, first.thresholds) == (everybody.model_dump(), tiny.thresholds.model_dump())
    sizes = again.table().groupby("group")["users"].first()
    assert sizes["Tail Item"] == sizes["Overall"] > first.table().groupby("group")["users"].first()["Tail Item"]
    assert "fewer than 10000 training interactions" in told(again)[-2]


def test_one_held_before_is_found_and_its_head_and_tail_are_not_known(
    store: Store, tiny: Dataset, varied: StudyConfig
) -> None:
    config = varied.but(similarities=["cosine"], users=["mean"])
    made = study(tiny, config, store, study_id="old")
    with store.changing("studies", "old") as manifest:
        del manifest.info["made_of"]
    assert study(tiny, config, store, study_id="old").thresholds is None
    made.set_state("STOPPED", "")
    assert resume_study(made).thresholds == tiny.thresholds.model_dump()


def test_killed_between_ranks_and_entry_it_has_both_in_the_end(
    store: Store, tiny: Dataset, varied: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = varied.but(similarities=["cosine"], users=["mean"])

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Study, "append_event", killed)
        with pytest.raises(KeyboardInterrupt):
            study(tiny, config, store)
    assert len(study(tiny, config, store).entries()) == len(list(tasks(config)))


def test_other_user_vectors_are_a_finalist_where_similar_users_teach(
    store: Store, tiny: Dataset, varied: StudyConfig
) -> None:
    config = varied.but(attributes=["all"], similarities=["cosine"], finalists=1, epochs=1, max_length=10)
    runs = study(tiny, config, store).manifest.info["finalists"]
    assert list(runs) == ["default", "users prompt"]
    taught = [store.manifest("runs", runs[label]).parent("neighbours") for label in runs]
    assert None not in taught
    assert taught[0] != taught[1]
    assert study(tiny, config.but(method="adapter"), store).manifest.info["finalists"] == {}


def test_a_run_is_judged_with_the_content_term(store: Store, tiny: Dataset, varied: StudyConfig) -> None:
    run = train(tiny, RunConfig(method="item-knn", max_length=10), store)
    table = study(tiny, varied.but(run=run.id, similarities=["cosine"], users=["mean"]), store).table()
    content = table[(table["judge"] == "content") & (table["protocol"] == "full") & (table["group"] == "Overall")]
    assert content["label"].tolist() == CHANGES[:2]
    assert content["value"].nunique() == 2
    with pytest.raises(UserError, match="nothing"):
        study(tiny, varied.but(run="nothing"), store)


def test_the_test_part_does_not_matter(store: Store, tiny: Dataset, varied: StudyConfig) -> None:
    last = tiny.offsets[1:][tiny.lengths >= 3] - 1
    items = tiny.items.copy()
    items[last] = 1 + (items[last] + 3) % tiny.n_items
    config = varied.but(users=["mean"])
    a, b = (study(d, config, store, study_id=i) for i, d in (("a", tiny), ("b", replace(tiny, items=items))))
    full = [t[(t["protocol"] == "full") & (t["group"] == "Overall")]["value"].tolist() for t in (a.table(), b.table())]
    assert full[0] == full[1]


def test_what_cannot_be_studied_is_refused(store: Store, tiny: Dataset, varied: StudyConfig) -> None:
    with pytest.raises(UserError, match="Nothing is varied"):
        study(tiny, varied.but(attributes=["all"], similarities=["cosine"], users=["mean"]), store)
    with pytest.raises(UserError, match="no attribute 'colour'"):
        study(tiny, varied.but(attributes=["all", "title+colour"]), store)
    with pytest.raises(UserError, match="is not known"):
        study(tiny, varied.but(embedders=["minilm", "nothing:x"]), store)
    assert not store.list("studies")


def test_the_command_says_the_cost_first_and_python_gives_a_frame(
    store: Store, tiny: Dataset, varied: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMESR_ARTIFACTS", str(store.root))
    given = ["study", tiny.name, "--embedders", varied.embedders[0], "--attributes", "all", "--attributes", "title"]
    said = CliRunner().invoke(app, [*given, "--dry-run"], catch_exceptions=False)
    assert "texts are new" in said.output
    assert "4 comparisons on" in said.output
    assert not store.list("studies")
    done = CliRunner().invoke(app, given, catch_exceptions=False)
    assert "text-ease: NDCG@10, full, validation" in done.output
    again = llmesr.study(tiny, store=store, embedders=varied.embedders, attributes=["all", "title"])
    assert [m.id for m in store.list("studies")] == [again.id]
    assert len(planned(tiny, again.config, store)) == 2
