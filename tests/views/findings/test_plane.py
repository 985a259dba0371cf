"""A large map on a slide: a sample that is said in words, and every point that was selected."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from pptx import Presentation

from llmesr import findings
from llmesr.findings.drawn import plain
from llmesr.maps.points import Pair, Side
from llmesr.maps.points import Points as MapPoints
from llmesr.maps.spaces import Space
from llmesr.store import Manifest, Store
from llmesr.views.embeddings import charts
from llmesr.views.embeddings.colouring import colouring
from llmesr.views.findings.deck import findings_deck
from llmesr.views.findings.native import native
from llmesr.views.findings.plane import MOST_POINTS, Points, points_of
from llmesr.views.shared import theme
from llmesr.views.shared.marks import Sampled, sampled


def drawn(groups: list[int], selected: int = 0, square: bool = True, **said: Any) -> Points | None:
    """The plane behind a figure of as many points by group, whose x counts on from one trace to the next."""
    figure, at = go.Figure(), 0
    for name, size in zip("ab", groups, strict=False):
        figure.add_scattergl(x=np.arange(at, at + size), y=np.zeros(size), mode="markers", name=name)
        at += size
    if selected:
        figure.add_scattergl(x=np.arange(selected), y=np.ones(selected), mode="markers", name="selected")
    figure.update_xaxes(range=[0, 1]).update_yaxes(range=[0, 1], **({"scaleanchor": "x"} if square else {}))
    figure.update_layout(meta=sampled(Sampled(**said)) if said else None)
    made = plain(figure.to_plotly_json())
    return points_of(made["data"], made["layout"])


def test_a_small_map_is_whole_and_says_nothing() -> None:
    made = drawn([30, 20], 5, of="items", all=55, chosen=5)
    assert made is not None
    assert [len(s.x) for s in made.series] == [30, 20, 5]
    assert made.line == ""


def test_of_a_large_map_a_sample_is_drawn_and_all_that_is_selected() -> None:
    made = drawn([12_000, 4_000], 300, of="items", all=16_300, chosen=300)
    assert made is not None
    first, second, chosen = made.series
    assert len(first.x) + len(second.x) + 300 == MOST_POINTS
    assert list(chosen.x) == list(range(300))
    assert made.line == "Drawn: 10,000 of 16,300 items: all 300 selected, the others at random."
    # every point is as likely: three quarters of them are of the first group, give or take four standard deviations
    assert len(first.x) / 9_700 == pytest.approx(0.75, abs=0.02)
    assert set(first.x) <= set(range(12_000))


def test_a_point_that_is_selected_is_drawn_once() -> None:
    figure = go.Figure(go.Scattergl(x=[1, 2, 3], y=[0, 0, 0], mode="markers", name="a"))
    figure.add_scattergl(x=[2], y=[0], mode="markers", name="selected").update_yaxes(scaleanchor="x", range=[0, 1])
    made = native(plain(figure.update_xaxes(range=[0, 4]).to_plotly_json()))
    assert isinstance(made, Points)
    assert [(s.name, list(s.x)) for s in made.series] == [("a", [1, 3]), ("selected", [2])]
    assert made.line == ""


def test_what_the_figure_itself_left_out_is_counted() -> None:
    made = drawn([9_000, 1_000], 40, of="users", all=100_000, chosen=90)
    assert made is not None
    assert made.line == "Drawn: 10,000 of 100,000 users: 40 of the 90 selected, the others at random."


def test_a_curve_of_too_many_points_is_none() -> None:
    assert drawn([9_000, 2_000], square=False) is None


def test_damaged_words_of_a_finding_are_as_none() -> None:
    figure = go.Figure(go.Scattergl(x=[1], y=[1], mode="markers")).update_layout(meta={"sampled": {"all": "x", "z": 1}})
    made = native(plain(figure.to_plotly_json()))
    assert isinstance(made, Points)
    assert made.line == ""


def coloured(by: str) -> tuple[MapPoints, Pair, Side]:
    n = 400
    titles = np.array([f"Item {i}" for i in range(n)], dtype=object)
    counts = np.arange(n) if by == "count" else np.ones(n, int)
    points = MapPoints("items", titles, titles, counts, np.arange(n) < n // 2, None)
    xy = np.stack([np.arange(n), np.arange(n) % 20], axis=1).astype(np.float32)
    side = Side(Space("embedding:a", "text", "a", Manifest(kind="embeddings", id="a", name="a")), xy, 0.9, None, None)
    gap = np.linspace(0, 0.6, n)
    gap[:10] = np.nan
    return points, Pair(side, side, "pca", gap), side


@pytest.mark.parametrize(
    ("by", "wanted"),
    [
        ("count", {"below 1": 1, "1 to 10": 9, "10 to 100": 90, "100 or more": 300}),
        ("gap", {"below 0.125": 74, "0.125 to 0.25": 83, "0.25 to 0.375": 83, "0.375 or more": 150}),
    ],
)
def test_points_coloured_by_a_number_are_a_series_for_each_bin(store: Store, by: Any, wanted: dict[str, int]) -> None:
    points, pair, side = coloured(by)
    wanted = {f"{'Gap' if by == 'gap' else 'Popularity'} {name}": size for name, size in wanted.items()}
    figure = charts.map_figure(
        points, side, colouring(points, pair, by, "dark"),
        selected=np.arange(0), ranges=((0.0, 400.0), (0.0, 20.0)), mode="dark",
    )  # fmt: skip
    _, slide = Presentation(io.BytesIO(findings_deck([findings.pin("Map", figure, mode="dark", store=store)]))).slides
    (chart,) = [s.chart for s in slide.shapes if s.has_chart]
    assert {s.name: len(list(s.values)) for s in chart.plots[0].series} == wanted
    assert chart.has_legend
    named = {s.name: str(s.marker.format.fill.fore_color.rgb).lower() for s in chart.plots[0].series}
    colors = [named[name] for name in wanted]
    ends = [str(color) for _, color in theme.POINT_SCALE["light"]]
    red = [int(color[:2], 16) for color in colors]
    assert red == sorted(red), "as it does in the light theme"
    assert int(ends[0][1:3], 16) < red[0] < red[-1] < int(ends[-1][1:3], 16)
    assert len(set(colors)) == len(wanted)


def test_a_scale_that_is_none_of_the_app_is_one_series() -> None:
    figure = go.Figure(go.Scattergl(x=[1, 2], y=[1, 2], mode="markers", marker={"color": [0, 1], "colorscale": "Jet"}))
    made = native(plain(figure.to_plotly_json()))
    assert isinstance(made, Points)
    assert len(made.series) == 1


def test_a_map_of_100_000_items_is_a_chart_on_its_slide(store: Store) -> None:
    n = 100_000
    titles = np.array([f"Item {i}" for i in range(n)], dtype=object)
    points = MapPoints("items", titles, titles, np.ones(n), np.arange(n) < n // 2, None)
    space = Space("embedding:a", "text", "a", Manifest(kind="embeddings", id="a", name="a"))
    xy = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    side = Side(space, xy, 0.9, None, None)
    figure = charts.map_figure(
        points, side, colouring(points, Pair(side, side, "pca", None), "group", "light"),
        selected=np.arange(7), ranges=((-5.0, 5.0), (-5.0, 5.0)), mode="light",
    )  # fmt: skip
    finding = findings.pin("Map", figure, store=store)
    _, slide = Presentation(io.BytesIO(findings_deck([finding]))).slides
    (chart,) = [s.chart for s in slide.shapes if s.has_chart]
    sizes = {s.name: len(list(s.values)) for s in chart.plots[0].series}
    assert sizes["selected"] == 7
    assert MOST_POINTS - 7 <= sum(sizes.values()) <= MOST_POINTS  # some of the seven were in the sample as well
    said = "\n".join(s.text_frame.text for s in slide.shapes if s.has_text_frame)
    assert f"Drawn: {sum(sizes.values()):,} of 100,000 items: all 7 selected, the others at random." in said
