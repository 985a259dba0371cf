"""What a page is framed with: its heading and style, error boundaries, live parts, hints where there is nothing yet."""

from __future__ import annotations

import contextlib
import functools
import logging
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from llmesr.errors import UserError, is_full, machine_failure
from llmesr.prose import counted
from llmesr.store import Store, noun
from llmesr.views.shared import links, theme
from llmesr.views.shared.words import as_text

log = logging.getLogger("llmesr.app")
ICON = Path(__file__).with_name("icon.svg")
F = TypeVar("F", bound=Callable[..., Any])
_WIDE = ("groups", "differences", "slices", "outcomes", "beyond", "popularity", "splits", "allocation-chart")
WIDE = f":is({', '.join(f'.st-key-{key}' for key in _WIDE)})"
"""Charts over the whole page."""
_FIRST_SCREEN = """
/* :has() asks for classes of ours alone: a browser asks again at each element that has what it asks for.
   What a page answers stands in its first screen: little above the heading, and on a small one what turns and
   filters is below what it turns and filters. */
[data-testid="stMain"] h1 { padding: 0.25rem 0 0.5rem; }
@media (min-width: 641px) {
    [data-testid="stSidebar"][data-collapsed="false"] ~ * [data-testid="stMainBlockContainer"]
        { padding-top: 1.5rem; }
    [data-testid="stSidebar"][data-collapsed="false"] ~ * [data-testid="stHeader"]
        { background: transparent; pointer-events: none; }
    [data-testid="stSidebar"][data-collapsed="false"] ~ * [data-testid="stHeader"] button
        { pointer-events: auto; }
}
[data-testid="stLayoutWrapper"]:has(> :is(.st-key-script-history, .st-key-script-names)) { position: absolute; }
.st-key-rec-history [data-testid="stMarkdownContainer"] p { display: -webkit-box; -webkit-box-orient: vertical;
    -webkit-line-clamp: 3; overflow: hidden; }
/* Charts and lists side by side stand one below the other where they would be too narrow to be read. */
[class*="st-key-beside-"] > * > [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
[class*="st-key-beside-"] > * > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"]
    { min-width: min(100%, 24rem); }
/* Lists keep one width, three in a row from 1280 pixels on, where four stand two by two. */
.st-key-rec-lists > * > [data-testid="stHorizontalBlock"] { display: grid;
    grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
.st-key-rec-lists > * > [data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"]:nth-child(4))
    { grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.st-key-rec-lists > * > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { width: auto; min-width: 0; }
@media (min-width: 1200px) { /* the history stands beside whose it is and what can be done with it */
    .st-key-rec-who { display: grid; grid-template-columns: max-content minmax(0, 1fr); column-gap: 1.5rem; }
    .st-key-rec-who > :has(> .st-key-rec-history) { grid-column: 2; grid-row: 1 / span 2; }
    .st-key-rec-who > :has(> .st-key-rec-tools) { grid-column: 1; }
}
[class*="st-key-lab-"][class*="-short"] > div { flex: 1 1 8rem; }
@media (max-width: 1100px) {
    :is(.st-key-rec-page, .st-key-map-page) > :is(:has(> .st-key-rec-knobs), :has(> .st-key-rec-view),
        :has(> .st-key-map-controls)) { order: 1; }
    .st-key-map-page > :has(> .st-key-map-selected) { order: 2; }
    .st-key-compare-page > :has(> .st-key-compare-choice) { order: 1; }
    .st-key-compare-page > :has(> .st-key-compare-rest) { order: 2; }
    [class*="st-key-doubts-several"] [data-testid="stAlertContainer"] p { display: -webkit-box;
        -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
    .st-key-lab-sides > * > [data-testid="stHorizontalBlock"] { flex-wrap: wrap; gap: 1rem; }
    .st-key-lab-sides > * > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { min-width: 100%; }
}
@media (max-width: 640px) {
    [data-testid="stMain"] h1 { font-size: 1.8rem; }
    .st-key-lead p, [data-testid="stAlertContainer"] p { font-size: 0.9rem; }
    .st-key-stands-out > :has(> .st-key-stands-how), .st-key-lab-page > :has(> .st-key-lab-run) { order: 1; }
    .st-key-rec-history [data-testid="stMarkdownContainer"] p { -webkit-line-clamp: 2; }
    :has(> [data-testid="stMultiSelectTagsContainer"]), [data-testid="stMultiSelectTagsContainer"]
        { max-height: 3.9rem !important; }
    /* short choices stand two by two */
    :is(.st-key-map-spaces, .st-key-near-runs) [data-testid="stHorizontalBlock"] > [data-testid="stColumn"]
        { flex: 1 1 40%; min-width: 40%; }
    .st-key-compare-how [data-testid="stHorizontalBlock"] > [data-testid="stColumn"]:nth-child(n + 2)
        { flex: 1 1 auto; min-width: 0; width: auto; }
}
"""


def page(title: str, lead: str) -> None:
    """The heading of a page and one sentence that says which question it answers."""
    st.title(title, anchor=False)
    with st.container(width=900, key="lead"):
        st.markdown(lead)


def style() -> None:
    """What a theme cannot say: contrast of small text and of the primary button, and less empty space."""
    s = theme.SURFACE[mode()]
    on_primary = "#ffffff" if mode() == "light" else theme.SURFACE["dark"]["background"]
    st.html(
        f"""<style>
        [data-testid="stCaptionContainer"], [data-testid="stMetricLabel"] {{ color: {s["muted"]}; opacity: 1; }}
        [data-testid^="stBaseButton-primary"]:not(:disabled) :is(p, span) {{ color: {on_primary}; }}
        button:not(:disabled) :is(kbd, :has(> kbd)) {{ opacity: 1 !important; }}
        [data-testid="stCode"] code span {{ color: inherit !important; }}
        [data-testid="stMultiSelect"] [data-tag] :is(span, svg, button) {{ color: {on_primary}; }}
        [data-testid="stMainBlockContainer"] {{ padding-top: 3.5rem; padding-bottom: 4rem; max-width: 1600px; }}
        @media (min-width: 641px) {{
            [data-testid="stMainBlockContainer"] {{ padding-left: clamp(1.5rem, 3.5vw, 5rem);
                padding-right: clamp(1.5rem, 3.5vw, 5rem); }}
        }}
        [class*="st-key-pin-above-"] {{ margin-bottom: -3.5rem; z-index: 2; pointer-events: none; }}
        [class*="st-key-pin-beside-"] {{ margin: -3rem 0 -1rem; z-index: 2; pointer-events: none; }}
        :is([class*="st-key-pin-above-"], [class*="st-key-pin-beside-"]) button {{ pointer-events: auto; }}
        .st-key-headline-words p:not([data-testid="stCaptionContainer"] p) {{ font-size: 1.3rem; line-height: 1.5; }}
        [data-testid="stMetricLabel"] :is(div, p) {{ white-space: normal; overflow: visible; }}
        {_FIRST_SCREEN}
        [data-testid="stLayoutWrapper"]:has(> .st-key-launch-bar) {{ position: sticky; bottom: 0; z-index: 3; }}
        .st-key-launch-bar {{ padding: 0.5rem 0; background: {s["background"]}; border-top: 1px solid {s["border"]}; }}
        @media (max-width: 640px) {{ /* panels side by side are moved under the finger, not squeezed */
            {WIDE} {{ overflow-x: auto; }}
            {WIDE} [data-testid="stFullScreenFrame"] {{ min-width: 640px; }}
            .st-key-headline-words p:not([data-testid="stCaptionContainer"] p) {{ font-size: 1.1rem; }}
            /* numbers in boxes stand two by two */
            [data-testid="stHorizontalBlock"]:has([data-testid="stMetric"]):not(:has([data-testid="stHorizontalBlock"]))
                > [data-testid="stColumn"] {{ flex: 1 1 40%; min-width: 40%; }}
        }}
        </style>"""
    )


def script(name: str, code: str) -> None:
    """Run code of ours in the visitor's browser; no data is ever part of it. It takes no room on the page."""
    with st.container(key=f"script-{name}"):
        st.html(f"<script>{code}</script>", unsafe_allow_javascript=True)


def one_entry_per_page() -> None:
    """Let Back leave a page in one press: what a knob writes into the address replaces the entry of the browser's
    history, and only another page adds one. Streamlit itself adds one at every write."""
    script(
        "history",
        """
        if (!window.history.llmesr) {
            const push = window.history.pushState;
            window.history.pushState = function (state, title, url) {
                const there = new URL(url ?? "", window.location.href).pathname === window.location.pathname;
                return (there ? window.history.replaceState : push).call(window.history, state, title, url);
            };
            window.history.llmesr = true;
        }
        """,
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


@contextlib.contextmanager
def boundary(what: str = "This page") -> Iterator[None]:
    """Show an error as a sentence. The trace goes to the log under an id that the visitor sees."""
    try:
        yield
    except UserError as error:
        st.error(as_text(error, 1000), icon=":material/error:")
    except Exception as error:
        full = machine_failure(error) if is_full(error) else None
        st.error(full or f"{what} could not be shown. {_logged(what)}", icon=":material/error:")


def acting(act: F) -> F:
    """For what a button calls: an error is a sentence on the page, which is drawn all the same.

    What a button is about may be gone when it is pressed: another visitor has deleted it.
    """

    @functools.wraps(act)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        try:
            return act(*args, **kwargs)
        except Exception as error:
            said = str(error) if isinstance(error, UserError) else machine_failure(error)
            st.toast(as_text(said, 500) if said else f"That failed. {_logged('a button')}", icon=":material/error:")

    return bounded  # type: ignore[return-value]


def _logged(what: str) -> str:
    """Keep the trace in the log; where to find it, in a sentence."""
    ticket = secrets.token_hex(4)
    log.exception("error %s: %s", ticket, what)
    return f"The reason is in the server's log under **{ticket}**. Reload the page, or choose something else."


def live(every: float | None) -> Callable[[F], F]:
    """A fragment that draws itself anew every so many seconds, with an error boundary of its own."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            with boundary("This part"):
                return function(*args, **kwargs)

        return st.fragment(bounded, run_every=every)  # type: ignore[return-value]

    return decorate


def empty(sentence: str, page: links.Page | None = None, label: str = "") -> None:
    """Say that there is nothing here yet, and where to go."""
    st.info(sentence, icon=":material/lightbulb:")
    if page:
        links.link(page, label, ":material/arrow_forward:")


def damaged(root: Store, kind: str) -> None:
    """Name the artifacts that cannot be read, so that they do not just vanish."""
    if broken := root.broken(kind):
        damage = counted(len(broken), f"damaged {noun(kind)}", f"damaged {kind}")
        with st.expander(f"{damage} left out", icon=":material/warning:"):
            for reason in broken.values():
                st.markdown(f"- {as_text(reason, 600)}")
