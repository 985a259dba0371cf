"""Linked selection: from a browser's event to rows, and which chart must be drawn anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmesr.views.embeddings.selection import Linked, areas_of, fingerprint, in_polygon, rows_of, within

XY = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [5, 5], [np.nan, np.nan]], float)


def event(**parts: Any) -> Any:
    return {"selection": {"points": [], "box": [], "lasso": [], **parts}}


def box(x0: Any, x1: Any, y0: Any, y1: Any) -> Any:
    return event(box=[{"xref": "x", "yref": "y", "x": [x0, x1], "y": [y0, y1]}])


def lasso(x: Any, y: Any) -> Any:
    return event(lasso=[{"xref": "x", "yref": "y", "x": x, "y": y}])


def clicked(*rows: Any, wrap: Any = lambda r: r) -> Any:
    return event(points=[{"point_index": 0, "customdata": wrap(r)} for r in rows])


def test_a_box_takes_what_is_inside_whichever_corner_came_first() -> None:
    assert rows_of(box(1.5, -0.5, -0.5, 0.5), XY).tolist() == [0, 1]


def test_a_lasso_takes_all_points_even_those_the_event_does_not_list() -> None:
    triangle = lasso([-0.5, 2.5, -0.5], [-0.5, -0.5, 2.5])
    triangle["selection"]["points"] = [{"customdata": 4}]
    assert rows_of(triangle, XY).tolist() == [0, 1, 2, 3][:2] + [3]


def test_a_concave_lasso_leaves_its_bay_out() -> None:
    x, y = [-1, 2, 2, 0.5, -1], [-1, -1, 2, 0.5, 2]  # a bay from above down to the middle
    assert in_polygon(np.array([[0.5, 1.5], [0.5, 0.0], [-0.8, 1.6]]), np.array(x), np.array(y)).tolist() == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("wrap", [lambda r: r, lambda r: [r], lambda r: {"0": r}])
def test_a_click_is_known_by_its_customdata(wrap: Any) -> None:
    assert rows_of(clicked(3, 1, wrap=wrap), XY).tolist() == [1, 3]


def test_nonsense_selects_nothing() -> None:
    assert rows_of(None, XY).tolist() == []
    assert rows_of({}, XY).tolist() == []
    assert rows_of(clicked(99, -4), XY).tolist() == []
    assert rows_of(event(points=[{"x": 1}]), XY).tolist() == []
    assert rows_of(lasso([0, 1], [0, 1]), XY).tolist() == []


@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=30))
def test_a_square_lasso_and_the_same_box_agree_inside(places: Any) -> None:
    xy = np.array(places)
    xy = xy[(np.abs(np.abs(xy) - 1) > 1e-6).all(axis=1)]  # not on the edge itself
    square = lasso([-1, 1, 1, -1], [-1, -1, 1, 1])
    assert rows_of(square, xy).tolist() == rows_of(box(-1, 1, -1, 1), xy).tolist()


def both(left: Any = None, right: Any = None) -> Any:
    return {"left": left, "right": right}


PLACES = {"left": XY, "right": XY[:, ::-1]}


def test_the_newest_selection_counts_and_lights_up_in_the_other_chart_only() -> None:
    linked = Linked()
    for side in ("left", "right"):
        assert len(linked.highlight(side, "looks")) == 0
    linked.read(both(left=clicked(2)), PLACES)
    assert (linked.rows.tolist(), linked.source) == ([2], "left")
    assert len(linked.highlight("left", "looks")) == 0  # the browser shows it there by itself
    assert linked.highlight("right", "looks").tolist() == [2]
    # next run: the right chart was built anew and is empty; the left one still says the same
    linked.read(both(left=clicked(2)), PLACES)
    assert linked.rows.tolist() == [2]
    linked.read(both(left=clicked(2), right=clicked(0, 1)), PLACES)
    assert (linked.rows.tolist(), linked.source) == ([0, 1], "right")
    assert linked.highlight("left", "looks").tolist() == [0, 1]
    assert linked.highlight("right", "looks").tolist() == [0, 1]  # it had a highlight: the new one replaces it
    # both were built anew, so both are empty: that clears nothing
    linked.read(both(), PLACES)
    assert linked.rows.tolist() == [0, 1]


def test_deselecting_in_the_source_clears() -> None:
    linked = Linked()
    linked.highlight("left", "looks")
    linked.highlight("right", "looks")
    linked.read(both(left=clicked(2)), PLACES)
    linked.highlight("left", "looks")
    linked.highlight("right", "looks")
    linked.read(both(left=event()), PLACES)
    assert linked.rows.tolist() == []
    assert linked.source == ""


def test_other_colours_build_the_source_anew_so_it_needs_the_highlight() -> None:
    linked = Linked()
    linked.highlight("left", "by group")
    linked.read(both(left=clicked(2)), PLACES)
    assert len(linked.highlight("left", "by group")) == 0
    assert linked.highlight("left", "by gap").tolist() == [2]
    linked.read(both(), PLACES)  # the rebuilt chart reports nothing selected
    assert linked.rows.tolist() == [2]


def test_a_choice_from_elsewhere_lights_up_in_both() -> None:
    linked = Linked()
    linked.choose(np.array([4, 1]), "search")
    assert linked.highlight("left", "looks").tolist() == [4, 1]
    assert linked.highlight("right", "looks").tolist() == [4, 1]
    linked.clear()
    assert len(linked.highlight("left", "looks")) == 0


def test_a_fingerprint_tells_selections_apart() -> None:
    assert fingerprint(None) == fingerprint(event()) == ""
    assert fingerprint(clicked(1)) != fingerprint(clicked(2))
    assert fingerprint(clicked(1)) == fingerprint(clicked(1))


def test_a_link_takes_what_the_lasso_took() -> None:
    rng = np.random.default_rng(1)
    xy = rng.normal(size=(4000, 2))
    turn = np.linspace(0, 2 * np.pi, 500)
    drawn = lasso((1.3 * np.cos(turn)).tolist(), (0.7 * np.sin(turn)).tolist())
    (area,) = areas_of(drawn)
    assert len(area) < 1500
    assert within([area], xy).tolist() == rows_of(drawn, xy).tolist()
    truly = np.flatnonzero((xy[:, 0] / 1.3) ** 2 + (xy[:, 1] / 0.7) ** 2 < 1)
    assert len(set(truly) ^ set(rows_of(drawn, xy))) <= 0.005 * len(truly)
    assert within(["", "1", "a,b", "1,2,nan,4,5,6", "0,0,1,1,2"], xy).tolist() == []
