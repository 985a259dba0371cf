"""Starts Streamlit: ``python -m llmesr.views.shared.launch app.py '{"server.port": 8501}'``, not ``streamlit run``.

Streamlit takes a folder called ``pages`` for its older kind of multipage app until ``st.navigation`` has been called
once. A link straight to a page of a fresh server would then run that page without ``app.py``. The pages stay
where a reader looks for them; the call made here says from the start that ``app.py`` lists them.

Streamlit asks for the name that a client calls the server by where a session begins, and nowhere else. Here nothing is
answered under another name.

All pages, and what takes long to import, are imported before the server answers: the first visitor of a page would
wait for them. And they are set aside from the garbage collector, which Streamlit calls after every run of a page:
looking at all that modules hold took longer than the page.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import pkgutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from llmesr import views

LATER = (
    "llmesr.data.ingest",
    "llmesr.evaluation.statistics",
    "llmesr.maps.make",
    "llmesr.retrieval.similar",
    "llmesr.scoring.recommender",
    "sklearn.cluster",
    "sklearn.feature_extraction.text",
)
"""What pages import when they come to it."""


class Named:
    """ASGI middleware: 400 for requests that call the server by a name that is not among ``server.allowedHosts``, or by
    several; sessions ask for it themselves."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            names = Headers(scope=scope).getlist("host")
            if len(names) != 1 or not is_host_allowed(names[0]):
                said = "This server does not answer to that name; `llmesr app --allow-host` adds one."
                await PlainTextResponse(said, 400)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def nowhere() -> None:
    """A page that is never shown."""


@contextmanager
def without_words(part: str) -> Iterator[None]:
    """A logger of Streamlit's says nothing: that there is no session, or no server yet, is meant so."""
    log = logging.getLogger(f"streamlit.runtime.{part}")
    log.disabled = True
    yield
    log.disabled = False


def declare_navigation() -> None:
    """Call ``st.navigation`` once, outside of any session."""
    with without_words("scriptrunner_utils.script_run_context"):
        st.navigation([st.Page(nowhere)])


def import_beforehand() -> None:
    """Every page's panels with their caches, and what they import later."""
    with without_words("caching.cache_data_api"):
        for found in pkgutil.walk_packages(views.__path__, f"{views.__name__}."):
            importlib.import_module(found.name)
    for part in LATER:
        importlib.import_module(part)


def main() -> None:
    """Serve the script that is named first, with the options that follow it as JSON, until a signal comes."""
    script, options = sys.argv[1:]
    sys.argv = [script]  # beside it Streamlit looks for its configuration
    signal.signal(signal.SIGINT, lambda *_: None)  # comes once more, from Uvicorn, when all is closed
    # Who presses Ctrl-C twice is told of what was being closed, as if that were a fault.
    logging.getLogger("uvicorn.error").addFilter(lambda record: "CancelledError" not in record.getMessage())
    st.App(script, middleware=[Middleware(Named)]).run(config=json.loads(options))


if __name__ == "__main__":
    import_beforehand()
    declare_navigation()
    gc.collect()
    gc.freeze()
    main()
