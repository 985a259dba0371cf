"""Starts Streamlit: ``python -m llmesr.views.shared.launch app.py '{"server.port": 8501}'``, not ``streamlit run``.

Streamlit takes a folder called ``pages`` for its older kind of multipage app until ``st.navigation`` has been called
once. A link straight to a page of a fresh server would then run that page without ``app.py``. The pages stay
where a reader looks for them; the call made here says from the start that ``app.py`` lists them.

Streamlit asks for the name that a client calls the server by where a session begins, and nowhere else. Here nothing is
answered under another name.

What takes long to import is imported before the server answers: the first visitor of a page would wait for it. And it
is set aside from the garbage collector, which Streamlit calls after every run of a page: looking at all that modules
hold took longer than the page.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import sys

import streamlit as st
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

# Parts of the method that pages stand on, and slides, with the libraries that they import; panels themselves make
# caches, which need a server.
BEFOREHAND = (
    "data.ingest",
    "evaluation.statistics",
    "jobs.queue",
    "maps.make",
    "retrieval.similar",
    "scoring.recommender",
    "views.shared.deck",
)


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


def declare_navigation() -> None:
    """Call ``st.navigation`` once, outside of any session; its warning that there is none says nothing new."""
    log = logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context")
    log.disabled = True
    st.navigation([st.Page(nowhere)])
    log.disabled = False


def main() -> None:
    """Serve the script that is named first, with the options that follow it as JSON, until a signal comes."""
    script, options = sys.argv[1:]
    sys.argv = [script]  # beside it Streamlit looks for its configuration
    st.App(script, middleware=[Middleware(Named)]).run(config=json.loads(options))


if __name__ == "__main__":
    for part in BEFOREHAND:
        importlib.import_module(f"llmesr.{part}")
    declare_navigation()
    gc.collect()
    gc.freeze()
    main()
