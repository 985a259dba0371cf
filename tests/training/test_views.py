"""Further item vectors as views: recorded, zero where there are none, the same again after loading and resuming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from llmesr.cli.main import app
from llmesr.config import EmbedConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.synthetic import make
from llmesr.errors import UserError
from llmesr.evaluation.table import quick_metrics
from llmesr.runs.record import MODEL, Run
from llmesr.scoring.ground import Ground
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.policy_scorer import PolicyScorer
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.terms import open_terms
from llmesr.semantic.embed import Embedding, default_embedding, embed
from llmesr.store import Store
from llmesr.training.checkpoint import load_tensors
from llmesr.training.load import load_scorer
from llmesr.training.stopping import Stopped
from llmesr.training.text_tables import view_tables
from llmesr.training.train import resume, train

SMALL: dict[str, Any] = {"embedding_size": 8, "epochs": 2, "batch_size": 32, "max_length": 8}
LACKING = [3, 17, 60]
"""Items without a picture; the last item is among them."""


def vectors(data: Dataset, store: Store, path: Path, rows: np.ndarray, items: np.ndarray, **settings: Any) -> Embedding:
    ids = data.catalogue["item_id"].to_numpy(str)[items - 1]
    np.savez(path, item_ids=ids, vectors=rows[items - 1].astype(np.float32))
    return embed(data, EmbedConfig(embedder=f"file:{path}", **settings), store)


@pytest.fixture
def text(tiny: Dataset, store: Store, tmp_path: Path) -> Embedding:
    rows = np.random.default_rng(0).normal(size=(tiny.n_items, 12))
    return vectors(tiny, store, tmp_path / "text.npz", rows, np.arange(1, tiny.n_items + 1))


@pytest.fixture
def pictures(tiny: Dataset, text: Embedding, store: Store, tmp_path: Path) -> Embedding:
    rows = 25 * np.random.default_rng(1).normal(size=(tiny.n_items, 6))
    there = np.setdiff1d(np.arange(1, tiny.n_items + 1), LACKING)
    return vectors(tiny, store, tmp_path / "my.pictures.npz", rows, there, missing="allow")


@pytest.fixture
def run(tiny: Dataset, text: Embedding, pictures: Embedding, store: Store) -> Run:
    return train(tiny, RunConfig(method="llm-esr", views=[pictures.id], **SMALL), store, embedding=text)


def test_missing_items_are_counted_and_such_vectors_are_never_taken_for_the_text(
    tiny: Dataset, text: Embedding, pictures: Embedding, store: Store
) -> None:
    assert pictures.manifest.info["items_without_text"] == len(LACKING)
    assert np.flatnonzero(~pictures.item_vectors.any(axis=1)).tolist() == [i - 1 for i in LACKING]
    assert default_embedding(store, tiny).id == text.id  # although the pictures are newer


def test_views_are_parents_and_the_text_stays_the_first(run: Run, text: Embedding, pictures: Embedding) -> None:
    parents = [p.id for p in run.manifest.parents if p.kind == "embeddings"]
    assert parents == [text.id, pictures.id]
    assert run.config.views == [pictures.id]
    with pytest.raises(UserError, match="is used by"):
        run.store.delete("embeddings", pictures.id)


def own_scores(scorer: Any, tiny: Dataset, sequences: torch.Tensor) -> list[torch.Tensor]:
    """The collaborative and the semantic term of a model, (B, N + 1) each."""
    terms = open_terms(scorer, Ground.of(tiny, None), [("collaborative", None), ("semantic", None)])
    return [term.score(sequences) for term in terms.values()]


def test_what_was_trained_is_what_is_loaded_and_served(tiny: Dataset, run: Run, store: Store) -> None:
    scorer: Any = load_scorer(run)
    assert list(scorer.view_slices) == ["collaborative", "semantic", "view_my-pictures"]
    part = scorer.view_slices["view_my-pictures"]
    matrix = scorer.item_matrix()
    assert np.flatnonzero(~matrix[:, part].any(dim=1).numpy()).tolist() == [0, *LACKING]
    sequences = torch.tensor([[1, 2, 3], [60, 0, 0]])
    collaborative, semantic = own_scores(scorer, tiny, sequences)
    torch.testing.assert_close(collaborative + semantic, scorer.score(sequences))
    own = scorer.represent(sequences)[:, scorer.view_slices["semantic"]] @ matrix[:, scorer.view_slices["semantic"]].T
    torch.testing.assert_close(semantic[:, LACKING], own[:, LACKING])
    assert not torch.allclose(semantic[:, 1], own[:, 1])

    top = run.top_items()[0]  # as evaluated right after training
    user = int(tiny.split.users("test")[0])
    history = tiny.history(user)[: tiny.split.input_lengths("test")[user]]
    served = Recommender(ScoredRun(store, run)).recommend([int(i) for i in history], k=10)
    assert served["item_id"].tolist() == tiny.catalogue["item_id"].to_numpy()[top[:10] - 1].tolist()
    assert served[["collaborative", "semantic", "content"]].sum(axis=1).to_numpy() == pytest.approx(
        served["score"].to_numpy(), abs=1e-4
    )


def test_routing_weakens_the_collaborative_view_alone(tiny: Dataset, run: Run) -> None:
    scorer: Any = load_scorer(run)
    sequences = torch.tensor([[1, 2, 3]])
    everywhere = ScoringPolicy(route_threshold=10**6, route_weight=0.0)
    routed = PolicyScorer(scorer, everywhere, Ground.of(tiny, None)).score(sequences)
    torch.testing.assert_close(routed, own_scores(scorer, tiny, sequences)[1])


def test_resuming_equals_never_having_stopped(
    tiny: Dataset, text: Embedding, pictures: Embedding, run: Run, store: Store
) -> None:
    def stop(found: Run) -> str | None:
        if len(found.events()) == 1:
            raise Stopped
        return None

    with pytest.raises(Stopped):
        train(tiny, run.config, store, embedding=text, run_id="broken", give_up=stop)
    broken = resume(Run(store, "broken"))
    first, second = load_tensors(run.folder / MODEL)[0], load_tensors(broken.folder / MODEL)[0]
    assert "tables.view_my-pictures.layers.0.weight" in first
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_vectors_of_any_length_start_alike(pictures: Embedding) -> None:
    (table,) = view_tables([pictures]).values()
    rows = table[table.any(dim=1)]
    assert len(rows) == 57
    assert float(rows.square().mean()) == pytest.approx(1.0)


def test_what_cannot_be_a_view_is_refused(tiny: Dataset, text: Embedding, pictures: Embedding, store: Store) -> None:
    for changes in ({"method": "id"}, {"method": "llm-esr", "semantic_view": False}):
        with pytest.raises(UserError, match="views stand beside the text"):
            RunConfig.read(None, views=[pictures.id], **changes)
    for views, says in (
        ([text.id], "is the text already"),
        ([pictures.id, pictures.id], "is named twice"),
        (["nothing"], "There is no embedding called 'nothing'"),
    ):
        with pytest.raises(UserError, match=says):
            train(tiny, RunConfig(method="adapter", views=views, **SMALL), store, embedding=text)


def test_the_command_takes_names_and_records_ids(
    tiny: Dataset, text: Embedding, pictures: Embedding, store: Store
) -> None:
    sets = [w for k, v in {**SMALL, "epochs": 1}.items() for w in ("--set", f"{k}={v}")]
    words = ["train", "tiny", "--method", "adapter", "--views", pictures.manifest.name, *sets, "--json"]
    result = CliRunner().invoke(app, words, standalone_mode=False)
    assert result.exit_code == 0, result.exception
    assert Run(store, json.loads(result.stdout)["run"]).config.views == [pictures.id]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "factor"),
    [({"method": "adapter"}, 2.0), ({"method": "llm-esr", "distillation": "off"}, 2.0)],
)
def test_tail_items_gain_from_a_view_that_tells_and_not_from_noise(
    changes: dict[str, Any], factor: float, store: Store, tmp_path: Path
) -> None:
    """The text is noise; only the pictures know what belongs together, and every tenth item has none."""
    data = make(store, name="gallery", users=800, items=300, seed=3, signal=1.0)
    every, rng = np.arange(1, data.n_items + 1), np.random.default_rng(0)
    noise = vectors(data, store, tmp_path / "noise.npz", rng.normal(size=(data.n_items, 32)), every)
    words = data.catalogue[data.text_columns].agg(" ".join, axis=1).str.lower().str.split()
    directions = {w: rng.normal(size=32) for w in sorted({w for line in words for w in line})}
    telling = np.stack([sum(directions[w] for w in line) for line in words])
    there = every[every % 10 != 0]
    views = [
        vectors(data, store, tmp_path / f"{name}.npz", rows, there, missing="allow")
        for name, rows in (("telling", telling), ("static", rng.normal(size=telling.shape)))
    ]
    config = RunConfig.read(None, embedding_size=32, epochs=15, batch_size=64, dropout=0.1, **changes)
    found = []
    for view in views:
        frame = train(data, config.but(views=[view.id]), store, embedding=noise).per_user()
        test = frame[frame["part"] == "test"]
        found.append(quick_metrics(test, data.thresholds, "HR@10", "Tail Item", "uni100"))
    assert found[0] > factor * found[1]
