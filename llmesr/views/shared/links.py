"""Where the pages are, and the choices that travel in their addresses.

A choice made with :func:`choose` stands in the URL as ``?key=...``: it holds over page changes, and for whoever opens
the link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st

from llmesr.store import config_digest
from llmesr.views.shared.words import as_text


@dataclass(frozen=True)
class Page:
    """A page of the app: the file ``pages/<name>.py``, shown at ``/<name>``."""

    name: str
    title: str
    icon: str

    @property
    def file(self) -> str:
        return f"pages/{self.name}.py"


OVERVIEW = Page("overview", "Overview", ":material/home:")
STORY = Page("story", "Story", ":material/auto_stories:")
DATASETS = Page("datasets", "Datasets", ":material/database:")
TRAINING = Page("training", "Training", ":material/model_training:")
COMPARE = Page("compare", "Compare", ":material/balance:")
EMBEDDINGS = Page("embeddings", "Embeddings", ":material/scatter_plot:")
NEIGHBOURS = Page("neighbours", "Neighbours", ":material/group:")
RECOMMEND = Page("recommend", "Recommend", ":material/recommend:")
FINDINGS = Page("findings", "Findings", ":material/keep:")
LAB = Page("lab", "Lab", ":material/experiment:")
SECTIONS: dict[str, tuple[Page, ...]] = {
    "Look": (OVERVIEW, STORY),
    "Prepare": (DATASETS, TRAINING),
    "Judge": (COMPARE, EMBEDDINGS, NEIGHBOURS, RECOMMEND, LAB),
    "Show": (FINDINGS,),
}
"""Every page, in the order of the sidebar. The first page is where the app opens."""


_WAITING = "address.waiting"


def link(page: Page, label: str, icon: str | None = None, **selection: str | Sequence[str]) -> None:
    """A link to another page that carries a selection, such as ``run=...``."""
    st.page_link(page.file, label=label, icon=icon, query_params=selection or None)


def named(name: str) -> Page | None:
    """The page of that name, if there is one."""
    return next((page for pages in SECTIONS.values() for page in pages if page.name == name), None)


def choose(
    label: str,
    options: Sequence[str],
    key: str,
    *,
    show: Callable[[str], str] = str,
    default: str | None = None,
    kind: Literal["select", "radio", "segmented"] = "select",
    **more: Any,
) -> str | None:
    """One of ``options`` (ids), kept in the URL as ``?key=``. None when there are no options."""
    if not options:
        return None
    linked = _linked(key)
    _look_for_gone(key, [] if linked is None else [str(linked)], options)
    chosen = wanted(key)
    if chosen not in options:
        chosen = default if default in options else options[0]
    _preset(key, chosen)
    widgets: dict[str, Callable[..., Any]]
    widgets = {"select": st.selectbox, "radio": st.radio, "segmented": st.segmented_control}
    if kind == "radio":
        more = {"horizontal": True, **more}
    if kind == "segmented":
        more = {"wrap": True, **more}  # in a narrow column too: what is cut off is not chosen
    value = widgets[kind](label, list(options), format_func=show, key=f"pick.{key}", **more) or chosen
    if kind == "segmented" and st.session_state[f"pick.{key}"] is None:
        st.session_state[f"kept.{key}"] = value  # a second click on the chosen segment would leave none
    _keep(key, value)
    _say_gone(key, value)
    return str(value)


def choose_many(
    label: str,
    options: Sequence[str],
    key: str,
    *,
    show: Callable[[str], str] = str,
    default: Sequence[str] = (),
    **more: Any,
) -> list[str]:
    """Several of ``options`` (ids), kept in the URL as repeated ``?key=``."""
    _look_for_gone(key, all_linked(key), options)
    linked = _wanted(key, all_linked(key) or None)
    _preset(key, [o for o in (default if linked is None else linked) if o in options])
    value = st.multiselect(label, list(options), format_func=show, key=f"pick.{key}", **more)
    _keep(key, value)
    _say_gone(key, value)
    return value


def folded(label: str, key: str, *, icon: str | None = None, opened: bool = False) -> Any:
    """A box that is closed at first (or ``opened``), and the other way where the address says ``?open=key`` (or
    ``?closed=key``). Work out what it holds only while it is ``.open``, where that costs time."""
    told = "closed" if opened else "open"
    turned = all_linked(told)
    if f"box.{key}" not in st.session_state:
        st.session_state[f"box.{key}"] = (key in turned) != opened
    box = st.expander(label, key=f"box.{key}", icon=icon, on_change="rerun")
    now = bool(box.open) != opened
    if now != (key in turned):
        write(told, [k for k in turned if k != key] + [key] * now)
    return box


def selected(key: str, table: str, ids: Sequence[str]) -> dict[str, Any]:
    """For the ``table`` with a row for each of ``ids``: its key, and what the address selects, ``?key=``, by row.

    A table remembers rows by their number: other ids, or another order, are another table, and what was selected stays
    so wherever it now stands."""
    shown, wanted = st.session_state.get(f"rows.{key}", (None, []))
    if shown != list(ids):
        wanted = all_linked(key)
        st.session_state[f"rows.{key}"] = (list(ids), wanted)
    rows = [row for row, id in enumerate(ids) if id in wanted]
    return {"key": f"{table}.{config_digest(list(ids))}", "selection_default": {"selection": {"rows": rows}}}


def keep_selected(key: str, ids: Sequence[str]) -> None:
    """Write the rows that are selected into the address, by their ids."""
    if all_linked(key) != list(ids):
        write(key, list(ids))


def preselect(key: str, value: Any) -> None:
    """Make a choice for the visitor; only from a callback, before the widget is drawn."""
    st.session_state[f"pick.{key}"] = st.session_state[f"kept.{key}"] = value


def current(key: str, default: str) -> str:
    """A choice made earlier, on this page or another."""
    return str(st.session_state.get(f"kept.{key}", default))


def wanted(key: str) -> Any:
    """What a single choice will be: the URL's, the widget's, or what was kept from another page; else None."""
    return _wanted(key, _linked(key))


@contextmanager
def one_write() -> Iterator[None]:
    """What the page writes into its address meanwhile is written at the end, all at once: every single write would be
    an entry in the history of a browser that has only just opened the page."""
    st.session_state[_WAITING] = {}
    try:
        yield
    finally:
        if waiting := st.session_state.pop(_WAITING, {}):
            st.query_params.update(waiting)


def write(key: str, value: str | Sequence[str]) -> None:
    """Put ``?key=`` into the address."""
    waiting = st.session_state.get(_WAITING)
    if waiting is None:  # a part of the page draws itself
        st.query_params[key] = value
    else:
        waiting[key] = value


def remove(key: str) -> None:
    """Take ``?key=`` out of the address."""
    (st.session_state.get(_WAITING) or {}).pop(key, None)
    st.query_params.pop(key, None)


def go(page: Page) -> None:
    """Open another page at once; what this one has yet to write into its address is dropped."""
    st.session_state[_WAITING] = {}
    st.switch_page(page.file)


def _linked(key: str) -> str | Sequence[str] | None:
    """What the address says under ``key``, or is about to."""
    waiting = st.session_state.get(_WAITING) or {}
    found: str | Sequence[str] | None = waiting.get(key, st.query_params.get(key))
    return found


def all_linked(key: str) -> list[str]:
    """Everything the address says under ``key``, or is about to."""
    waiting = st.session_state.get(_WAITING) or {}
    return list(waiting.get(key, st.query_params.get_all(key)))


def _wanted(key: str, linked: Any) -> Any:
    """The URL when someone else changed it, else the widget, else what was kept from another page."""
    if linked is not None and linked != st.session_state.get(f"linked.{key}"):
        return linked
    if f"pick.{key}" in st.session_state and st.session_state[f"pick.{key}"] is not None:
        return st.session_state[f"pick.{key}"]
    return st.session_state.get(f"kept.{key}")


def _preset(key: str, value: Any) -> None:
    # Also where it is the same: on another page the widget is a new one, which knows nothing of the old one's value.
    st.session_state[f"pick.{key}"] = value


def _keep(key: str, value: Any) -> None:
    st.session_state[f"kept.{key}"] = value
    st.session_state[f"linked.{key}"] = value
    there = st.query_params.get_all(key) if isinstance(value, list) else st.query_params.get(key)
    if there != value:
        write(key, value)


def _look_for_gone(key: str, linked: list[str], options: Sequence[str]) -> None:
    """Note what a link that has just been opened names and is not there: nothing else may pass for it."""
    before = st.session_state.get(f"linked.{key}")
    if linked and linked != (before if isinstance(before, list) else [before]):
        st.session_state[f"gone.{key}"] = ([name for name in linked if name not in options], None)


def _say_gone(key: str, value: Any) -> None:
    """Say it for as long as the choice stays what it has become without it."""
    gone, instead = st.session_state.get(f"gone.{key}", ([], None))
    if not gone or instead not in (None, value):
        st.session_state.pop(f"gone.{key}", None)
        return
    st.session_state[f"gone.{key}"] = (gone, value)
    names = ", ".join(as_text(name, 80) for name in gone)
    verb = "is" if len(gone) == 1 else "are"
    st.warning(f"The link names {names}, which {verb} not here (any more).", icon=":material/link_off:")
