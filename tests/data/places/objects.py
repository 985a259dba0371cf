"""Object stores on loopback that speak their real protocols: S3 (moto), Google Cloud Storage (its emulator), a Hugging
Face hub; before each a line that can be cut."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
import httpx
import pytest
from a_server import free_port

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "to be found nowhere"
OWNER = "/datasets/shop/orders"


class Line:
    """Passes connections on to ``port`` until ``left`` octets have come back (None: without end); then each is cut."""

    def __init__(self, port: int) -> None:
        self.left: int | None = None
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:  # closed
                return
            if self.left is not None and self.left <= 0:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # the store has ended
                near.close()
                continue
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        with closing(source), closing(target):
            try:
                while data := source.recv(1 << 14):
                    if back and self.left is not None:
                        data = data[: max(0, self.left)]
                        self.left -= len(data)
                    target.sendall(data)
                    if back and self.left is not None and self.left <= 0:
                        break
                for end in (source, target):
                    end.shutdown(socket.SHUT_RDWR)
            except OSError:  # the other side has ended
                return


@dataclass
class Bucket:
    """A store: its address, and the line to it."""

    address: str
    line: Line
    fs: Any

    def put(self, name: str, content: bytes) -> str:
        self.fs.pipe_file(f"{self.address}/{name}", content)
        return f"{self.address}/{name}"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An S3 server that checks who asks."""
    pytest.importorskip("s3fs", reason="s3fs is not installed (pip install 's3fs')")
    moto = pytest.importorskip("moto.server", reason="moto's server is not installed (pip install 'moto[s3]' flask)")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    line = Line(server.get_host_and_port()[1])
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{line.port}"),
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_MAX_ATTEMPTS", "1"),
        ("AWS_CONFIG_FILE", "/nonexistent"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
    ):
        monkeypatch.setenv(name, value)
    kind = fsspec.get_filesystem_class("s3")
    kind.clear_instance_cache()
    httpx.post(f"http://127.0.0.1:{line.port}/moto-api/reset")  # its state is that of the process
    httpx.post(f"http://127.0.0.1:{line.port}/moto-api/reset-auth", content=b"inf")
    fs = kind(skip_instance_cache=True)
    fs.mkdir("shop")
    yield Bucket("s3://shop", line, fs)
    line.left = None
    line.close()
    server.stop()
    kind.clear_instance_cache()


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Google Cloud Storage, as its emulator speaks it."""
    pytest.importorskip("gcsfs", reason="gcsfs is not installed (pip install 'gcsfs')")
    emulator = pytest.importorskip(
        "gcp_storage_emulator.server", reason="the emulator is not installed (pip install gcp-storage-emulator)"
    )
    port = free_port()
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="shop")
    server.start()
    line = Line(port)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{line.port}")
    kind = fsspec.get_filesystem_class("gs")
    kind.clear_instance_cache()
    yield Bucket("gs://shop", line, kind(token="anon", skip_instance_cache=True))
    line.close()
    server.stop()
    kind.clear_instance_cache()


class Hub(ThreadingHTTPServer):
    """The part of the hub's API by which a dataset is listed and read; ``token``: who may, None for everybody."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files: dict[str, bytes] = {}
        self.token: str | None = None

    def pipe_file(self, path: str, content: bytes) -> None:
        self.files[path.removeprefix(f"hf:/{OWNER}/")] = content


class HubHandler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._send(401, b'{"error": "Invalid username or password."}', {"X-Error-Code": "RepoNotFound"})
        elif path in (f"/api{OWNER}", f"/api{OWNER}/revision/main"):
            self._json({"id": "shop/orders", "sha": "a" * 40, "private": False, "tags": [], "downloads": 0})
        elif path.startswith(f"/api{OWNER}/tree/main"):
            self._tree(path.removeprefix(f"/api{OWNER}/tree/main").strip("/"))
        elif path.startswith(f"{OWNER}/resolve/main/"):
            self._file(self.server.files.get(path.removeprefix(f"{OWNER}/resolve/main/")))
        else:
            self._send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._json([])

    def _tree(self, folder: str) -> None:
        inside = f"{folder}/" if folder else ""
        found: dict[str, dict[str, Any]] = {}
        for name, content in self.server.files.items():
            if not name.startswith(inside):
                continue
            first, _, rest = name.removeprefix(inside).partition("/")
            oid = hashlib.sha1(content).hexdigest()
            entry = {"path": inside + first, "oid": oid, "size": 0 if rest else len(content)}
            found[first] = {**entry, "type": "directory" if rest else "file"}
        if found:
            self._json(list(found.values()))
        else:
            self._send(404, b'{"error": "not found"}', {"X-Error-Code": "EntryNotFound"})

    def _file(self, content: bytes | None) -> None:
        if content is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._send(200, content, {})
            return
        first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        self._send(206, content[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(content)}"})

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """A test prints nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A hub with the dataset shop/orders."""
    constants = pytest.importorskip("huggingface_hub.constants")
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    line = Line(server.server_address[1])
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{line.port}")
    template = f"http://127.0.0.1:{line.port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    kind = fsspec.get_filesystem_class("hf")
    kind.clear_instance_cache()
    yield Bucket("hf://datasets/shop/orders", line, server)
    line.close()
    server.shutdown()
    thread.join()
    server.server_close()
    kind.clear_instance_cache()
