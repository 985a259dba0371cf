"""Frames of any library, and connections a configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from marketplace import rows
from test_database import ORDERS, PRODUCTS, duckdb_file

import llmesr
from llmesr.data.places.bring import default_name
from llmesr.data.places.connections import connection, connections
from llmesr.errors import UserError
from llmesr.store import Store

ROWS = pd.DataFrame(rows(), columns=["user_id", "item_id", "timestamp"])
ITEMS = pd.DataFrame({"item_id": [f"i{n}" for n in range(5)], "title": [f"Thing {n}" for n in range(5)]})


def polars(frame: pd.DataFrame) -> Any:
    return pytest.importorskip("polars").DataFrame(frame.to_dict(orient="list"))


@pytest.mark.parametrize(
    "kind",
    [lambda f: f, pa.Table.from_pandas, polars, lambda f: f.astype("category"), lambda f: f.set_index(f.index + 7)],
    ids=["pandas", "arrow", "polars", "categories", "index"],
)
def test_frames_give_one_dataset(kind: Any, store: Store) -> None:
    data = llmesr.ingest(kind(ROWS), kind(ITEMS), name="frames", store=store)
    assert (data.n_users, data.n_items, len(data.items)) == (8, 5, 32)
    assert data.catalogue["title"].tolist()[data.item("i3") - 1] == "Thing 3"
    assert [s["file"] for s in data.manifest.info["sources"]] == ["frame 1", "frame 2"]
    assert data.has_times


def test_the_same_frame_gives_the_same_dataset(store: Store) -> None:
    ids = {llmesr.ingest(ROWS, name="frames", store=store).id for _ in range(2)}
    assert ids == set(store.ids("datasets"))


def test_files_that_are_here_leave_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        llmesr.ingest(tmp_path / "none.csv", name="x", store=Store(tmp_path / "fresh"))
    assert not (tmp_path / "fresh").exists()


def test_a_column_of_several_types_is_named(store: Store) -> None:
    mixed = ROWS.assign(user_id=[*ROWS["user_id"][:-1], 7])
    with pytest.raises(UserError, match="column 'user_id' holds values of several types"):
        llmesr.ingest(mixed.astype({"user_id": object}), name="x", store=store)
    with pytest.raises(UserError, match="list cannot be read"):
        llmesr.ingest([1, 2], name="x", store=store)


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server that names one connection."""
    file = tmp_path / "connections.toml"
    file.write_text(f'[shop]\nurl = "{duckdb_file(tmp_path)}"\nsql = ["{ORDERS}", "{PRODUCTS}"]\n')
    monkeypatch.setenv("LLMESR_CONNECTIONS", str(file))
    return file


@pytest.mark.usefixtures("configured")
def test_a_named_connection_brings_its_queries(store: Store) -> None:
    data = llmesr.ingest("connection:shop", name="shop", store=store)
    assert (data.n_users, data.n_items) == (8, 5)
    other = llmesr.ingest("connection:shop", name="shop", sql=f"{ORDERS} WHERE user_id <> 'u1'", store=store)
    assert other.n_users == 7
    with pytest.raises(UserError, match=r"no connection 'bakery'\. Known: shop"):
        llmesr.ingest("connection:bakery", name="x", store=store)


def test_a_password_is_a_variable_that_must_be_set(configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured.write_text('[shop]\nurl = "postgresql://reader@db/shop"\npassword = "SHOP_PASSWORD"\n')
    with pytest.raises(UserError, match="SHOP_PASSWORD, which is not set"):
        connection("connection:shop").secret()
    monkeypatch.setenv("SHOP_PASSWORD", "x")
    assert connection("connection:shop").secret() == "x"


@pytest.mark.parametrize("text", ["[shop]\n", "[shop]\nurl = 'x'\nurls = 'y'\n", "[shop\n", "shop = 1\n"])
def test_a_broken_configuration_is_told(text: str, configured: Path) -> None:
    configured.write_text(text)
    with pytest.raises(UserError, match=str(configured)):
        connections()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("postgresql://u@h:1/shop?x=y", "shop"),
        ("https://example.org/data/events.csv.gz", "events"),
        ("s3://bucket/folder/", "folder"),
        ("connection:shop", "shop"),
        ("https://example.org", "data"),
    ],
)
def test_names_of_datasets(source: str, name: str) -> None:
    assert default_name(source) == name
