"""What the server turns away before it reads a body, and how long it waits for one."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from llmesr.config import ServeConfig
from llmesr.serving import server as serving
from llmesr.serving.gate import Gate
from llmesr.serving.metrics import Metrics
from llmesr.store import Store

METRICS = Metrics(lambda: 0)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers how many bytes came."""
    if scope["type"] == "lifespan":
        return
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
    await send({"type": "http.response.body", "body": str(len(body)).encode()[:1]})


class Asked:
    """One request to a gate: how much of its body was read, and what was answered."""

    def __init__(
        self, gate: Gate, headers: dict[str, str], path: str = "/recommend", body: list[bytes] | None = None
    ) -> None:
        self.left = body if body is not None else [b"{}"]
        self.sent: list[Message] = []
        pairs = [(k.encode(), v.encode()) for k, v in headers.items()]
        scope: Scope = {"type": "http", "path": path, "headers": pairs, "client": ("10.0.0.1", 1)}
        asyncio.run(gate(scope, self.receive, self.send))

    async def receive(self) -> Message:
        if not self.left:
            await asyncio.sleep(60)  # a client that never goes on
        chunk = self.left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": chunk != b"last"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def detail(self) -> str:
        return str(json.loads(self.sent[1]["body"])["detail"])


def gate(key: str | None = None, hosts: tuple[str, ...] = (), seconds: float = 5.0) -> Gate:
    return Gate(echo, metrics=lambda: METRICS, max_body=100, body_seconds=seconds, key=key, hosts=hosts)


def test_without_the_key_nothing_of_the_body_is_read() -> None:
    for headers in ({}, {"x-api-key": "wrong"}):
        asked = Asked(gate(key="correct-horse"), headers, body=[b"x" * 50] * 9)
        assert (asked.status, len(asked.left)) == (401, 9)
    known = Asked(gate(key="correct-horse"), {"x-api-key": "correct-horse"}, body=[b"last"])
    assert known.status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("shop.example.com", 200),
        ("SHOP.example.com:8000", 200),
        ("shop.example.com.", 200),  # the root of all names, which browsers keep
        ("shop.example.com.:443", 200),
        ("[::1]:8000", 200),
        ("[0:0:0:0:0:0:0:1]", 200),
        ("a.wide.example.com", 200),
        ("evil.example.com", 400),
        ("shop.example.com.evil.net", 400),
        ("evil.net#shop.example.com", 400),
        ("evil.net/shop.example.com", 400),
        ("shop.example.com@evil.net", 400),
        ("evil@shop.example.com", 400),
        ("shop.example.com:80:evil.net", 400),
        ("shop.example.com:80evil", 400),
        ("shop.example.com, evil.net", 400),
        ("shop.example.com..", 400),
        ("shop.example.com\t", 400),
        (" shop.example.com", 400),
        ("shop.example.com\0", 400),
        ("[::1]evil.net", 400),
        ("[::1", 400),
        ("::1", 400),
        ("[::ffff:127.0.0.1]", 400),
        ("127.1", 400),
        ("2130706433", 400),
        ("wide.example.com", 400),
        ("evilwide.example.com", 400),
        ("*.wide.example.com", 400),
        ("*", 400),
        (":8000", 400),
        (".", 400),
        ("", 400),
    ],
)
def test_only_its_own_names_are_answered(host: str, status: int) -> None:
    hosts = ("shop.example.com", "::1", "127.0.0.1", "*.wide.example.com")
    asked = Asked(gate(hosts=hosts), {"host": host}, body=[b"last"])
    assert asked.status == status
    assert Asked(gate(), {"host": host}, body=[b"last"]).status == 200


@pytest.mark.parametrize("header", ["x-forwarded-host", "forwarded", "x-host", "x-original-host", ":authority"])
def test_no_other_header_names_the_server(header: str) -> None:
    for host, status in (("evil.net", 400), ("shop.example.com", 200)):
        other = {"evil.net": "shop.example.com", "shop.example.com": "evil.net"}[host]
        asked = Asked(gate(hosts=("shop.example.com",)), {"host": host, header: f"host={other}"}, body=[b"last"])
        assert asked.status == status


def test_bodies_that_are_large_or_slow_are_given_up() -> None:
    large = Asked(gate(), {"transfer-encoding": "chunked"}, body=[b"x" * 60] * 3)
    assert (large.status, len(large.left)) == (413, 1)
    announced = Asked(gate(), {"content-length": "101"})
    assert (announced.status, len(announced.left)) == (413, 1)
    slow = Asked(gate(seconds=0.05), {"content-length": "50"}, body=[b"x"])
    assert slow.status == 408
    assert slow.detail == "The body did not arrive within 0.05 seconds."


def answered(port: int, *lines: str) -> str:
    """The status of the answer to a request of these lines."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return line.recv(1000).decode("latin-1").split(" ")[1]


UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 22)


def test_the_doors_of_a_server_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``serve`` gives uvicorn: an upgrade to a websocket is a request like any other."""
    started: list[uvicorn.Server] = []

    def run(app: object, **options: object) -> None:
        made = gate(key="correct-horse", hosts=("localhost",))
        started.append(uvicorn.Server(uvicorn.Config(made, lifespan="off", **{**options, "port": 0})))  # type: ignore[arg-type]
        started[0].run()

    monkeypatch.setattr(serving, "Hub", lambda *_: SimpleNamespace(all=list))
    monkeypatch.setattr(serving, "create_app", lambda *_: None)
    monkeypatch.setattr(uvicorn, "run", run)
    monkeypatch.setattr(serving, "_shorten_pauses", lambda: None)
    settings = ServeConfig(device="cpu")
    thread = threading.Thread(
        target=serving.run_server,
        args=(Store(Path("nowhere")), ["run"], settings),
        kwargs={"host": "127.0.0.1", "port": 0},
    )
    thread.start()
    while not (started and started[0].started):
        time.sleep(0.01)
    port = started[0].servers[0].sockets[0].getsockname()[1]
    key = "X-API-Key: correct-horse"
    try:
        assert answered(port, "GET / HTTP/1.1", "Host: localhost", key) == "200"
        assert answered(port, "GET / HTTP/1.1", "Host: localhost") == "401"
        assert answered(port, "GET / HTTP/1.1", "Host: evil.net", key) == "400"
        assert answered(port, "GET / HTTP/1.1", key) == "400"
        assert answered(port, "GET / HTTP/1.0", key) == "400"
        assert answered(port, "GET / HTTP/1.1", "Host: localhost", "Host: evil.net", key) == "400"
        assert answered(port, "GET / HTTP/1.1", "Host: evil.net", "Host: localhost", key) == "400"
        assert answered(port, "GET http://localhost/ HTTP/1.1", "Host: evil.net", key) == "400"
        assert answered(port, "GET / HTTP/1.1", "Host: evil.net", *UPGRADE, key) == "400"
        assert answered(port, "GET / HTTP/1.1", "Host: localhost", *UPGRADE) == "401"
        assert answered(port, "GET / HTTP/1.1", "Host: localhost", *UPGRADE, key) == "200"  # 101 would be past the gate
    finally:
        started[0].should_exit = True
        thread.join()


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server that waits a third of a second for a request, and holds four connections."""
    monkeypatch.setattr(serving, "HEADER_SECONDS", 0.3)
    config = uvicorn.Config(
        echo, port=0, log_level="error", http=serving.TimedProtocol, limit_concurrency=5, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_without_a_request_is_closed(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(sent)
        assert line.recv(100) == b""  # closed by the server, not by our time limit


def test_a_request_keeps_its_connection(port: int) -> None:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(2):
        line.request("GET", "/")
        line_used = line.sock
        answer = line.getresponse()
        assert (answer.status, answer.read()) == (200, b"0")
        assert line.sock is line_used  # still open
    line.close()


def test_connections_beyond_the_limit_are_answered_503(port: int) -> None:
    lines = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(6)]
    try:
        lines[-1].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert lines[-1].recv(1000).startswith(b"HTTP/1.1 503")
    finally:
        for line in lines:
            line.close()
