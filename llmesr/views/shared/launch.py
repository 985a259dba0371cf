"""Starts Streamlit: ``python -m llmesr.views.shared.launch run app.py ...`` instead of ``streamlit run app.py ...``.

Streamlit takes a folder called ``pages`` for its older kind of multipage app until ``st.navigation`` has been called
once. A link straight to a page of a fresh server would then run that page without ``app.py``. The pages stay
where a reader looks for them; this says from the start that ``app.py`` lists them.

What takes long to import is imported before the server answers: the first visitor of a page would wait for it.
"""

from __future__ import annotations

import importlib

from streamlit.runtime.pages_manager import PagesManager
from streamlit.web.cli import main

# Parts of the method that pages stand on, with what those import; panels themselves make caches, which need a server.
BEFOREHAND = (
    "data.ingest",
    "evaluation.statistics",
    "jobs.queue",
    "maps.make",
    "retrieval.similar",
    "scoring.recommender",
)

if __name__ == "__main__":
    for part in BEFOREHAND:
        importlib.import_module(f"llmesr.{part}")
    PagesManager.uses_pages_directory = False
    main(prog_name="streamlit")
