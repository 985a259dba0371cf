"""Datasets out of databases: read only, streamed, and every trouble in one sentence without the password."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from marketplace import rows

import llmesr
from llmesr.data.places import database
from llmesr.data.places.bring import brought
from llmesr.errors import UserError
from llmesr.store import Store

pytest_plugins = ("postgres",)
ORDERS, PRODUCTS = "SELECT user_id, item_id, bought_at FROM orders", "SELECT item_id, title FROM products"


def sqlite_file(folder: Path) -> Path:
    path = folder / "my shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders(user_id TEXT, item_id TEXT, bought_at INTEGER)")
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows())
        connection.execute("CREATE TABLE products(item_id TEXT, title TEXT)")
        connection.executemany("INSERT INTO products VALUES (?, ?)", [(f"i{i}", f"Thing {i}") for i in range(5)])
    connection.close()
    return path


def duckdb_file(folder: Path) -> Path:
    path = folder / "shop.duckdb"
    orders = pd.DataFrame(rows(), columns=["user_id", "item_id", "bought_at"])
    with duckdb.connect(str(path)) as connection:
        connection.register("given", orders)
        connection.execute("CREATE TABLE orders AS SELECT * FROM given")
        connection.execute(
            "CREATE TABLE products AS SELECT DISTINCT item_id, 'Thing ' || item_id[2:] AS title FROM given"
        )
    return path


def execute(address: str, *statements: str) -> None:
    dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi")
    with dbapi.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def shop(postgres: str) -> str:
    values = ", ".join(f"('{u}', '{i}', to_timestamp({t}))" for u, i, t in rows())
    execute(
        postgres,
        "DROP TABLE IF EXISTS orders, products",
        "CREATE TABLE orders(user_id text, item_id text, bought_at timestamptz)",
        f"INSERT INTO orders VALUES {values}",
        "CREATE TABLE products AS SELECT 'i' || n AS item_id, 'Thing ' || n AS title FROM generate_series(0, 4) n",
    )
    return postgres


def said(source: object, *sql: str, store: Store) -> str:
    with pytest.raises(UserError) as caught:
        llmesr.ingest(str(source), name="x", sql=sql, store=store)
    assert not store.ids("datasets")
    assert not [p for p in store.root.rglob(".scratch*") if p.is_dir()]
    assert "nowhere" not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("make", [sqlite_file, duckdb_file])
def test_a_database_file_gives_what_the_same_rows_in_a_file_give(make: Any, store: Store, tmp_path: Path) -> None:
    pytest.importorskip("adbc_driver_sqlite")
    pd.DataFrame(rows(), columns=["user_id", "item_id", "bought_at"]).to_csv(tmp_path / "orders.csv", index=False)
    plain = llmesr.ingest(tmp_path / "orders.csv", name="plain", store=store)
    path = make(tmp_path)
    data = llmesr.ingest(path, name="shop", sql=[ORDERS, PRODUCTS], store=store)
    for u in plain.user_ids:
        ids = [d.catalogue["item_id"].to_numpy()[d.history(d.user(u)) - 1].tolist() for d in (plain, data)]
        assert ids[0] == ids[1]
    assert sorted(data.catalogue["title"]) == [f"Thing {i}" for i in range(5)]
    first = data.manifest.info["sources"][0]
    assert (first["file"], first["from"], first["sql"]) == ("query 1", str(path), ORDERS)


def test_postgres_gives_the_dataset_and_no_password_is_kept(shop: str, store: Store) -> None:
    data = llmesr.ingest(shop, name="shop", sql=[ORDERS, PRODUCTS], store=store)
    assert (data.n_users, data.n_items, len(data.items)) == (8, 5, 32)
    assert data.has_times
    assert data.catalogue["title"].str.startswith("Thing").all()
    assert data.manifest.info["sources"][0]["from"] == shop
    kept = b"".join(p.read_bytes() for p in store.root.rglob("*") if p.is_file())
    assert b"nowhere" not in kept


def test_a_connection_has_its_password_in_a_variable_of_its_own(
    shop: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.toml").write_text(f'[shop]\nurl = "{shop}"\npassword = "SHOP_SECRET"\nsql = ["{ORDERS}"]\n')
    monkeypatch.setenv("LLMESR_CONNECTIONS", str(tmp_path / "c.toml"))
    monkeypatch.setenv("SHOP_SECRET", os.environ["PGPASSWORD"])
    monkeypatch.delenv("PGPASSWORD")
    assert llmesr.ingest("connection:shop", name="shop", store=store).n_users == 8
    monkeypatch.setenv("SHOP_SECRET", "nor is this to be found, nowhere")
    with pytest.raises(UserError) as caught:
        llmesr.ingest("connection:shop", name="other", store=store)
    assert "nor is this" not in "".join(traceback.format_exception(caught.value))


def test_troubles_of_a_server_are_one_sentence(shop: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 'table that is not there: relation "elsewhere"' in said(shop, "SELECT * FROM elsewhere", store=store)
    assert 'column "price" does not exist' in said(shop, "SELECT price FROM orders", store=store)
    assert "syntax error" in said(shop, "SELECT FROM FROM", store=store)
    elsewhere = shop.replace("/postgres", "/missing")
    assert "does not exist on that server" in said(elsewhere, ORDERS, store=store)
    monkeypatch.setenv("PGPASSWORD", "also to be found nowhere")
    assert "refuses the user or the password" in said(shop, ORDERS, store=store)
    unreachable = "postgresql://reader@127.0.0.1:1/postgres"
    assert "cannot be reached" in said(unreachable, ORDERS, store=store)


def test_a_query_cannot_change_a_server(shop: str, store: Store) -> None:
    change = "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone"
    assert "only reading is allowed" in said(shop, change, store=store)
    assert "must begin with SELECT" in said(shop, "DROP TABLE orders", store=store)
    assert "several statements" in said(shop, "SELECT 1; DROP TABLE orders", store=store)
    assert llmesr.ingest(shop, name="x", sql=ORDERS, store=store).n_users == 8


@pytest.mark.parametrize(
    "value", ["point(1, 2)", "interval '1 day'", "12::money", "12::oid", "time '10:00' AT TIME ZONE 'UTC'"]
)
def test_types_that_have_no_text_are_refused_by_name(value: str, shop: str, store: Store) -> None:
    sentence = said(shop, f"SELECT *, {value} AS odd FROM orders", store=store)
    assert "'odd'" in sentence
    assert "CAST(odd AS text)" in sentence


def test_types_that_have_one_arrive_as_that(shop: str, store: Store) -> None:
    query = (
        "SELECT ('00000000-0000-0000-0000-00000000000' || right(user_id, 1))::uuid AS user_id, item_id, bought_at, "
        "2.50::numeric AS rating, '{\"a\": 1}'::jsonb AS extra, NULL AS nothing FROM orders"
    )
    with brought([shop], store, sql=[query]) as given:
        table = pq.read_table(given.paths[0])
    assert table["user_id"][0].as_py() == "00000000-0000-0000-0000-000000000000"
    assert table["rating"][0].as_py() == "2.50"
    assert llmesr.ingest(shop, name="x", sql=query, store=store).n_users == 8


def test_two_columns_of_one_name_are_refused(shop: str, store: Store) -> None:
    assert "two columns named 'item_id'" in said(shop, "SELECT o.*, p.* FROM orders o, products p", store=store)


def test_passwords_belong_into_the_environment(store: Store) -> None:
    for address in ("postgresql://u:nowhere@h/x", "postgresql://h/x?user=u&password=nowhere"):
        assert "PGPASSWORD" in said(address, "SELECT 1", store=store)


def test_a_column_of_several_types_in_sqlite_is_named(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("adbc_driver_sqlite")
    path = sqlite_file(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows(users=500))  # more than the driver looks at
        connection.execute("INSERT INTO orders VALUES ('u1', 'i1', 'yesterday')")
    connection.close()
    assert "CAST(bought_at AS text)" in said(path, ORDERS, store=store)


@pytest.mark.parametrize("make", [sqlite_file, duckdb_file])
def test_a_database_file_is_only_read(make: Any, store: Store, tmp_path: Path) -> None:
    pytest.importorskip("adbc_driver_sqlite")
    path = make(tmp_path)
    assert "table that is not there" in said(path, "SELECT * FROM elsewhere", store=store)
    said(path, "ATTACH 'other.db' AS other", store=store)
    said(path, "WITH a AS (SELECT 1) DELETE FROM orders", store=store)
    assert "--sql" in said(path, store=store)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "artifacts"])


def test_a_file_that_is_not_there(store: Store, tmp_path: Path) -> None:
    assert "no database file" in said(f"sqlite:///{tmp_path}/none.db", "SELECT 1", store=store)
    assert not (tmp_path / "none.db").exists()


def test_duckdb_reads_no_other_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("user_id,item_id\n1,2\n")
    sentence = said(duckdb_file(tmp_path), f"SELECT * FROM read_csv('{tmp_path}/other.csv')", store=store)
    assert "cannot be read" in sentence


def test_a_driver_that_is_missing_is_named(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("adbc_driver_sqlite", "adbc_driver_postgresql"):
        monkeypatch.setitem(sys.modules, f"{module}.dbapi", None)
    assert "llmesr[databases]" in said(sqlite_file(tmp_path), ORDERS, store=store)
    assert "llmesr[databases]" in said("postgresql://u@h/x", ORDERS, store=store)


def test_queries_without_a_database(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,item_id\n1,2\n")
    assert "none is given" in said(tmp_path / "a.csv", "SELECT 1", store=store)


def test_a_limit_ends_a_stream(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--max-gb"), brought([duckdb_file(tmp_path)], store, sql=[ORDERS], limit=10):
        pass


@pytest.mark.parametrize(
    "sql", ["SELECT ';' AS a", "SELECT 1;", "  (SELECT 1)", "with a AS (SELECT 1) SELECT * FROM a"]
)
def test_one_query_is_one(sql: str) -> None:
    assert database.check_query(sql) == sql.strip().removesuffix(";")


def test_a_query_without_end_is_given_up(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LONGEST", 0.3)
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT (n + 1) % 1000000000 FROM t) SELECT max(n) FROM t"
    sentence = said(duckdb_file(tmp_path), endless, store=store)
    assert "has sent no row of query 1 for 0.005 minutes; it is given up" in sentence


def test_a_server_that_takes_the_call_and_says_nothing_is_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("adbc_driver_postgresql")
    monkeypatch.setattr(database, "PATIENCE", 2)  # the least that the library knows
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"postgresql://reader@127.0.0.1:{mute.getsockname()[1]}/shop"
        assert "cannot be reached" in said(address, ORDERS, store=store)


def test_killed_in_the_middle_nothing_is_half_written(shop: str, store: Store) -> None:
    numbers = "(SELECT generate_series(1, 30000000) AS n) AS numbers"  # so written, rows come one after the other
    slow = f"SELECT 'u' || n % 500 AS user_id, 'i' || n % 300 AS item_id, n AS bought_at FROM {numbers}"
    command = [sys.executable, "-m", "llmesr", "ingest", shop, "--name", "big", "--sql", slow]
    process = subprocess.Popen(command, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not any(p.stat().st_size > 1_000_000 for p in store.root.glob(".scratch*/query 1")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.ids("datasets") == []
    left = list(store.root.glob(".scratch*"))
    for path in left:  # what is young may still be somebody's
        os.utime(path, (0, 0))
    assert llmesr.ingest(shop, name="shop", sql=ORDERS, store=store).n_users == 8
