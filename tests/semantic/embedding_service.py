"""A small OpenAI-compatible embeddings service on the loopback, with trouble on demand."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fake_embedder import fake_vector


class Service:
    """``trouble`` is a list of (status, headers) answered before anything else; ``fatal`` texts get a 400."""

    def __init__(self) -> None:
        self.trouble: list[tuple[int, dict[str, str]]] = []
        self.fatal: set[str] = set()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.most_at_once = 0
        self.delay = 0.0
        self.reverse = False
        self._open = 0
        self._lock = threading.Lock()
        self.url = ""

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        with self._lock:
            self.requests.append(body)
            if self.trouble:
                status, headers = self.trouble.pop(0)
                return status, headers, {"error": {"message": "not now"}}
        if self.fatal & set(body["input"]):
            return 400, {}, {"error": {"message": "this text is not allowed"}}
        time.sleep(self.delay)
        data = [{"index": i, "embedding": fake_vector(t).tolist()} for i, t in enumerate(body["input"])]
        return 200, {}, {"data": data[::-1] if self.reverse else data}


@contextlib.contextmanager
def running() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with service.counted():
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.keys.append(self.headers.get("Authorization"))
                known = self.path == "/v1/embeddings"
                status, headers, content = service.answer(body) if known else (404, {}, {"error": {"message": "no"}})
            # Answered outside: the client may ask again before this thread has left the block.
            payload = json.dumps(content).encode()
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(payload))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
