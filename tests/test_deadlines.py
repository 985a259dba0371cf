"""What comes from elsewhere has an end, however slowly it comes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest

from llmesr import deadlines
from llmesr.data import fetch
from llmesr.data.dataset import Dataset
from llmesr.data.places import address
from llmesr.deadlines import Pace, TooSlow, arriving, while_moving, within
from llmesr.errors import UserError
from llmesr.remote import Remote
from llmesr.semantic.embedders import backbone
from llmesr.store import Store

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


def test_what_moves_may_take_its_time_and_what_does_not_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "WINDOW", 0.02)
    held, came = threading.Event(), 0

    def more() -> int:
        nonlocal came
        came += deadlines.SLOWEST
        return came

    assert while_moving(lambda: held.wait(1.0), more) is False  # five times as long as nothing may come
    with pytest.raises(TooSlow, match="less than 10,000 bytes come a second"):
        while_moving(lambda: held.wait(30), lambda: 7)
    held.set()


def test_things_arrive_in_order_with_the_error_after_them_and_are_closed() -> None:
    closed = threading.Event()

    @contextmanager
    def three(last: int) -> Iterator[Iterator[float]]:
        yield (1 / (last - n) for n in range(3))
        closed.set()

    with arriving(lambda: three(4), 20) as things:
        assert [*things] == [1 / 4, 1 / 3, 1 / 2]
    assert closed.wait(20)
    with arriving(lambda: three(1), 20) as things:
        assert next(things) == 1
        with pytest.raises(ZeroDivisionError):
            next(things)
    closed.clear()
    with arriving(lambda: three(9), 20) as things:
        assert next(things) == 1 / 9  # and no more is asked for
    assert closed.wait(20)


def test_a_source_that_stops_in_the_middle_is_given_up() -> None:
    held = threading.Event()

    @contextmanager
    def stalls() -> Iterator[Iterator[int]]:
        def some() -> Iterator[int]:
            yield 1
            held.wait(30)

        yield some()

    with arriving(stalls, 0.2) as things:
        assert next(things) == 1
        with pytest.raises(TooSlow, match="does not end"):
            next(things)
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


def test_a_remote_that_answers_octet_by_octet_is_given_up(trickle: Trickle) -> None:
    trickle.first = HEAD.replace(b"text/csv", b"text/html")  # a list of what is there
    with pytest.raises(UserError, match="is given up: the answer does not end"):
        Remote(trickle.url).list("runs")


@pytest.mark.parametrize("call", ["put_file", "get_file"])
def test_a_push_or_a_pull_that_stops_is_given_up(
    call: str, store: Store, tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, held = Remote(f"file://{tmp_path / 'shared'}"), threading.Event()
    if call == "get_file":
        remote.push(store, "datasets", tiny.id)
    monkeypatch.setattr(deadlines, "WINDOW", 0.02)
    monkeypatch.setattr(deadlines, "SLOWEST", 10**7)
    monkeypatch.setattr(remote.fs, call, lambda *_, **__: held.wait(30))
    elsewhere = Store(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is given up: .*Try it again; what is complete is kept"):
        if call == "put_file":
            remote.push(store, "datasets", tiny.id)
        else:
            remote.pull(elsewhere, "datasets", tiny.id)
    held.set()
    assert elsewhere.ids("datasets") == []


def test_a_hub_that_answers_octet_by_octet_is_given_up(
    trickle: Trickle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", trickle.url.removesuffix("/orders.csv"))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")

    def once_asked(do: Callable[[], bytes], moved: Callable[[], int]) -> bytes:
        while not trickle.calls:  # a process takes longer to begin than is waited here for octets
            time.sleep(0.05)
        return while_moving(do, moved)

    monkeypatch.setattr(backbone, "while_moving", once_asked)
    with pytest.raises(UserError, match="'shop/tiny' is given up: less than 10,000 bytes come a second"):
        backbone.locate("hf:shop/tiny")
