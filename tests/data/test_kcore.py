"""The k-core is the same as removing one offender at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmesr.data import kcore
from llmesr.data.kcore import k_core


def _slow(pairs: list[tuple[int, int]], k: int) -> set[tuple[int, int]]:
    left = list(pairs)
    while True:
        for place in (0, 1):
            counts: dict[int, int] = {}
            for pair in left:
                counts[pair[place]] = counts.get(pair[place], 0) + 1
            bad = next((key for key, n in counts.items() if n < k), None)
            if bad is not None:
                left = [p for p in left if p[place] != bad]
                break
        else:
            return set(left)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), max_size=60), st.integers(1, 4), st.integers(1, 7))
def test_equals_removing_one_at_a_time(pairs: list[tuple[int, int]], k: int, chunk: int) -> None:
    before, kcore.CHUNK = kcore.CHUNK, chunk
    try:
        user, item = (np.array([p[i] for p in pairs], dtype=np.int32) for i in (0, 1))
        users, items, _ = k_core(user, item, 8, 6, k)
    finally:
        kcore.CHUNK = before
    assert {p for p in pairs if users[p[0]] and items[p[1]]} == _slow(pairs, k)


@pytest.mark.parametrize(("k", "kept"), [(1, [0, 1, 2, 3]), (2, [0, 1]), (3, [])])
def test_a_chain_unravels(k: int, kept: list[int]) -> None:
    # users 0 and 1 share items 0 and 1; user 2 holds on to item 1 and to item 2, which only user 3 chose too
    pairs = np.array([(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2)])
    users, _, rounds = k_core(pairs[:, 0], pairs[:, 1], 4, 3, k)
    assert np.flatnonzero(users).tolist() == kept
    assert rounds == {1: 0, 2: 2, 3: 2}[k] or rounds > 0
