"""The nearest texts of items are worked out once for all processes, and lists are the same with and without."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import make_embedding
from serving_doubles import FakeScorer, bare_run

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.repair import repair
from llmesr.runs.record import Run
from llmesr.scoring import coarse, ground
from llmesr.scoring.content import ContentTerm
from llmesr.scoring.nearest_texts import NearestTexts
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.warm import spaces_of, warm
from llmesr.semantic.embed import VECTORS, Embedding
from llmesr.store import Store, examine

POLICY = ScoringPolicy(gamma=1.5, whitening=0.5)


class Large(ContentTerm):
    """As of a large catalogue: not all rows are kept, and few items of each."""

    def __init__(self, text: torch.Tensor, device: str = "cpu", *, unit: bool, beside: Path | None, space: str) -> None:
        super().__init__(text, device, unit=unit, beside=beside, space=space)
        self._nearest = NearestTexts(self.text, 20, beside, space)

    @property
    def keeps_all(self) -> bool:
        return False


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "ContentTerm", Large)


@pytest.fixture
def text(store: Store, tiny: Dataset) -> Embedding:
    return make_embedding(store, tiny)


@pytest.fixture
def run(store: Store, tiny: Dataset, text: Embedding) -> Run:
    config = RunConfig(method="llm-esr", max_length=10)
    return Run.create(store, config, [tiny.manifest, text.manifest], name="tiny", device="cpu")


def opened(run: Run, tiny: Dataset) -> ScoredRun:
    return ScoredRun(run.store, run, scorer=FakeScorer(tiny.n_items))


def lists(scored: ScoredRun) -> list[list[int]]:
    recommender = Recommender(scored)
    return [a.items.tolist() for a in recommender.answer([recommender.request(u, 10, POLICY) for u in range(30)])]


def file_of(run: Run, text: Embedding) -> Path:
    (found,) = run.store.path("embeddings", text.id).glob(".nearest-*/rows")
    return found


def nobody_seeks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NearestTexts, "_sought", None)  # whoever seeks fails


@pytest.mark.parametrize("halves", [False, True])
def test_lists_are_the_same_with_and_without_the_file(
    halves: bool, run: Run, tiny: Dataset, text: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coarse, "pays", lambda device: halves)
    alone = lists(ScoredRun(run.store, run, scorer=FakeScorer(tiny.n_items), embedding=text))
    assert not [*run.store.path("embeddings", text.id).glob(".nearest-*")]  # what is passed in may have other vectors
    assert lists(opened(run, tiny)) == alone
    with monkeypatch.context() as patch:
        nobody_seeks(patch)
        assert lists(opened(run, tiny)) == alone
    monkeypatch.setattr(coarse, "pays", lambda device: not halves)
    assert lists(opened(run, tiny)) == alone  # what another processor left holds here
    assert file_of(run, text)


@pytest.mark.parametrize("halves", [False, True])
def test_an_item_alone_is_worked_out_as_among_others(halves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse, "pays", lambda device: halves)
    vectors = torch.nn.functional.normalize(torch.randn(3000, 24, generator=torch.Generator().manual_seed(0)))
    vectors[0] = 0
    together, alone, items = NearestTexts(vectors, 20), NearestTexts(vectors, 20), np.arange(1, 300)
    together.hold(items)
    for item in items:
        alone.hold(np.array([item]))
    one, other = (torch.from_numpy(nearest.rows.get(items)) for nearest in (together, alone))
    assert torch.equal(one[:, :20], other[:, :20])
    torch.testing.assert_close(one[:, 20:].view(torch.float32), other[:, 20:].view(torch.float32), rtol=0, atol=1e-6)
    exact = (vectors[1:300] @ vectors.T).topk(20, dim=1)
    assert torch.equal(one[:, :20].long(), exact.indices)
    torch.testing.assert_close(one[:, 20:40].view(torch.float32), exact.values)


def test_a_server_finds_what_another_worked_out_while_idle(
    run: Run, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = Recommender(opened(run, tiny)), Recommender(opened(run, tiny))
    for recommender in (one, other):
        recommender.prepare(POLICY)
    while one.warm():
        pass
    nobody_seeks(monkeypatch)
    while other.warm():
        pass
    term = other.ground.content(POLICY.whitening)
    assert term.prepare(np.arange(1, tiny.n_items + 1)) == 0


def test_what_a_request_asks_for_is_worked_out_while_idle(run: Run, tiny: Dataset) -> None:
    recommender = Recommender(opened(run, tiny))
    recommender.prepare(ScoringPolicy())
    assert not recommender.warm()
    recommender.recommend(3, policy=POLICY)
    assert recommender.warm()
    while recommender.warm():
        pass
    assert recommender.ground.content(POLICY.whitening).prepare(np.arange(1, tiny.n_items + 1)) == 0


def test_each_text_space_has_a_file_of_its_own(run: Run, tiny: Dataset, text: Embedding) -> None:
    scored = opened(run, tiny)
    assert [warm(scored, whitening).new for whitening in (0.0, 0.5)] == [tiny.n_items, tiny.n_items]
    files = [*run.store.path("embeddings", text.id).glob(".nearest-*/rows")]
    assert len({file.read_bytes() for file in files}) == 2


def test_a_file_of_other_vectors_or_another_size_is_made_again(run: Run, tiny: Dataset, text: Embedding) -> None:
    assert warm(opened(run, tiny), 0.5).new == tiny.n_items
    assert warm(opened(run, tiny), 0.5).new == 0
    vectors = run.store.path("embeddings", text.id) / VECTORS
    os.utime(vectors, ns=(1, vectors.stat().st_mtime_ns + 1))
    assert warm(opened(run, tiny), 0.5).new == tiny.n_items
    file = file_of(run, text)
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    assert any(f.damaged for f in examine(run.store))
    assert warm(opened(run, tiny), 0.5).new == tiny.n_items
    assert file.read_bytes() == whole


def test_a_doctor_lets_be_what_is_still_written_to(run: Run, tiny: Dataset, text: Embedding) -> None:
    scored = opened(run, tiny)
    scored.ground.content(0.5).prepare(np.arange(1, 9))
    assert [f for f in examine(run.store) if f.damaged] == []
    os.truncate(file_of(run, text), 40)
    (outcome,) = repair(run.store, examine(run.store))
    assert outcome.whole
    assert not file_of_any(run, text)
    assert warm(opened(run, tiny), 0.5).new == tiny.n_items


def file_of_any(run: Run, text: Embedding) -> list[Path]:
    return [*run.store.path("embeddings", text.id).glob(".nearest-*/rows")]


def test_they_go_with_the_embedding(store: Store, tiny: Dataset, text: Embedding) -> None:
    bare = ScoredRun(store, bare_run(store, tiny), scorer=FakeScorer(tiny.n_items))  # finds the newest embedding
    warm(bare, 0.0)
    assert file_of(bare.run, text)
    before = lists(bare)
    store.delete("embeddings", text.id)
    assert not store.path("embeddings", text.id).exists()
    assert lists(bare) == before


def test_a_folder_that_may_only_be_read_keeps_nothing(
    run: Run, tiny: Dataset, text: Embedding, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = lists(ScoredRun(run.store, run, scorer=FakeScorer(tiny.n_items), embedding=text))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with caplog.at_level(logging.WARNING):
        assert lists(opened(run, tiny)) == expected
    assert [record.message.count("they stay in memory") for record in caplog.records] == [1]
    with pytest.raises(UserError, match="may only be read"):
        warm(opened(run, tiny), 0.5)
    assert not file_of_any(run, text)


def test_what_was_done_stays_when_it_is_stopped(run: Run, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmesr.scoring.warm.AT_ONCE", 10)

    def stop(stage: str, done: int, total: int) -> None:
        assert total == tiny.n_items
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warm(opened(run, tiny), 0.5, stop)
    told: list[int] = []
    made = warm(opened(run, tiny), 0.5, lambda stage, done, total: told.append(done))
    assert (made.items, made.new) == (tiny.n_items, tiny.n_items - 30)
    assert told[-1] == tiny.n_items


def test_two_that_do_the_same_share_the_work(run: Run, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmesr.scoring.warm.AT_ONCE", 10)
    monkeypatch.setattr("llmesr.scoring.warm.WINDOW", 2)
    others: list[int] = []

    def another(stage: str, done: int, total: int) -> None:
        if done == 30:
            others.append(warm(opened(run, tiny), 0.5).new)

    made = warm(opened(run, tiny), 0.5, another)
    assert (made.new, others) == (30, [tiny.n_items - 30])


def test_of_a_small_catalogue_nothing_is_kept(
    run: Run, tiny: Dataset, text: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground, "ContentTerm", ContentTerm)
    assert warm(opened(run, tiny), 0.5).items == 0
    recommender = Recommender(opened(run, tiny))
    recommender.prepare(POLICY)
    assert not recommender.warm()
    assert not file_of_any(run, text)


def test_policies_without_lists_by_text_have_no_space(run: Run, tiny: Dataset) -> None:
    def spaces(policy: ScoringPolicy) -> list[float]:
        scored = opened(run, tiny)
        scored.policy = policy
        return spaces_of(scored)

    assert spaces(POLICY) == [0.5]
    assert spaces(ScoringPolicy()) == []
    assert spaces(POLICY.but(tail_users_only=True)) == []
