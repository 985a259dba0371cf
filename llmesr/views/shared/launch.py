"""Starts Streamlit: ``python -m llmesr.views.shared.launch run app.py ...`` instead of ``streamlit run app.py ...``.

Streamlit takes a folder called ``pages`` for its older kind of multipage app until ``st.navigation`` has been called
once. A link straight to a page of a fresh server would then run that page without ``app.py``. The pages stay
where a reader looks for them; the call made here says from the start that ``app.py`` lists them.

What takes long to import is imported before the server answers: the first visitor of a page would wait for it. And it
is set aside from the garbage collector, which Streamlit calls after every run of a page: looking at all that modules
hold took longer than the page.
"""

from __future__ import annotations

import gc
import importlib
import logging

import streamlit as st
from streamlit.web.cli import main

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


def nowhere() -> None:
    """A page that is never shown."""


def declare_navigation() -> None:
    """Call ``st.navigation`` once, outside of any session; its warning that there is none says nothing new."""
    log = logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context")
    log.disabled = True
    st.navigation([st.Page(nowhere)])
    log.disabled = False


if __name__ == "__main__":
    for part in BEFOREHAND:
        importlib.import_module(f"llmesr.{part}")
    declare_navigation()
    gc.collect()
    gc.freeze()
    main(prog_name="streamlit")
