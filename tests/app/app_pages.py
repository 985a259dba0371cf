"""Reading a page in a test: its words, its tiles, its widgets by key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

Visit = Callable[..., AppTest]
APP = Path(__file__).parents[2] / "app.py"


def open_page(page: str = "overview", **query: str | list[str]) -> AppTest:
    """A page of the app, opened with a query string."""
    app = AppTest.from_file(str(APP), default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    if page != "overview":
        app.switch_page(f"pages/{page}.py")
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
    return app


def texts(app: AppTest) -> str:
    """Everything the page says in words."""
    kinds = (
        app.title,
        app.header,
        app.subheader,
        app.markdown,
        app.caption,
        app.info,
        app.warning,
        app.error,
        app.success,
    )
    return "\n".join(str(e.value) for kind in kinds for e in kind)


def healthy(app: AppTest) -> AppTest:
    """No exception reached the page and no error is shown."""
    assert not app.exception, app.exception
    assert not app.error, [e.value for e in app.error]
    return app


def metrics(app: AppTest) -> dict[str, str]:
    """The tiles of a page: label -> value."""
    return {m.label: m.value for m in app.metric}


def pick(app: AppTest, key: str) -> Any:
    """A widget by its key, whatever its kind."""
    for kind in (
        "selectbox",
        "radio",
        "slider",
        "number_input",
        "button",
        "toggle",
        "text_input",
        "multiselect",
        "checkbox",
    ):
        for element in getattr(app, kind):
            if element.key == key:
                return element
    for element in app.get("button_group"):
        if element.key == key:
            return element
    raise AssertionError(f"no widget {key!r}")
