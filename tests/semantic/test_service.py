"""Whatever a service of others answers is an answer or a sentence, of bounded size and time."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llmesr.config import AllocationConfig, EmbedConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.scoring.allocation.answers import understood
from llmesr.scoring.allocation.chat import Chat
from llmesr.semantic import service
from llmesr.semantic.embedders.endpoint import EndpointEmbedder
from llmesr.semantic.service import Service, Unanswered
from llmesr.store import Store

DEEP = b"[" * 100_000


class Raw:
    """Answers every request with ``content`` under ``headers``, one octet after the other where it is ``slow``;
    ``first``, if there is any, again and again before that."""

    def __init__(self) -> None:
        self.status, self.content, self.headers, self.slow, self.url = 200, b"{}", dict[str, str](), False, ""
        self.first = b""


@pytest.fixture
def raw() -> Iterator[Raw]:
    found = Raw()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while found.first:
                    self.wfile.write(found.first)
                    time.sleep(0.01)
                self.send_response(found.status)
                for name, value in found.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(found.content)))
                self.end_headers()
                for at in range(0, len(found.content), 1 if found.slow else len(found.content)):
                    self.wfile.write(found.content[at : at + 1] if found.slow else found.content)
                    time.sleep(0.01 if found.slow else 0)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def asked(raw: Raw) -> service.Answer:
    made = Service(raw.url, "embed", pause=0.0, timeout=5, tries=2)
    with made.client() as client:
        return made.post(client, "embeddings", {"model": "m"})


@pytest.mark.parametrize("url", ["http://0177.0.0.1/v1", "http://[::1", "https://a:b:c/v1", "http://a\0b"])
def test_an_endpoint_that_is_no_address_is_a_sentence(url: str) -> None:
    with pytest.raises(UserError, match="is no address"):
        Service(url, "embed")


@pytest.mark.parametrize("packed", ["gzip", "gzip, gzip", "zstd", "br"])
def test_a_packed_answer_is_not_unpacked(packed: str, raw: Raw) -> None:
    """One piece of it can unpack to gigabytes, above all where it is packed several times."""
    raw.content, raw.headers = gzip.compress(gzip.compress(b"x" * 10**7)), {"Content-Encoding": packed}
    with pytest.raises(UserError, match=rf"packs its answers \({packed}\) unasked"):
        asked(raw)


def test_an_answer_has_a_size(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_BYTES", 1_000)
    raw.content = b"x" * 1_001
    with pytest.raises(UserError, match="more than 1,000 bytes"):
        asked(raw)


def test_an_answer_is_no_larger_than_what_was_asked_for(raw: Raw, store: Store, tiny: Dataset) -> None:
    """A list of empty lists takes twenty times its size in memory."""
    raw.content = b"[" + b"[]," * 2_000_000 + b"0]"
    with pytest.raises(UserError, match="more than 4,194,304 bytes"):
        list(Chat("m", AllocationConfig(endpoint=raw.url), tiny, store, pause=0.0)._answers([{"messages": []}]))
    with pytest.raises(UserError, match="more than 1,310,720 bytes"):
        list(EndpointEmbedder(EmbedConfig(embedder="openai:m", endpoint=raw.url), pause=0.0).stream(["one"]))


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"H"])
def test_an_answer_has_an_end(first: bytes, raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it never begins: it is announced without end, or its first line has none."""
    monkeypatch.setattr(service, "SLOWEST", 0.02)
    raw.content, raw.slow, raw.first = b"x" * 100, True, first
    with pytest.raises(Unanswered, match="does not end"):
        asked(raw)


@pytest.mark.parametrize("content", [DEEP, b"\xff", b"null", b'{"error": 5}'])
def test_a_refusal_of_any_shape_is_a_sentence(content: bytes, raw: Raw) -> None:
    raw.status, raw.content = 400, content
    with pytest.raises(UserError, match="refused to embed"):
        asked(raw)


@pytest.mark.parametrize("content", [DEEP, b"\xff", b"null", b"[]", b'{"data": [{"index": 0, "embedding": [[1], 2]}]}'])
def test_vectors_of_any_shape_are_a_sentence(content: bytes, raw: Raw) -> None:
    raw.content = content
    embedder = EndpointEmbedder(EmbedConfig(embedder="openai:m", endpoint=raw.url), pause=0.0)
    with pytest.raises(UserError):
        list(embedder.stream(["one"]))


def test_half_a_character_and_a_deep_nest_of_a_chat_model_are_text(raw: Raw, store: Store, tiny: Dataset) -> None:
    chat = Chat("m", AllocationConfig(endpoint=raw.url), tiny, store, pause=0.0)
    raw.content = json.dumps({"choices": [{"message": {"content": "\ud83e 2, 1"}}]}).encode()
    body = {"model": "m", "messages": []}
    assert [answer for _, answer in chat._answers([body])] == ["? 2, 1"]
    assert [answer for _, answer in chat._answers([body])] == ["? 2, 1"]  # and is kept as such
    raw.content = DEEP
    assert [answer for _, answer in chat._answers([{**body, "n": 1}])] == [""]


def test_an_endless_number_is_read_at_once() -> None:
    assert understood("1" * 100_000, ["a"]).order == []


def test_a_key_with_a_line_end_is_trimmed_and_no_other_is_shown(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret\n")
    assert asked(raw).status == 200
    monkeypatch.setenv("OPENAI_API_KEY", "hunter\n2")
    with pytest.raises(UserError, match="OPENAI_API_KEY holds") as refused:
        asked(raw)
    assert "hunter" not in str(refused.value)
