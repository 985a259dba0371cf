"""A new product: its text, who would get it and why, where it stands, and what past launches say of the forecast."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.lab.launch import Launched, launch, read_products
from llmesr.lab.past import Past
from llmesr.maps.make import load_map
from llmesr.text.prompts import titled
from llmesr.views.lab import charts, past
from llmesr.views.lab.answers import answered
from llmesr.views.lab.choice import Choice
from llmesr.views.lab.fields import LONG, text_fields
from llmesr.views.shared import behind, clicks, exhibits, links, theme, widgets
from llmesr.views.shared.words import as_text, one_line

Product = tuple[tuple[str, str], ...]
SOURCES = {"one": "One product", "rows": "Paste rows"}
SEEN = 200
"""Items at the head of the catalogue that say what a text looks like."""


def view(choice: Choice) -> None:
    """The form beside the answer."""
    with st.container(key="lab-sides"):
        left, right = st.columns([1, 2], gap="large")
    with left:
        asked = _form(choice.dataset)
    with right:
        if asked:
            _answer(choice, asked)
        else:
            _invitation(choice.dataset)


def _invitation(dataset: Dataset) -> None:
    """What to do, and an answer at one click: that for the example in the fields."""
    st.info(
        "Describe a product and try it: nothing is trained, nothing is stored. For a first answer take the text of an "
        "item that is there already, as if it were new; those who have that item are left out.",
        icon=":material/experiment:",
    )
    text = example(dataset)
    label = f"Try “{as_text(one_line(next(iter(text.values()), ''), 60))}”"
    st.button(label, key="lab.example", icon=":material/play_arrow:", on_click=_fill, args=(dataset.id, text))


def example(dataset: Dataset) -> dict[str, str]:
    """The text of the first item that has all attributes and a title, else of the first."""
    rows = dataset.catalogue[dataset.text_columns].iloc[:SEEN]
    whole = rows[(rows != "").all(axis=1) & titled(dataset.catalogue.iloc[:SEEN])]
    return {str(c): str(v) for c, v in (whole if len(whole) else rows).iloc[0].items() if str(v).strip()}


def _fill(dataset: str, text: dict[str, str]) -> None:
    for column, value in text.items():
        st.session_state[f"lab.new.{column}"] = value
    st.session_state["lab.products"] = (dataset, (tuple(text.items()),))


def _form(dataset: Dataset) -> tuple[Product, ...]:
    """The products to try, as they were when the button was last pressed."""
    source = links.choose("Products", list(SOURCES), "products", kind="segmented", show=SOURCES.__getitem__)
    with st.form("lab.new", border=False):
        rows = _fields(dataset) if source == "one" else _pasted(dataset)
        pressed = st.form_submit_button("Try it", type="primary", icon=":material/experiment:")
    if pressed:
        found = read_rows(rows) if isinstance(rows, str) else [rows]
        st.session_state["lab.products"] = (dataset.id, tuple(tuple(row.items()) for row in found))
    of, asked = st.session_state.get("lab.products", (None, ()))
    return asked if of == dataset.id else ()


def _fields(dataset: Dataset) -> dict[str, str]:
    typical = dataset.catalogue[dataset.text_columns].iloc[:SEEN].apply(lambda c: float(c.str.len().median()))
    long = [c for c in dataset.text_columns[1:] if typical[c] > LONG]
    given = text_fields(dataset, "lab.new", long=long, examples=example(dataset))
    return {column: text for column, text in given.items() if text}


def _pasted(dataset: Dataset) -> str:
    st.caption(f"CSV with a heading: {as_text(', '.join(dataset.text_columns))}. Those that are empty may be left out.")
    heading = ",".join(dataset.text_columns[:2])
    return str(st.text_area("Rows", key="lab.rows", height=180, placeholder=f"{heading}\n…"))


def _answer(choice: Choice, asked: tuple[Product, ...]) -> None:
    found = answered(
        ("launch", choice.key, asked),
        lambda progress: launch(choice.scored, [dict(row) for row in asked], choice.config, progress),
    )
    shown = found[0]
    if len(found) > 1:
        exhibits.table(_summary(found), key="lab.products.table", name="new-products")
        names = [f"{i}. {one.title[:60]}" for i, one in enumerate(found, start=1)]
        shown = found[names.index(str(st.selectbox("Shown below", names, key="lab.shown")))]
    known = past.known(choice)
    _tiles(shown, known, choice.dataset.n_items + len(found))
    ranks = charts.rank_frame({"the new product": shown.ranks}, choice.dataset.n_items + len(found))
    color = theme.SEMANTIC[widgets.mode()]["highlight"]
    caption = f"{len(shown.audience):,} {shown.audience.described}; {choice.run.label}, full ranking"
    exhibits.chart(
        charts.rank_chart(ranks, shown.k, [color], caption, widgets.mode()),
        key="lab.ranks",
        alt=f"{shown.title} would stand among the first {shown.k} items of {shown.reach:,} users; half of all users "
        f"would find it at rank {shown.median_rank:,.0f} or above.",
        data=ranks,
        name="new-product-ranks",
    )
    names = ["Who would see it first", "Beside what it stands"]
    linked = names[1] if links.all_linked("mark.lab.map") else None
    # The app keeps which one is open: a click on the map, which draws the page anew, would close the map.
    who, beside = st.tabs(names, default=linked, key="lab.tabs", on_change="rerun")
    with who:
        _users(shown)
    with beside:
        _beside(choice, shown)
    st.caption(choice.caption)


def _summary(found: list[Launched]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Product": [one.title for one in found],
            "Users reached": [one.reach for one in found],
            "Median rank": [one.median_rank for one in found],
            "Nearest item": [one.nearest["title"].iloc[0] if len(one.nearest) else "" for one in found],
        }
    )


def _tiles(shown: Launched, known: Past | None, n_items: int) -> None:
    forecast = None if known is None else known.forecast(shown.ranks)
    one, two, three = st.columns(3)
    reach = f"{shown.reach:,} of {len(shown.audience):,}"
    one.metric(f"Users reached (first {shown.k})", reach, border=True, height="stretch")
    two.metric(
        "Median rank", theme.count(shown.median_rank), border=True, height="stretch", help="Over all users asked."
    )
    help_text = "Users who would choose it from their list, of 1,000 asked once; calibrated on past launches."
    three.metric(
        "Hits per 1,000",
        "–" if forecast is None else f"{forecast.hits:.2f}",
        border=True,
        height="stretch",
        help=help_text,
    )
    if shown.left_out:
        st.caption(shown.left_out)
    if shown.reach < (anywhere := len(shown.audience) * shown.k / n_items):
        st.caption(
            f"At a random place it would be in {anywhere:,.0f} of their lists. A product that nobody chose yet has "
            "only its text to speak for it, and what a run has learned of choices speaks for others."
        )
    if forecast is not None:
        st.caption(f"Hits: {forecast.surety}.")


def _users(shown: Launched) -> None:
    frame = shown.users.rename(columns={"user_id": "User", "rank": "Rank", "history_length": "History", "why": "Why"})
    # Two lines: a reason names several items.
    picked = exhibits.table(
        frame,
        key="lab.users",
        name="new-product-users",
        row_height=56,
        on_select="rerun",
        selection_mode="single-row",
    )
    behind.to_user(picked, shown.users.rename(columns={"user_id": "user"}))
    parts = ", ".join(f"{name} {value:+.3f}" for name, value in shown.parts.items() if abs(value) >= 5e-4)
    if parts:
        st.caption(f"Its score for those who would see it first is made of, on average: {as_text(parts)}.")


def _beside(choice: Choice, shown: Launched) -> None:
    if shown.nearest.empty:
        st.info("The run has no text vectors of this product.", icon=":material/info:")
        return
    left, right = st.columns(2)
    with left:
        frame = shown.nearest.rename(columns={"title": "Nearest by text", "cosine": "Cosine", "count": "Chosen"})
        exhibits.table(
            frame[["Nearest by text", "Cosine", "Chosen"]],
            key="lab.nearest",
            name="new-product-nearest",
            formats={"Cosine": "{:.3f}".format},
            column_config={"Nearest by text": st.column_config.TextColumn(width=130)},
        )
    with right:
        if shown.place is None:
            st.info("There is no map of these texts yet.", icon=":material/map:")
            links.link(links.EMBEDDINGS, "Draw the map", links.EMBEDDINGS.icon)
            return
        drawn = load_map(choice.root, shown.place.map_id)
        key = next(key for spec, key in drawn.keys.items() if spec.startswith("embedding:"))
        xy = np.asarray(drawn.xy(key, shown.place.method))
        caption = (
            "Placed between its 5 nearest items in the original space; the map was drawn without it. On the map they "
            f"lie {shown.place.spread:.0%} of its width apart."
        )
        figure = charts.map_chart(
            xy, choice.dataset.catalogue["title"].tolist(), shown.place, shown.title, caption, widgets.mode()
        )
        mark = clicks.chart(figure, key="lab.map", parts=1, alt=caption, name="new-product-map")
        if len(mark) == 1 and (number := behind.item_number(mark[0], choice.dataset)):
            item = choice.dataset.catalogue.iloc[number - 1]
            behind.ways_of_item(str(item["item_id"]), str(item["title"]))


def read_rows(text: str) -> list[dict[str, str]]:
    """Pasted CSV as products. UserError where it is none."""
    try:
        return read_products(pd.read_csv(io.StringIO(text), dtype=str))
    except ValueError as error:
        raise UserError(f"The rows cannot be read as CSV: {error}") from error
