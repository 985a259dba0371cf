"""Copies, batches, the encoder on a tiny random decoder, and cached gradients."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import write_decoder
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model

from llmesr.config import EmbedConfig, FinetuneConfig
from llmesr.semantic.contrastive import (
    ContrastiveLoss,
    Copies,
    Encoder,
    backward,
    batch_items,
    retrieval_accuracy,
)
from llmesr.semantic.embedders.backbone import load_model, locate
from llmesr.semantic.embedders.pooling import Pooling, pool
from llmesr.semantic.embedders.transformer import TransformerEmbedder
from llmesr.semantic.lora import attach, target_modules

TEXTS_X = ["name is a b c d e f", "brand is x", "name is g; brand is z; category c", "description h"]
TEXTS_Y = ["brand is x y z", "name is b", "category c; name is g", "description h ; name is a b c"]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = write_decoder(tmp_path_factory.mktemp("llama"), [])
    return folder


def encoder_of(folder: Path, *, dropout: float = 0.0, pooling: Any = "mean") -> Encoder:
    source = locate(f"hf:{folder}")
    torch.manual_seed(3)
    model = attach(load_model(source), rank=4, alpha=8, dropout=dropout)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero at the start, which would leave lora_A without gradient
            torch.nn.init.normal_(parameter, std=0.05)
    return Encoder(
        model, TransformerEmbedder(source, EmbedConfig(embedder=f"hf:{folder}", pooling=pooling), device="cpu")
    )


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_padding_changes_nothing(decoder: Path, pooling: Any) -> None:
    encoder = encoder_of(decoder, pooling=pooling)
    encoder.model.eval()
    texts = (TEXTS_X + TEXTS_Y) * 3  # more than go through the model together
    together = encoder(texts)
    alone = torch.cat([encoder([text]) for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_pooling_reads_the_same_tokens_on_either_side() -> None:
    states = torch.randn(2, 3, 4)
    left = torch.cat([torch.full((2, 2, 4), 99.0), states], dim=1), torch.tensor([[0, 0, 1, 1, 1]] * 2)
    right = torch.cat([states, torch.full((2, 2, 4), -99.0)], dim=1), torch.tensor([[1, 1, 1, 0, 0]] * 2)
    means: dict[Pooling, torch.Tensor] = {"mean": states.mean(1), "last": states[:, 2], "cls": states[:, 0]}
    for how, expected in means.items():
        torch.testing.assert_close(pool(*left, how), expected)
        torch.testing.assert_close(pool(*right, how), expected)


@pytest.mark.parametrize("chunk_size", [1, 3, 5])
def test_cached_gradients_equal_plain_ones(decoder: Path, chunk_size: int | None) -> None:
    config = FinetuneConfig(normalise=True, targets="hard", temperature=0.2, learn_temperature=True)
    plain, cached = encoder_of(decoder), encoder_of(decoder)
    losses = [ContrastiveLoss(config), ContrastiveLoss(config)]
    a = backward(plain, losses[0], TEXTS_X, TEXTS_Y, weight=0.5)
    b = backward(cached, losses[1], TEXTS_X, TEXTS_Y, weight=0.5, chunk_size=chunk_size)
    assert a == pytest.approx(b, abs=1e-5)
    torch.testing.assert_close(losses[0].log_temperature.grad, losses[1].log_temperature.grad, atol=1e-5, rtol=1e-5)
    tuned = 0
    for (name, one), (_, two) in zip(plain.model.named_parameters(), cached.model.named_parameters(), strict=True):
        assert (one.grad is None) == ("lora_" not in name)
        if one.grad is not None:
            tuned += 1
            assert one.grad.abs().max() > 0
            torch.testing.assert_close(one.grad, two.grad, atol=1e-5, rtol=1e-5)
    assert tuned == 2 * 7 * 2  # A and B of seven projections in two blocks


def test_both_passes_of_a_cached_step_see_the_same_dropout(decoder: Path) -> None:
    encoder = encoder_of(decoder, dropout=0.5)
    encoder.model.train()
    seen = []

    def encode(texts: Sequence[str]) -> torch.Tensor:
        seen.append(encoder(texts))
        return seen[-1]

    backward(encode, ContrastiveLoss(FinetuneConfig()), TEXTS_X, TEXTS_Y, chunk_size=4, seed=(1, 2))
    first, second = torch.cat(seen[:2]), torch.cat(seen[2:])
    torch.testing.assert_close(first, second)
    seen.clear()
    backward(encode, ContrastiveLoss(FinetuneConfig()), TEXTS_X, TEXTS_Y, seed=(1, 3))
    assert not torch.allclose(seen[0], first)


def test_updates_start_as_no_change(decoder: Path) -> None:
    source = locate(f"hf:{decoder}")
    base = load_model(source)
    ids = torch.arange(6)[None]
    before = base(input_ids=ids).last_hidden_state
    tuned = attach(copy.deepcopy(base), rank=4, alpha=8, dropout=0.5).eval()
    torch.testing.assert_close(tuned(input_ids=ids).last_hidden_state, before)


def test_projections_are_found_in_every_architecture(decoder: Path) -> None:
    llama = target_modules(load_model(locate(f"hf:{decoder}")))
    kinds = {name.rpartition(".")[2] for name in llama}
    assert kinds == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    bert = BertModel(
        BertConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    )
    assert len(target_modules(bert)) == 6  # query, key, value, two outputs, intermediate; not the pooler
    gpt = GPT2Model(GPT2Config(vocab_size=9, n_embd=8, n_layer=2, n_head=1))
    assert len(target_modules(gpt)) == 8


def test_copies_depend_on_seed_step_and_item_alone() -> None:
    attributes = [[f"name is {i}", "brand is b", "category is c", "color is d", "size is e"] for i in range(3)]
    copies = Copies(attributes, 0.4, seed=5)
    assert copies.pair(1, 7) == Copies(attributes, 0.4, seed=5).pair(1, 7)
    assert copies.pair(1, 7) != copies.pair(1, 8)
    x, y = copies.pair(2, 1)
    assert x != y
    assert x.count(" is ") == y.count(" is ") == 3  # two of five dropped
    assert copies.pairs(np.array([2, 0]), 1)[0] == [copies.pair(2, 1)[0], copies.pair(0, 1)[0]]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(2, 50), st.integers(0, 99))
def test_a_pass_shows_each_item_at_most_once(count: int, size: int, seed: int) -> None:
    items = np.arange(100, 100 + count)
    per_pass = count // min(size, count)
    shown = np.concatenate([batch_items(items, size, number, seed) for number in range(per_pass)])
    assert len(set(shown.tolist())) == len(shown) == per_pass * min(size, count)
    assert set(shown.tolist()) <= set(items.tolist())
    again = batch_items(items, size, per_pass, seed)  # the next pass is shuffled anew, and always in the same way
    np.testing.assert_array_equal(again, batch_items(items, size, per_pass, seed))


def test_accuracy_by_hand() -> None:
    x = torch.eye(3)
    assert retrieval_accuracy(x, x) == 1
    y = torch.tensor([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])  # the last two are swapped
    assert retrieval_accuracy(x, y) == pytest.approx(1 / 3)
    assert retrieval_accuracy(torch.ones(4, 2), torch.ones(4, 2)) == 0  # all alike: nothing is found
