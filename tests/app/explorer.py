"""A trained artifact root, made once per test session, and the app opened on one of its pages."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from factories import make_dataset, make_embedding
from streamlit.testing.v1 import AppTest

from llmesr.config import RunConfig
from llmesr.maps.make import make_map
from llmesr.maps.projection import MapConfig
from llmesr.maps.spaces import choose
from llmesr.store import Store
from llmesr.training.train import train
from llmesr.views.cache.kept import clear

APP = Path(__file__).parents[2] / "app.py"
SMALL = {"epochs": 2, "embedding_size": 8, "layers": 1, "max_length": 10}


@functools.cache
def _made() -> Path:
    """A hostile shop of 60 items with text vectors, three trained runs and a map."""
    root = Path(tempfile.mkdtemp(prefix="llmesr-explorer-"))
    store = Store(root)
    dataset = make_dataset(store, users=120, items=60, hostile=True)
    make_embedding(store, dataset)
    for method in ("popularity", "id", "llm-esr"):
        settings = {} if method == "popularity" else SMALL
        train(dataset, RunConfig.read(None, method=method, **settings), store, device="cpu")
    _, specs = choose(store, [dataset.name])
    make_map(dataset, specs, MapConfig(umap=False, sample=100), store)
    return root


@pytest.fixture(scope="session", autouse=True)
def _swept() -> Iterator[None]:
    yield
    if _made.cache_info().currsize:
        shutil.rmtree(_made())


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A copy of the trained root that the test may damage."""
    root = tmp_path / "artifacts"
    shutil.copytree(_made(), root)
    monkeypatch.setenv("LLMESR_ARTIFACTS", str(root))
    clear()
    return Store(root)


def opened(page: str, **query: str | list[str]) -> AppTest:
    """The app on ``pages/<page>.py``, run once, with the query of a link."""
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.switch_page(f"pages/{page}.py")
    for key, value in query.items():
        app.query_params[key] = value
    return app.run()


def words(app: AppTest) -> str:
    """All the text of the page."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "error", "warning")
    return "\n".join(str(e.value) for kind in kinds for e in getattr(app, kind))


def tables(app: AppTest, *columns: str) -> list[pd.DataFrame]:
    """The tables on the page that have all of ``columns``, in the order they stand there."""
    return [d.value for d in app.dataframe if set(columns) <= set(d.value.columns)]


def healthy(app: AppTest) -> bool:
    """No exception, and no error shown."""
    return not app.exception and not app.error
