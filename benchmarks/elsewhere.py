"""What commands reach over the network, on this machine: a publisher of files, and a service of vectors and chat.

Not run by itself: trials.py starts it as a process of its own, which prints its port and ends when its input closes.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WIDTH = 16


def vector(text: str) -> list[float]:
    """Numbers that only the text decides."""
    return [octet / 128 - 1 for octet in hashlib.sha256(text.encode()).digest()[:WIDTH]]


class Handler(BaseHTTPRequestHandler):
    """Files of :attr:`folder` by GET, whole or from an octet on; OpenAI's embeddings and chat by POST."""

    folder = Path()

    def do_GET(self) -> None:
        path = self.folder / Path(self.path).name
        content = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()[:16]}"')
        self._send("application/octet-stream", content[start:])

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/embeddings"):
            said: object = {"data": [{"index": n, "embedding": vector(t)} for n, t in enumerate(asked["input"])]}
        else:
            lines = [int(n) for n in re.findall(r"^(\d+)\. ", asked["messages"][-1]["content"], re.MULTILINE)]
            answer = ", ".join(map(str, sorted(set(lines), reverse=True)))
            said = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
        self.send_response(200)
        self._send("application/json", json.dumps(said).encode())

    def _send(self, kind: str, content: bytes) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Nothing: what asks is killed in the middle as a rule."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # who asked has gone
            self.close_connection = True


@contextmanager
def elsewhere(folder: Path) -> Iterator[str]:
    """The address of a server of the files in ``folder`` while the block runs."""
    server = subprocess.Popen(
        [sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait()


def main() -> None:
    Handler.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
