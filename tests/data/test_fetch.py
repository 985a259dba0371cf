"""Downloads from a server on loopback that cuts, lies and changes its mind."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest

from llmesr.data import fetch, journey, known
from llmesr.data.fetch import download
from llmesr.data.known import KNOWN, File, Known, find, get
from llmesr.errors import UserError

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; ``cuts`` requests end after ``cut_after`` bytes; remembers the ranges asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag = CONTENT, '"one"'
        self.cuts, self.cut_after, self.ranged, self.status, self.kind = 0, 300_000, True, 200, "application/zip"
        self.asked: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        s = self.server
        asked = self.headers.get("Range")
        s.asked.append(asked)
        start = 0
        if asked and s.ranged and self.headers.get("If-Range") == s.etag:
            start = int(re.findall(r"\d+", asked)[0])
        body = s.content[start:]
        if start >= len(s.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(s.content)}")
            self.end_headers()
            return
        self.send_response(s.status if s.status != 200 else (206 if start else 200))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", s.kind)
        self.send_header("ETag", s.etag)
        self.end_headers()
        if s.cuts > 0:
            s.cuts -= 1
            body = body[: s.cut_after]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def fetched(server: Server, target: Path, **settings: object) -> Path:
    return download([server.address], target, pause=0.0, **settings)  # type: ignore[arg-type]


def test_whole_file_with_progress(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    path = fetched(server, tmp_path / "a" / "x.bin", size=len(CONTENT), md5=MD5, progress=lambda *s: seen.append(s))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("fetching x.bin", len(CONTENT), len(CONTENT))
    assert [p.name for p in path.parent.iterdir()] == ["x.bin"]
    fetched(server, path)
    assert len(server.asked) == 1


def test_cut_connections_go_on_where_they_ended(server: Server, tmp_path: Path) -> None:
    server.cuts = 3
    path = fetched(server, tmp_path / "x.bin", md5=MD5)
    assert path.read_bytes() == CONTENT
    starts = [int(re.findall(r"\d+", a)[0]) if a else 0 for a in server.asked]
    assert starts == sorted(starts)
    assert len(set(starts)) == 4


def test_a_later_call_resumes(server: Server, tmp_path: Path) -> None:
    server.cuts, server.cut_after = 99, 100_000
    with pytest.raises(UserError, match="bytes are kept; run it again"):
        fetched(server, tmp_path / "x.bin")
    kept = (tmp_path / "x.bin.part").stat().st_size
    assert kept >= 100_000
    assert not (tmp_path / "x.bin").exists()
    server.cuts = 0
    assert fetched(server, tmp_path / "x.bin").read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={kept}-"


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"\xff", b'{"address": 7}'])
def test_a_damaged_note_begins_the_file_anew(note: bytes, server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"half of something")
    (tmp_path / "data.bin.part.json").write_bytes(note)
    assert download([server.address], tmp_path / "data.bin", md5=MD5).read_bytes() == CONTENT


def test_a_full_disk_says_so(server: Server, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with mock.patch.object(fetch, "write_json", side_effect=full), pytest.raises(UserError, match="The disk is full"):
        download([server.address], tmp_path / "data.bin")


def test_a_changed_file_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.cuts, server.cut_after = 99, 100_000
    with pytest.raises(UserError):
        fetched(server, tmp_path / "x.bin")
    server.cuts, server.content, server.etag = 0, CONTENT[::-1], '"two"'
    assert fetched(server, tmp_path / "x.bin").read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges(server: Server, tmp_path: Path) -> None:
    server.cuts, server.ranged = 2, False
    assert fetched(server, tmp_path / "x.bin").read_bytes() == CONTENT


def test_a_complete_part_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    fetched(server, tmp_path / "x.bin")
    (tmp_path / "x.bin").rename(tmp_path / "x.bin.part")
    note = {"address": hashlib.sha256(server.address.encode()).hexdigest(), "etag": '"one"'}
    (tmp_path / "x.bin.part.json").write_text(json.dumps(note))
    assert fetched(server, tmp_path / "x.bin", md5=MD5).read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={len(CONTENT)}-"


@pytest.mark.parametrize(("expected", "words"), [({"size": 5}, "instead of 5"), ({"md5": "0" * 32}, "MD5")])
def test_a_wrong_file_is_deleted(expected: dict[str, Any], words: str, server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        fetched(server, tmp_path / "x.bin", **expected)
    assert list(tmp_path.iterdir()) == []


def test_a_page_instead_of_a_file(server: Server, tmp_path: Path) -> None:
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(UserError, match="web page"):
        fetched(server, tmp_path / "x.bin")


def test_the_second_address_is_tried(server: Server, tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1/data.bin"
    path = download([nowhere, server.address], tmp_path / "x.bin", md5=MD5, pause=0.0)
    assert path.read_bytes() == CONTENT


def test_missing_everywhere(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(UserError, match="404"):
        fetched(server, tmp_path / "x.bin")


def _archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


def _known(monkeypatch: pytest.MonkeyPatch, server: Server, name: str = "toy") -> None:
    entry = Known(name, "Toy", "free", (File("toy.zip", (server.address,)),), ("ratings.csv",))
    monkeypatch.setitem(known.KNOWN, name, entry)


def test_an_archive_is_unpacked_by_name_only(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.content = _archive({"toy/ratings.csv": b"a,b\n", "../evil.csv": b"x", "toy/other.csv": b"y"})
    _known(monkeypatch, server)
    files = get("toy", tmp_path / "toy", pause=0.0)
    assert [f.read_bytes() for f in files] == [b"a,b\n"]
    assert sorted(p.name for p in (tmp_path / "toy").iterdir()) == ["provenance.json", "ratings.csv"]
    assert not (tmp_path / "evil.csv").exists()
    get("toy", tmp_path / "toy", pause=0.0)
    assert len(server.asked) == 1


def test_an_archive_without_the_file(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.content = _archive({"toy/other.csv": b"y"})
    _known(monkeypatch, server)
    with pytest.raises(UserError, match=r"does not hold ratings\.csv"):
        get("toy", tmp_path / "toy", pause=0.0)


def test_movielens_falls_back_to_the_wheel(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.status = 503
    _known(monkeypatch, server, "ml-100k")
    members = {"ml-100k.inter": b"inter", "ml-100k.item": b"item"}
    monkeypatch.setattr(known, "WHEEL_MEMBERS", {n: hashlib.sha256(c).hexdigest() for n, c in members.items()})

    def pip(command: list[str], **_: object) -> object:
        wheel = Path(command[command.index("--dest") + 1]) / "recbole-1.2.1-py3-none-any.whl"
        wheel.write_bytes(_archive({f"recbole/dataset_example/ml-100k/{n}": c for n, c in members.items()}))
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr("llmesr.data.wheels.subprocess.run", pip)
    files = get("ml-100k", tmp_path / "ml", pause=0.0)
    assert [f.read_bytes() for f in files] == [b"inter", b"item"]


def test_without_any_network_both_reasons_are_given(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.status = 503
    _known(monkeypatch, server, "ml-100k")
    failed = type("Done", (), {"returncode": 1, "stderr": "ERROR: No matching distribution"})
    monkeypatch.setattr("llmesr.data.wheels.subprocess.run", lambda *_, **__: failed)
    with pytest.raises(UserError, match=r"503.*pip cannot download recbole"):
        get("ml-100k", tmp_path / "ml", pause=0.0)


def test_known_names() -> None:
    assert {"ml-100k", "ml-1m", "ml-32m", "amazon-beauty-2014", "amazon-fashion-2018", "amazon-all-beauty-2023"} <= set(
        KNOWN
    )
    for entry in KNOWN.values():
        assert entry.terms
        assert all(a.startswith("https://") for f in entry.files for a in f.addresses)
        assert re.fullmatch(r"[a-z0-9-]+", entry.name)
    with pytest.raises(UserError, match=r"Near: .*amazon-beauty-2014"):
        find("amazon-beauty")


def test_the_complete_journey_becomes_three_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transactions = pd.DataFrame(
        {
            "household_id": [900, 900],
            "product_id": [11, 12],
            "transaction_timestamp": pd.to_datetime(["2017-01-01 11:53:26", "2017-01-02 09:00:01"]),
        }
    )
    products = pd.DataFrame(
        {
            "product_id": [11, 12],
            "manufacturer_id": [2, 69],
            "department": ["GROCERY", "PASTRY"],
            "brand": ["National", "Private"],
            "product_category": ["FRZN ICE", None],
            "product_type": ["ICE - CRUSHED/CUBED", None],
            "package_size": ["22 LB", None],
        }
    )

    people = pd.DataFrame({"household_id": [900], "age": ["65+"], "kids_count": ["0"]})

    def wheel(requirement: str, members: dict[str, str], folder: Path, _: object) -> list[Path]:
        folder.mkdir(parents=True)
        for name, frame in zip(members, (transactions, people, products), strict=True):
            frame.to_parquet(folder / name)
        return [folder / name for name in members]

    monkeypatch.setattr(journey, "from_wheel", wheel)
    bought, items, users = get("complete-journey", tmp_path / "journey")
    assert pd.read_parquet(users).to_numpy().tolist() == [["900", "65+", "0"]]
    assert pd.read_parquet(bought).to_numpy().tolist() == [
        ["900", "11", "2017-01-01 11:53"],
        ["900", "12", "2017-01-02 09:00"],
    ]
    assert pd.read_parquet(items).to_numpy().tolist() == [
        ["11", "Ice - crushed/cubed, 22 lb", "Frzn ice", "Grocery", "National"],
        ["12", "Pastry", "", "Pastry", "Private"],
    ]
    left = sorted(p.name for p in bought.parent.iterdir())
    assert left == ["interactions.parquet", "items.parquet", "provenance.json", "users.parquet"]
    assert "simulated" in known.find("complete-journey").terms
    assert get("complete-journey", tmp_path / "journey") == [bought, items, users]
