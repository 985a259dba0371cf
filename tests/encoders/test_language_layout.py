"""Who sees whom when a text model reads a history, checked by hand and by perturbation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llmesr.encoders.language import LanguageEncoder, QueryExperts, TokenPieces, VectorPieces, layout
from llmesr.errors import UserError

N, E = 6, 8


class Blocks(nn.Module):
    """A text model of two attention blocks without weights of their own to forget."""

    def __init__(self, decoder: bool = False, positions: int = 40) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.width, self.positions, self.decoder, self.blocks = E, positions, decoder, 2
        self.words = nn.Parameter(torch.randn(9, E), requires_grad=False)
        self.place = nn.Parameter(torch.randn(positions, E), requires_grad=False)

    def forward(self, vectors: Tensor, seen: list[Tensor], places: Tensor) -> Tensor:
        x = vectors + self.place[places]
        for mask in seen:
            x = x + nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)
        return x


def encoder(kind: str = "tokens", decoder: bool = False, **changes: Any) -> LanguageEncoder:
    model = Blocks(decoder)
    torch.manual_seed(4)
    tokens = torch.tensor([[1, -1, -1], *[[i % 9, (3 * i) % 9, 1] for i in range(1, N + 1)]])
    tokens[2, 2] = -1
    text = torch.cat([torch.zeros(1, 5), torch.randn(N, 5)])
    pieces = TokenPieces(tokens) if kind == "tokens" else VectorPieces(text, model.words)
    given: dict[str, Any] = {
        "max_length": 5,
        "attention": "full",
        "learned": 2,
        "experts": None,
        "behaviour": None,
        "injected": None,
        "dropout": 0.0,
    }
    return LanguageEncoder(model, pieces, **{**given, **changes}).eval()


def read(model: LanguageEncoder, *histories: list[int]) -> Tensor:
    width = max(map(len, histories))
    items = torch.tensor([row + [0] * (width - len(row)) for row in histories])
    with torch.no_grad():
        states: Tensor = model(items, items != 0)
    return states


def test_the_layout_of_two_items_by_hand() -> None:
    """One front token, items of two pieces (the second item has one), one suffix each: F a a b - s s."""
    real = torch.tensor([[[True, True], [True, False]]])
    made = layout(real, front=1, own=0, decoder=False)
    assert made.places[0].tolist() == [0, 1, 2, 3, 4, 3, 4]
    everywhere = [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 0, 0, 1, 0],
        [1, 1, 1, 1, 0, 0, 1],
    ]
    assert made.everywhere[0].int().tolist() == everywhere
    locally = [row[:] for row in everywhere]
    locally[3][1] = locally[3][2] = locally[4][1] = locally[4][2] = 0
    assert made.locally[0].int().tolist() == locally


def test_a_decoder_sees_nothing_behind_within_an_item() -> None:
    made = layout(torch.ones(1, 1, 3, dtype=torch.bool), front=2, own=2, decoder=True)
    assert made.everywhere[0, 2:5, 2:5].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert made.everywhere[0, :2, :2].int().tolist() == [[1, 0], [1, 1]]
    assert made.everywhere[0, 5:, 5:].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert made.places[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("kind", ["tokens", "vectors"])
@pytest.mark.parametrize("decoder", [False, True])
@pytest.mark.parametrize("attention", ["full", "item_local", "alternating"])
def test_each_state_is_that_of_a_history_that_ends_there(kind: str, decoder: bool, attention: str) -> None:
    model = encoder(kind, decoder, attention=attention)
    whole = read(model, [3, 2, 5, 1], [4, 6])
    for length in (1, 2, 3, 4):
        torch.testing.assert_close(whole[0, length - 1], read(model, [3, 2, 5, 1][:length])[0, -1])
    torch.testing.assert_close(whole[1, 1], read(model, [4, 6])[0, -1])
    assert not torch.allclose(whole[0, 3], read(model, [2, 3, 5, 1])[0, -1])  # and the order counts


def states_within(model: LanguageEncoder, history: list[int]) -> Tensor:
    """(T, E) what the text model makes of every token."""
    kept: list[Tensor] = []
    model.model.register_forward_hook(lambda *given: kept.append(given[2]))  # type: ignore[attr-defined]
    read(model, history)
    return kept[-1][0]


def test_within_an_item_only_its_own_tokens_are_seen_where_that_is_asked_for() -> None:
    """Another item's token changes: under item_local the states of an item stay, otherwise those of later items move.
    The suffix reads all items in any case."""
    for attention, moves in (("full", True), ("item_local", False), ("alternating", True)):
        model = encoder(attention=attention)
        before = states_within(model, [3, 5])
        assert isinstance(model.pieces, TokenPieces)
        model.pieces.tokens[3, 0] = 8
        after = states_within(model, [3, 5])
        first, second, end = slice(2, 5), slice(5, 8), slice(9, 10)  # behind two front tokens, 2 x 3 pieces
        assert not torch.allclose(before[first], after[first])
        assert torch.allclose(before[second], after[second]) is not moves
        assert not torch.allclose(before[end], after[end])


class Frozen(nn.Module):
    """Behaviour of which every use is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(N + 2, 4), requires_grad=False)
        self.asked = 0

    def encode(self, items: Tensor) -> Tensor:
        self.asked += 1
        return self.vectors[items].cumsum(1)

    def embed_items(self, items: Tensor) -> Tensor:
        self.asked += 1
        return self.vectors[items]


def test_without_prefix_and_injection_the_collaborative_run_is_never_read() -> None:
    for changes, reads in (
        ({}, False),
        ({"injected": 4}, True),
        ({"experts": QueryExperts(4, E, experts=2, tokens=2, length=1.0), "learned": 0}, True),
    ):
        behaviour = Frozen()
        model = encoder("vectors", behaviour=behaviour, **changes)
        whole = read(model, [3, 2, 5])
        assert bool(behaviour.asked) is reads
        with torch.no_grad():
            behaviour.vectors[2] += 1
        again = read(model, [3, 2, 5])
        assert torch.equal(whole[0, 0], again[0, 0])  # item 2 comes later
        assert torch.equal(whole[0, 1:], again[0, 1:]) is not reads
        torch.testing.assert_close(again[0, 1], read(model, [3, 2])[0, -1])


def test_experts_by_hand() -> None:
    """One expert whose query asks nothing in particular: the mean of the states so far, turned and stretched."""
    experts = QueryExperts(2, 2, experts=1, tokens=1, length=3.0)
    with torch.no_grad():
        experts.queries.zero_()
        experts.value.weight.copy_(torch.eye(2))
        experts.value.bias.zero_()
    made = experts(torch.tensor([[[4.0, 0.0], [0.0, 4.0]]]), torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(made[0, 0, 0], torch.tensor([3.0, 0.0]))
    torch.testing.assert_close(made[0, 1, 0], torch.tensor([3.0, 3.0]) / 2**0.5)
    assert experts.shares is not None
    assert experts.shares.tolist() == [1.0]


def test_frozen_weights_are_not_kept_with_the_trained() -> None:
    model = encoder("vectors", behaviour=Frozen(), injected=4)
    kept = model.state_dict()
    assert set(kept) == {
        "front",
        "suffix",
        "pieces.project.weight",
        "pieces.project.bias",
        "inject.weight",
        "inject.bias",
    }
    other = encoder("vectors", behaviour=Frozen(), injected=4)
    other.load_state_dict(kept)
    assert torch.equal(other.suffix, model.suffix)
    with pytest.raises(RuntimeError, match="suffix"):
        other.load_state_dict({name: rows for name, rows in kept.items() if name != "suffix"})


def test_a_history_that_the_text_model_has_no_positions_for() -> None:
    with pytest.raises(UserError, match="63 tokens.*40.*lower max_length or item_tokens"):
        encoder(max_length=20)
