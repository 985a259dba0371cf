"""A small OpenAI-compatible chat service on the loopback that may answer anything, late, or not at all."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[list[str]], str]


def backwards(candidates: list[str]) -> str:
    """A well-behaved model that likes the last candidate best."""
    return ", ".join(str(n) for n in range(len(candidates), 0, -1))


class ChatService:
    """``answer`` makes the text from the titles of the candidates; ``status`` other than 200 is an error; ``delay``
    seconds pass first; ``whole`` replaces the whole body of the answer."""

    def __init__(self) -> None:
        self.answer: Answer = backwards
        self.status, self.delay = 200, 0.0
        self.whole: Any = None
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.url = ""

    def content(self, body: dict[str, Any]) -> Any:
        if self.status != 200:
            return {"error": {"message": "not now"}}
        if self.whole is not None:
            return self.whole
        asked = body["messages"][-1]["content"]
        candidates = [m[1] for line in asked.splitlines() if (m := re.match(r"\d+\. (.*)", line))]
        return {"choices": [{"message": {"role": "assistant", "content": self.answer(candidates)}}]}


@contextlib.contextmanager
def chatting() -> Iterator[ChatService]:
    service = ChatService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.requests.append(body)
            service.keys.append(self.headers.get("Authorization"))
            time.sleep(service.delay)
            known = self.path == "/v1/chat/completions"
            payload = json.dumps(service.content(body) if known else {}).encode()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked has gone
                self.send_response(service.status if known else 404)
                self.send_header("Content-Length", str(len(payload)))
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
