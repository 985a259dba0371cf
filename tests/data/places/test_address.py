"""Files at addresses: a server on loopback that knows ranges, and a store in memory."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from marketplace import csv, items_csv, rows

import llmesr
from llmesr.data.places import address
from llmesr.data.places.bring import brought
from llmesr.errors import UserError
from llmesr.store import Store

CONTENT = csv(rows(users=40)).encode()
PRODUCTS = items_csv().encode()


class Shop(ThreadingHTTPServer):
    """Serves ``files`` with ranges; ``cut`` ends each answer after as many bytes; remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/orders.csv": CONTENT, "/items.csv": PRODUCTS}
        self.cut: int | None = None
        self.asked: list[tuple[str, str | None]] = []

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Shop

    def do_HEAD(self) -> None:
        self._answer(only_head=True)

    def do_GET(self) -> None:
        self._answer(only_head=False)

    def _answer(self, only_head: bool) -> None:
        path, asked = self.path.partition("?")[0], self.headers.get("Range")
        self.server.asked.append((self.command, asked))
        body = self.server.files.get(path)
        if path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/orders.csv")
            self.end_headers()
            return
        if body is None:
            self.send_error(404)
            return
        tag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'
        start = int(re.findall(r"\d+", asked)[0]) if asked and self.headers.get("If-Range") == tag else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("ETag", tag)
        self.end_headers()
        if not only_head:
            self.wfile.write(body[start:][: self.server.cut])

    def log_message(self, *_: Any) -> None:
        """A test prints nothing."""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr("llmesr.data.fetch.time.sleep", lambda _: None)
    server = Shop()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder of an object store."""
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/bucket/day/orders-1.csv", csv(rows(users=20)).encode())
    fs.pipe_file("/bucket/day/orders-2.csv", csv(rows(users=40)[80:]).encode())
    fs.pipe_file("/bucket/day/items.csv", PRODUCTS)
    fs.pipe_file("/bucket/day/README.txt", b"nothing to read")
    yield "memory://bucket"
    fs.rm("/bucket", recursive=True)


def kept(store: Store) -> list[Path]:
    return [p for p in (store.root / "addresses").rglob("*") if p.is_file() and p.name != ".lock"]


def test_files_of_a_web_server_are_ingested_and_forgotten(web: Shop, store: Store) -> None:
    data = llmesr.ingest(web.at("/orders.csv?key=secret"), web.at("/items.csv"), name="shop", store=store)
    assert (data.n_users, data.n_items) == (40, 5)
    assert [s["from"] for s in data.manifest.info["sources"]] == [web.at("/orders.csv"), web.at("/items.csv")]
    assert b"secret" not in b"".join(p.read_bytes() for p in store.root.rglob("*") if p.is_file())
    assert kept(store) == []


def test_a_cut_fetch_goes_on_where_it_ended(web: Shop, store: Store) -> None:
    web.cut = 100
    with pytest.raises(UserError, match="500 bytes are kept"), brought([web.at("/orders.csv")], store):
        pass
    web.cut = None
    with brought([web.at("/orders.csv")], store) as given:
        assert given.paths[0].read_bytes() == CONTENT
    assert web.asked[-1] == ("GET", "bytes=500-")


def test_a_cut_fetch_of_a_file_that_has_changed_begins_anew(web: Shop, store: Store) -> None:
    web.cut = 100
    with pytest.raises(UserError, match="are kept"), brought([web.at("/orders.csv")], store):
        pass
    web.cut, web.files["/orders.csv"] = None, CONTENT[::-1]
    with brought([web.at("/orders.csv")], store) as given:
        assert given.paths[0].read_bytes() == CONTENT[::-1]


def test_what_an_import_refused_is_not_fetched_twice(web: Shop, store: Store) -> None:
    web.files["/odd.csv"] = b"a,b\n1,2\n3,4\n"
    for _ in range(2):
        with pytest.raises(UserError, match="--column"):
            llmesr.ingest(web.at("/odd.csv"), name="odd", store=store)
    assert [method for method, _ in web.asked] == ["HEAD", "GET", "HEAD"]


def test_checksums_and_limits(web: Shop, store: Store) -> None:
    good = hashlib.sha256(CONTENT).hexdigest()
    with brought([web.at(f"/orders.csv#sha256={good}")], store) as given:
        assert given.paths[0].read_bytes() == CONTENT
    with pytest.raises(UserError, match="not the file expected"), brought([web.at("/orders.csv#sha256=00")], store):
        pass
    with pytest.raises(UserError, match="--max-gb"), brought([web.at("/orders.csv")], store, limit=1000):
        pass
    assert kept(store) == []


def test_what_is_not_there(web: Shop, store: Store, bucket: str) -> None:
    for source, words in (
        (web.at("/none.csv"), "404"),
        ("http://127.0.0.1:1/x.csv", "cannot be reached"),
        (f"{bucket}/none.csv", "nothing at"),
        ("mysql://host/db", "no kind of address"),
    ):
        with pytest.raises(UserError, match=words), brought([source], store):
            pass


def test_a_redirect_is_followed_only_where_it_may_be(web: Shop, store: Store, tmp_path: Path) -> None:
    with brought([web.at("/moved")], store) as given:
        assert given.paths[0].read_bytes() == CONTENT
    with pytest.raises(UserError, match="not followed"):
        address.fetch(web.at("/moved"), tmp_path, limit=10**9, redirects=False)


def test_a_folder_of_a_store_is_read_like_one_on_disk(store: Store, bucket: str) -> None:
    data = llmesr.ingest(f"{bucket}/day", name="days", store=store)
    assert (data.n_users, data.n_items) == (40, 5)
    assert [s["file"] for s in data.manifest.info["sources"]] == ["orders-1.csv", "orders-2.csv", "items.csv"]
    assert data.manifest.info["sources"][0]["from"] == "memory:///bucket/day/orders-1.csv"
    assert kept(store) == []


def test_a_copy_of_a_store_goes_on_where_it_ended(
    store: Store, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = f"{bucket}/day/orders-1.csv"
    monkeypatch.setattr(address, "CHUNK", 100)
    seen: list[int] = []

    def cut(stage: str, done: int, total: int) -> None:
        seen.append(done)
        if done == 300:
            raise OSError("the line was cut")

    with pytest.raises(UserError, match="300 bytes are kept"):
        address.fetch(source, tmp_path, limit=10**9, progress=cut)
    ((path, origin),) = address.fetch(source, tmp_path, limit=10**9, progress=cut)
    assert path.read_bytes() == csv(rows(users=20)).encode()
    assert seen[:4] == [100, 200, 300, 400]
    assert origin == {"from": "memory:///bucket/day/orders-1.csv"}


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ("https://data.example.org/open/a.csv", True),
        ("https://data.example.org/open/../private/a.csv", False),
        ("https://data.example.org/open/%2e%2e/a.csv", False),
        ("https://data.example.org/opened/a.csv", False),
        ("https://data.example.org@10.0.0.1/open/a.csv", False),
        ("http://data.example.org/open/a.csv", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("file:///etc/passwd", False),
        ("s3://bucket/x/a.parquet", True),
        ("s3://bucket/x::https://data.example.org/open/a", False),
    ],
)
def test_visitors_reach_what_the_operator_allows(given: str, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmesr.data.places.connections import check_visitor

    with pytest.raises(UserError, match="LLMESR_ADDRESSES"):
        check_visitor(given)
    monkeypatch.setenv("LLMESR_ADDRESSES", "https://data.example.org/open/ s3://bucket")
    if allowed:
        check_visitor(given)
    else:
        with pytest.raises(UserError, match="LLMESR_ADDRESSES"):
            check_visitor(given)
