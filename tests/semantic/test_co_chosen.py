"""Fine-tuning on what is chosen together: pairs by hand, resume, and signal against shuffled pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sparse
import torch
from resumed_tuning import WEIGHTS, whole_and_resumed
from safetensors.torch import load_file
from tiny_models import write_encoder

from llmesr.config import FinetuneConfig
from llmesr.data.dataset import Dataset
from llmesr.data.synthetic import make
from llmesr.errors import UserError
from llmesr.objectives.contrastive import soft_contrastive
from llmesr.semantic.co_chosen import CoChosen, told_apart
from llmesr.semantic.contrastive import Copies
from llmesr.store import Store
from llmesr.training.finetune import finetune
from llmesr.training.material import gather

TOGETHER = sparse.csr_matrix(
    np.array([[0, 2, 1, 0, 0], [2, 0, 0, 0, 0], [1, 0, 0, 3, 0], [0, 0, 3, 0, 1], [0, 0, 0, 1, 0]], float)
)


def pairs(held_out: tuple[int, ...] = ()) -> CoChosen:
    copies = Copies([["name is a"], ["name is b"], ["name is c"], ["name is d"], ["name is e"]], 0.0, 1)
    return CoChosen(copies, TOGETHER, np.array(held_out, dtype=int))


def test_partners_were_chosen_together_and_popular_ones_count_less() -> None:
    found = [pairs().partner(0, step) for step in range(1, 400)]
    assert set(found) == {1, 2}
    # 2 / sqrt(2) against 1 / sqrt(4)
    assert np.mean(np.array(found) == 1) == pytest.approx(2 / np.sqrt(2) / (2 / np.sqrt(2) + 1 / 2), abs=0.07)
    assert pairs().pair(1, 5) == tuple(f"The item has the following attributes: name is {n}." for n in "ba")


def test_held_out_partners_are_for_judging_alone() -> None:
    kept = pairs(held_out=(1,))
    assert {kept.partner(0, step) for step in range(1, 60)} == {2}
    assert kept.partner(1, 0) == 0


def test_what_the_same_users_chose_is_no_negative() -> None:
    one = CoChosen(pairs().copies, TOGETHER, np.array([0]))  # in training 2 and 3 have only each other, 4 has 3
    items = np.array([2, 3, 4])
    assert [one.partner(int(i), 1) for i in items[[0, 2]]] == [3, 3]
    barred = one.beside(items, 1)
    assert not barred.diagonal().any()
    assert barred[0, 2]  # the partner of 4 is 3, which stood beside 2
    assert barred[1, 2]  # and is item 3 itself


def test_barred_pairs_neither_cost_nor_gain() -> None:
    x, y = torch.eye(3), torch.eye(3)[[0, 0, 2]]
    barred = torch.zeros(3, 3, dtype=torch.bool)
    barred[0, 1] = True
    plain = soft_contrastive(x, y, 0.1, normalise=True, targets="hard")
    assert soft_contrastive(x, y, 0.1, normalise=True, targets="hard", barred=barred) < plain
    with pytest.raises(ValueError, match="soft targets"):
        soft_contrastive(x, y, 0.1, barred=barred)


def test_partners_are_told_from_strangers_by_hand() -> None:
    x, y = torch.eye(3), torch.eye(3)[[0, 0, 2]]
    barred = torch.zeros(3, 3, dtype=torch.bool)
    # Row 0 ties and wins, row 1 ties twice, row 2 wins twice; column 0 wins twice, 1 loses and ties, 2 wins twice.
    rows, columns = (0.5 + 1) + (0.5 + 0.5) + 2, (1 + 1) + (0 + 0.5) + 2
    assert told_apart(x, y, barred) == pytest.approx((rows + columns) / 12)
    barred[0, 1] = True
    assert told_apart(x, y, barred) == pytest.approx((rows - 0.5 + columns) / 10)
    assert told_apart(x[:1], y[:1], barred[:1, :1]) == 0.5


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> tuple[Dataset, FinetuneConfig]:
    data = make(store, name="shop", users=400, items=120, seed=2)
    texts = data.catalogue[data.text_columns].to_numpy().ravel().tolist()
    config = FinetuneConfig(
        base=f"hf:{write_encoder(tmp_path / 'bert', texts)}", objective="co_chosen", targets="hard", normalise=True,
        temperature=0.1, steps=6, evaluate_every=3, batch_size=16, max_tokens=48, learning_rate=3e-3, drop_ratio=0.0,
        held_out=0.3, lora_rank=8, lora_dropout=0.0,
    )  # fmt: skip
    return data, config


def area(run: Any, data: Dataset, config: FinetuneConfig, after: bool) -> float:
    """How often a held-out item is nearer to one it stood near than to one it did not (area under the curve)."""
    from llmesr.config import EmbedConfig
    from llmesr.semantic.embed import embed

    made = embed(data, EmbedConfig(embedder=config.base, pooling="mean", adapter=run.id if after else None), run.store)
    vectors = made.item_vectors / np.linalg.norm(made.item_vectors, axis=1, keepdims=True)
    material = gather(data, config, run.store)
    assert isinstance(material.objective, CoChosen)
    near = material.objective.together[material.held_out].toarray() > 0
    cosines = vectors[material.held_out] @ vectors.T
    ranks = pd.Series(cosines.ravel()).rank().to_numpy().reshape(cosines.shape)
    positive = int(near.sum())
    return float((ranks[near].sum() - positive * (positive + 1) / 2) / (positive * (near.size - positive)))


@pytest.mark.slow
def test_held_out_pairs_are_told_apart_better_and_shuffled_pairs_teach_nothing(
    shop: tuple[Dataset, FinetuneConfig], store: Store
) -> None:
    data, config = shop
    config = config.but(steps=200, evaluate_every=200, batch_size=32)
    learned = finetune(data, config, store, run_id="learned")
    raw, tuned = (area(learned, data, config, after) for after in (False, True))
    shuffled = replace(data, items=np.random.default_rng(0).permutation(data.items))
    noise = area(finetune(shuffled, config, store, run_id="noise"), data, config, after=True)
    assert tuned > raw + 0.05
    assert noise < raw + 0.03
    assert learned.manifest.info["after"]["accuracy"] > learned.manifest.info["before"]["accuracy"]
    assert learned.manifest.info["chance"] == 0.5


def test_resume_equals_uninterrupted(
    shop: tuple[Dataset, FinetuneConfig], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, config = shop
    whole, a, b = whole_and_resumed(data, config, store, monkeypatch)
    assert all(torch.equal(a[name], b[name]) for name in a)
    wider = finetune(data, config.but(window=1), store, run_id="wider")
    assert any(not torch.equal(a[n], t) for n, t in load_file(wider.folder / WEIGHTS).items())
    assert whole.config.objective == "co_chosen"


def test_only_the_training_part_is_read(shop: tuple[Dataset, FinetuneConfig], store: Store) -> None:
    data, config = shop
    last = data.offsets[1:][data.lengths >= 3] - 1  # shorter histories are for training only
    items = data.items.copy()
    for back in (0, 1):
        items[last - back] = 1 + (items[last - back] + 5) % data.n_items
    changed, same = (gather(d, config, store).objective for d in (replace(data, items=items), data))
    assert isinstance(changed, CoChosen)
    assert isinstance(same, CoChosen)
    assert (changed.together != same.together).nnz == 0


def test_what_cannot_be_tuned_on_is_refused(shop: tuple[Dataset, FinetuneConfig], store: Store) -> None:
    data, config = shop
    with pytest.raises(UserError, match="use targets=hard"):
        FinetuneConfig.read(None, objective="co_chosen")
    nobody = data.without(np.arange(data.n_users))
    with pytest.raises(UserError, match="needs at least 4"):
        gather(nobody, config, store)
