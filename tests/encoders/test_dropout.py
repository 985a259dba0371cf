"""Dropout from shared random bytes is dropout."""

from __future__ import annotations

import pytest
import torch

from llmesr.encoders import attention
from llmesr.encoders.attention import Attention
from llmesr.encoders.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.99])
def test_share_scale_and_mean(p: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(400, 501)
    out = Dropout(p).train()(x)
    dropped = round(p * 256) / 256
    assert (out == 0).float().mean().item() == pytest.approx(dropped, abs=0.005)
    assert out[out != 0].unique().tolist() == pytest.approx([1 / (1 - dropped)])
    assert out.mean().item() == pytest.approx(1, abs=0.06)


def test_neighbouring_elements_are_independent() -> None:
    torch.manual_seed(0)
    zero = (Dropout(0.5).train()(torch.ones(200_000)) == 0).float()
    for apart in range(1, 17):
        together = (zero[:-apart] * zero[apart:]).mean().item()
        assert together == pytest.approx(0.25, abs=0.005)


def test_nothing_happens_when_not_training_or_at_zero() -> None:
    x = torch.randn(3, 4)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_the_seed_decides_and_gradients_follow_the_mask() -> None:
    layer, x = Dropout(0.5).train(), torch.randn(50, 7, requires_grad=True)
    torch.manual_seed(3)
    first = layer(x)
    torch.manual_seed(3)
    assert torch.equal(first, layer(x))
    first.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, first == 0)


@pytest.mark.parametrize("cached", [1, 150, 700_000])
@pytest.mark.parametrize("causal", [True, False])
def test_attention_with_and_without_dropout_is_the_same_function(
    causal: bool, cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share too small to drop anything takes the other path, in parts of any size, to the same numbers."""
    monkeypatch.setattr(attention, "CACHED", cached)
    torch.manual_seed(0)
    with_dropout = Attention(embedding_size=8, heads=2, dropout=1e-4).train()
    without = Attention(embedding_size=8, heads=2, dropout=0.0).train()
    without.load_state_dict(with_dropout.state_dict())
    x = torch.randn(7, 5, 8)
    real = torch.arange(5) < torch.tensor([5, 2, 3, 1, 4, 5, 2])[:, None]
    torch.testing.assert_close(with_dropout(x, x, real, causal=causal), without(x, x, real, causal=causal))
