"""What the Embeddings page shows: which two spaces, how they are laid out and coloured, and the linked selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.jobs import plans
from llmesr.maps.points import LIVE_UP_TO, Pair, Points
from llmesr.maps.spaces import Of, Space
from llmesr.store import Store, slug
from llmesr.views.cache import artifacts, spaces
from llmesr.views.embeddings import charts
from llmesr.views.embeddings.colouring import ColourBy, Colouring, colouring
from llmesr.views.embeddings.selection import Linked
from llmesr.views.shared import exhibits, job_panels, links, theme, widgets
from llmesr.views.shared.words import as_text

METHODS = {"umap": "UMAP", "pca": "PCA"}
COLOURS: dict[Of, dict[ColourBy, str]] = {
    "items": {"group": "Head and tail", "count": "Popularity", "category": "Category", "gap": "Gap"},
    "users": {"group": "Head and tail", "count": "History length", "gap": "Gap"},
}
ABOUT = """
**Spaces.** *Text* is what a language model reads in an item's description. *Collaborative* is what a run learned from
who chose what. *Adapted* is a run's own view of the text.

**Gap** of an item: 1 minus the share of its 15 nearest neighbours that are the same in both spaces. It is measured in
the original spaces, never in the picture. A wide gap means text and behaviour disagree about the item, or, for an item
hardly anybody chose, that behaviour has nothing to say yet.

**Trustworthiness** says how far a picture may be believed: 1 when neighbours in the picture are neighbours in the
space, 0.5 when they are random. Axes mean nothing; the right map is turned so that the same items stand in
comparable places.

Popularity and history length are counted on the training part only.
"""
QUICK = 25
LISTED = 1000


@dataclass(frozen=True, eq=False)
class Choice:
    """Which maps the visitor looks at."""

    root: Store
    dataset: Dataset
    points: Points
    left: Space
    right: Space
    method: str
    stored: bool

    @property
    def specs(self) -> list[str]:
        return [self.left.spec, self.right.spec]


def choose(root: Store, dataset_id: str) -> Choice | None:
    """Items or users, two spaces, and the layout. Says what to do when there is nothing to draw."""
    found = {s.spec: s for s in spaces.spaces(root, dataset_id)}
    if not found:
        widgets.empty(
            "This dataset has no text vectors and no trained run yet, so there is nothing to draw.",
            links.TRAINING,
            "Embed and train",
        )
        return None
    columns = st.columns([1.1, 2, 2, 1.1])
    with columns[0]:
        of = cast(Of, links.choose("Points", ["items", "users"], "of", kind="segmented", show=str.capitalize))
    first, second = _at_first(root, found, of)
    with columns[1]:
        left = links.choose("Left map", list(found), "left", show=lambda s: found[s].label, default=first)
    with columns[2]:
        right = links.choose("Right map", list(found), "right", show=lambda s: found[s].label, default=second)
    made = spaces.stored_map(root, [str(left), str(right)], of)
    methods = made.methods if made else ["pca"]
    with columns[3]:
        method = links.choose("Layout", methods, "layout", kind="segmented", show=METHODS.__getitem__)
    dataset = artifacts.dataset(root, dataset_id)
    points = spaces.points(root, dataset_id, of)
    return Choice(root, dataset, points, found[str(left)], found[str(right)], str(method), made is not None)


def _at_first(root: Store, found: dict[str, Space], of: Of) -> tuple[str, str]:
    """The first two spaces of the newest map, else text beside the newest collaborative space."""
    for manifest in artifacts.manifests(root, "maps"):
        specs = [s["spec"] for s in manifest.info.get("spaces", []) if s["spec"] in found]
        if manifest.info.get("of") == of and len(specs) > 1:
            return specs[0], specs[1]
    specs = list(found)
    collaborative = [s for s in specs if found[s].part == "collaborative"]
    return specs[0], (collaborative or specs[1:] or specs)[0]


def offer_umap(choice: Choice) -> None:
    """A button that has a worker draw these two spaces by UMAP, or the progress of the one that does."""
    if choice.stored:
        return
    jobs = artifacts.jobs(choice.root)
    label = f"Draw {choice.points.of} of {choice.dataset.name}"
    reads = [f"{s.manifest.kind}/{s.manifest.id}" for s in (choice.left, choice.right)]
    step = plans.spaces_step(choice.specs, label, users=choice.points.of == "users", reads=reads)
    running = next((j for j in jobs.list() if j.active and step in j.record.steps), None)
    if running is not None:
        job_panels.progress(choice.root, running.id)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        note = "PCA, at once. UMAP shows neighbourhoods better; a worker draws it and this page picks it up."
        if choice.points.of == "items" and len(choice.points) > LIVE_UP_TO:
            note += " The gap comes with it."
        st.caption(note)
        if st.button("Draw with UMAP", icon=":material/auto_awesome:", key="map.make"):
            jobs.submit_steps([step], kind="map", label=label, parents=[f"datasets/{choice.dataset.id}"])
            st.rerun()


def maps(choice: Choice) -> None:
    """The two linked maps with their controls, the list of the selected, and nearest neighbours."""
    widgets.live(None)(_maps)(choice)


def _maps(choice: Choice) -> None:
    points, mode = choice.points, widgets.mode()
    pair = spaces.pair(choice.root, choice.dataset.id, choice.left, choice.right, points.of, choice.method)
    by, attribute = _colour_controls(choice, pair)
    coloured = colouring(points, pair, by, mode, attribute)
    linked = _linked(choice)
    linked.read({s: st.session_state.get(f"map.{s}") for s in pair.sides}, {s: v.xy for s, v in pair.sides.items()})
    _search(points, pair, linked)
    ranges = charts.extent(pair)
    showing = (choice.dataset.id, points.of, choice.method, *choice.specs, by, attribute, mode)
    for column, name in zip(st.columns(2), pair.sides, strict=True):
        with column:
            _one_map(points, pair, name, coloured, linked.highlight(name, showing), ranges, mode)
    note = charts.sampling_note(points, charts.drawn_rows(points, linked.rows))
    if note:
        st.caption(note)
    _selected(choice, pair, linked.rows, attribute)


def _colour_controls(choice: Choice, pair: Pair) -> tuple[ColourBy, str | None]:
    offered = dict(COLOURS[choice.points.of])
    columns = []
    if choice.points.of == "items":
        columns = spaces.attributes(choice.root, choice.dataset.id)
    if not columns:
        offered.pop("category", None)
    if pair.gap is None:
        offered.pop("gap")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = links.choose("Colour by", list(offered), "colour", kind="segmented", show=offered.__getitem__)  # type: ignore[arg-type]
        attribute = None
        if by == "category":
            attribute = links.choose("Category", columns, "category", default="category", width=220)
        st.text_input(
            f"Find {choice.points.of}",
            key="map.find",
            placeholder="words of a title, or an id" if choice.points.of == "items" else "a user id",
            icon=":material/search:",
            width=340,
        )
    return cast(ColourBy, by), attribute


def _linked(choice: Choice) -> Linked:
    """The visitor's selection; a link may bring one (``?item=`` or ``?user=`` with an id)."""
    about = (choice.dataset.id, choice.points.of)
    if st.session_state.get("map.about") != about:
        st.session_state["map.about"] = about
        st.session_state["map.linked"] = Linked()
    linked: Linked = st.session_state["map.linked"]
    wanted = st.query_params.get("point")
    if wanted and wanted != st.session_state.get("map.point"):
        rows = np.flatnonzero(choice.points.ids == wanted)
        linked.choose(rows, "link")
    st.session_state["map.point"] = wanted
    return linked


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
    ranges: tuple[list[float], list[float]],
    mode: theme.Mode,
) -> None:
    side = pair.sides[name]
    # Always two lines, so that both maps begin at the same height.
    st.markdown(f"**{as_text(side.space.label)}**  \n:gray[trustworthiness {theme.metric(side.trust)}]")
    figure = charts.map_figure(points, side, coloured, selected=highlighted, ranges=ranges, mode=mode)
    exhibits.chart(
        figure,
        key=f"map.{name}",
        alt=charts.describe(points, side, coloured, len(highlighted)),
        name=f"map-{slug(side.space.label)}",
        on_select="rerun",
        selection_mode=("points", "box", "lasso"),
    )
    if missing := int((~np.isfinite(side.xy).all(axis=1)).sum()):
        st.caption(f"{missing:,} {points.of} have no vector in this space and are not drawn.")


def _selected(choice: Choice, pair: Pair, rows: np.ndarray, attribute: str | None) -> None:
    points = choice.points
    if not len(rows):
        st.info(
            "Draw a lasso or a box in either map, click a point, or search: the same "
            f"{points.of} light up in the other map and are listed here. Double-click a map to clear.",
            icon=":material/gesture:",
        )
        return
    st.markdown(charts.summary_line(points, pair, rows))
    frame = charts.selected_table(points, pair, rows, attribute)
    shown = frame.head(LISTED)
    config = {
        "Gap": st.column_config.ProgressColumn("Gap", min_value=0, max_value=1, format="%.2f"),
        "Title": st.column_config.TextColumn("Title", width=300),
    }
    event = st.dataframe(
        shown,
        hide_index=True,
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
            f"{points.counts[row]:,} training interactions. Gap {pair.gap[row]:.2f}. "
            "Neighbours are found in the original spaces, not in the picture."
        )
    config = {
        "Title": st.column_config.TextColumn("Title", width=130),
        "Cosine": st.column_config.NumberColumn("Cosine", format="%.3f"),
    }
    for column, name in zip(st.columns(2), pair.sides, strict=True):
        with column:
            st.markdown(f"**In {as_text(pair.sides[name].space.label)}**")
            frame = charts.nearest_table(points, pair, row, name)
            if frame.empty:
                st.caption("It has no vector here, so it has no neighbours.")
            else:
                exhibits.table(frame, key=f"map.nearest.{name}", name=f"nearest-{name}", column_config=config)


def diagnosis(choice: Choice) -> None:
    """Spread and neighbourhoods of the two spaces in numbers, on demand."""
    if choice.points.of != "items":
        return
    with st.expander("How good are these spaces? Spread, rank, attributes", icon=":material/monitoring:"):
        if not st.toggle("Measure now", key="map.measure", help="Takes a few seconds on large catalogues."):
            return
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
