"""The API against its own OpenAPI description, by requests schemathesis makes up. Skipped where it is not installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from serving_doubles import bare_run
from test_api import open_fake

from llmesr.data.dataset import Dataset
from llmesr.runs.record import Status
from llmesr.serving.api import ServeConfig, create_app
from llmesr.serving.hub import Hub
from llmesr.store import Store

KEY = "correct-horse"
PROGRAM = shutil.which("schemathesis")


@pytest.fixture
def address(store: Store, tiny: Dataset) -> Iterator[str]:
    run = bare_run(store, tiny)
    run.set_status(Status(state="SUCCEEDED"))
    app = create_app(Hub(store, [run.id], open_run=open_fake), ServeConfig(api_key=KEY, reload_seconds=0))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    url = f"http://127.0.0.1:{port}"
    for _ in range(100):
        try:
            httpx.get(f"{url}/health")
            break
        except httpx.ConnectError:
            time.sleep(0.05)
    yield url
    server.should_exit = True
    thread.join()


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="schemathesis is not installed")
def test_every_answer_is_one_the_description_promises(address: str) -> None:
    assert PROGRAM is not None
    command = [PROGRAM, "run", f"{address}/openapi.json", "-H", f"X-API-Key: {KEY}", "--checks", "all", "-n", "40"]
    done = subprocess.run(
        [*command, "--suppress-health-check", "all", "--no-color"], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout[-4000:]
