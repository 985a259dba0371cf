"""Candidates that are all there give the exact ranks; the recall that is stated is the one there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from evaluation_cases import Table, dataset_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation import two_stage as module
from llmesr.evaluation.ranks import evaluate
from llmesr.evaluation.two_stage import TwoStage, recall_of
from llmesr.retrieval.index_inner import InnerProducts
from llmesr.scoring.again import evaluate_again
from llmesr.store import Store
from llmesr.training.train import train

pytest.importorskip("faiss")


class Means:
    """A user is the sum of the history's items."""

    def __init__(self, items: Tensor) -> None:
        self.items = items

    def represent(self, sequences: Tensor) -> Tensor:
        return self.items[sequences].sum(1)

    def item_matrix(self) -> Tensor:
        return self.items

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return self.represent(sequences) @ self.items.T


class Whole:
    """An index of one list, which finds everything."""

    lists = probed = 1

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        return np.argsort(-(queries @ self.vectors.T), axis=1, kind="stable")[:, :k]


class Half(Whole):
    """Misses every item with an even number until it probes both lists."""

    lists = 2

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        found = super().search(queries, k)
        return found if self.probed == 2 else np.where(found % 2 == 1, -1, found)


def world(n_items: int = 40, users: int = 12) -> tuple[Dataset, Means]:
    rng = np.random.default_rng(1)
    histories = [rng.permutation(np.arange(1, n_items + 1))[: rng.integers(3, 9)].tolist() for _ in range(users)]
    items = torch.from_numpy(rng.normal(size=(n_items + 1, 4)).astype(np.float32))
    items[0] = 0
    return dataset_of(histories, n_items), Means(items)


@pytest.mark.parametrize("part", ["valid", "test"])
def test_with_all_candidates_the_ranks_are_exact(part: str) -> None:
    data, scorer = world()
    search = TwoStage(Whole)
    found, exact = search(scorer, data, part), evaluate(scorer, data, part)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(found.frame, exact.frame)
    np.testing.assert_array_equal(found.top_items, exact.top_items)
    assert search.report() == {"kind": "two-stage", "recall": 1.0, "lists": 1, "probed": 1, "exact_to": 256}


def test_a_case_counted_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two candidates of five items: what is among them is counted, what is not comes behind by its share."""
    monkeypatch.setattr(module, "DEPTH", 2)
    items = torch.tensor([[0.0], [1.0], [5.0], [4.0], [3.0], [2.0]])
    data = dataset_of([[1, 4, 3], [1, 2, 5]], 5)  # users of one dimension: their history's sum, above 0
    found = TwoStage(Whole)(Means(items), data, "test", top=3)
    full = found.frame[found.frame["protocol"] == "full"]
    # u0 reads 1, 4; candidates 2 (5.0) and 3 (4.0): the target 3 is second of 2, 3, 5.
    # u1 reads 1, 2; candidates 2 (seen) and 3: the target 5 is below them. Of all unseen ones 3 and 4 score higher.
    assert full["rank"].tolist() == [2, 3]
    assert full["candidates"].tolist() == [3, 3]
    assert found.top_items.tolist() == [[2, 3, 0], [3, 0, 0]]


def test_more_lists_are_probed_until_the_recall_is_there() -> None:
    data, scorer = world()
    search = TwoStage(Half)
    found = search(scorer, data, "test")
    assert search.probed == 2
    assert search.recall == 1.0
    pd.testing.assert_frame_equal(found.frame, evaluate(scorer, data, "test").frame)
    content = TwoStage(Half, recall=0.1)
    content(scorer, data, "test")
    assert content.probed == 1
    assert 0.2 < content.recall < 0.8  # half of the items are never candidates


def test_the_inverted_file_finds_what_is_best() -> None:
    rng = np.random.default_rng(0)
    vectors, queries = (rng.normal(size=(n, 8)).astype(np.float32) for n in (2000, 30))
    index = InnerProducts(vectors)
    assert index.lists == 50
    index.probed = 999
    assert index.probed == 50
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :5]
    np.testing.assert_array_equal(index.search(queries, 5), expected)


def test_a_model_without_vectors_is_refused() -> None:
    data, _ = world()
    with pytest.raises(UserError, match="ranking=exact"):
        TwoStage(Whole)(Table(np.zeros((12, 41))), data, "test")


def test_a_run_says_how_it_was_ranked(tiny: Dataset, store: Store) -> None:
    config = RunConfig.read(None, method="id", embedding_size=8, epochs=1, ranking="two-stage")
    run = train(tiny, config, store)
    said = run.manifest.info["ranking"]
    assert said["kind"] == "two-stage"
    assert said["recall"] >= 0.99
    assert recall_of(run.manifest) == said["recall"]
    assert evaluate_again(run, "cpu").manifest.info["ranking"]["kind"] == "two-stage"  # the same way again
    exact = train(tiny, config.but(ranking="exact"), store)
    assert recall_of(evaluate_again(exact, "cpu").manifest) is None
    columns = ["user", "target", "protocol", "candidates"]
    pd.testing.assert_frame_equal(run.per_user()[columns], exact.per_user()[columns])
    with pytest.raises(UserError, match="base"):
        RunConfig.read(None, method="id", base="ease", ranking="two-stage")


class Largest(TorchDispatchMode):
    """How many numbers the largest tensor has that is made meanwhile."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = made if isinstance(made, tuple | list) else (made,)
        self.size = max([self.size, *(t.numel() for t in tensors if isinstance(t, Tensor))])
        return made


def test_a_long_history_costs_no_candidates_times_its_length() -> None:
    rng = np.random.default_rng(2)
    data = dataset_of([rng.permutation(np.arange(1, 2001))[:1500].tolist(), [3, 5, 8, 9]], 2000)
    scorer = Means(torch.from_numpy(rng.normal(size=(2001, 4)).astype(np.float32)))
    with Largest() as made:
        found = TwoStage(Whole)(scorer, data, "test")
    assert made.size < 1_000_000  # 2 users, 2,000 items, 1,500 seen: 6,000,000
    full = found.frame[found.frame["protocol"] == "full"]
    assert full["candidates"].tolist() == [501, 1997]


def test_what_is_among_what_was_seen() -> None:
    rng = np.random.default_rng(0)
    items, seen = (torch.from_numpy(rng.integers(0, 30, (5, n))) for n in (17, 9))
    assert torch.equal(module._among(items, seen), (items[:, :, None] == seen[:, None]).any(2))
    shared = items[0].expand(5, -1)
    assert torch.equal(module._among(shared, seen), (shared[:, :, None] == seen[:, None]).any(2))
