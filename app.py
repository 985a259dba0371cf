"""The app: lists its pages and runs the chosen one. `llmesr app` starts it."""

import streamlit as st

from llmesr.views.shared import clicks, job_panels, links, pins, widgets


def sections() -> dict[str, list[st.Page]]:
    """The pages by section; the app opens on the first."""
    return {
        section: [
            st.Page(page.file, title=page.title, icon=page.icon, url_path=page.name, default=page == links.OVERVIEW)
            for page in pages
        ]
        for section, pages in links.SECTIONS.items()
    }


st.set_page_config(page_title="llmesr", page_icon=str(widgets.ICON), layout="wide")
st.logo(str(widgets.ICON), size="large")
widgets.style()
widgets.one_entry_per_page()
widgets.sign_in()
chosen = st.navigation(sections())
job_panels.sidebar()
pins.begin(chosen.url_path or links.OVERVIEW.name)
clicks.begin()
with widgets.boundary(), links.one_write():
    chosen.run()
