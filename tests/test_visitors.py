"""Visitors of the app reach public addresses and allowed models; whoever has the command line reaches anything."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmesr import visitors
from llmesr.config import EmbedConfig
from llmesr.data.fetch import download
from llmesr.errors import UserError
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import typed_step
from llmesr.semantic.embedders.backbone import Source
from llmesr.semantic.embedders.endpoint import EndpointEmbedder
from llmesr.store import Store

REFUSED = "private address, which visitors of this server may not reach"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.31.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),  # the metadata of a cloud
        ("224.0.0.1", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("2002:7f00:1::", False),  # 127.0.0.1, wrapped
        ("64:ff9b::a9fe:a9fe", False),  # 169.254.169.254, wrapped
        ("64:ff9b:1::a9fe:a9fe", False),  # the same by a translator of one's own
        ("::127.0.0.1", False),
        ("::ffff:0:10.0.0.1", False),
        ("::5efe:10.0.0.1", False),
        ("5f00::1", False),
        ("192.0.0.192", False),  # the metadata of a cloud
        ("168.63.129.16", False),  # a service that every machine of a cloud sees
        ("3fff::1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert visitors.is_public(address) == public


class Server(http.server.BaseHTTPRequestHandler):
    """Sends ``/redirect`` on to a name inside; remembers the names it was called by."""

    called: list[str]

    def do_GET(self) -> None:
        self.called.append(self.headers["Host"])
        away = self.path == "/redirect"
        self.send_response(302 if away else 200)
        if away:
            self.send_header("Location", "http://inside.test/secret")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[int]:
    Server.called = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found.server_address[1]
        found.shutdown()
        thread.join()


@pytest.fixture
def visitor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(visitors.PUBLIC_ONLY, "1")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names and their addresses. 127.0.0.1 passes for a public one, so that there is something to reach."""
    known = {"public.test": ["127.0.0.1"], "inside.test": ["10.0.0.1"], "both.test": ["127.0.0.1", "10.0.0.1"]}

    def looked_up(host: str, port: int | None, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in known.get(host, [host])]

    monkeypatch.setattr("llmesr.visitors.socket.getaddrinfo", looked_up)
    monkeypatch.setattr("llmesr.visitors.is_public", lambda address: address == "127.0.0.1")
    return known


@pytest.mark.usefixtures("visitor")
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "169.254.169.254", "10.0.0.1"]
)
def test_a_visitor_reaches_nothing_private(host: str) -> None:
    with visitors.client() as http, pytest.raises(UserError, match=REFUSED):
        http.get(f"http://{host}:9/")


@pytest.mark.usefixtures("visitor", "names")
def test_a_visitor_is_not_sent_on_to_a_private_address(server: int) -> None:
    with visitors.client(follow_redirects=True) as http:
        assert http.get(f"http://public.test:{server}/").text == "ok"
        with pytest.raises(UserError, match=f"inside.test is a {REFUSED}"):
            http.get(f"http://public.test:{server}/redirect")
        with pytest.raises(UserError, match="both.test"):
            http.get(f"http://both.test:{server}/")
    assert Server.called == [f"public.test:{server}"] * 2


@pytest.mark.usefixtures("visitor")
def test_no_proxy_of_the_environment_reaches_it_instead(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server}")
    with visitors.client() as http, pytest.raises(UserError, match=REFUSED):
        http.get("http://127.0.0.1:9/")
    assert Server.called == []


@pytest.mark.usefixtures("visitor")
def test_endpoints_and_downloads_of_a_visitor_go_through_the_same_door(server: int, tmp_path: Path) -> None:
    config = EmbedConfig(embedder="openai:m", endpoint=f"http://127.0.0.1:{server}/v1")
    with pytest.raises(UserError, match=REFUSED):
        _ = EndpointEmbedder(config).dimension
    with pytest.raises(UserError, match=REFUSED):
        download([f"http://127.0.0.1:{server}/x.csv"], tmp_path / "x.csv", pause=0)
    assert Server.called == []


def test_the_command_line_reaches_anything(server: int) -> None:
    with visitors.client() as http:
        assert http.get(f"http://127.0.0.1:{server}/").text == "ok"


def test_what_cannot_be_looked_up_cannot_be_reached(visitor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror("no such name")

    monkeypatch.setattr("llmesr.visitors.socket.getaddrinfo", unknown)
    with visitors.client() as http, pytest.raises(httpx.ConnectError, match="no such name"):
        http.get("http://nowhere.test/")


def test_the_mark_of_a_visitors_job_stays_with_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Jobs, "dispatch", lambda self: None)
    step = typed_step(["embed", "shop"], "embed")
    job = Jobs(store, public_only=True).submit_steps([step], kind="embed", label="x")
    assert job.record.public_only
    Jobs(store).stop(job.id)
    assert Jobs(store).retry(job.id).record.public_only  # whoever tries it again
    assert not Jobs(store).submit_steps([step], kind="embed", label="x").record.public_only


def test_models_are_those_the_operator_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert visitors.models() == ["minilm"]
    visitors.check_model("minilm")
    with pytest.raises(UserError, match="does not offer the model 'hf:/etc'"):
        visitors.check_model("hf:/etc")
    monkeypatch.setenv(visitors.MODELS, "hf:a/b, minilm")
    assert visitors.models() == ["minilm", "hf:a/b"]
    visitors.check_model("hf:a/b")
    monkeypatch.setenv(visitors.MODELS, "*")
    visitors.check_model("hf:c/d")


def test_no_model_brings_code(tmp_path: Path) -> None:
    assert Source("hf:x", tmp_path).arguments()["trust_remote_code"] is False
    assert Source("gguf:x", tmp_path, "x.gguf").arguments() == {"trust_remote_code": False, "gguf_file": "x.gguf"}
