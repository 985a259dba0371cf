"""Runs that write the next item code by code: settings, codes made anew, resuming, beams against the exact ranking."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from factories import make_embedding
from interruption import stopped
from safetensors.torch import load_file
from served_app import asked

from llmesr.config import IngestConfig, RunConfig, ServeConfig, SplitConfig, unread_settings
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest_frames
from llmesr.data.splitting import resplit
from llmesr.errors import UserError
from llmesr.maps.spaces import available, vectors
from llmesr.models.scorers import WritingScorer
from llmesr.runs.record import MODEL, Run
from llmesr.scoring.blend import blend
from llmesr.scoring.explanation import explain
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.serving.api import create_app
from llmesr.serving.hub import Hub
from llmesr.store import Store
from llmesr.training import inputs as preparing
from llmesr.training.load import FROM_CHANCE, load_scorer
from llmesr.training.train import resume, train

SMALL: dict[str, Any] = {
    **{"embedding_size": 8, "layers": 1, "batch_size": 64, "max_length": 8},
    **{"epochs": 3, "evaluate_every": 3},  # so that the model of the last epoch is kept, whose codes were made anew
}
CODES: dict[str, Any] = {"codebooks": 2, "codebook_size": 6, "refresh_codes": 1}
SEQUENCES = torch.tensor([[3, 9, 21], [5, 0, 0]])


def small(**settings: Any) -> RunConfig:
    return RunConfig.read(None, **{"method": "generative", **SMALL, **CODES, **settings})


def written(run: Run) -> WritingScorer:
    scorer = load_scorer(run)
    assert isinstance(scorer, WritingScorer)
    return scorer


@pytest.mark.parametrize(
    "change",
    [{"codebooks": 3}, {"codebook_size": 12}, {"item_init": "random"}, {"refresh_codes": 0}, {"exhaustive_up_to": 5}],
)
def test_every_setting_changes_the_scores(change: dict[str, Any], store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    plain, changed = (written(train(tiny, small(**c), store)).score(SEQUENCES) for c in ({}, change))
    assert changed.isfinite().all()
    assert (plain[:, 1:] != changed[:, 1:]).any()


def test_codes_made_anew_are_stored_and_one_to_one(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    codes = {}
    for every in (0, 1):
        run = train(tiny, small(refresh_codes=every), store)
        codes[every] = load_file(run.folder / MODEL)["tables.semantic.codes"][1:-1]
        assert len(codes[every].unique(dim=0)) == tiny.n_items
        total = written(run).score(SEQUENCES)[:, 1:].exp().sum(1)
        torch.testing.assert_close(total / tiny.n_items, torch.ones(2), rtol=1e-4, atol=1e-4)  # counted from chance
    assert (codes[0] != codes[1]).any()


def test_beams_rank_as_exact_scores_do_and_say_how_many_they_find(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    exact = written(train(tiny, small(), store)).score(SEQUENCES)[:, 1:]
    whole = train(tiny, small(exhaustive_up_to=0, beam=tiny.n_items), store)
    torch.testing.assert_close(written(whole).score(SEQUENCES)[:, 1:], exact)
    assert whole.manifest.info["beam"] == {"width": tiny.n_items, "users": 64, "recall@10": 1.0}
    narrow = train(tiny, small(exhaustive_up_to=0, beam=4), store)
    scorer = written(narrow)
    found, own = scorer.score(SEQUENCES)[:, 1:], scorer.decoder.every(scorer.model.represent(SEQUENCES))
    assert narrow.manifest.info["beam"]["recall@10"] <= 0.4
    for row, all_of in zip(found, own, strict=True):
        best = row.topk(4)
        torch.testing.assert_close(best.values, all_of[best.indices] + math.log(tiny.n_items))
        assert len(row.unique()) == 5  # four found, all others alike
        assert (row.sort().values[:-4] == row.min()).all()


def test_candidates_of_an_index_are_not_for_it(store: Store, tiny: Dataset) -> None:
    """It has no item vectors: that is told before it trains, and one that was set up before is ranked exactly."""
    make_embedding(store, tiny)
    config = small(epochs=1, ranking="two-stage")
    assert unread_settings(config, {"ranking": "two-stage"}) == ["ranking"]
    assert "ranking" not in train(tiny, config, store).manifest.info


def test_routing_lowers_what_it_is_for_and_never_raises_it(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    run = train(tiny, small(epochs=15, evaluate_every=15), store)
    plain = written(run).score(SEQUENCES)[:, 1:]
    threshold = int(np.median(tiny.item_counts[1:]))
    rare = torch.from_numpy(tiny.item_counts[1:] < threshold)
    routed = ScoredRun(store, run).under(ScoringPolicy(route_threshold=threshold)).score(SEQUENCES)[:, 1:]
    assert (routed[:, rare] == 0).all()
    assert torch.equal(routed[:, ~rare], plain[:, ~rare])
    among = [scores.topk(10, dim=1).indices for scores in (plain, routed)]
    before, after = (int(rare[items].sum()) for items in among)
    assert after <= before
    assert after < 10


def test_a_blend_of_before_keeps_the_scores_it_was_fitted_to(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    written_run, solved = train(tiny, small(), store), train(tiny, RunConfig(method="ease", max_length=8), store)
    made = blend([written_run, solved])
    now = load_scorer(made).score(SEQUENCES)
    manifest = made.folder / "manifest.json"
    said = json.loads(manifest.read_text())
    assert said["info"]["blend"].pop(FROM_CHANCE)
    manifest.write_text(json.dumps(said))
    weights = load_file(made.folder / MODEL)["weights"]
    before = load_scorer(Run(store, made.id)).score(SEQUENCES)
    torch.testing.assert_close((now - before)[:, 1:], (weights[0] * math.log(tiny.n_items)).expand(2, -1)[:, 1:])


def test_it_recommends_and_says_on_what_it_leans(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    opened = ScoredRun(store, train(tiny, small(), store))
    made = Recommender(opened).recommend([3, 9, 21], 5)
    assert made["item_id"].is_unique
    assert not set(made["item_id"]) & set(tiny.catalogue["item_id"].iloc[[2, 8, 20]])
    np.testing.assert_allclose(made["collaborative"] + made["semantic"] + made["content"], made["score"], rtol=1e-4)
    told = explain(opened, [3, 9, 21], [1])[0]
    assert told.kind == "leave-one-out"
    assert told.reasons


def test_its_map_shows_items_as_the_codes_they_are_read_by(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    run = train(tiny, small(), store)
    [space] = [s for s in available(store, tiny) if s.source == "run"]
    assert space.part == "adapted"
    model = written(run).model
    table = model.tables["semantic"]
    every = torch.arange(1, tiny.n_items + 1)
    np.testing.assert_allclose(vectors(store, space, tiny), table(every).detach().numpy(), rtol=1e-5, atol=1e-6)
    users = vectors(store, space, tiny, "users")
    history = torch.from_numpy(tiny.train_history(3).astype(np.int64))[None, -8:]
    np.testing.assert_allclose(users[3], model.represent(history)[0].detach().numpy(), rtol=1e-4, atol=1e-5)


def test_it_is_served_with_reasons(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    run = train(tiny, small(), store)
    app = create_app(Hub(store, [run.id]), ServeConfig(reload_seconds=0))
    history = tiny.catalogue["item_id"].iloc[[2, 8, 20]].tolist()
    items = asyncio.run(asked(app, {"history": history, "k": 4, "explain": True}))["items"]
    expected = Recommender(ScoredRun(store, run)).recommend([3, 9, 21], 4)
    assert [item["item_id"] for item in items] == expected["item_id"].tolist()
    assert all(item["reasons"]["kind"] == "leave-one-out" for item in items)


def test_resumed_it_ends_alike(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    whole = train(tiny, small(), store)
    for steps in (3, 5):
        stopped(steps, tiny, small(), store, run_id=f"halted-{steps}")
        again = resume(Run(store, f"halted-{steps}"))
        assert (again.folder / MODEL).read_bytes() == (whole.folder / MODEL).read_bytes()


def test_items_that_nobody_chose_can_be_written(store: Store) -> None:
    data = synthetic.make(store, name="shop", users=150, items=60, seed=3)
    data = resplit(data, SplitConfig(kind="temporal", valid_from=0.2, test_from=0.4), store)
    make_embedding(store, data)
    cold = np.flatnonzero(data.item_counts[1:] == 0) + 1
    assert len(cold)
    scores = written(train(data, small(), store)).score(SEQUENCES)
    assert (scores[:, cold] > -50).all()


def test_too_many_items_without_text_are_told_of(store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = make_embedding(store, tiny)
    bare.item_vectors[:5] = 0
    assert train(tiny, small(epochs=1), store, embedding=bare).manifest.info["codes"]["largest_group"] >= 5
    monkeypatch.setattr(preparing, "MOST_ALIKE", 4)
    with pytest.raises(UserError, match=r"items have the same codes, and 4 can be told apart; 5 items have no text"):
        train(tiny, small(epochs=1, seed=1), store, embedding=bare)


def test_three_items_of_which_two_have_no_text(store: Store) -> None:
    rows = [(f"u{u}", f"i{(u + step) % 3}", step) for u in range(20) for step in range(4)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    items = pd.DataFrame({"item_id": ["i0", "i1", "i2"], "title": ["a", "", ""], "brand": ["x", "y", "y"]})
    data = ingest_frames(frame, items, IngestConfig.read(None, name="three", repeats="keep"), store, id="three")
    made = make_embedding(store, data)
    made.item_vectors[1:] = 0
    run = train(data, small(codebook_size=256, refresh_codes=0), store, embedding=made)
    scorer = written(run)
    assert scorer.score(torch.tensor([[1, 2]]))[:, 1:].exp().sum() == pytest.approx(3, abs=1e-3)
    assert run.manifest.info["codes"]["items_without_text"] == 2
