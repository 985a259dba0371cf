"""Batches by hand."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from llmesr.config import RunConfig
from llmesr.data.batches import Sequences, bucketed
from llmesr.data.dataset import Dataset, load_dataset, write_dataset
from llmesr.store import Store
from llmesr.training import rows
from llmesr.training.rows import Rows, Seen, cloze_batch, next_item_batch
from llmesr.training.train import train


def by_hand(store: Store) -> Dataset:
    """User a: 1 2 3 4 5 (trains on 1 2 3), b: 2 4 6 (trains on 2), c: 5 6 (all for training)."""
    histories = [[1, 2, 3, 4, 5], [2, 4, 6], [5, 6]]
    rows = [(u, i) for u, history in enumerate(histories) for i in history]
    with store.draft("datasets", "hand", name="hand", seed=1) as draft:
        write_dataset(
            draft,
            interactions=pd.DataFrame(rows, columns=["user", "item"]),
            user_ids=["a", "b", "c"],
            catalogue=pd.DataFrame({"item_id": [f"i{n}" for n in range(1, 7)], "title": "x"}),
        )
    return load_dataset(store, "hand")


def test_rows_need_something_to_predict_and_windows_cover_the_past(store: Store) -> None:
    data = by_hand(store)
    whole = Rows.of(data, max_length=50, all_windows=True)
    assert whole.users.tolist() == [0, 2]
    assert whole.ends.tolist() == [3, 2]
    windows = Rows.of(data, max_length=1, all_windows=True)
    assert list(zip(windows.users.tolist(), windows.ends.tolist(), strict=True)) == [(0, 3), (0, 2), (2, 2)]


def test_next_item_batch_shifts_by_one(store: Store) -> None:
    sequences = Sequences(by_hand(store))
    batch = next_item_batch(sequences, torch.tensor([0, 2]), torch.tensor([3, 2]), max_length=50, last_only=False)
    assert batch.inputs.tolist() == [[1, 2], [5, 0]]
    assert batch.targets.tolist() == [[2, 3], [6, 0]]
    last = next_item_batch(sequences, torch.tensor([0, 2]), torch.tensor([3, 2]), max_length=50, last_only=True)
    assert last.targets.tolist() == [[0, 3], [6, 0]]


def test_cloze_masks_what_it_asks_for(store: Store) -> None:
    torch.manual_seed(0)
    sequences = Sequences(by_hand(store))
    users, ends = torch.tensor([0, 2] * 50), torch.tensor([3, 2] * 50)
    batch = cloze_batch(sequences, users, ends, max_length=50, mask_ratio=0.3, n_items=6, last_only=False)
    asked = batch.targets != 0
    assert (batch.inputs[asked] == 7).all()
    assert asked.any(1).all()
    assert not ((batch.inputs == 7) & ~asked).any()
    whole, _ = sequences.padded(users, ends, 50)
    assert (torch.where(asked, batch.targets, batch.inputs) == whole).all()


def test_negatives_are_never_in_the_training_history(store: Store) -> None:
    data = by_hand(store)
    seen = Seen(data, torch.device("cpu"))
    assert "keys" not in vars(seen)  # a loss that never asks does not pay for them
    assert seen.contains(torch.tensor([0, 0, 1, 2]), torch.tensor([3, 4, 2, 6])).tolist() == [True, False, True, True]
    drawn = seen.sample(torch.tensor([0, 2]), 200)
    assert set(drawn[0].tolist()) == {4, 5, 6}
    assert set(drawn[1].tolist()) == {1, 2, 3, 4}


def test_every_row_once_per_epoch_in_batches_of_similar_length() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(1, 50, 1000)
    batches = list(bucketed(np.arange(1000), lengths, 32, random))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    assert np.mean([np.ptp(lengths[b]) for b in batches]) < 5


def test_batches_of_as_many_positions() -> None:
    """A few long histories make a batch, or many short ones."""
    random = np.random.default_rng(0)
    lengths = np.minimum(random.geometric(0.1, 5000), 50)
    batches = list(bucketed(np.arange(5000), lengths, 32, random, lengths))
    assert sorted(np.concatenate(batches).tolist()) == list(range(5000))
    whole = np.array([lengths[b].sum() for b in batches])
    assert np.abs(whole / whole.mean() - 1).max() < 50 / whole.mean()  # no rest of a pool
    assert max(map(len, batches)) > 4 * min(len(b) for b in batches if lengths[b].max() == 50)
    assert len(batches) == pytest.approx(5000 / 32, rel=0.1)


@pytest.mark.parametrize("many", [1, 2, 33, 1024, 1025, 1500, 2049])
def test_no_batch_is_a_rest(many: int) -> None:
    """However many users there are: a batch of few would count as much as the others."""
    lengths = np.random.default_rng(1).integers(1, 9, many)
    batches = list(bucketed(np.arange(many), lengths, 32, np.random.default_rng(0), lengths))
    assert sorted(np.concatenate(batches).tolist()) == list(range(many))
    whole = np.array([lengths[b].sum() for b in batches])
    assert whole.min() > 0.6 * whole.mean()


@pytest.mark.parametrize("targets", ["all", "last"])
@pytest.mark.parametrize("backbone", ["sasrec", "bert4rec"])
def test_rows_know_how_many_positions_they_predict(store: Store, backbone: str, targets: str) -> None:
    """As many as batches are seen to have, those of drawn masks on average over many draws."""
    torch.manual_seed(0)
    data, masked = by_hand(store), backbone == "bert4rec"
    config = RunConfig.read(None, method="id", backbone=backbone, targets=targets, mask_ratio=0.3, max_length=3)
    made = Rows.of(data, max_length=3, all_windows=False)
    users, ends = (torch.from_numpy(of).repeat(4000) for of in (made.users, made.ends))
    asked: dict[str, Any] = {"max_length": 3, "last_only": targets == "last"}
    sequences = Sequences(data)
    if masked:
        batch = cloze_batch(sequences, users, ends, mask_ratio=0.3, n_items=6, **asked)
    else:
        batch = next_item_batch(sequences, users, ends, **asked)
    found = (batch.targets != 0).sum(1).reshape(4000, -1).float().mean(0).numpy()
    assert made.predicted(config, masked=masked) == pytest.approx(found, abs=0.05)


def test_training_takes_them_where_that_is_asked_for(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: dict[str, list[int]] = {}

    def noted(*given: Any) -> Iterator[np.ndarray]:
        for batch in bucketed(*given):
            sizes[kind].append(len(batch))
            yield batch

    monkeypatch.setattr(rows, "bucketed", noted)
    for kind in ("users", "positions"):
        sizes[kind] = []
        train(tiny, RunConfig.read(None, method="id", epochs=1, batch_size=8, batches=kind), store)
    assert sum(sizes["users"]) == sum(sizes["positions"])
    assert max(sizes["users"]) == 8 < max(sizes["positions"])
