"""The selection of a map in the address: a link brings it, and what is selected is written there."""

from __future__ import annotations

import numpy as np
import streamlit as st

from llmesr.maps.points import Pair, Points
from llmesr.views.embeddings.selection import Linked, within
from llmesr.views.shared import links

NAMED = 50
"""Points whose ids a link holds; of more, only an area."""
AREAS = {"left": "area", "right": "area-right"}
ADDRESS = ("point", *AREAS.values())
"""What stands in the address for a selection."""


def linked(dataset_id: str, points: Points, pair: Pair, picture: tuple[object, ...]) -> Linked:
    """The visitor's selection; a link may bring one: ``?point=`` with ids, or areas of a map. ``picture`` is whatever
    decides where points lie: in another one an area would hold others."""
    about = (dataset_id, points.of)
    if st.session_state.get("map.about") != about:
        st.session_state["map.about"] = about
        st.session_state["map.linked"] = Linked()
    chosen: Linked = st.session_state["map.linked"]
    if st.session_state.get("map.picture", picture) != picture:
        chosen.areas = []
    st.session_state["map.picture"] = picture
    address = {key: st.query_params.get_all(key) for key in ADDRESS}
    if address != st.session_state.get("map.address"):
        for side, key in AREAS.items():
            if address[key]:
                chosen.choose(within(address[key], pair.sides[side].xy), f"link:{side}", address[key])
        if address["point"]:
            chosen.choose(np.flatnonzero(np.isin(points.ids, address["point"])), "link")
    return chosen


def keep(points: Points, linked: Linked) -> None:
    """The selection in the address: the area it was drawn as, or the ids of a few points."""
    address: dict[str, list[str]] = {key: [] for key in ADDRESS}
    side = linked.source.removeprefix("link:")
    if linked.areas:
        address[AREAS[side]] = linked.areas
    elif len(linked.rows) <= NAMED:
        address["point"] = [str(id) for id in points.ids[linked.rows]]
    for key, value in address.items():
        if value != st.query_params.get_all(key):
            links.write(key, value)
    st.session_state["map.address"] = address
