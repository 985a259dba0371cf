"""The Compare page as its tests open it, and what they read of it."""

from __future__ import annotations

from typing import Any

from app_pages import open_page
from streamlit.testing.v1 import AppTest


def visit(**query: str | list[str]) -> AppTest:
    at: AppTest = open_page("compare", **query)
    assert not at.exception
    return at


def text(at: AppTest) -> str:
    return "\n".join(
        str(e.value).replace("\\", "") for kind in (at.markdown, at.info, at.error, at.caption) for e in kind
    )


def frame(at: AppTest, position: int = 0) -> Any:
    """A table of the view that is open; the verdicts stand above it where there is something to compare."""
    tables = [d.value for d in at.dataframe if "Overall" not in d.value.columns]
    return tables[position]


def verdicts(at: AppTest) -> Any:
    """The matrix of verdicts: a row per configuration, a column per group."""
    return next(d.value for d in at.dataframe if "Overall" in d.value.columns).set_index("configuration")
