"""Map figures and tables: what is drawn, in which colours, and that titles stay text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import HOSTILE, make_dataset, make_embedding

from llmesr.maps.points import Pair, Points, Side, live_pair
from llmesr.maps.regions import Region
from llmesr.maps.spaces import Space
from llmesr.store import Manifest, Store
from llmesr.views.embeddings import charts, lists
from llmesr.views.embeddings.colouring import OTHER, ColourBy, Colouring, colouring, hover_texts
from llmesr.views.shared import theme
from llmesr.views.shared.marks import plain
from llmesr.views.shared.words import one_line


def points_of(n: int, tail: int) -> Points:
    titles = np.array([f"Item {i}" for i in range(n)], dtype=object)
    counts = np.where(np.arange(n) < tail, 1, 50)
    return Points("items", titles, titles, counts, np.arange(n) < tail, None)


def pair_of(n: int, seed: int = 0) -> Pair:
    rng = np.random.default_rng(seed)
    spaces = [Space(f"embedding:{k}", f"space {k}", k, Manifest(kind="embeddings", id=k, name=k)) for k in "ab"]
    tables = [rng.normal(size=(n, 6)).astype(np.float32) for _ in "ab"]
    return live_pair((spaces[0], tables[0]), (spaces[1], tables[1]), neighbours=5, sample=50)


def figure(points: Points, pair: Pair, by: ColourBy = "group", selected: tuple[int, ...] = (), **more: Any) -> Any:
    coloured = colouring(points, pair, by, "light", **more)
    chosen = np.asarray(selected, dtype=np.int64)
    ranges = charts.extent(pair)
    return charts.map_figure(points, pair.left, coloured, selected=chosen, ranges=ranges, mode="light")


def test_head_and_tail_are_two_traces_that_carry_row_numbers_only() -> None:
    made = figure(points_of(40, tail=30), pair_of(40))
    assert [t.name for t in made.data] == ["Tail Item", "Head Item"]
    assert [t.marker.color for t in made.data] == [theme.group_color(g, "light") for g in ("Tail Item", "Head Item")]
    assert made.data[0].customdata.tolist() == list(range(30))
    assert made.data[1].customdata.tolist() == list(range(30, 40))
    assert {t.type for t in made.data} == {"scattergl"}
    assert made.layout.dragmode == "lasso"


def test_names_are_written_where_they_do_not_lie_on_one_another() -> None:
    points, pair = points_of(40, 30), pair_of(40)
    (x0, x1), (y0, _) = ranges = charts.extent(pair)

    def region(word: str, x: float, size: int) -> Region:
        return Region((word,), x, y0, np.arange(size))

    named = [region("large", x0, 20), region("far", x1, 5), region("small", x0, 3), region("large", x1, 2)]
    coloured = colouring(points, pair, "group", "light")
    none = np.zeros(0, np.int64)
    made = charts.map_figure(points, pair.left, coloured, selected=none, ranges=ranges, mode="light", named=[named])
    assert [a.text for a in made.layout.annotations] == ["large", "far"]


def test_a_figure_carries_the_names_of_what_is_seen_closer_as_plain_text() -> None:
    points, pair = points_of(40, 30), pair_of(40)
    ranges = charts.extent(pair)
    whole, near = [Region(("pens",), 0.0, 0.0, np.arange(20))], [Region((HOSTILE[0],), 1.0, 2.0, np.arange(9))]
    coloured = colouring(points, pair, "group", "light")
    none = np.zeros(0, np.int64)
    more: dict[str, Any] = {"selected": none, "ranges": ranges, "mode": "light"}
    meta = charts.map_figure(points, pair.left, coloured, named=[whole, near], **more).layout.meta
    assert meta["sampled"]["all"] == 40
    assert (tuple(meta["names"]["x"]), tuple(meta["names"]["y"])) == ranges
    first, second = meta["names"]["levels"]
    assert (first["from"], first["names"]) == (1.3, [(0.0, 0.0, "pens")])
    assert (second["from"], second["names"]) == (2.0, [(1.0, 2.0, one_line(HOSTILE[0], 40))])  # escaped by the browser
    assert "names" not in charts.map_figure(points, pair.left, coloured, **more).layout.meta


def test_what_the_others_are_seen_against_is_drawn_first_and_smaller() -> None:
    points, pair = points_of(20, 10), pair_of(20)
    coloured = Colouring("Kind", np.arange(20) % 2, ("pens", OTHER), ("#111111", "#222222"), ("circle", "x"))
    none = np.zeros(0, np.int64)
    made = charts.map_figure(points, pair.left, coloured, selected=none, ranges=charts.extent(pair), mode="light")
    assert [t.name for t in made.data] == [OTHER, "pens"]
    assert made.data[0].marker.size < made.data[1].marker.size
    assert made.data[0].legendrank > made.data[1].legendrank


def test_the_selected_are_a_trace_on_top_and_the_others_fade() -> None:
    plain, chosen = figure(points_of(40, 30), pair_of(40)), figure(points_of(40, 30), pair_of(40), selected=(3, 35))
    top = chosen.data[-1]
    assert top.name == "selected"
    assert top.customdata.tolist() == [3, 35]
    assert top.marker.color == theme.SEMANTIC["light"]["highlight"]
    assert max(chosen.data[0].marker.opacity) == pytest.approx(charts.FADED)
    assert min(plain.data[0].marker.opacity) >= 0.65
    assert len(plain.data) == 2


def test_a_point_that_stands_alone_is_solid_and_a_crowd_is_seen_through() -> None:
    points, pair = points_of(40, 30), pair_of(40)
    pair.left.xy[:] = [0.5, 0.5]
    pair.left.xy[:3] = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]
    coloured = colouring(points, pair, "group", "light")
    ranges = ((0.0, 1.0), (0.0, 1.0))
    none = np.zeros(0, np.int64)
    made = charts.map_figure(points, pair.left, coloured, selected=none, ranges=ranges, mode="light")
    np.testing.assert_allclose(made.data[0].marker.opacity, [1, 1, 1, *[0.85] * 27], rtol=1e-6)


def test_numbers_are_a_scale_with_counts_at_its_ticks() -> None:
    made = figure(points_of(40, 30), pair_of(40), by="count")
    trace = made.data[0]
    np.testing.assert_allclose(np.unique(trace.marker.color), np.log10([2, 51]))
    assert list(trace.marker.colorbar.ticktext) == ["1", "10"]
    gap = figure(points_of(40, 30), pair_of(40), by="gap").data[0]
    assert (gap.marker.cmin, gap.marker.cmax) == (0, 0.5)


def test_categories_beyond_the_frequent_are_other() -> None:
    names = [f"kind {i}" for i in range(10) for _ in range(12 - i)] + [""] * 20  # 20 empty, then 12, 11 ...
    catalogue = pd.DataFrame({"item_id": range(len(names)), "title": "t", "kind": names})
    titles = np.array(["t"] * len(names), dtype=object)
    points = Points("items", titles, titles, np.ones(len(names)), np.ones(len(names), bool), catalogue)
    assert points.attributes == ["kind"]
    coloured = colouring(points, pair_of(len(names)), "category", "light", "kind")
    assert list(coloured.names) == ["none given", *(f"kind {i}" for i in range(6)), "other"]
    assert coloured.codes is not None
    assert np.bincount(coloured.codes).tolist() == [20, 12, 11, 10, 9, 8, 7, 6 + 5 + 4 + 3]
    assert len(set(zip(coloured.colours, coloured.symbols, strict=True))) == 8


def test_a_point_without_place_is_not_drawn() -> None:
    pair = pair_of(40)
    pair.left.xy[5] = np.nan
    made = figure(points_of(40, 30), pair, selected=(5, 6))
    assert 5 not in made.data[0].customdata
    assert made.data[-1].customdata.tolist() == [6]


def test_of_large_maps_a_random_sample_is_drawn_and_it_is_said() -> None:
    n = charts.DRAW_ALL_UP_TO + 50_000
    points = points_of(n, tail=n // 4)
    rows = charts.drawn_rows(points)
    assert len(np.unique(rows)) == charts.SAMPLE
    assert points.tail[rows].mean() == pytest.approx(0.25, abs=0.02)  # as in all of them
    assert charts.drawn_rows(points_of(9, 3)).tolist() == list(range(9))
    assert f"{len(rows):,} of {n:,} items are drawn one by one, at random" in charts.sampling_note(points, rows)
    assert charts.sampling_note(points_of(9, 3), np.arange(9)) == ""
    many = np.arange(charts.MARKED * 3)
    assert len(charts.marked(many)) == charts.MARKED
    assert charts.marked(many[:2]).tolist() == [0, 1]
    assert f"Of the {len(many):,} selected, {charts.MARKED:,} are marked." in charts.sampling_note(
        points, rows, len(many)
    )


@pytest.mark.parametrize("title", HOSTILE)
def test_hover_text_is_escaped_cut_and_free_of_direction_overrides(title: str) -> None:
    shown = plain(title, 60)
    assert "<" not in shown
    assert ">" not in shown
    assert "\u202e" not in shown
    assert len(shown) <= 60 * 5  # an ampersand may become &amp;


def test_hover_of_a_hostile_catalogue_holds_no_markup(store: Store) -> None:
    dataset = make_dataset(store, users=60, items=30, hostile=True)
    points = Points.of_items(dataset)
    text = "".join(hover_texts(points, np.arange(len(points)), 80)).replace("<br>", "")
    assert "<" not in text


def test_the_table_lists_the_selected_most_chosen_first() -> None:
    points, pair = points_of(40, 30), pair_of(40)
    frame = lists.selected_table(points, pair, np.array([2, 33, 1]), None)
    assert frame["Title"].tolist() == ["Item 33", "Item 2", "Item 1"]
    assert frame["Group"].tolist() == ["Head Item", "Tail Item", "Tail Item"]
    assert pair.gap is not None
    assert frame["Gap"].tolist() == pytest.approx(pair.gap[[33, 2, 1]].tolist())
    line = lists.summary_line(points, pair, np.array([2, 33, 1]))
    assert line.startswith("**3 items selected**, 67% in the tail (all: 75%), median 1 training interactions (all: 1)")


def test_nearest_in_both_spaces_marks_what_they_share() -> None:
    points, pair = points_of(40, 30), pair_of(40)
    pair = Pair(pair.left, Side(pair.right.space, *_twin(pair.left)), "pca", np.zeros(40))
    frame = lists.nearest_table(points, pair, 4, "left", k=5)
    assert frame["In both"].tolist() == ["yes"] * 5
    assert frame["Cosine"].is_monotonic_decreasing
    assert "Item 4" not in frame["Title"].tolist()


def _twin(side: Side) -> Any:
    return side.xy, side.trust, side.neighbours, side.vectors, side.similarity


def test_search_finds_ids_and_all_words_of_a_title_most_chosen_first(store: Store) -> None:
    points = Points.of_items(make_dataset(store, users=60, items=40))
    word = str(points.titles[11]).split()[0]
    rows = points.find(word.lower())
    assert 11 in rows
    assert (np.diff(points.counts[rows]) <= 0).all()
    assert points.find(str(points.ids[5])).tolist() == [5]
    assert len(points.find("no such thing anywhere")) == 0
    assert len(points.find("   ")) == 0


def test_users_are_points_too(store: Store) -> None:
    dataset = make_dataset(store, users=40, items=30)
    points = Points.of_users(dataset)
    assert points.groups == ("Tail User", "Head User")
    assert points.counts.tolist() == dataset.split.train_lengths.tolist()
    embedding = make_embedding(store, dataset)
    assert len(embedding.user_vectors) == len(points)
    assert points.attributes == []
