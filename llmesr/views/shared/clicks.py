"""The mark of a chart that was clicked: what it carries, kept in the address as ``?mark.<chart>=``.

A link, a reload and Back bring it again; it stays while knobs are turned, until another mark is clicked, the same one
is clicked away, or its list is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from llmesr.views.shared import exhibits, links

_DRAWN = "clicks.drawn"


def begin() -> None:
    """The page is drawn once more: what was clicked in a chart that is no longer drawn is forgotten."""
    st.session_state[_DRAWN] = st.session_state.get(_DRAWN, 0) + 1


def chart(figure: go.Figure, *, key: str, parts: int, **shown: Any) -> list[str]:
    """A chart whose marks can be clicked (``shown`` as of :func:`exhibits.chart`), and what the mark that was clicked
    says it stands for: the last ``parts`` entries of its customdata as text; empty while there is none."""
    event = exhibits.chart(figure, key=key, on_select="rerun", selection_mode="points", **shown)
    return kept(key, carried(event)[-parts:], figure.to_json)


def carried(event: Any) -> list[str]:
    """What the mark of an event carries (its customdata) as text, however the browser wraps it; empty without one."""
    points = event["selection"]["points"] if event else []
    told = points[0].get("customdata") if points else None
    if told is None:
        return []
    parts = list(told.values()) if isinstance(told, dict) else told if isinstance(told, list | tuple) else [told]
    return [str(part) for part in parts]


def kept(key: str, clicked: list[str], picture: Callable[[], object]) -> list[str]:
    """What was ``clicked`` in a chart or table, else what the address says. ``picture()`` is all that it shows: where
    that changes the browser builds a chart anew and forgets what was clicked in it, which is no click. It is asked for
    only where something is or was clicked."""
    drawn, name = st.session_state.get(_DRAWN, 0), _name(key)
    last, before, showed = st.session_state.get(f"clicks.{key}", (None, [], None))
    shows = hash(picture()) if clicked or before else None
    st.session_state[f"clicks.{key}"] = drawn, clicked, shows
    seen = last in (drawn - 1, drawn)  # parts of a page draw themselves alone
    if clicked and not (seen and clicked == before):
        links.write(name, clicked)
        return clicked
    if before and not clicked and seen and showed == shows:
        close(key)
        return []
    return links.all_linked(name)


def close(key: str) -> None:
    """Forget what was clicked."""
    links.remove(_name(key))


def _name(key: str) -> str:
    return f"mark.{key}"
