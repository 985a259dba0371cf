"""A server of its own, as a person starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import httpx

from llmesr.runs.record import Run
from llmesr.store import Store


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def serving(
    program: list[str], run: Run, store: Store, *words: str, err: IO[bytes] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process, and its address once it answers; what it complains of goes to ``err``."""
    port = free_port()
    command = [sys.executable, *program, "serve", run.id, "--port", str(port), "--device", "cpu", *words]
    process = subprocess.Popen(command, env={**os.environ, "LLMESR_ARTIFACTS": str(store.root)}, stderr=err)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                assert httpx.get(f"{url}/health").json()["runs"][0]["run"] == run.id
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        yield process, url
    finally:
        process.kill()
        process.wait()
