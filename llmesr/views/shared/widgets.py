"""Widgets that every page shares: pickers whose choice lives in the URL, captions, charts with their table, errors.

A page is ``panels.page("Title", "lead")``, pick, load, ``panels.chart(...)``, ``panels.caption(...)``.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from llmesr.config import GROUPS
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts
from llmesr.views.shared import theme, words
from llmesr.views.shared.forms import Setting
from llmesr.views.shared.tables import csv_bytes
from llmesr.views.shared.words import as_text

log = logging.getLogger("llmesr.app")
ICON = Path(__file__).with_name("icon.svg")
F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["as_text", "boundary", "caption", "chart", "choose", "choose_many", "empty", "page", "table"]


def page(title: str, lead: str) -> None:
    """The heading of a page and one sentence that says which question it answers."""
    st.title(title, anchor=False)
    with st.container(width=900):
        st.markdown(lead)


def style() -> None:
    """The few rules a theme cannot say: contrast of small text and of the primary button, and less empty space."""
    s = theme.SURFACE[mode()]
    on_primary = "#ffffff" if mode() == "light" else theme.SURFACE["dark"]["background"]
    st.html(
        f"""<style>
        [data-testid="stCaptionContainer"], [data-testid="stMetricLabel"] {{ color: {s["muted"]}; opacity: 1; }}
        [data-testid="stBaseButton-primary"]:not(:disabled) :is(p, span) {{ color: {on_primary}; }}
        [data-testid="stMultiSelect"] [data-tag] :is(span, svg, button) {{ color: {on_primary}; }}
        [data-testid="stMainBlockContainer"] {{ padding-top: 3.5rem; padding-bottom: 4rem; max-width: 1600px; }}
        .st-key-headline-words p {{ font-size: 1.3rem; line-height: 1.5; }}
        </style>"""
    )


def mode() -> theme.Mode:
    """The visitor's theme."""
    return "dark" if getattr(st.context.theme, "type", None) == "dark" else "light"


def sign_in() -> None:
    """Ask for a sign-in where ``.streamlit/secrets.toml`` sets one up under ``[auth]`` (Streamlit's own)."""
    if not st.secrets.load_if_toml_exists() or "auth" not in st.secrets or st.user.is_logged_in:
        return
    st.title("llmesr")
    st.button("Sign in", on_click=st.login, type="primary")
    st.stop()


# -- errors ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def boundary(what: str = "This page") -> Iterator[None]:
    """Show an error as a sentence. The trace goes to the log under an id that the visitor sees."""
    try:
        yield
    except UserError as error:
        st.error(as_text(error, 1000), icon=":material/error:")
    except Exception:
        ticket = secrets.token_hex(4)
        log.exception("error %s: %s", ticket, what)
        st.error(
            f"{what} could not be shown. The reason is in the server's log under **{ticket}**. "
            "Reload the page, or choose something else.",
            icon=":material/error:",
        )


def live(every: float | None) -> Callable[[F], F]:
    """A fragment that draws itself anew every so many seconds, with an error boundary of its own."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            with boundary("This part"):
                return function(*args, **kwargs)

        return st.fragment(bounded, run_every=every)  # type: ignore[return-value]

    return decorate


def empty(sentence: str, target: str | None = None, label: str = "") -> None:
    """Say that there is nothing here yet, and where to go."""
    st.info(sentence, icon=":material/lightbulb:")
    if target:
        st.page_link(target, label=label, icon=":material/arrow_forward:")


def damaged(root: Store, kind: str) -> None:
    """Name the artifacts that cannot be read, so that they do not just vanish."""
    if broken := root.broken(kind):
        with st.expander(f"{len(broken)} damaged {kind} left out", icon=":material/warning:"):
            for reason in broken.values():
                st.markdown(f"- {as_text(reason, 600)}")


# -- choices that live in the URL ------------------------------------------------------------------------------------


def choose(
    label: str,
    options: Sequence[str],
    key: str,
    *,
    show: Callable[[str], str] = str,
    default: str | None = None,
    kind: str = "select",
    **more: Any,
) -> str | None:
    """One of ``options`` (ids), kept in the URL as ``?key=``, over page changes and for whoever opens the link.

    ``kind``: select, radio, segmented. None when there are no options.
    """
    if not options:
        return None
    wanted = _wanted(key, st.query_params.get(key))
    if wanted not in options:
        wanted = default if default in options else options[0]
    _preset(key, wanted)
    widgets: dict[str, Callable[..., Any]]
    widgets = {"select": st.selectbox, "radio": st.radio, "segmented": st.segmented_control}
    if kind == "radio":
        more = {"horizontal": True, **more}
    value = widgets[kind](label, list(options), format_func=show, key=f"pick.{key}", **more) or wanted
    if kind == "segmented" and st.session_state[f"pick.{key}"] is None:
        st.session_state[f"kept.{key}"] = value  # a second click on the chosen segment would leave none
    _keep(key, value)
    return value


def preselect(key: str, value: Any) -> None:
    """Make a choice for the visitor; only from a callback, before the widget is drawn."""
    st.session_state[f"pick.{key}"] = st.session_state[f"kept.{key}"] = value


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
    wanted = _wanted(key, st.query_params.get_all(key) or None)
    wanted = [o for o in wanted if o in options] if wanted is not None else [o for o in default if o in options]
    _preset(key, wanted)
    value = st.multiselect(label, list(options), format_func=show, key=f"pick.{key}", **more)
    _keep(key, value)
    return value


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
        st.query_params[key] = value


def link(target: str, label: str, icon: str | None = None, **selection: str) -> None:
    """A link to another page that carries a selection, such as ``run=...``."""
    st.page_link(target, label=label, icon=icon, query_params=selection or None)


# -- pickers ---------------------------------------------------------------------------------------------------------


def pick_dataset(root: Store) -> Manifest | None:
    """The dataset, in the sidebar; the same on every page. Says what to do when there is none.

    At first the newest with a finished run: there is nothing to see of a dataset that is only just being trained on.
    """
    found = artifacts.manifests(root, "datasets")
    if not found:
        empty("There is no dataset yet. Upload one, or prepare the demo.", "pages/datasets.py", "Upload a dataset")
        return None
    by_id = {m.id: m for m in found}
    first = None
    if _wanted("dataset", st.query_params.get("dataset")) not in by_id:
        first = next((id for id in by_id if artifacts.runs(root, id, finished=True)), None)
    with st.sidebar:
        chosen = choose("Dataset", list(by_id), "dataset", show=lambda id: _named(by_id, id), default=first)
    return by_id[chosen] if chosen else None


def pick_protocol() -> str:
    """The protocol, in the sidebar; the same on every page."""
    with st.sidebar:
        protocol = choose(
            "Protocol",
            list(words.PROTOCOLS),
            "protocol",
            kind="radio",
            show=lambda p: {"full": "Full ranking", "uni100": "uni100"}[p],
            help="\n\n".join(f"**{p}**: {s}" for p, s in words.PROTOCOLS.items()),
        )
    return str(protocol)


def pick_group(label: str = "Group", key: str = "group") -> str:
    """One of the five groups."""
    return str(choose(label, list(GROUPS), key))


def run_name(run: Run) -> str:
    """How a run is called in a picker: method, backbone, whether its scoring was tuned, seed and when it was made."""
    manifest = run.manifest
    tuned = " tuned" if "policy" in manifest.info else ""
    return f"{run.label}{tuned} · seed {manifest.seed} · {manifest.created[5:16].replace('T', ' ')}"


def pick_run(runs: Sequence[Run], key: str = "run", label: str = "Run") -> Run | None:
    """One run; None when there is none."""
    by_id = {r.id: r for r in runs}
    chosen = choose(label, list(by_id), key, show=lambda id: run_name(by_id[id]))
    return by_id[chosen] if chosen else None


def pick_runs(runs: Sequence[Run], key: str = "runs", label: str = "Runs", default: int = 4) -> list[Run]:
    """Several runs; at first one of each label, ``default`` at most."""
    by_id = {r.id: r for r in runs}
    first = list({r.label: r.id for r in reversed(runs)}.values())[:default]
    chosen = choose_many(label, list(by_id), key, show=lambda id: run_name(by_id[id]), default=first)
    return [by_id[id] for id in chosen]


def _named(by_id: dict[str, Manifest], id: str) -> str:
    name = by_id[id].name
    alone = sum(m.name == name for m in by_id.values()) == 1
    return name if alone else f"{name} ({id})"


def setting_widget(setting: Setting, value: Any, key: str) -> Any:
    """The widget of one config field; empty stands for None where a field may be None."""
    common: dict[str, Any] = {"help": setting.help or None, "key": key}
    if setting.kind == "choice":
        return st.selectbox(setting.label, setting.choices, setting.choices.index(value), **common)
    if setting.kind == "switch":
        return st.toggle(setting.label, value, **common)
    if setting.kind == "many":
        chosen = [v for v in value or [] if v in setting.choices]
        return st.multiselect(setting.label, setting.choices, chosen, **common) or None
    hint = "automatic" if setting.optional else None
    if setting.kind == "text":
        return st.text_input(setting.label, value or "", placeholder=hint, **common) or (
            None if setting.optional else ""
        )
    kind: Any = int if setting.kind == "whole" else float
    limits = {n: kind(v) for n, v in (("min_value", setting.low), ("max_value", setting.high)) if v is not None}
    return st.number_input(
        setting.label,
        value=None if value is None else kind(value),
        step=kind(setting.step),
        format=None if kind is int else "%g",
        placeholder=hint,
        **limits,
        **common,
    )


# -- captions and help -----------------------------------------------------------------------------------------------


def caption(protocol: str, thresholds: Thresholds, part: str = "test") -> None:
    """Protocol and head/tail definition, to stand beside every number."""
    st.caption(words.protocol_line(protocol, thresholds, part), help=words.SPLIT)


def explain(metrics: Sequence[str], label: str = "What do these mean?") -> None:
    """The meaning of metrics, groups and protocols on demand."""
    with st.popover(label, icon=":material/help:", type="tertiary"):
        for metric in metrics:
            st.markdown(f"**{metric}**: {words.metric_meaning(metric)}")
        for name, sentence in words.PROTOCOLS.items():
            st.markdown(f"**{name}**: {sentence}")
        st.markdown(words.SPLIT)


# -- charts and tables -----------------------------------------------------------------------------------------------


def chart(
    figure: go.Figure,
    *,
    key: str,
    alt: str,
    data: pd.DataFrame | None = None,
    name: str | None = None,
    column_config: dict[str, Any] | None = None,
    **events: Any,
) -> Any:
    """A chart and, as its equal, the table it draws, both to be downloaded.

    ``alt`` says in words what the chart shows. ``events`` are ``on_select`` and ``selection_mode``; the selection
    is returned.
    """
    config = theme.plotly_config(name or key, st.session_state.get("kept.image", "png"))
    if data is None:
        return st.plotly_chart(figure, theme=None, config=config, alt=alt, key=key, **events)
    picture, numbers = st.tabs(["Chart", "Table"])
    with picture:
        selected = st.plotly_chart(figure, theme=None, config=config, alt=alt, key=key, **events)
    with numbers:
        table(data, key=f"{key}.table", name=name or key, column_config=column_config, alt=alt)
    return selected


def table(
    frame: pd.DataFrame,
    *,
    key: str,
    name: str,
    column_config: dict[str, Any] | None = None,
    download: bool = True,
    **more: Any,
) -> Any:
    """A table and a button that saves it as CSV. ``more`` goes to ``st.dataframe`` (selection, height)."""
    selected = st.dataframe(frame, hide_index=True, column_config=column_config, key=key, **more)
    if download and len(frame):
        download_csv(frame, name, key=f"{key}.csv")
    return selected


def download_csv(frame: pd.DataFrame, name: str, *, key: str, label: str = "Download CSV") -> None:
    """The frame as CSV, made only when asked for; text that a spreadsheet would run is neutralised."""
    st.download_button(
        label,
        data=lambda: csv_bytes(frame),
        file_name=f"{name}.csv",
        mime="text/csv",
        key=key,
        icon=":material/download:",
        on_click="ignore",
    )


def image_format() -> None:
    """What the camera button of every chart saves."""
    with st.sidebar:
        choose(
            "Chart images", ["png", "svg"], "image", kind="radio", show=str.upper, help="Format of the camera button"
        )
