"""The tree of codes and the decoder that goes down it: what can be written, how likely, and what beams find."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from llmesr.models.code_tree import CodeDecoder, plant, quantised_again, told_apart
from llmesr.models.tables import CodesTable

D = 4
FOUR = torch.tensor([[0, 0], [1, 1], [1, 2], [2, 1], [2, 2]], dtype=torch.int16)


def decoder(codes: torch.Tensor = FOUR, size: int = 2) -> CodeDecoder:
    torch.manual_seed(0)
    table = CodesTable(codes, size, D)
    made = CodeDecoder(table, D, dropout=0.0, beam=3, exhaustive_up_to=100)
    with torch.no_grad():
        table.vectors.normal_()
        for network in (*made.asking, *made.turning):  # they begin near zero
            for values in network.parameters():
                values.add_(torch.randn_like(values) * 0.5)
    return made.eval()


def many(n: int = 60, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    codes = told_apart(rng.integers(0, 4, (n, 2)))
    return torch.from_numpy(np.vstack([np.zeros((1, 3), np.int64), codes])).to(torch.int16)


def test_four_items_by_hand() -> None:
    made = decoder()
    first, second = made.table.vectors.detach()
    user = torch.tensor([0.3, -0.2, 0.5, 0.1])
    expected = []
    with torch.no_grad():
        one = user + made.asking[0](user)
        for a, b in FOUR[1:].tolist():
            to_first = math.exp(one @ first[a]) / sum(math.exp(one @ first[k]) for k in (1, 2))
            gate, shift = made.turning[0](first[a]).split(D)
            two = (user + made.asking[1](user)) * (1 + gate) + shift
            to_second = math.exp(two @ second[b]) / sum(math.exp(two @ second[k]) for k in (1, 2))
            expected.append(math.log(to_first * to_second))
    found = made.every(user[None])[0]
    torch.testing.assert_close(found, torch.tensor(expected))
    torch.testing.assert_close(made.log_probability(user.expand(4, D), torch.arange(1, 5)).detach(), found)
    assert float(found.exp().sum()) == pytest.approx(1)


def test_every_item_has_its_probability_and_nothing_else_has_any() -> None:
    codes = many()
    made = decoder(codes, int(codes.max()))
    users = torch.randn(40, D)
    every = made.every(users)
    torch.testing.assert_close(every.exp().sum(1), torch.ones(40))
    items = torch.arange(1, len(codes))
    for user, row in zip(users, every, strict=True):
        torch.testing.assert_close(made.log_probability(user.expand(len(items), D), items).detach(), row)


def test_beams_end_at_items_that_exist_each_once_and_all_of_them_are_the_exact_ranking() -> None:
    codes = many()
    made = decoder(codes, int(codes.max()))
    users = torch.randn(7, D)
    every = made.every(users)
    for width in (1, 5, 20):
        items, found = made.beams(users, width)
        assert items.shape[1] <= width
        for row, likely, exact in zip(items, found, every, strict=True):
            real = row[row > 0]
            assert len(set(real.tolist())) == len(real)
            assert real.max() <= 60
            torch.testing.assert_close(likely[row > 0], exact[real - 1])
            assert (likely.diff() <= 0).all()
    items, found = made.beams(users, 60)
    torch.testing.assert_close(found, every.sort(1, descending=True).values)
    torch.testing.assert_close(every.gather(1, items - 1), found)


def test_three_items_and_more_beams_than_items() -> None:
    made = decoder(FOUR[:4])
    items, found = made.beams(torch.randn(2, D), 50)
    assert [sorted(row) for row in items.tolist()] == [[1, 2, 3]] * 2
    torch.testing.assert_close(found.exp().sum(1), torch.ones(2))


def test_a_code_that_no_item_goes_on_with_is_no_way() -> None:
    tree = plant(FOUR[1:4], 2)
    assert [level.child.tolist() for level in tree.levels] == [[[-1, 0, 1]], [[-1, 0, 1], [-1, 2, -1]]]
    assert tree.item.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="same codes"):
        plant(FOUR[[1, 1]], 2)


def test_items_that_share_all_codes_are_numbered() -> None:
    codes = np.array([[3, 1], [2, 2], [3, 1], [3, 1], [2, 3]])
    assert told_apart(codes).tolist() == [[3, 1, 1], [2, 2, 1], [3, 1, 2], [3, 1, 3], [2, 3, 1]]
    assert told_apart(np.zeros((0, 2), np.int64)).shape == (0, 3)


def test_the_same_vectors_again_have_the_same_codes_and_a_moved_item_changes_its_group() -> None:
    torch.manual_seed(0)
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=2))).repeat_interleave(5, 0)
    vectors = corners + torch.randn(20, 2) * 0.01
    codes = torch.tensor([[1, 1], [2, 1], [3, 1], [4, 1]], dtype=torch.int16).repeat_interleave(5, 0)
    assert (quantised_again(vectors, codes)[:, 0] == codes[:, 0]).all()
    moved = vectors.clone()
    moved[0] = vectors[19]
    assert quantised_again(moved, codes)[0, 0] == 4
    moved[0] = 0
    assert quantised_again(moved, codes)[0].tolist() == [0, 0]
    assert not quantised_again(torch.zeros(20, 2), codes).any()


def test_new_codes_are_one_to_one_and_the_tree_follows() -> None:
    codes = many()
    made = decoder(codes, 30)
    users = torch.randn(3, D)
    before, first = made.every(users), made.table.codes.clone()
    made.recode(torch.randn(60, 5))
    assert (made.table.codes != first).any()
    assert len(made.table.codes[1:-1].unique(dim=0)) == 60
    after = made.every(users)
    torch.testing.assert_close(after.exp().sum(1), torch.ones(3))
    assert not torch.allclose(before, after)
