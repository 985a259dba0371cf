"""Item tables: rows line up, the last item included, and padding stays out of the way."""

import pytest
import torch

from llmesr.models.adapted_table import AdaptedTable, Directions
from llmesr.models.tables import CodesTable, IdTable

N, D, E = 5, 4, 6


def text() -> torch.Tensor:
    torch.manual_seed(0)
    rows = torch.randn(N + 1, E)
    rows[0] = 0
    return rows


@pytest.mark.parametrize("layers", [1, 2])
def test_adapter_equals_its_layers_applied_one_after_the_other(layers: int) -> None:
    table = AdaptedTable(text(), D, layers=layers)
    by_hand = text()
    for layer in table.layers:
        by_hand = layer(by_hand)
    torch.testing.assert_close(table.weight()[1 : N + 1], by_hand[1:])
    # W2 (W1 e + b1) + b2 for the last item, whose row the authors' code lost
    torch.testing.assert_close(table(torch.tensor([N]))[0], by_hand[N])


def test_rows_and_whole_table_agree_for_every_id() -> None:
    for table in (AdaptedTable(text(), D), IdTable(N, D), CodesTable(CODES, 3, D)):
        every = torch.arange(N + 2)
        torch.testing.assert_close(table(every), table.weight())
        assert not table.weight()[0].any()


def test_frozen_text_is_no_parameter_and_an_open_one_is() -> None:
    frozen = dict(AdaptedTable(text(), D, frozen=True).named_parameters())
    free = dict(AdaptedTable(text(), D, frozen=False).named_parameters())
    assert "text" not in frozen
    assert "text" in free


def test_start_fills_exactly_the_items() -> None:
    start = torch.arange(N * D, dtype=torch.float32).reshape(N, D)
    table = IdTable(N, D, start=start)
    torch.testing.assert_close(table.weight()[1 : N + 1].detach(), start)
    with pytest.raises(ValueError, match="start has shape"):
        IdTable(N, D, start=start[:-1])


def test_padding_gets_no_gradient() -> None:
    table = IdTable(N, D)
    table(torch.tensor([[0, 1], [0, 2]])).sum().backward()
    gradient = table.vectors.grad
    assert gradient is not None
    assert gradient.abs().sum(1).nonzero().flatten().tolist() == [1, 2]


@pytest.mark.parametrize("layers", [1, 2])
def test_an_item_without_a_vector_is_exactly_zero_in_a_sparse_table_and_the_others_are_as_ever(layers: int) -> None:
    rows = text()
    rows[2] = 0
    torch.manual_seed(1)
    sparse = AdaptedTable(rows, D, layers=layers, sparse=True)
    torch.manual_seed(1)
    plain = AdaptedTable(rows, D, layers=layers)
    assert plain.weight()[2].any()  # the adapter's bias
    for table in (sparse.weight(), sparse(torch.arange(N + 2))):
        assert not table[2].any()
        kept = [i for i in range(N + 2) if i != 2]
        torch.testing.assert_close(table[kept], plain.weight()[kept])
    sparse(torch.tensor([2])).sum().backward()
    assert not any(p.grad.any() for p in sparse.parameters() if p.grad is not None)


@pytest.mark.parametrize(("layers", "kept"), [(1, D), (2, E // 2)])
@pytest.mark.parametrize("length", [0.01, 30.0])
def test_a_started_adapter_is_the_projection_on_the_main_directions(layers: int, kept: int, length: float) -> None:
    rows = text() * length
    rows[2] = 0  # an item without text
    known = rows[[1, 3, 4, 5]]
    mean = known.mean(0)
    components = torch.linalg.svd(known - mean).Vh[:kept]
    table = AdaptedTable(rows, D, layers=layers, scaled=True, start=Directions(mean, components))
    numbers = table.text[1 : N + 1][[0, 2, 3, 4]]
    assert numbers.square().mean() == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(numbers, known / known.square().mean().sqrt())
    projected = (known - mean) @ components[:D].T
    expected = torch.zeros(4, D)
    expected[:, : projected.shape[1]] = projected / projected.square().sum(1).mean().sqrt()
    torch.testing.assert_close(table.weight()[[1, 3, 4, 5]], expected, atol=1e-5, rtol=1e-4)
    table.weight().sum().backward()
    assert [n for n, p in table.layers.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_without_any_text_a_started_adapter_is_still_a_number() -> None:
    nothing = Directions(torch.zeros(E), torch.zeros(E // 2, E))
    table = AdaptedTable(torch.zeros(N + 1, E), D, scaled=True, start=nothing)
    assert table.weight().isfinite().all()


CODES = torch.tensor([[0, 0], [1, 2], [1, 2], [3, 2], [3, 1], [0, 0]], dtype=torch.int16)  # item 5 has no text


def test_codes_are_composed_as_the_formula_says() -> None:
    table = CodesTable(CODES, 3, D)
    side_by_side = torch.cat([table.vectors[0, 3], table.vectors[1, 1]])  # item 4
    gate = table.up.weight @ torch.sigmoid(table.down.weight @ side_by_side + table.down.bias) + table.up.bias
    torch.testing.assert_close(table(torch.tensor([4]))[0], (gate * side_by_side).view(2, D).sum(0))
    every = torch.arange(N + 2)
    torch.testing.assert_close(table(every), table.weight())
    torch.testing.assert_close(table.weight()[N + 1], table.mask_vector)
    assert not table.weight()[0].any()


def test_equal_codes_give_equal_vectors_and_code_mates_move_together() -> None:
    """Items 1 and 2 share both codes, item 3 one of them, item 4 none; 1 is the popular one that is trained."""
    table = CodesTable(CODES, 3, D)
    before = table.weight().detach().clone()
    assert torch.equal(before[1], before[2])
    table(torch.tensor([1])).sum().backward()
    with torch.no_grad():
        gradient = table.vectors.grad
        assert gradient is not None
        table.vectors.add_(gradient, alpha=-0.1)
    moved = (table.weight() - before).abs().sum(1)
    assert moved[1] > 0
    assert torch.equal(moved[1], moved[2])
    assert moved[3] > 0
    assert moved[4] == 0
    assert moved[5] == 0


def test_a_larger_catalogue_has_as_many_parameters() -> None:
    many = CODES[1:].repeat(10, 1)
    tables = [CodesTable(c, 3, D) for c in (CODES, torch.cat([CODES[:1], many]))]
    counted = [sum(p.numel() for p in table.parameters()) for table in tables]
    assert counted[0] == counted[1]


def test_codes_begin_as_the_means_of_what_they_start_from() -> None:
    start = torch.randn(N, D)
    table = CodesTable(CODES, 3, D, start=start)
    sums = table.vectors[torch.arange(2), CODES[1:].long()].sum(1).detach()
    torch.testing.assert_close(sums[4], start[4])  # alone with its code
    left = (start - sums).square().sum()
    assert left < (start - start.mean(0)).square().sum()
