"""Which texts to repair first: flawed ones by the users who could gain, and what a good text was measured to bring."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from llmesr.lab.flaws import FLAWS
from llmesr.lab.repair import Repairs, repairs
from llmesr.prose import counted
from llmesr.views.lab import charts
from llmesr.views.lab.answers import answered
from llmesr.views.lab.choice import Choice
from llmesr.views.lab.edit import link
from llmesr.views.shared import behind, clicks, exhibits, widgets

ABOUT = (
    "Items like the flawed ones, but with a good text, were given the same flaw; of the validation users who then miss "
    "them, the share who find them with the good text is the gain. A flawed text is listed by its own users who miss "
    "it now, times that gain: an expectation, not a promise for one item."
)
MEANINGS = {
    "missing": "no words at all",
    "untitled": "no title, so that the id stands in; there are other words",
    "duplicate": "word for word the text of another item",
    "short": "at most a quarter of the median number of words",
}


def view(choice: Choice) -> None:
    """Works it out at once: it takes a pass over the validation users for every kind of flaw."""
    found = answered(("repair", choice.key), lambda progress: repairs(choice.scored, choice.config, progress))
    if found.texts.empty:
        said = "No text of this dataset is missing, without a title, short or the same as another's."
        st.success(said, icon=":material/check:")
        st.caption(choice.caption)
        return
    counts = found.texts["flaw"].value_counts()
    for column, flaw in zip(st.columns(len(FLAWS)), FLAWS, strict=True):
        column.metric(f"{flaw.capitalize()} texts", f"{counts.get(flaw, 0):,}", border=True, help=MEANINGS[flaw])
    st.markdown(headline(found))
    _texts(found)
    _gains(found)
    st.caption(choice.caption)


def headline(found: Repairs) -> str:
    """What repairing could bring, in a sentence."""
    sure = [g for g in found.gains if g.low > 0]
    if not sure:
        return "**No flaw is sure to cost anything**: every interval holds 0, or there are too few good examples."
    named = {(g.flaw, g.group) for g in sure}
    rows = found.texts[[key in named for key in zip(found.texts["flaw"], found.texts["group"], strict=True)]]
    total, low, high = (float(rows[c].sum()) for c in ("gain", "low", "high"))
    return (
        f"Good words for {counted(len(rows), 'text')} would win **{total:.1f}** validation users ({low:.1f} to "
        f"{high:.1f}) of the {int(rows['misses'].sum()):,} who miss these items now."
    )


def _texts(found: Repairs) -> None:
    frame = table(found)
    picked = exhibits.table(
        frame,
        key="lab.repair.table",
        name="texts-to-repair",
        formats={"Would find it": "{:.2f}".format},
        column_config={"Item": st.column_config.TextColumn("Item", width=300)},
        on_select="rerun",
        selection_mode="single-row",
    )
    rows = picked.selection.rows if picked else []
    row = found.texts.iloc[rows[0] if rows else 0]
    link(str(row["item_id"]), str(row["title"]))


def table(found: Repairs) -> pd.DataFrame:
    """The flawed texts for people."""
    texts = found.texts
    interval = [
        "too few to say" if gain != gain else f"{low:.2f} to {high:.2f}"
        for gain, low, high in zip(texts["gain"], texts["low"], texts["high"], strict=True)
    ]
    return pd.DataFrame(
        {
            "Item": texts["title"],
            "Flaw": texts["flaw"],
            "Words": texts["words"],
            "Users": texts["users"],
            "Miss it": texts["misses"],
            "Would find it": texts["gain"],
            "95%": interval,
        }
    )


def _gains(found: Repairs) -> None:
    frame = charts.gain_frame(found.gains)
    if frame["Gain"].notna().any():
        mark = clicks.chart(
            charts.gain_chart(found.gains, f"Validation users, first {found.k}; 95% over items", widgets.mode()),
            key="lab.repair.gains",
            parts=2,
            alt="; ".join(f"{g.flaw}, {g.group}: {g.rate:.1%} ({g.low:.1%} to {g.high:.1%})" for g in found.gains),
            data=frame,
            name="gain-of-a-good-text",
        )
        texts = found.texts
        own = texts[(texts["flaw"] == mark[0]) & (texts["group"] == mark[1])] if len(mark) == 2 else texts[:0]
        if len(own):
            rows = own[["item_id", "title", "words", "users", "misses"]].rename(columns={"item_id": "item"})
            behind.items(rows, f"{mark[0].capitalize()} texts, {mark[1]}", "lab.repair.gains")
    for gain in found.lacking:
        st.caption(f"{gain.flaw.capitalize()}, {gain.group}: too few good examples to measure a gain.")
    st.caption(ABOUT)
