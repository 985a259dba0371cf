"""Batches by hand."""

import numpy as np
import pandas as pd
import torch

from llmesr.data.batches import Sequences, bucketed
from llmesr.data.dataset import Dataset, load_dataset, write_dataset
from llmesr.store import Store
from llmesr.training.rows import Rows, Seen, cloze_batch, next_item_batch


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
