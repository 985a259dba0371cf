"""What comes from elsewhere has an end, however slowly it comes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from llmesr import deadlines
from llmesr.data import fetch
from llmesr.data.places import address
from llmesr.deadlines import Pace, TooSlow, within
from llmesr.errors import UserError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nContent-Type: text/csv\r\n\r\n"


class Trickle:
    """Sends ``first`` at once and then an ``x`` every now and then, without end."""

    def __init__(self) -> None:
        self.first, self.calls = HEAD, 0
        self._line = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._line.getsockname()[1]}/orders.csv"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._line.accept()
            except OSError:  # closed
                return
            self.calls += 1
            threading.Thread(target=self._drip, args=(line,), daemon=True).start()

    def _drip(self, line: socket.socket) -> None:
        try:
            line.recv(65_536)
            line.sendall(self.first)
            while True:
                line.sendall(b"x")
                time.sleep(0.01)
        except OSError:  # who asked has gone
            line.close()

    def close(self) -> None:
        self._line.close()


@pytest.fixture
def trickle(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trickle]:
    monkeypatch.setattr(deadlines, "WINDOW", 0.2)
    monkeypatch.setattr(fetch, "ATTEMPTS", 2)
    made = Trickle()
    yield made
    made.close()


def test_octets_are_counted_over_a_window() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    for second in range(1, 601):
        now = float(second)
        pace.note(deadlines.SLOWEST)  # just enough
    now += 59.0
    pace.note(1)  # slow, but the window is not over
    now += 1.0
    with pytest.raises(TooSlow, match="less than 10,000 bytes come a second"):
        pace.note(1)


def test_a_pause_within_a_fast_transfer_is_none() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    pace.note(10_000_000)
    now = 200.0
    pace.note(1)


def test_what_ends_in_time_is_returned_or_raised() -> None:
    assert within(20, lambda: 7) == 7
    with pytest.raises(KeyError):
        within(20, lambda: {}["x"])  # type: ignore[index]
    held = threading.Event()
    with pytest.raises(TooSlow, match="does not end"):
        within(0.05, held.wait)
    held.set()


def test_a_file_that_comes_octet_by_octet_is_given_up(trickle: Trickle, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"less than 10,000 bytes come a second.*bytes are kept; run it again to go on"):
        fetch.download([trickle.url], tmp_path / "orders.csv", pause=0.0)
    assert trickle.calls == 2
    assert (tmp_path / "orders.csv.part").stat().st_size > 1


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 100 Continue\r\n\r\nHTTP"])
def test_headers_that_never_end_are_given_up(first: bytes, trickle: Trickle, tmp_path: Path) -> None:
    trickle.first = first
    with pytest.raises(UserError, match="the answer does not end"):
        fetch.download([trickle.url], tmp_path / "orders.csv", pause=0.0)
    with pytest.raises(UserError, match="cannot be reached: the answer does not end"):
        address.fetch(trickle.url, tmp_path / "kept", limit=10**6)


def test_an_import_from_an_address_is_given_up(trickle: Trickle, tmp_path: Path) -> None:
    trickle.first = HEAD
    with pytest.raises(UserError, match="less than 10,000 bytes come a second"):
        address.fetch(trickle.url, tmp_path / "kept", limit=10**6)


def test_a_store_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(deadlines, "WINDOW", 0.2)
    fs, held = fsspec.filesystem("memory"), threading.Event()
    fs.pipe("/slow/orders.csv", b"u,i,t")
    asked = "memory://slow/orders.csv"
    with monkeypatch.context() as patch:
        patch.setattr(type(fs), "isdir", lambda *_: held.wait(30))
        with pytest.raises(UserError, match="cannot be read: the answer does not end"):
            address.fetch(asked, tmp_path, limit=10**6)
    monkeypatch.setattr(deadlines, "WINDOW", 0.02)

    class Slow:
        def __enter__(self) -> Slow:
            return self

        def __exit__(self, *_: object) -> None: ...

        def seek(self, _: int) -> None: ...

        def read(self, _: int) -> bytes:
            held.wait(30)
            return b""

    found = address.Found(asked, "orders.csv", "1", 5)
    monkeypatch.setattr(type(fs), "open", lambda *_, **__: Slow())
    with pytest.raises(UserError, match="cannot be read to its end: the answer does not end"):
        address._copy(found, tmp_path / "orders.csv", 10**6, lambda *_: None)
    held.set()
    fs.rm("/slow", recursive=True)
