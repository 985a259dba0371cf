"""One HSTU unit against its equations written out position by position."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from llmesr.encoders.transduction import FARTHEST, TransductionUnit


def test_a_unit_is_what_the_equations_say() -> None:
    torch.manual_seed(0)
    size, heads, length = 6, 2, 5
    unit = TransductionUnit(embedding_size=size, heads=heads, dropout=0.0)
    torch.nn.init.normal_(unit.distance_bias)
    x = torch.randn(1, length, size)
    gate, value, query, key = F.silu(unit.inner(unit.norm(x)))[0].chunk(4, dim=-1)
    expected = torch.zeros(length, size)
    for t in range(length):
        mixed = torch.zeros(size)
        for h in range(heads):
            part = slice(h * size // heads, (h + 1) * size // heads)
            for s in range(t + 1):
                score = query[t, part] @ key[s, part] + unit.distance_bias[h, t - s]
                mixed[part] += F.silu(score) / (t + 1) * value[s, part]
        expected[t] = x[0, t] + unit.out(unit.mixed_norm(mixed) * gate[t])
    torch.testing.assert_close(unit(x)[0], expected)


def test_histories_longer_than_the_farthest_distance_are_read() -> None:
    unit = TransductionUnit(embedding_size=4, heads=1, dropout=0.0)
    assert unit(torch.randn(1, FARTHEST + 20, 4)).isfinite().all()
