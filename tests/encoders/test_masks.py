"""No encoder may look where it must not: masks proved by perturbation."""

import itertools
from typing import Any

import pytest
import torch

from llmesr.config import RunConfig
from llmesr.encoders import ENCODERS
from llmesr.methods import Inputs, build

SMALL: dict[str, Any] = {"embedding_size": 8, "heads": 2, "codebook_size": 3}
SIZES = {"embedding_size": 8, "layers": 2, "heads": 2, "dropout": 0.0}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("causal", [True, False])
def test_padding_never_reaches_a_real_position(name: str, causal: bool) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name](causal=causal, **SIZES).eval()
    x = torch.randn(2, 6, 8)
    real = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    before = encoder(x, real)
    x[1, 3:] = 100.0
    after = encoder(x, real)
    torch.testing.assert_close(before[0], after[0])
    torch.testing.assert_close(before[1, :3], after[1, :3])


@pytest.mark.parametrize(("name", "blind"), [("sasrec", True), ("gru4rec", True), ("bert4rec", False)])
def test_the_future_is_hidden_from_causal_encoders_only(name: str, blind: bool) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name](causal=True, **SIZES).eval()
    x = torch.randn(1, 5, 8)
    real = torch.ones(1, 5, dtype=torch.bool)
    before = encoder(x, real)
    x[0, 4, 0] += 1.0
    after = encoder(x, real)
    assert torch.allclose(before[0, :4], after[0, :4], atol=1e-6) is blind
    assert not torch.allclose(before[0, 4], after[0, 4])


def test_sasrec_sees_both_ways_when_asked_to() -> None:
    torch.manual_seed(0)
    encoder = ENCODERS["sasrec"](causal=False, **SIZES).eval()
    x = torch.randn(1, 4, 8)
    real = torch.ones(1, 4, dtype=torch.bool)
    before = encoder(x, real)
    x[0, 3, 0] += 1.0
    assert not torch.allclose(before[0, 0], encoder(x, real)[0, 0])


@pytest.mark.parametrize("name", ENCODERS)
def test_a_writer_of_codes_reads_no_later_item_and_no_code_before_it_is_written(name: str) -> None:
    """What is asked of the model at a position and at a step, by changing all that must not be seen there."""
    torch.manual_seed(0)
    codes = torch.tensor([[0, 0, 0], *itertools.product((1, 2, 3), (1, 2, 3), (1, 2))], dtype=torch.int16)
    config = RunConfig.read(None, method="generative", backbone=name, max_length=6, dropout=0.0, **SMALL)
    text = torch.randn(len(codes), 5)
    inputs = Inputs(n_items=len(codes) - 1, codes=codes, text=text, reduced=torch.randn(len(codes) - 1, 8))
    model = build(inputs, config).model.eval()
    decoder = model.decoder
    assert decoder is not None

    history = torch.tensor([[4, 9, 2, 7]])
    later = torch.tensor([[4, 9, 15, 11]])
    before, after = model.encode(history), model.encode(later)
    blind = name != "bert4rec"  # which is asked at a mask behind what it may read, and so reads both ways
    assert torch.allclose(before[0, :2], after[0, :2], atol=1e-6) is blind
    torch.testing.assert_close(model.represent(history[:, :2]), model.represent(torch.tensor([[4, 9, 0, 0]])))

    user = torch.randn(1, 8)
    by_code = decoder.every(user)[0].view(3, 3, 2).exp()
    with torch.no_grad():
        decoder.table.vectors[2].normal_()  # the last code
    moved = decoder.every(user)[0].view(3, 3, 2).exp()
    torch.testing.assert_close(by_code.sum(2), moved.sum(2))
    assert not torch.allclose(by_code, moved)
    with torch.no_grad():
        decoder.table.vectors[1].normal_()
    torch.testing.assert_close(by_code.sum((1, 2)), decoder.every(user)[0].view(3, 3, 2).exp().sum((1, 2)))


@pytest.mark.parametrize("name", ENCODERS)
def test_the_width_of_the_batch_does_not_matter(name: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name](causal=True, **SIZES).eval()
    x = torch.randn(2, 9, 8)
    real = torch.tensor([[True] * 4 + [False] * 5] * 2)
    torch.testing.assert_close(encoder(x, real)[:, :4], encoder(x[:, :4], real[:, :4]))


@pytest.mark.parametrize("name", ENCODERS)
def test_gradients_are_numbers_at_length_200(name: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name](causal=True, **SIZES)
    x = (10 * torch.randn(2, 200, 8)).requires_grad_()
    encoder(x, torch.ones(2, 200, dtype=torch.bool))[:, -1].square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad[:, -1].any()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("name", ENCODERS)
def test_an_empty_history_gives_numbers(name: str) -> None:
    encoder = ENCODERS[name](causal=False, **SIZES).eval()
    states = encoder(torch.randn(1, 3, 8), torch.zeros(1, 3, dtype=torch.bool))
    assert states.isfinite().all()
