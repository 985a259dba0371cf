"""tune, recommend and serve as a person types them, over a small run that is really trained."""

from __future__ import annotations

import json
import shutil
import signal
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from a_server import serving
from factories import make_dataset
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

import llmesr
from llmesr.cli.main import app
from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset, load_dataset, save_thresholds
from llmesr.data.groups import Thresholds
from llmesr.runs.record import Run
from llmesr.scoring.content import ContentTerm
from llmesr.scoring.derived import derive
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.scored_run import ScoredRun
from llmesr.semantic.embed import ITEM_IDS, VECTORS, Embedding, histories_digest, load_embedding
from llmesr.store import Store
from llmesr.training.train import train


def embedding(store: Store, dataset: Dataset) -> Embedding:
    """Vectors that say an item's category, written as an embedding artifact."""
    rng = np.random.default_rng(0)
    kinds = pd.factorize(dataset.catalogue["category"])[0]
    items = (np.eye(kinds.max() + 1)[kinds] + 0.1 * rng.normal(size=(len(kinds), kinds.max() + 1))).astype(np.float32)
    users = np.stack(
        [items[dataset.history(u)[: dataset.split.train_lengths[u]] - 1].mean(0) for u in range(dataset.n_users)]
    )
    with store.draft("embeddings", "tiny-topics", name="topics", parents=[dataset.manifest]) as draft:
        draft.manifest.info = {
            "fingerprint": "topics",
            "histories": histories_digest(dataset),
            "dimension": items.shape[1],
        }
        save_file({"items": items, "users": users.astype(np.float32)}, draft.path / VECTORS)
        pd.DataFrame({"item_id": dataset.catalogue["item_id"]}).to_parquet(draft.path / ITEM_IDS, index=False)
    return load_embedding(store, "tiny-topics", dataset)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    store = Store(tmp_path_factory.mktemp("trained"))
    data = make_dataset(store, name="tiny", seed=1)
    config = RunConfig(method="llm-esr", epochs=1, embedding_size=8, layers=1, max_length=10, distillation="off")
    return train(data, config, store, embedding=embedding(store, data), device="cpu")


@pytest.fixture
def run(store: Store, trained: Run) -> Run:
    """A copy of a run that was trained once."""
    shutil.copytree(trained.store.root, store.root, dirs_exist_ok=True)
    return Run(store, trained.id)


@pytest.fixture
def tiny(run: Run) -> Dataset:
    """The dataset it was trained on."""
    return load_dataset(run.store, run.dataset_id)


def call(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(w) for w in words], standalone_mode=False)
    return result


def test_recommend_prints_one_document(run: Run, tiny: Dataset) -> None:
    result = call("recommend", run.id, "--user", tiny.user_ids[0], "--k", 3, "--json")
    assert result.exit_code == 0, result.exception
    items = json.loads(result.stdout)["items"]
    assert [i["rank"] for i in items] == [1, 2, 3]
    assert set(items[0]) == {"item_id", "title", "score", "rank", "tail"}
    history = ",".join(tiny.catalogue["item_id"].iloc[[0, 1]])
    mixed = call("recommend", run.id, "--history", history, "--gamma", 5, "--reranker", "mmr", "--json")
    assert len(json.loads(mixed.stdout)["items"]) == 10
    human = call("recommend", run.id, "--history", history)
    assert "Tail item: fewer than" in human.stdout


def test_bad_input_is_one_sentence(run: Run, tiny: Dataset) -> None:
    for words, sentence in [
        (["recommend", run.id], "either --user or --history"),
        (["recommend", run.id, "--user", "nobody"], "'nobody' is not in dataset"),
        (["recommend", run.id, "--history", "i1", "--policy", "tuned"], "llmesr tune"),
        (["recommend", run.id, "--history", "i1", "--reranker", "magic"], "'name' = 'magic' is not valid"),
        (["tune", run.id, "--set", "colour=blue"], "Unknown setting 'colour'"),
        (["tune", run.id, "--point", "0"], "was not tuned yet"),
    ]:
        result = call(*words)
        assert result.exit_code != 0
        assert sentence in str(result.exception)


def listed(run: Run, tiny: Dataset, *words: str) -> dict[str, Any]:
    return dict(json.loads(call("recommend", run.id, "--user", tiny.user_ids[0], "--json", *words).stdout))


def effect(run: Run, *words: str) -> list[dict[str, Any]]:
    return list(json.loads(call("rerank", run.id, "--users", 20, "--json", *words).stdout)["rows"])


def test_tune_makes_a_run_that_stands_beside_its_parent(run: Run, store: Store, tiny: Dataset) -> None:
    result = call(
        "tune", run.id, "--set", "gammas=[0, 0.5]", "--set", "thresholds=[1]", "--set", "objective=overall", "--json"
    )
    assert result.exit_code == 0, result.exception
    document = json.loads(result.stdout)
    points = document["points"]
    point = next(i for i, p in enumerate(points) if p["policy"]["gamma"] and not p["policy"]["tail_users_only"])
    chosen = call("tune", run.id, "--point", point, "--json")
    assert "has seen all users of validation" in chosen.stderr
    again = json.loads(chosen.stdout)
    derived = Run(store, again["run"])
    assert derived.status().state == "SUCCEEDED"
    assert derived.manifest.parent("runs") == run.id
    assert derived.config == run.config
    assert derived.manifest.info["policy"]["run"] == run.id
    frame, before = derived.per_user(), run.per_user()
    assert frame.drop(columns="rank").equals(before.drop(columns="rank"))  # the same users, targets and candidates
    assert (frame["rank"] != before["rank"]).any()
    assert derived.top_items().shape == run.top_items().shape
    valid = frame[(frame["part"] == "valid") & (frame["protocol"] == "full")]["rank"]
    hits = (valid <= 10).mean()
    assert points[point]["metrics"]["full/Overall/HR@10"] == pytest.approx(hits, abs=0.011)  # one near tie of 100
    tuned = json.loads(call("recommend", derived.id, "--user", tiny.user_ids[0], "--json").stdout)
    named = json.loads(call("recommend", run.id, "--user", tiny.user_ids[0], "--policy", "tuned", "--json").stdout)
    assert tuned == named
    assert listed(derived, tiny, "--policy", "tuned") == tuned
    assert listed(derived, tiny, "--policy", "none") == listed(run, tiny) != tuned
    assert effect(derived, "--policy", "none") == effect(run) != effect(derived)


def test_a_policy_has_the_same_words_in_python(run: Run, tiny: Dataset) -> None:
    policy = ScoringPolicy(gamma=5)
    derived = derive(ScoredRun(run.store, run), policy)
    history = tiny.catalogue["item_id"].iloc[[0, 1]].tolist()
    as_it_is, tuned, none = (llmesr.recommend(derived, history, policy=word) for word in (None, "tuned", "none"))
    pd.testing.assert_frame_equal(as_it_is, tuned)
    pd.testing.assert_frame_equal(as_it_is, llmesr.recommend(run, history, policy=policy))
    pd.testing.assert_frame_equal(none, llmesr.recommend(run, history))
    assert as_it_is["item_id"].tolist() != none["item_id"].tolist()


def test_rerank_shows_the_effect_of_every_reranker(run: Run) -> None:
    rows = json.loads(call("rerank", run.id, "--users", 20, "--json").stdout)["rows"]
    assert {r["reranker"] for r in rows} == {"none", "mmr", "dpp", "calibrated", "epsilon", "ucb"}
    assert {"HR@10", "NDCG@10", "Coverage@10", "ILD@10"} <= set(rows[0])
    assert "Re-rankers of llm-esr/sasrec" in call("rerank", run.id, "--users", 20).stdout


def test_what_is_no_number_is_null_in_json(run: Run) -> None:
    """Of one user a group may be empty, as the tail is here; NaN is none of the words of JSON."""
    save_thresholds(run.store, run.dataset_id, Thresholds(item=1, user=1))
    printed = call("rerank", run.id, "--users", 1, "--json").stdout
    rows = json.loads(printed, parse_constant=pytest.fail)["rows"]
    assert rows[0]["Tail Item NDCG@10"] is None
    assert rows[0]["users"] == 1


SLOW = """
import time
import llmesr
from llmesr.cli.main import main
from llmesr.serving.hub import Hub
Hub.warm = lambda hub: time.sleep(3_600) or True
main()
"""
"""The command line, where working ahead of the requests takes an hour."""


HANGING = """
import time
import llmesr
from llmesr.cli.main import main
from llmesr.scoring.recommender import Recommender
Recommender.answer = lambda *_: time.sleep(3_600)
main()
"""
"""The command line, where a batch takes an hour."""


@pytest.mark.slow
@pytest.mark.parametrize("program", [["-m", "llmesr"], ["-c", SLOW]])
def test_serve_stops_gracefully(program: list[str], run: Run, store: Store, tiny: Dataset) -> None:
    with serving(program, run, store) as (process, url):
        answer = httpx.post(f"{url}/recommend", json={"user": str(tiny.user_ids[0])})
        assert len(answer.json()["items"]) == 10
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_although_a_batch_does_not(asked: signal.Signals, run: Run, store: Store, tiny: Dataset) -> None:
    with serving(["-c", HANGING], run, store, "--set", "timeout=1") as (process, url):
        assert httpx.post(f"{url}/recommend", json={"user": str(tiny.user_ids[0])}).status_code == 503
        process.send_signal(asked)
        assert process.wait(20) == -asked


def test_recommend_explains_each_item(store: Store, tiny: Dataset) -> None:
    made = train(tiny, RunConfig(method="text-ease"), store, embedding=embedding(store, tiny), device="cpu")
    shown = call("recommend", made.id, "--user", tiny.user_ids[0], "--k", 3, "--explain")
    assert shown.exit_code == 0, shown.exception
    assert "exact" in shown.stdout
    assert "because" in shown.stdout
    result = call("recommend", made.id, "--user", tiny.user_ids[0], "--k", 3, "--explain", "--json")
    for item in json.loads(result.stdout)["items"]:
        parts = sum(part["behaviour"] + part["text"] for part in item["reasons"]["history"])
        assert parts + sum(item["reasons"]["others"].values()) == pytest.approx(item["score"], rel=1e-4)


def test_warm_works_out_what_lists_need_once(run: Run, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    small = call("warm", run.id, "--whitening", 0.5, "--json")
    assert json.loads(small.stdout) == {"spaces": [{"run": run.id, "whitening": 0.5, "items": 0, "new": 0}]}
    monkeypatch.setattr(ContentTerm, "keeps_all", False)
    assert "no policy with a content term" in str(call("warm", run.id).exception)
    for new in (tiny.n_items, 0):
        (made,) = json.loads(call("warm", run.id, "--whitening", 0.5, "--json").stdout)["spaces"]
        assert made == {"run": run.id, "whitening": 0.5, "items": tiny.n_items, "new": new}
    assert "Nearest texts" in call("warm", run.id, "--whitening", 0.5).stdout
