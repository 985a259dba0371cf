"""A run under other texts: what is computed from text follows it, all else stays; and which runs can."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from factories import make_dataset, make_run
from lab_shop import READING, made, opened

from llmesr.config import EmbedConfig, RunConfig
from llmesr.errors import UserError
from llmesr.lab.change import as_new, with_products, with_texts
from llmesr.lab.rewritten import can_score_new, changed, check
from llmesr.linear.build import Source, build
from llmesr.linear.scorer import LinearScorer
from llmesr.models.blend import BlendScorer
from llmesr.models.boosted import BoostedScorer, Trees, Usual
from llmesr.scoring.derived import derive
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.scored_run import ScoredRun
from llmesr.semantic.embedders import open_embedder
from llmesr.store import Store

pytest_plugins = ("lab_shop",)
HISTORIES = torch.tensor([[3, 9, 27, 0], [12, 5, 0, 0], [44, 2, 31, 7]])
LAMP = {"title": "Reading lamp with a warm light", "brand": "Norodis"}


def scores(scored: ScoredRun) -> torch.Tensor:
    return scored.under().score(HISTORIES, torch.tensor([-1, -1, -1])).float()


@pytest.mark.parametrize("name", READING)
def test_new_products_are_scored_beside_the_catalogue_which_stays(name: str) -> None:
    scored = opened(name)
    before = scores(scored)
    known = {"title": str(scored.dataset.catalogue["title"].iloc[4])}  # words that the shop has
    after = scores(changed(scored, with_products(scored.dataset, [LAMP, known])))
    assert after.shape == (3, scored.dataset.n_items + 3)
    assert torch.isfinite(after[:, 1:]).all()
    np.testing.assert_allclose(after[:, : before.shape[1]], before, atol=1e-5 * float(before.abs().max()))
    assert not torch.allclose(after[:, -1], after[:, -2])


@pytest.mark.parametrize("name", READING)
def test_the_same_text_again_moves_nothing(name: str) -> None:
    scored = opened(name)
    row = scored.dataset.catalogue[scored.dataset.text_columns].iloc[8].to_dict()
    after = scores(changed(scored, with_texts(scored.dataset, {9: {str(k): v for k, v in row.items()}})))
    np.testing.assert_allclose(after, scores(scored), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", READING)
def test_another_text_moves_the_item_and_no_other(name: str) -> None:
    scored = opened(name)
    before = scores(scored)[1:2]  # a history without the item
    after = scores(changed(scored, with_texts(scored.dataset, {9: LAMP | {"category": "", "description": ""}})))[1:2]
    assert abs(float(after[0, 9] - before[0, 9])) > 1e-4
    others = np.setdiff1d(np.arange(1, scored.dataset.n_items + 1), [9])
    np.testing.assert_allclose(after[:, others], before[:, others], atol=1e-5 * float(before.abs().max()))


def test_an_item_of_other_attributes_moves_alone() -> None:
    scored = opened("attributes")
    data = scored.dataset
    row = data.catalogue[data.text_columns].iloc[11].to_dict()
    before = scores(scored)[1]  # of items 12 and 5
    after = scores(changed(scored, with_texts(data, {9: {str(k): str(v) for k, v in row.items()}})))[1]
    assert after[9] == pytest.approx(1)
    np.testing.assert_allclose(np.delete(after, 9), np.delete(before, 9), atol=1e-6)


@pytest.mark.parametrize(
    "policy", [{"gamma": 3.0, "whitening": 0.5}, {"linear": 0.5, "linear_kind": "text-ease"}], ids=["evened", "linear"]
)
def test_terms_of_a_policy_move_the_item_and_no_other(policy: dict[str, Any]) -> None:
    plain = opened("id")
    run = derive(plain, ScoringPolicy.read(None, **policy))
    scored = ScoredRun(plain.store, run)
    before = scores(scored)[1:2]
    after = scores(changed(scored, with_texts(scored.dataset, {9: LAMP | {"category": "", "description": ""}})))[1:2]
    grown = scores(changed(scored, with_products(scored.dataset, [LAMP])))[1:2]
    others = np.setdiff1d(np.arange(1, scored.dataset.n_items + 1), [9])
    assert abs(float(after[0, 9] - before[0, 9])) > 1e-4
    for found in (after, grown):
        np.testing.assert_allclose(found[:, others], before[:, others], atol=1e-5 * float(before.abs().max()))
    np.testing.assert_allclose(scores(changed(scored, with_texts(scored.dataset, {9: {}})))[1:2], before, atol=1e-5)
    plain.store.delete("runs", run.id)


@pytest.mark.parametrize("name", ["semantic-knn", "words", "attributes"])
def test_a_copy_of_an_item_reads_as_the_item(name: str) -> None:
    scored = opened(name)
    row = scored.dataset.catalogue[scored.dataset.text_columns].iloc[8].to_dict()
    after = scores(changed(scored, with_products(scored.dataset, [{str(k): v for k, v in row.items()}])))
    np.testing.assert_allclose(after[:, -1], after[:, 9], atol=1e-5)


@pytest.mark.parametrize("name", ["text-ease", "local"])
def test_columns_of_text_ease_are_those_of_solving_with_the_new_items(name: str) -> None:
    scored = opened(name)
    change = with_products(scored.dataset, [LAMP, {"title": "Wool blanket", "category": "Home"}])
    after = changed(scored, change)
    assert isinstance(after.scorer, LinearScorer)
    assert after.embedding is not None
    config: RunConfig = scored.run.config
    whole = build(Source(after.dataset, torch.from_numpy(after.embedding.padded())), config).whole()
    np.testing.assert_allclose(after.scorer.weights.whole()[:, change.items], whole[:, change.items], atol=2e-5)
    if name == "text-ease":
        content = build(Source(after.dataset, torch.from_numpy(after.embedding.padded())), config).content
        assert content is not None
        assert after.scorer.weights.content is not None
        np.testing.assert_allclose(after.scorer.weights.content[:, change.items], content[:, change.items], atol=2e-5)


def test_an_item_nobody_chose_is_scored_as_a_new_product_is() -> None:
    scored = opened("later").of("test")
    trained = scored.dataset.training_for("test")
    cold = np.flatnonzero(trained.item_counts[1:] == 0) + 1
    assert len(cold) >= 3
    after = changed(scored, as_new(trained, cold))
    np.testing.assert_allclose(scores(after), scores(scored), rtol=1e-3, atol=1e-5)
    with pytest.raises(ValueError, match="nobody chose"):
        as_new(trained, np.array([int(trained.item_counts.argmax())]))


def test_what_a_blend_makes_of_a_new_item_is_the_sum_of_its_members() -> None:
    scored = opened("blend")
    after = changed(scored, with_products(scored.dataset, [LAMP]))
    assert isinstance(after.scorer, BlendScorer)
    text, plain, linear = (member.score(HISTORIES)[:, -1] for member in after.scorer.members)
    weights, bias = after.scorer.weights[:, -1], after.scorer.bias[-1]
    assert torch.equal(linear, torch.zeros(3))  # nobody chose it
    np.testing.assert_allclose(scores(after)[:, -1], text * weights[0] + plain * weights[1] + bias, rtol=1e-4)
    rarest = int(np.asarray(scored.dataset.item_counts)[1:].argmin()) + 1
    assert torch.equal(weights, after.scorer.weights[:, rarest])


def test_runs_that_know_items_by_who_chose_them_name_one_that_reads_text() -> None:
    for name in ("ease", "id"):
        scored = opened(name)
        assert not can_score_new(scored.run)
        with pytest.raises(UserError, match=r"only by what training left of it.* Ask \S+ \(\S+\) instead"):
            changed(scored, with_products(scored.dataset, [LAMP]))
    assert all(can_score_new(opened(name).run) for name in READING)


@pytest.mark.parametrize("method", ["codes", "generative"])
def test_a_new_item_has_no_codes_and_that_is_said(method: str, store: Store) -> None:
    run = make_run(store, make_dataset(store, users=40, items=25), method)
    assert not can_score_new(run)
    with pytest.raises(
        UserError, match=r"by codes that were made of all texts.*; a new item has none.* Train one that"
    ):
        check(store, run)


def test_products_and_texts_are_checked() -> None:
    data = opened("text-ease").dataset
    with pytest.raises(UserError, match="no attribute 'colour'. Known: title, "):
        with_products(data, [{"colour": "red"}])
    with pytest.raises(UserError, match="Product 2 has no text"):
        with_products(data, [LAMP, {"title": "  "}])
    with pytest.raises(UserError, match="at least one product"):
        with_products(data, [])
    known = str(data.catalogue["item_id"].iloc[0])
    with pytest.raises(UserError, match=r"is in dataset .* already"):
        with_products(data, [{"item_id": known, "title": "Lamp"}])
    with pytest.raises(UserError, match="no attribute 'colour'"):
        with_texts(data, {1: {"colour": "red"}})


def test_vectors_from_a_file_and_of_another_model_are_refused() -> None:
    scored = opened("semantic-knn")
    text = scored.embedding
    assert text is not None
    info = {**text.manifest.info, "fingerprint": "another"}
    other = replace(text, manifest=text.manifest.model_copy(update={"info": info}))
    change = with_products(scored.dataset, [LAMP])
    with pytest.raises(UserError, match="another model than"):
        change.vectors(other, scored.store)
    file = made()[0] / "vectors.npz"
    np.savez(file, vectors=text.item_vectors, item_ids=text.item_ids.astype(str))
    config = {**text.manifest.config, "embedder": f"file:{file}"}
    precomputed = replace(text, manifest=text.manifest.model_copy(update={"config": config}))
    with pytest.raises(UserError, match="came from a file"):
        change.vectors(precomputed, scored.store)


def test_an_embedding_of_an_earlier_version_reads_further_texts() -> None:
    scored = opened("semantic-knn")
    text = scored.embedding
    assert text is not None
    embedder = open_embedder(EmbedConfig.read(None, **text.manifest.config), scored.store)
    info = {**text.manifest.info, "fingerprint": embedder.earlier_fingerprint}
    before = replace(text, manifest=text.manifest.model_copy(update={"info": info}))
    now, then = (with_products(scored.dataset, [LAMP]).vectors(e, scored.store) for e in (text, before))
    np.testing.assert_array_equal(now, then)


def test_trees_take_of_a_new_product_what_is_usual_of_the_rarest() -> None:
    plain = opened("blend")
    assert isinstance(plain.scorer, BlendScorer)
    counts, members = np.asarray(plain.dataset.item_counts), len(plain.scorer.members)
    generator = torch.Generator().manual_seed(0)
    usual = Usual(*torch.rand(2, members, len(counts), generator=generator).add(0.5))
    trees = Trees(
        torch.full((1, 3), members), torch.zeros(1, 3), torch.tensor([[0.0, -1.0, 1.0, -2.0, -0.5, 0.5, 2.0]])
    )
    grown = BoostedScorer(plain.scorer, trees, torch.log1p(torch.from_numpy(counts).float()), usual)
    scored = ScoredRun(plain.store, plain.run, scorer=grown, dataset=plain.dataset, embedding=plain.embedding)
    after = changed(scored, with_products(scored.dataset, [LAMP])).scorer
    assert isinstance(after, BoostedScorer)
    rarest = int(counts[1:].argmin()) + 1
    for new, old in zip(after.usual, usual, strict=True):
        assert torch.equal(new[:, -1], old[:, rarest])
        assert torch.equal(new[:, :-1], old)
    found = after.score(HISTORIES)
    assert found.shape == (3, len(counts) + 1)
    assert torch.isfinite(found[:, 1:]).all()
    assert not torch.allclose(found, after.blend.score(HISTORIES))
