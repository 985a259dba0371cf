"""A model of a hub on this machine is brought by a process of its own, and only what is read of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from llmesr.errors import UserError
from llmesr.semantic.embedders.backbone import locate

COMMIT = "0123456789" * 4
FILES = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights", "pytorch_model.bin": b"a pickle"}


class Hub(BaseHTTPRequestHandler):
    """The part of the API by which the model shop/tiny is listed and read."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = urlsplit(self.path).path
        name = path.removeprefix(f"/shop/tiny/resolve/{COMMIT}/")
        if path.startswith("/api/models/shop/tiny/tree/"):
            entries = [{"type": "file", "path": name, "size": len(FILES[name]), "oid": name} for name in FILES]
            content = json.dumps(entries).encode()
        elif path.startswith("/api/models/shop/tiny"):
            content = json.dumps({"id": "shop/tiny", "sha": COMMIT}).encode()
        elif path.startswith("/api/models/shop/strange"):
            content = b'{"sha": [1]}'
        elif name in FILES:
            content = FILES[name]
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{name}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("hub")
def test_a_model_is_brought_without_what_is_not_read() -> None:
    folder = locate("hf:shop/tiny").folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: content for name, content in FILES.items() if name != "pytorch_model.bin"
    }


@pytest.mark.usefixtures("hub")
def test_a_model_that_is_not_there_is_a_sentence() -> None:
    for name in ("other", "strange"):  # the answer of the hub on the one makes no sense
        with pytest.raises(UserError, match=f"'shop/{name}' is no folder here and could not be downloaded"):
            locate(f"hf:shop/{name}")
    with pytest.raises(UserError, match="'a b/c' is neither a folder here nor a Hugging Face model id"):
        locate("hf:a b/c")
