"""From a mark of a chart to the users behind it, and from a user to the pages about them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from llmesr.views.shared import links
from llmesr.views.shared.words import as_text


def clicked(event: Any) -> list[Any]:
    """What the dot that was clicked carries (its customdata), however the browser wraps it; empty without one."""
    points = event["selection"]["points"] if event else []
    told = points[0].get("customdata") if points else None
    return list(told.values()) if isinstance(told, dict) else list(told or [])


def to_user(picked: Any, rows: pd.DataFrame) -> None:
    """Links to the pages about the user of the chosen row."""
    at = picked["selection"]["rows"] if picked else []
    if not at or at[0] >= len(rows):
        st.caption("Select a row to open that user.")
        return
    user = str(rows.iloc[at[0]]["user"])
    with st.container(horizontal=True):
        links.link(links.NEIGHBOURS, f"{as_text(user, 60)} on Neighbours", need="search", user=user)
        links.link(links.RECOMMEND, f"{as_text(user, 60)} on Recommend", source="user", user=user)
