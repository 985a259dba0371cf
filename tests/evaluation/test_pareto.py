"""The Pareto front of small sets of points, by hand and by definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llmesr.evaluation.pareto import efficient, pareto_front


def test_what_nothing_beats_is_on_the_front_best_first() -> None:
    points = np.array([[0.3, 0.1], [0.4, 0.05], [0.2, 0.2], [0.25, 0.15], [0.3, 0.08], [0.2, 0.19]])
    assert efficient(points).tolist() == [True, True, True, True, False, False]
    assert pareto_front(points) == [1, 0, 3, 2]


def test_of_equal_points_all_are_efficient_and_the_first_is_on_the_front() -> None:
    points = np.array([[0.1, 0.1], [0.3, 0.1], [0.3, 0.1]])
    assert efficient(points).tolist() == [False, True, True]
    assert pareto_front(points) == [1]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_every_point_is_on_the_front_or_matched_by_one_that_is(rows: list[tuple[int, int]]) -> None:
    points = np.array(rows)
    front = pareto_front(points)
    for point in points:
        assert any((points[i] >= point).all() for i in front)
    firsts = points[front][:, 0]
    assert (np.diff(firsts) < 0).all()
    assert (np.diff(points[front][:, 1]) > 0).all()
