"""Another text for an item: which places in lists it gains and loses, and beside what it then stands."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.lab.edit import Edited, Moved, edit
from llmesr.views.cache import spaces
from llmesr.views.lab import charts
from llmesr.views.lab.answers import answered
from llmesr.views.lab.choice import Choice
from llmesr.views.lab.fields import LONG, text_fields
from llmesr.views.shared import behind, exhibits, links, theme, widgets
from llmesr.views.shared.words import as_text

FOUND = 50


def view(choice: Choice) -> None:
    """The item and its text beside what another text does."""
    with st.container(key="lab-sides"):
        left, right = st.columns([1, 2], gap="large")
    with left:
        item = _item(choice)
        asked = None if item is None else _form(choice.dataset, item)
    with right:
        if item is None:
            return
        if not asked:
            st.info(
                "Change the text and see what moves: nothing is trained, nothing is stored.", icon=":material/edit:"
            )
            return
        found = answered(
            ("edit", choice.key, item, asked),
            lambda progress: edit(choice.scored, item, dict(asked), choice.config, progress),
        )
        _shown(choice, found)


def _item(choice: Choice) -> int | None:
    """The item: from the link, or searched by the words of its title. At first the tail item chosen most."""
    points = spaces.points(choice.root, choice.dataset.id, "items")
    text = st.text_input(
        "Find an item", key="lab.find", icon=":material/search:", placeholder="Words of a title, or an id"
    )
    rows = points.find(text, FOUND).tolist() if text.strip() else []
    linked = st.query_params.get("item", st.session_state.get("kept.item", ""))
    ids = points.ids.tolist()
    if text.strip() and not rows:
        st.caption("No item has these words in its title.")
    if not rows:
        tail = points.tail.nonzero()[0]
        first = tail[points.counts[tail].argmax()] if len(tail) else points.counts.argmax()
        rows = [ids.index(linked) if linked in ids else int(first)]
    by_id = {ids[row]: row for row in rows}
    chosen = links.choose("Item", list(by_id), "item", show=lambda id: str(points.titles[by_id[id]])[:80])
    return None if chosen is None else by_id[chosen] + 1


def _form(dataset: Dataset, item: int) -> tuple[tuple[str, str], ...]:
    """The attributes that differ from the item's own, as they were when the button was last pressed."""
    own = dataset.catalogue.iloc[item - 1]
    with st.form("lab.edit", border=False):
        texts = {column: str(own[column]) for column in dataset.text_columns}
        long = [c for c in dataset.text_columns[1:] if len(texts[c]) > LONG]
        given = text_fields(dataset, f"lab.edit.{item}", long=long, values=texts)
        pressed = st.form_submit_button("See what moves", type="primary", icon=":material/experiment:")
    if pressed:
        changed = tuple((name, text) for name, text in given.items() if text != own[name].strip())
        st.session_state["lab.edited"] = (dataset.id, item, changed)
        if not changed:
            st.caption("The text is the item's own.")
    of, whose, asked = st.session_state.get("lab.edited", (None, 0, ()))
    return asked if (of, whose) == (dataset.id, item) else ()


def _shown(choice: Choice, found: Edited) -> None:
    now, then = found.everyone, found.targets
    one, two, three = st.columns(3)
    reach = f"{now.reach('before'):,} → {now.reach('after'):,}"
    one.metric(f"Users reached (first {now.k})", reach, border=True)
    two.metric("Places gained and lost", f"+{int(now.gained.sum()):,} / −{int(now.lost.sum()):,}", border=True)
    ranks = f"{theme.count(now.median('before'))} → {theme.count(now.median('after'))}"
    three.metric("Median rank", ranks, border=True)
    st.markdown(validation_line(then))
    mode = widgets.mode()
    frame = charts.rank_frame({"as it is": now.before, "with the new text": now.after}, choice.dataset.n_items)
    caption = f"{int(now.candidates.sum()):,} users who do not have it yet; {choice.run.label}, full ranking"
    colors = [theme.SURFACE[mode]["muted"], theme.SEMANTIC[mode]["highlight"]]
    exhibits.chart(
        charts.rank_chart(frame, now.k, colors, caption, mode),
        key="lab.edit.ranks",
        alt=f"The item stands in the first {now.k} of {now.reach('before'):,} users before and {now.reach('after'):,} "
        "after.",
        data=frame,
        name="edited-text-ranks",
    )
    who, beside = st.tabs(["Whose lists change", "Beside what it stands"])
    with who:
        columns = {"user_id": "User", "before": "Rank before", "after": "Rank after", "change": "Place"}
        table = found.moved_users(choice.dataset).rename(columns=columns)
        if table.empty:
            st.caption("Nobody's list gains or loses the item.")
        else:
            picked = exhibits.table(
                table,
                key="lab.edit.moved",
                name="edited-text-users",
                on_select="rerun",
                selection_mode="single-row",
            )
            behind.to_user(picked, table.rename(columns={"User": "user"}))
    with beside:
        pairs = [f[["title", "cosine"]].reset_index(drop=True) for f in (found.nearest_before, found.nearest_after)]
        table = pd.concat(pairs, axis=1)
        table.columns = pd.Index(["Nearest before", "Cosine before", "Nearest after", "Cosine after"])
        shown = dict.fromkeys(("Cosine before", "Cosine after"), "{:.3f}".format)
        narrow = {f"Nearest {when}": st.column_config.TextColumn(width=180) for when in ("before", "after")}
        exhibits.table(table, key="lab.edit.nearest", name="edited-text-nearest", formats=shown, column_config=narrow)
    st.caption(choice.caption)


def validation_line(then: Moved) -> str:
    """How those whose validation item it is would find it, in a sentence."""
    if not len(then.before):
        return "It is nobody's validation item, so no held-out choice says whether this is better."
    users = "the one user" if len(then.before) == 1 else f"the {len(then.before):,} users"
    return (
        f"Of {users} whose validation item it is, **{then.reach('before')}** found it before and "
        f"**{then.reach('after')}** with the new text."
    )


def link(item_id: str, title: str) -> None:
    """To this view, for an item."""
    links.link(links.LAB, f"Edit the text of {as_text(title, 60)}", ":material/edit:", lab="edit", item=item_id)
