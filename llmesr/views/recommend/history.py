"""Whose list it is: a user of the dataset, or a history put together by searching items."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from llmesr.data.dataset import Dataset
from llmesr.ids import read_line, write_line
from llmesr.prose import counted
from llmesr.views.cache import artifacts, spaces
from llmesr.views.shared import exhibits, links
from llmesr.views.shared.words import as_text

SOURCES = {"user": "A user", "build": "Build a history"}
FOUND = 8
READ = 6
"""Titles of a user's history that are named above the lists."""


def whose(dataset: Dataset) -> tuple[str, int | None]:
    """In one row: a user of the dataset or a history of one's own, and which user. None while there is no user."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = links.choose(
            "Recommend to",
            list(SOURCES),
            "source",
            kind="segmented",
            show=SOURCES.__getitem__,
            width="content",
            wrap=False,
        )
        user = _user(dataset) if source == "user" else None
    return str(source), user


def history_of(dataset: Dataset, source: str, user: int | None) -> tuple[list[int], int | None]:
    """The history (item numbers, oldest first), shown; empty, saying what to do, while there is none. Of a user who is
    to be seen as before the item held out for the test, what came before it, and that item."""
    if source == "user" and user is None:
        st.info("Enter a user ID as it appears in the data.", icon=":material/person:")
        return [], None
    words, held = st.container(key="rec-history", gap="small"), None
    if user is not None:
        history, held = _of_user(dataset, user, words)
    else:
        with words:
            history = _built(dataset)
            if history:
                _edited(dataset, history)
    if not history:
        st.info("Search for an item and add it: the lists below follow.", icon=":material/playlist_add:")
    return history, held


def _of_user(dataset: Dataset, user: int, words: DeltaGenerator) -> tuple[list[int], int | None]:
    """The history of a user, said in ``words``, and the held-out item where it is to be what came before that."""
    history, held = dataset.history(user).tolist(), None
    row = st.container(horizontal=True, vertical_alignment="center", gap="small", key="rec-tools")
    if user in dataset.split.users("test"):
        help = "As runs are judged: after what the user chose before the item held out for the test. It is marked."
        if row.toggle("Before the held-out item", key="rec.judged", bind="query-params", help=help):
            given = int(dataset.split.input_lengths("test")[user])
            history, held = history[:given], int(history[given])
    with words:
        _in_short(dataset, history, user, held)
    with row:
        _more(dataset, history)
    return history, held


def _user(dataset: Dataset) -> int | None:
    linked = st.query_params.get("user", "")
    if "rec.id" not in st.session_state or (linked and linked != st.session_state.get("rec.linked")):
        before, of = st.session_state.get("kept.rec.id", ("", ""))  # Streamlit drops the field when its page is left
        kept = before if of == dataset.id else ""
        st.session_state["rec.id"] = linked or kept or str(dataset.user_ids[_random_tail(dataset, 0)])
    st.text_input("User ID", key="rec.id", icon=":material/person:", width=140)
    st.button("Random tail user", icon=":material/casino:", key="rec.draw", on_click=_draw, args=(dataset,))
    text = st.session_state["rec.id"].strip()
    st.session_state["rec.linked"] = linked
    if not text:
        return None
    user = dataset.user(text)
    st.session_state["rec.linked"], st.session_state["kept.rec.id"] = text, (text, dataset.id)
    links.write("user", text)
    return user


def _draw(dataset: Dataset) -> None:
    st.session_state["rec.seed"] = st.session_state.get("rec.seed", 0) + 1
    st.session_state["rec.id"] = str(dataset.user_ids[_random_tail(dataset, st.session_state["rec.seed"])])


def _random_tail(dataset: Dataset, seed: int) -> int:
    lengths = dataset.split.train_lengths
    tail = np.flatnonzero((lengths > 0) & dataset.thresholds.tail_users(lengths))
    return int(np.random.default_rng(seed).choice(tail if len(tail) else np.flatnonzero(lengths)))


def _built(dataset: Dataset) -> list[int]:
    """The visitor's own history; ``?history=`` brings item ids, oldest first."""
    linked = st.query_params.get("history", "")
    if st.session_state.get("rec.about") != dataset.id or linked not in ("", st.session_state.get("rec.written", "")):
        st.session_state["rec.about"], st.session_state["rec.written"] = dataset.id, linked
        ids = read_line(linked)
        known = set(dataset.catalogue["item_id"])
        st.session_state["rec.history"] = [dataset.item(i) for i in ids if i in known]
    history = cast(list[int], st.session_state["rec.history"])
    text = st.text_input(
        "Add items", key="rec.find", icon=":material/search:", placeholder="words of a title, or an ID"
    )
    if text:
        points = spaces.points(artifacts.store(), dataset.id, "items")
        rows = [int(r) for r in points.find(text, FOUND)]
        if not rows:
            st.caption(f"Nothing found for {as_text(text, 80)}.")
        with st.container(horizontal=True, gap="small"):  # side by side: the lists are not to be pushed away
            for row in rows:
                short = dataset.thresholds.item_group(int(points.counts[row])).split()[0].lower()
                mark = f"{points.counts[row]:,}{'' if short == 'head' else f' · {short}'}"
                label = f"{as_text(points.titles[row], 70)} :gray[{mark}]"
                st.button(
                    label,
                    key=f"rec.add.{row}",
                    icon=":material/add:",
                    type="tertiary",
                    on_click=_add,
                    args=(dataset, row + 1),
                )
    return history


def _add(dataset: Dataset, item: int) -> None:
    _set(dataset, [*st.session_state["rec.history"], item])


def _set(dataset: Dataset, history: list[int]) -> None:
    st.session_state["rec.history"] = history
    ids = dataset.catalogue["item_id"].to_numpy(object)
    written = write_line(str(ids[i - 1]) for i in history)
    st.session_state["rec.written"] = written
    links.write("history", written)


def _in_short(dataset: Dataset, history: list[int], user: int, held: int | None) -> None:
    """A user's history in a few lines, since the lists are what is looked for; the whole of it on demand."""
    titles = spaces.points(artifacts.store(), dataset.id, "items").titles
    newest = [as_text(titles[i - 1], 90) for i in history[::-1]]
    earlier = f" · and {len(newest) - READ:,} earlier" if len(newest) > READ else ""
    if held is not None:
        st.markdown(f"**Held out** ★ {as_text(titles[held - 1], 120)}")
    st.markdown(
        f"**History** :gray[{counted(len(history), 'item')}, newest first, {_group(dataset, user)}]: "
        f"{' · '.join(newest[:READ])}{earlier}"
    )


def _more(dataset: Dataset, history: list[int]) -> None:
    """The whole of a history, and the way to change it."""
    with st.popover("All of it", icon=":material/history:", type="tertiary", key="rec.all"):
        _table(dataset, history, "user", height=360)
    st.button(
        "Edit this history",
        icon=":material/edit:",
        key="rec.edit",
        type="tertiary",
        on_click=_edit,
        args=(dataset, history),
    )


def _table(dataset: Dataset, history: list[int], key: str, *, height: int, **events: Any) -> Any:
    """A history as a table, newest first; the selection is returned."""
    points, rows = spaces.points(artifacts.store(), dataset.id, "items"), np.asarray(history[::-1]) - 1
    counts = points.counts[rows]
    groups = [dataset.thresholds.item_group(int(n)).split()[0].lower() for n in counts]
    frame = pd.DataFrame({"Title": points.titles[rows], "Chosen": counts, "Group": groups})
    return exhibits.table(
        frame,
        key=f"rec.items.{key}",
        height=min(36 * (len(frame) + 1), height),
        column_config={
            "Title": st.column_config.TextColumn("Title", width=230),
            "Chosen": st.column_config.NumberColumn("Chosen", width=60, help="Interactions in the training part"),
            "Group": st.column_config.TextColumn("Group", width=60),
        },
        alt="The history, newest first.",
        **events,
    )


def _edited(dataset: Dataset, history: list[int]) -> None:
    """The visitor's own history: rows that are selected can be taken out."""
    st.markdown(f"**History** :gray[{counted(len(history), 'item')}, newest first]")
    key = "-".join(map(str, history[-40:]))
    event = _table(dataset, history, key, height=148, on_select="rerun", selection_mode="multi-row")
    chosen = set((event or {"selection": {"rows": []}})["selection"]["rows"])
    kept = [item for i, item in enumerate(history[::-1]) if i not in chosen][::-1]
    with st.container(horizontal=True):
        st.button(
            "Remove selected",
            icon=":material/remove:",
            key="rec.remove",
            disabled=not chosen,
            on_click=_set,
            args=(dataset, kept),
        )
        st.button("Start over", icon=":material/delete:", key="rec.clear", on_click=_set, args=(dataset, []))


def _group(dataset: Dataset, user: int) -> str:
    return dataset.thresholds.user_group(int(dataset.split.train_lengths[user]))


def _edit(dataset: Dataset, history: list[int]) -> None:
    """Take a user's history over into the editor."""
    st.session_state["rec.about"] = dataset.id
    _set(dataset, list(history))
    st.session_state["pick.source"] = "build"
    st.query_params["source"] = "build"
