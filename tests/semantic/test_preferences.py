"""Fine-tuning on what users prefer: targets by hand, resume, and signal against shuffled histories."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from fake_embedder import FakeEmbedder
from resumed_tuning import WEIGHTS, whole_and_resumed
from safetensors.torch import load_file
from tiny_models import write_encoder

from llmesr.config import EmbedConfig, FinetuneConfig, IngestConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest_frames
from llmesr.data.unit_rows import unit_rows
from llmesr.errors import UserError
from llmesr.semantic.contrastive import Copies
from llmesr.semantic.embed import embed
from llmesr.semantic.history_prompts import HistoryPrompts
from llmesr.semantic.preferences import HEAD, NONE, PreferenceLoss, Preferences
from llmesr.store import Store
from llmesr.training.categories import categories
from llmesr.training.finetune import finetune
from llmesr.training.material import gather
from llmesr.training.train import train


def preferences(users: str = "prompt") -> Preferences:
    copies = Copies([[f"name is {t}"] for t in "abcde"], 0.0, 1)
    histories = [np.array([0, 1, 3]), np.array([4])]
    catalogue = pd.DataFrame({"item_id": list("ABCDE"), "title": list("abcde")})
    prompts = HistoryPrompts(catalogue, FakeEmbedder()) if users == "prompt" else None
    return Preferences(copies, histories, np.array([0, 0, 1, 1, 2]), prompts)


def test_a_preference_is_the_share_of_each_category_in_the_history() -> None:
    expected = torch.tensor([[2 / 3, 1 / 3, 0], [0, 0, 1]])
    torch.testing.assert_close(preferences().beside(np.array([0, 1]), 1), expected)


def test_a_user_is_read_as_titles_or_as_items_of_the_history() -> None:
    texts, nothing = preferences().pairs(np.array([0, 1]), 3)
    assert nothing == []
    assert "a; b; d" in texts[0]
    drawn, _ = preferences("mean").pairs(np.array([0, 1]), 3)
    assert len(drawn) == 8
    assert set(drawn[4:]) == {"The item has the following attributes: name is e."}
    assert preferences("mean").pairs(np.array([0]), 3)[0] != preferences("mean").pairs(np.array([0]), 4)[0]


def test_held_out_items_are_judged_against_other_categories() -> None:
    own, partners = preferences().pairs(np.array([0, 2]), 0)
    assert [text[-2] for text in own + partners] == ["a", "c", "b", "d"]
    same = preferences().beside(np.array([0, 1, 2]), 0)
    assert same.tolist() == [[False, True, False], [True, False, False], [False, False, False]]


def test_the_loss_by_hand() -> None:
    loss = PreferenceLoss(2, 3)
    target = torch.tensor([[0.5, 0.5, 0.0]])
    assert loss(torch.tensor([[3.0, 4.0]]), beside=target).item() == pytest.approx(np.log(3))  # it begins undecided
    with torch.no_grad():
        loss.weight[0, 0] = 1 / HEAD
    x = torch.tensor([[2.0, 0.0], [0.0, 5.0]])  # unit rows (1, 0) and (0, 1), whose mean is (.5, .5)
    logits = torch.tensor([0.5, 0.0, 0.0])
    assert loss(x, beside=target).item() == pytest.approx(-(target[0] * F.log_softmax(logits, 0)).sum().item())


WORDS = [["pen", "ink"], ["lamp", "bulb"], ["desk", "chair"], ["tea", "cup"]]
"""Who buys one kind buys only that; the other words of a title say nothing."""


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> tuple[Dataset, FinetuneConfig]:
    rng = np.random.default_rng(3)
    kind = np.arange(96) % 4
    fillers = [f"word{number}" for number in range(12)]
    titles = [" ".join([*rng.choice(fillers, 4), *rng.choice(WORDS[k], 1)]) for k in kind]
    items = pd.DataFrame({"item_id": [f"i{i}" for i in range(96)], "title": titles})
    chosen = [rng.choice(np.flatnonzero(kind == user % 4), 7, replace=False) for user in range(240)]
    events = pd.DataFrame(
        [(f"u{u}", f"i{i}", t) for u, own in enumerate(chosen) for t, i in enumerate(own)],
        columns=["user_id", "item_id", "timestamp"],
    )
    data = ingest_frames(events, items, IngestConfig(name="shop"), store)
    config = FinetuneConfig(
        base=f"hf:{write_encoder(tmp_path / 'bert', titles)}", objective="preferences", categories=4, steps=6,
        evaluate_every=3, batch_size=16, max_tokens=64, learning_rate=3e-3, drop_ratio=0.0, held_out=0.3, lora_rank=8,
        lora_dropout=0.0,
    )  # fmt: skip
    return data, config


def told(data: Dataset, config: FinetuneConfig, store: Store, adapter: str | None) -> float:
    """How often a held-out item is nearer to an item of its category than to one of another; chance is 1/2."""
    made = embed(data, EmbedConfig(embedder=config.base, pooling="mean", adapter=adapter), store)
    cosines = unit_rows(made.item_vectors) @ unit_rows(made.item_vectors).T
    own = categories(data, config, store)
    found = []
    for item in gather(data, config, store).held_out:
        same = own == own[item]
        others = np.arange(len(own)) != item
        found.append((cosines[item][same & others][:, None] > cosines[item][~same & others][None]).mean())
    return float(np.mean(found))


@pytest.mark.slow
@pytest.mark.parametrize("users", ["prompt", "mean"])
def test_categories_of_held_out_items_are_told_better_and_shuffled_histories_teach_nothing(
    shop: tuple[Dataset, FinetuneConfig], store: Store, users: str
) -> None:
    data, config = shop
    config = config.but(steps=100, evaluate_every=25, batch_size=32, users=users)
    learned = finetune(data, config, store)
    raw, tuned = (told(data, config, store, id) for id in (None, learned.id))
    shuffled = replace(data, items=np.random.default_rng(0).permutation(data.items))
    noise = told(data, config, store, finetune(shuffled, config, store).id)
    assert tuned > raw + 0.08
    assert noise < raw + 0.05
    assert learned.manifest.info["after"]["accuracy"] > learned.manifest.info["before"]["accuracy"] + 0.03
    assert learned.manifest.info["chance"] == 0.5


def test_resume_equals_uninterrupted(
    shop: tuple[Dataset, FinetuneConfig], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, config = shop
    whole, a, b = whole_and_resumed(data, config, store, monkeypatch)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert all("lora_" in name for name in a)  # the head is for tuning alone
    for change in ({"users": "mean"}, {"categories": 2}):
        other = load_file(finetune(data, config.but(**change), store).folder / WEIGHTS)
        assert any(not torch.equal(a[name], other[name]) for name in a)
    assert whole.manifest.info["users_trained"] > 230


def test_only_the_training_part_is_read(shop: tuple[Dataset, FinetuneConfig], store: Store) -> None:
    data, config = shop
    last = data.offsets[1:][data.lengths >= 3] - 1  # shorter histories are for training only
    items = data.items.copy()
    for back in (0, 1):
        items[last - back] = 1 + (items[last - back] + 5) % data.n_items
    same, changed = (gather(d, config, store).objective for d in (data, replace(data, items=items)))
    assert isinstance(same, Preferences)
    assert isinstance(changed, Preferences)
    np.testing.assert_array_equal(same.categories, changed.categories)
    assert all(np.array_equal(a, b) for a, b in zip(same.histories, changed.histories, strict=True))


def test_held_out_items_are_in_no_history(shop: tuple[Dataset, FinetuneConfig], store: Store) -> None:
    data, config = shop
    material = gather(data, config, store)
    assert isinstance(material.objective, Preferences)
    assert not np.isin(np.concatenate(material.objective.histories), material.held_out).any()
    assert all(len(material.objective.histories[user]) for user in material.train)


def test_categories_may_come_from_a_run(shop: tuple[Dataset, FinetuneConfig], store: Store) -> None:
    data, config = shop
    run = train(data, RunConfig.read(None, method="id", epochs=1, embedding_size=8, max_length=10), store)
    own = categories(data, config, store)
    other = categories(data, config.but(categories_of=run.id), store)
    assert (own != other).any()
    assert ((own == NONE) == (np.asarray(data.item_counts)[1:] == 0)).all()
    popular = train(data, RunConfig.read(None, method="popularity"), store)
    with pytest.raises(UserError, match="no item vectors"):
        categories(data, config.but(categories_of=popular.id), store)


def test_what_cannot_be_tuned_on_is_refused(shop: tuple[Dataset, FinetuneConfig], store: Store) -> None:
    data, config = shop
    with pytest.raises(UserError, match="needs at least 4 in two categories"):
        gather(data.without(np.arange(data.n_users)), config, store)
