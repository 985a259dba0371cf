"""The app: lists its pages and runs the chosen one. `llmesr app` starts it."""

from pathlib import Path

import streamlit as st

from llmesr.views.shared import job_panels, widgets

PAGES = {
    "Look": [
        ("overview", "Overview", ":material/home:"),
        ("story", "Story", ":material/auto_stories:"),
    ],
    "Prepare": [
        ("datasets", "Datasets", ":material/database:"),
        ("training", "Training", ":material/model_training:"),
    ],
    "Judge": [
        ("compare", "Compare", ":material/balance:"),
        ("embeddings", "Embeddings", ":material/scatter_plot:"),
        ("neighbours", "Neighbours", ":material/group:"),
        ("recommend", "Recommend", ":material/recommend:"),
    ],
}


def sections() -> dict[str, list[st.Page]]:
    """The pages that are there, by section."""
    here = Path(__file__).parent
    return {
        section: [
            st.Page(f"pages/{file}.py", title=title, icon=icon, url_path=file, default=file == "overview")
            for file, title, icon in entries
            if (here / "pages" / f"{file}.py").is_file()
        ]
        for section, entries in PAGES.items()
    }


st.set_page_config(page_title="llmesr", page_icon=str(widgets.ICON), layout="wide")
st.logo(str(widgets.ICON), size="large")
widgets.style()
widgets.sign_in()
chosen = st.navigation({k: v for k, v in sections().items() if v})
job_panels.sidebar()
with widgets.boundary():
    chosen.run()
