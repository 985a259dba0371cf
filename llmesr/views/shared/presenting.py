"""One thing at a time, large enough to be shown to a room: the way through, the arrow keys, nothing around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import streamlit as st

_LARGE = """<style>
[data-testid="stMain"] h1 {font-size: clamp(1.6rem, 2.6vw, 2.6rem); line-height: 1.15}
.st-key-way {padding-top: .5rem}
[data-testid="stMain"] .st-key-told p {font-size: 1.2rem; line-height: 1.5}
[data-testid="stMain"] .st-key-told [data-testid="stCaptionContainer"] p {font-size: 0.9rem}
@media (max-width: 1100px) {
    [data-testid="stMain"] .st-key-told p {font-size: 1rem; line-height: 1.4}
    .st-key-told [data-testid="stAlertContainer"] {padding: .75rem}
    [data-testid="stMain"] .st-key-told [data-testid="stAlertContainer"] p {font-size: .9rem}
}
</style>"""
_ALONE = """<style>
[data-testid="stMain"] h1 {font-size: clamp(1.8rem, 3.2vw, 3.2rem)}
[data-testid="stSidebar"], [data-testid="stSidebarCollapsedControl"], [data-testid="stExpandSidebarButton"],
[data-testid="stHeader"], [class*="st-key-pin-"] {display: none}
[data-testid="stMainBlockContainer"] {padding-top: 2rem; max-width: 1500px; margin: auto}
[class*="st-key-told-"] li {font-size: clamp(1rem, 1.7vw, 1.5rem); line-height: 1.5}
.st-key-vote-cast button {min-height: 3.5rem}
.st-key-vote-cast button p {font-size: 1.3rem}
[data-testid="stLayoutWrapper"]:has(> .st-key-vote-cast) {position: sticky; bottom: 0; z-index: 3}
@media (max-width: 640px) {
    [data-testid="stMainBlockContainer"] {padding: 1rem 1rem 2rem}
    .st-key-way [class*="st-key-step-"] {display: none}
    .st-key-way button {min-height: 2.5rem; padding: 0 .75rem}
    [data-testid="stMain"] .st-key-told p {font-size: 1rem; line-height: 1.4}
    .st-key-vote-lists > * > [data-testid="stHorizontalBlock"] {gap: .5rem}
    [class*="st-key-told-"] {padding: .5rem .75rem; gap: .5rem}
    [class*="st-key-told-"] h3 {padding: 0}
    .st-key-vote-cast button {min-height: 2.75rem; padding: 0 .25rem}
    .st-key-vote-cast button p {font-size: 1rem}
}
</style>"""
"""Styles only: no data is ever part of them."""


def alone() -> bool:
    """Whether the page is shown without menus."""
    return st.query_params.get("present") == "1"


def style() -> None:
    """Type for a room; without menus while presenting."""
    st.html(_LARGE + (_ALONE if alone() else ""))


def number(count: int) -> int:
    """The step in the URL, from 1; 1 when it names none."""
    wanted = st.query_params.get("step", "1")
    return int(wanted) if wanted in [str(i) for i in range(1, count + 1)] else 1


def way(names: Sequence[str]) -> None:
    """Previous, each step by its number, next; the arrow keys do the same."""
    at = number(len(names))
    with st.container(horizontal=True, vertical_alignment="center", key="way"):
        first, last = at == 1, at == len(names)
        st.button("Previous", on_click=_go, args=(at - 1,), disabled=first, shortcut="Left", key="previous")
        for i, name in enumerate(names, start=1):
            kind: Literal["primary", "tertiary"] = "primary" if i == at else "tertiary"
            st.button(str(i), help=name, on_click=_go, args=(i,), key=f"step.{i}", type=kind)
        st.button("Next", on_click=_go, args=(at + 1,), disabled=last, shortcut="Right", key="next")
        st.button(
            "Leave" if alone() else "Present",
            on_click=present,
            args=(not alone(),),
            key="present",
            help="The step alone, without menus. F11 gives it the whole screen; Ctrl and + make it larger.",
        )
        st.caption(f"Step {at} of {len(names)}: {names[at - 1]}")


def present(on: bool) -> None:
    """Begin or leave presenting; only from a callback."""
    if on:
        st.query_params["present"] = "1"
    else:
        st.query_params.pop("present", None)


def _go(to: int) -> None:
    st.query_params["step"] = str(to)
