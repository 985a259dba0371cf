"""Every linear method: trained, stored, opened again, and each of its settings tells."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from factories import make_embedding

from llmesr.config import LINEAR, RunConfig, has_backbone, reads
from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset
from llmesr.data.synthetic import make
from llmesr.errors import UserError
from llmesr.linear.build import LEAST_RIDGE, MODELS, ridge_of
from llmesr.linear.factors import FactorScorer
from llmesr.linear.scorer import LinearScorer
from llmesr.methods import METHODS
from llmesr.runs.record import MODEL, Run
from llmesr.semantic.embed import Embedding
from llmesr.store import Store
from llmesr.training.load import load_scorer
from llmesr.training.runtime import Runtime
from llmesr.training.stopping import Stopped
from llmesr.training.train import resume, train

HERE = [
    pytest.param(m, marks=pytest.mark.skipif(importlib.util.find_spec("implicit") is None, reason="needs implicit"))
    if m == "ials"
    else m
    for m in LINEAR
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Dataset, Embedding, Embedding]:
    """A small shop with its text and a further view, which half of the items lack."""
    store = Store(tmp_path_factory.mktemp("linear"))
    data = make(store, name="tiny", users=150, items=60, seed=1)
    text = make_embedding(store, data)
    view = make_embedding(store, data, size=8, id="view")
    return store, data, text, view


def trained(made: tuple[Store, Dataset, Embedding, Embedding], method: str, **settings: Any) -> Run:
    store, data, text, _ = made
    return train(data, RunConfig.read(None, method=method, **settings), store, embedding=text)


def scores(run: Run, data: Dataset) -> np.ndarray:
    """(20, N + 1) of the first users after their training part."""
    users = torch.arange(20)
    lengths = torch.from_numpy(np.asarray(data.split.train_lengths))[:20]
    sequences, _ = Sequences(data).padded(users, lengths, run.config.max_length)
    return np.asarray(load_scorer(run, dataset=data).score(sequences, users))


def test_linear_methods_are_those_that_are_built() -> None:
    assert set(LINEAR) == {*MODELS, "ials"}
    assert not set(LINEAR) & set(METHODS)
    assert not any(has_backbone(method) for method in LINEAR)


@pytest.mark.parametrize("method", HERE)
def test_trained_stored_and_opened_again(method: str, made: tuple[Store, Dataset, Embedding, Embedding]) -> None:
    run, again = trained(made, method), trained(made, method)
    data = made[1]
    assert run.status().state == "SUCCEEDED"
    assert run.label == method
    assert run.manifest.parent("embeddings") == (made[2].id if method == "text-ease" else None)
    assert run.manifest.info["parameters"] > 0
    frame = run.per_user()
    assert sorted(frame["protocol"].unique()) == ["full", "uni100"]
    assert (run.folder / MODEL).read_bytes() == (again.folder / MODEL).read_bytes()
    assert np.isfinite(scores(run, data)).all()
    assert (scores(run, data) == scores(again, data)).all()


@pytest.mark.parametrize("method", HERE)
def test_what_history_items_contribute_sums_to_the_score(
    method: str, made: tuple[Store, Dataset, Embedding, Embedding]
) -> None:
    data = made[1]
    scorer = load_scorer(trained(made, method), dataset=data)
    assert isinstance(scorer, LinearScorer | FactorScorer)
    sequences = torch.tensor([[3, 9, 21, 0], [5, 0, 0, 0]])
    candidates = torch.arange(1, data.n_items + 1).expand(2, -1)
    behaviour, content = scorer.shares(sequences, candidates)
    whole = scorer.score(sequences)[:, 1:]
    if isinstance(scorer, LinearScorer):
        whole = scorer.linear(sequences)[:, 1:]
    torch.testing.assert_close((behaviour + content).sum(2), whole, rtol=1e-4, atol=1e-5)
    assert content.any() == (method == "text-ease")
    assert not behaviour[1, :, 1:].any()  # padding adds nothing


SETTINGS: dict[str, Any] = {
    "max_length": 2,
    "decay": 0.5,
    "item_neighbours": 3,
    "shrinkage": 1.0,
    "window": 1,
    "reverse_weight": 0.0,
    "ridge": 5.0,
    "solver": "local",
    "dense_up_to": 10,
    "text_weight": 1.0,
    "kernel_power": 1.0,
    "fallback": "none",
    "confidence": 3.0,
    "sweeps": 1,
    "embedding_size": 8,
    "seed": 1,
}
CHANGES = [
    (method, name)
    for method in LINEAR
    for name in RunConfig.model_fields
    if name not in ("method", "views", "view_weight") and reads(name, method, "sasrec")
]


@pytest.mark.parametrize(("method", "setting"), CHANGES)
def test_every_setting_changes_the_scores(
    method: str, setting: str, made: tuple[Store, Dataset, Embedding, Embedding]
) -> None:
    if method == "ials":
        pytest.importorskip("implicit")
    base: dict[str, Any] = (
        {"item_neighbours": 20} if "item_neighbours" in (n for m, n in CHANGES if m == method) else {}
    )
    # All items are within reach of the local solver here: it must be kept from all of them to differ from the inverse.
    before = scores(trained(made, method, **base), made[1])
    if setting == "item_neighbours" and method in ("ease", "text-ease"):
        before = scores(trained(made, method, solver="local", **base), made[1])
        base = {"solver": "local"}
    assert (before != scores(trained(made, method, **{**base, setting: SETTINGS[setting]}), made[1])).any()


@pytest.mark.parametrize(
    ("given", "setting", "value"),
    [
        ({}, "compared", "words"),
        ({}, "compared", "attributes"),
        ({}, "whitening", 0.5),
        ({"compared": "words"}, "whitening", 1.0),
        ({}, "pooling", "sum"),
        ({"pooling": "sum"}, "decay", 0.5),
        ({}, "max_length", 2),
    ],
)
def test_every_setting_of_text_neighbours_changes_the_scores(
    given: dict[str, Any], setting: str, value: Any, made: tuple[Store, Dataset, Embedding, Embedding]
) -> None:
    before = scores(trained(made, "semantic-knn", **given), made[1])
    run = trained(made, "semantic-knn", **given, **{setting: value})
    assert getattr(run.config, setting) == value
    after = scores(run, made[1])
    assert (before != after).any()
    assert np.isfinite(after).all()


def test_views_are_further_kernels_with_a_weight(made: tuple[Store, Dataset, Embedding, Embedding]) -> None:
    data, view = made[1], made[3]
    plain = scores(trained(made, "text-ease"), data)
    seen = scores(trained(made, "text-ease", views=[view.id]), data)
    faint = scores(trained(made, "text-ease", views=[view.id], view_weight=0.0), data)
    assert (seen != plain).any()
    np.testing.assert_allclose(faint, plain)


def test_words_are_a_view_that_is_no_artifact(made: tuple[Store, Dataset, Embedding, Embedding]) -> None:
    data = made[1]
    run = trained(made, "text-ease", views=["words"], text_weight=0.0)
    assert [p.kind for p in run.manifest.parents] == ["datasets", "embeddings"]
    assert (scores(run, data) != scores(trained(made, "text-ease", text_weight=0.0), data)).any()
    with pytest.raises(UserError, match="words is for text-ease only"):
        RunConfig.read(None, method="adapter", views=["words"])


def test_the_ridge_follows_the_length_of_histories(made: tuple[Store, Dataset, Embedding, Embedding]) -> None:
    data = made[1]
    lengths = np.asarray(data.split.train_lengths)
    assert ridge_of(RunConfig(method="ease"), data) == LEAST_RIDGE > 2 * lengths[lengths > 0].mean()
    long = replace(data, items=np.repeat(data.items, 10), offsets=data.offsets * 10, timestamps=None)
    mean = long.split.train_lengths[long.split.train_lengths > 0].mean()
    assert ridge_of(RunConfig(method="text-ease"), long) == pytest.approx(2 * mean, abs=0.1)
    assert ridge_of(RunConfig(method="ease", ridge=3.0), long) == 3.0
    assert ridge_of(RunConfig(method="ials"), long) == LEAST_RIDGE
    info = trained(made, "ease").manifest.info
    assert (info["ridge"], info["ridge_from"]) == (LEAST_RIDGE, "twice the mean training history, at least 20")
    assert "ridge_from" not in trained(made, "ease", ridge=5.0).manifest.info


def test_a_stopped_solver_goes_on_with_the_parts_it_has(
    made: tuple[Store, Dataset, Embedding, Embedding], monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmesr.linear.local import solve

    store, data, text, _ = made
    for module in ("llmesr.linear.build", "llmesr.training.linear"):
        monkeypatch.setattr(f"{module}.COLUMNS", 25)
    config = RunConfig.read(None, method="text-ease", solver="local", item_neighbours=10)
    whole = train(data, config, store, embedding=text)
    solved: list[int] = []

    def counted(evidence: Any, items: torch.Tensor, **kwargs: Any) -> Any:
        solved.append(int(items[0]))
        if len(solved) == 2:
            raise Stopped
        return solve(evidence, items, **kwargs)

    monkeypatch.setattr("llmesr.linear.build.solve", counted)
    with pytest.raises(Stopped):
        train(data, config, store, embedding=text, run_id="halted")
    halted = Run(store, "halted")
    assert halted.status().state == "STOPPED"
    resume(halted)
    assert solved == [1, 26, 26, 51]  # the first part came from disk
    assert (scores(halted, data) == scores(whole, data)).all()
    assert set(whole.manifest.info["agreement"]) == {"strongest", "correlation"}


def test_asked_to_stop_it_stops_between_two_parts(tmp_path: Any) -> None:
    from llmesr.training.linear import _Kept

    kept = _Kept(tmp_path, "columns", 60, Runtime(torch.device("cpu"), should_stop=lambda: True))
    with pytest.raises(Stopped):
        kept(1, lambda: pytest.fail("nothing may be solved any more"))


def test_items_nobody_chose_are_scored_through_their_text(made: tuple[Store, Dataset, Embedding, Embedding]) -> None:
    data = made[1]
    scorer = load_scorer(trained(made, "text-ease", fallback="none"), dataset=data)
    cold = np.flatnonzero(data.item_counts[1:] == 0) + 1
    assert len(cold), "the generated shop has items that only validation or test choose"
    assert isinstance(scorer, LinearScorer)
    whole = scorer.weights.whole()
    assert whole[:, cold].any(0).all()
    none = load_scorer(trained(made, "ease", fallback="none"), dataset=data)
    assert isinstance(none, LinearScorer)
    assert not none.weights.whole()[:, cold].any()
