"""The API against its own OpenAPI description, by requests that schemathesis makes up."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from a_server import free_port
from served_app import open_fake
from serving_doubles import bare_run

from llmesr.config import ServeConfig
from llmesr.data.dataset import Dataset
from llmesr.runs.record import Status
from llmesr.serving.api import create_app
from llmesr.serving.hub import Hub
from llmesr.store import Store

KEY = "correct-horse"
LEFT_OUT = "positive_data_acceptance"
"""A check that fails where there are rules between fields: JSON Schema cannot say that two lists are of one length."""
FEW = 6
"""Random requests of each operation; those at the edges of what the description allows come on top."""


@pytest.fixture
def address(store: Store, tiny: Dataset) -> Iterator[str]:
    run = bare_run(store, tiny)
    run.set_status(Status(state="SUCCEEDED"))
    app = create_app(Hub(store, [run.id], open_run=open_fake), ServeConfig(api_key=KEY, reload_seconds=0))
    port = free_port()
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


@pytest.mark.parametrize("requests", [FEW, pytest.param(100, marks=pytest.mark.slow)])
def test_every_answer_is_one_the_description_promises(address: str, requests: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "-H", f"X-API-Key: {KEY}"]
    checks = ["--checks", "all", "--exclude-checks", LEFT_OUT, "--suppress-health-check", "all"]
    command += [*checks, "--max-examples", str(requests), "--no-color"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-6000:]
    assert re.search(r"Tested: +6", done.stdout)
