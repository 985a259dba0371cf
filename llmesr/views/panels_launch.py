"""Starts Streamlit: ``python -m llmesr.views.panels_launch run app.py ...`` instead of ``streamlit run app.py ...``.

Streamlit takes a folder called ``pages`` for its older kind of multipage app until ``st.navigation`` has been called
once. A link straight to a page of a fresh server would then run that page without ``app.py``. The pages stay
where a reader looks for them; this says from the start that ``app.py`` lists them.
"""

from __future__ import annotations

from streamlit.runtime.pages_manager import PagesManager
from streamlit.web.cli import main

if __name__ == "__main__":
    PagesManager.uses_pages_directory = False
    main(prog_name="streamlit")
