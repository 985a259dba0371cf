"""A bar of progress only rises, whatever stages a command goes through."""

from __future__ import annotations

import pytest
from factories import make_dataset
from hypothesis import given
from hypothesis import strategies as st

from llmesr.config import RunConfig
from llmesr.progress import Rising
from llmesr.store import Store
from llmesr.training.train import train

steps = st.tuples(st.sampled_from(["searching", "training", "ranking (valid)"]), st.integers(0, 20), st.integers(0, 10))


@given(st.lists(steps))
def test_a_share_only_rises_and_stays_a_share(told: list[tuple[str, int, int]]) -> None:
    rising = Rising()
    shares = [rising.at(*one) for one in told]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_what_prepares_leaves_the_way_to_what_follows() -> None:
    rising = Rising()
    assert rising.at("searching", 5, 5) == pytest.approx(0.1)
    assert rising.at("training", 1, 2) == pytest.approx(0.1 + 0.9 * 0.9 / 2)
    assert rising.at("ranking (test)", 0, 9) == rising.share


def test_a_training_of_several_epochs_goes_one_way(store: Store) -> None:
    told: list[tuple[str, int, int]] = []
    config = RunConfig.read(None, method="id", epochs=3, embedding_size=8, layers=1, max_length=10)
    train(
        make_dataset(store, users=60, items=30), config, store, device="cpu",
        progress=lambda stage, done, total: told.append((stage, done, total)),
    )  # fmt: skip
    rising = Rising()
    shares = [rising.at(*one) for one in told]
    assert shares == sorted(shares)
    epochs = [done / total for stage, done, total in told if stage.startswith("training")]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 1
    assert len(set(epochs)) == len(epochs) >= 3
