"""What the Embeddings page shows: two maps with one selection, its neighbours, the spaces in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import streamlit as st

from llmesr.maps.points import Pair, Points
from llmesr.maps.regions import Region
from llmesr.maps.spaces import Of
from llmesr.prose import counted
from llmesr.store import slug
from llmesr.views.cache import spaces
from llmesr.views.embeddings import address, charts, lists, names, outcome
from llmesr.views.embeddings.choice import Choice
from llmesr.views.embeddings.colouring import ColourBy, Colouring, colouring
from llmesr.views.embeddings.selection import Linked
from llmesr.views.shared import behind, exhibits, links, pins, theme, widgets
from llmesr.views.shared.words import as_text

COLOURS: dict[Of, dict[ColourBy, str]] = {
    "items": {
        "group": "Head and tail",
        "count": "Popularity",
        "category": "Category",
        "gap": "Gap",
        "outcome": "Outcome",
    },
    "users": {"group": "Head and tail", "count": "History length", "gap": "Gap", "outcome": "Outcome"},
}
NAMES = {"zoom": "by zoom", "none": "none"}
ABOUT = """
**Spaces.** *Text* is what a language model reads in an item's description. *Collaborative* is what a run learned from
who chose what; where text got into it as well, a line above the maps says how. *Adapted* is a run's own view of the
text.

**Gap** of an item: how far down one space its nearest neighbours of the other are, as the share of items that are
closer (mean over its 1, 5 and 15 nearest, in both directions, against 512 items drawn once). 0: the same neighbours;
0.5: no nearer than items drawn at random. It is measured in the original spaces, never in the picture. A wide gap means
text and behaviour disagree about the item, or, for an item hardly anybody chose, that behaviour has nothing to say yet.

**Trustworthiness** says how far a picture may be believed: 1 when neighbours in the picture are neighbours in the
space, 0.5 when they are random. Axes mean nothing; the right map is turned so that the same items stand in
comparable places.

**Names** are the words of titles and attributes that set a region apart from all others (class-based TF-IDF over
k-means of the picture); a region that no word sets apart has none, and a name that would lie on another is left out.
Look closer (Ctrl and the wheel, two fingers, or + at the top right) and smaller regions are named.

**Outcome**: whether the item held out for a user was among the first ten of the best recommender without text, of the
best with text (both chosen on validation), of both or of neither.

Popularity and history length are counted on the training part only.
"""
QUICK = 25
LISTED = 1000


def maps(choice: Choice) -> None:
    """The two linked maps with their controls, the list of the selected, and nearest neighbours."""
    runs = [s.manifest.id for s in (choice.left, choice.right) if s.manifest.kind == "runs"]
    pins.about(choice.dataset, runs, choice.dataset.thresholds)
    widgets.live(None)(_maps)(choice)


def _maps(choice: Choice) -> None:
    points, mode = choice.points, widgets.mode()
    pair = spaces.pair(choice.root, choice.dataset.id, choice.left, choice.right, points.of, choice.method)
    evaluated = outcome.pair(choice.root, choice.dataset.id)
    widgets.script("names", names.SCRIPT.read_text(encoding="utf-8"))
    page = st.container(key="map-page")
    controls = page.container(key="map-controls")
    with controls:
        by, attribute, shown = _colour_controls(choice, pair, bool(evaluated))
    if by == "outcome":
        coloured = outcome.colouring(outcome.outcome(choice.root, evaluated, points), points, mode)
    else:
        coloured = colouring(points, pair, by, mode, attribute)
    linked = address.linked(choice.dataset.id, points, pair, (choice.method, choice.stored, *choice.specs))
    linked.read({s: st.session_state.get(f"map.{s}") for s in pair.sides}, {s: v.xy for s, v in pair.sides.items()})
    with controls:
        _search(points, pair, linked)
    address.keep(points, linked)
    ranges = charts.extent(pair)
    showing = (choice.dataset.id, points.of, choice.method, *choice.specs, by, attribute, shown, mode)
    with page.container(key="map-pair"):
        st.markdown(lists.gap_line(points, pair))
        for line in lists.mixed_lines(pair):
            st.caption(line)
        for column, name in zip(st.columns(2), pair.sides, strict=True):
            with column:
                at = choice.left, choice.right, choice.method, choice.stored, name
                named = spaces.named_regions(choice.root, choice.dataset.id, *at) if shown != "none" else ()
                _one_map(points, pair, name, coloured, linked.highlight(name, showing), ranges, mode, named)
        note = charts.sampling_note(points, charts.drawn_rows(points), len(linked.rows))
        if note:
            st.caption(note)
    with page.container(key="map-selected"):
        _selected(choice, pair, linked.rows, attribute, evaluated)


def _colour_controls(choice: Choice, pair: Pair, evaluated: bool) -> tuple[ColourBy, str | None, str]:
    offered = dict(COLOURS[choice.points.of])
    columns = []
    if choice.points.of == "items":
        columns = spaces.attributes(choice.root, choice.dataset.id)
    if not columns:
        offered.pop("category", None)
    if pair.gap is None:
        offered.pop("gap")
    if not evaluated:
        offered.pop("outcome")
    shown = "none"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = links.choose("Colour by", list(offered), "colour", kind="segmented", show=offered.__getitem__)  # type: ignore[arg-type]
        attribute = None
        if by == "category":
            attribute = links.choose("Category", columns, "category", default="category", width=220)
        if choice.points.of == "items":
            shown = str(links.choose("Names", list(NAMES), "names", show=NAMES.__getitem__, width=120))
        st.text_input(
            f"Find {choice.points.of}",
            key="map.find",
            placeholder="words of a title, or an ID" if choice.points.of == "items" else "a user ID",
            icon=":material/search:",
            width=220,
        )
    return cast(ColourBy, by), attribute, shown


def _search(points: Points, pair: Pair, linked: Linked) -> None:
    text = st.session_state.get("map.find", "")
    if text != st.session_state.get("map.found", ""):
        st.session_state["map.found"] = text
        linked.choose(points.find(text), "search")
        if text and not len(linked.rows):
            st.toast(f"Nothing found for {as_text(text, 80)}.", icon=":material/search_off:")
    with st.container(horizontal=True):
        if pair.gap is not None and np.isfinite(pair.gap).any():
            order = np.argsort(np.where(np.isfinite(pair.gap), pair.gap, -1), kind="stable")
            tail = order[points.tail[order]]
            known = order[np.isfinite(pair.gap[order])]
            if st.button("Widest gaps in the tail", icon=":material/call_split:", key="map.wide", type="tertiary"):
                linked.choose(tail[-QUICK:], "quick")
            if st.button("Same in both", icon=":material/call_merge:", key="map.same", type="tertiary"):
                linked.choose(known[:QUICK], "quick")
        if st.button(
            "Clear selection", icon=":material/close:", key="map.clear", type="tertiary", disabled=not len(linked.rows)
        ):
            linked.clear()
        with st.popover("What am I seeing?", icon=":material/help:", type="tertiary"):
            st.markdown(ABOUT)


def _one_map(
    points: Points,
    pair: Pair,
    name: str,
    coloured: Colouring,
    highlighted: np.ndarray,
    ranges: charts.Ranges,
    mode: theme.Mode,
    named: Sequence[Sequence[Region]],
) -> None:
    side = pair.sides[name]
    # Always two lines, so that both maps begin at the same height.
    st.markdown(f"**{as_text(side.space.label)}**  \n:gray[trustworthiness {theme.metric(side.trust)}]")
    figure = charts.map_figure(points, side, coloured, selected=highlighted, ranges=ranges, mode=mode, named=named)
    exhibits.chart(
        figure,
        key=f"map.{name}",
        alt=charts.describe(points, side, coloured, len(highlighted)),
        name=f"map-{slug(side.space.label)}",
        scroll_zoom=True,
        on_select="rerun",
        selection_mode=("points", "box", "lasso"),
    )
    if missing := int((~np.isfinite(side.xy).all(axis=1)).sum()):
        st.caption(f"Not drawn: {counted(missing, points.of[:-1])} without a vector in this space.")


def _selected(choice: Choice, pair: Pair, rows: np.ndarray, attribute: str | None, evaluated: outcome.Lineup) -> None:
    points = choice.points
    if not len(rows):
        st.info(
            "Draw a lasso or a box in either map, click a point, or search: the same "
            f"{points.of} light up in the other map and are listed here. Double-click a map to clear.",
            icon=":material/gesture:",
        )
        return
    st.markdown(lists.summary_line(points, pair, rows))
    if points.of == "items" and 1 < len(rows) < len(points):
        told = spaces.item_words(choice.root, choice.dataset.id).standing_out(rows, most=5)
        if told:
            st.markdown(f"Words that set them apart: {as_text(', '.join(told))}.")
    if evaluated:
        st.markdown(outcome.sentence(outcome.outcome(choice.root, evaluated, points), points, rows))
    frame = lists.selected_table(points, pair, rows, attribute)
    shown = frame.head(LISTED)
    config = {
        "Gap": st.column_config.ProgressColumn("Gap", min_value=0, max_value=1, format="%.2f"),
        "Title": st.column_config.TextColumn("Title", width=300),
    }
    event = exhibits.table(
        shown,
        column_config=config,
        key="map.table",
        on_select="rerun",
        selection_mode="single-row",
        height=min(36 * (len(shown) + 1), 320),
        alt="The selected points, most chosen first. Choose one to see its nearest neighbours.",
    )
    with st.container(horizontal=True):
        if len(frame) > len(shown):
            st.caption(f"The first {LISTED:,} are listed; the file holds all {len(frame):,}.")
        exhibits.download_csv(frame, f"{slug(choice.dataset.name)}-selected-{points.of}", key="map.csv")
    order = rows[np.argsort(-points.counts[rows], kind="stable")]
    picked = [r for r in (event["selection"]["rows"] if event else []) if r < len(shown)]
    if picked or len(order) == 1:
        nearest(choice, pair, int(order[picked[0] if picked else 0]))
    else:
        st.caption("Choose a row, or click a point, for its nearest neighbours in both spaces.")


def nearest(choice: Choice, pair: Pair, row: int) -> None:
    """The nearest neighbours of one point in both original spaces."""
    points = choice.points
    st.subheader(f"Nearest to {as_text(points.titles[row], 90)}", anchor=False)
    if pair.gap is not None and np.isfinite(pair.gap[row]):
        st.caption(
            f"{counted(int(points.counts[row]), 'training interaction')}. Gap {pair.gap[row]:.2f}. "
            "Neighbours are found in the original spaces, not in the picture."
        )
    id = str(points.ids[row])
    if points.of == "users":
        behind.ways_of_user(id)
    else:
        behind.ways_of_item(id, str(points.titles[row]), to_map=False)
    config = {
        "Title": st.column_config.TextColumn("Title", width=130),
        "Cosine": st.column_config.NumberColumn("Cosine", format="%.3f"),
    }
    for column, name in zip(st.columns(2), pair.sides, strict=True):
        with column:
            st.markdown(f"**In {as_text(pair.sides[name].space.label)}**")
            frame = lists.nearest_table(points, pair, row, name)
            if frame.empty:
                st.caption("It has no vector here, so it has no neighbours.")
            else:
                exhibits.table(frame, key=f"map.nearest.{name}", name=f"nearest-{name}", column_config=config)


def diagnosis(choice: Choice) -> None:
    """Spread and neighbourhoods of the two spaces in numbers, on demand."""
    if choice.points.of != "items":
        return
    box = links.folded("How good are these spaces? Spread, rank, attributes", "spaces", icon=":material/monitoring:")
    if not box.open:
        return
    with box:
        frame = spaces.diagnosis(choice.root, choice.dataset.id, choice.left, choice.right)
        numbers = {c: st.column_config.NumberColumn(c, format="%.3f") for c in frame.columns[2:]}
        exhibits.table(frame, key="map.diagnosis", name="spaces", column_config=numbers)
        st.caption(
            "Mean cosine near 1: all items look alike. Uniformity: lower is more evenly spread. Precision@10: share of "
            "the 10 nearest items with the same attribute value, beside that of random neighbours (chance)."
        )


def definition(choice: Choice) -> None:
    """The head/tail definition, to stand beside the colours."""
    st.caption(choice.dataset.thresholds.describe())
