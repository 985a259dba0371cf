"""Several processes at one port: they count together, reload together, and one that dies comes back."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from a_server import free_port, serving

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.training.train import train

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a port is shared on Linux only")
PROGRAM = ["-m", "llmesr"]
TWO = ["--set", "processes=2", "--set", "reload_seconds=0"]


@pytest.fixture
def run(store: Store, tiny: Dataset) -> Run:
    return train(tiny, RunConfig(method="popularity"), store, device="cpu")


@pytest.fixture
def together(run: Run, store: Store) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with serving(PROGRAM, run, store, *TWO) as (process, url):
        yield process, url


def connections(process: subprocess.Popen[bytes], url: str, many: int) -> dict[psutil.Process, int]:
    """How many of ``many`` connections that stay open each of its processes has that has any."""
    port = int(url.rsplit(":", 1)[1])
    found: dict[psutil.Process, int] = {}
    with contextlib.ExitStack() as clients:
        for _ in range(many):
            client = clients.enter_context(httpx.Client())
            assert client.get(f"{url}/health").status_code == 200
        for child in psutil.Process(process.pid).children():
            try:
                own = [c for c in child.net_connections("inet") if c.laddr.port == port]
            except psutil.NoSuchProcess:
                continue
            if open_now := sum(c.status == psutil.CONN_ESTABLISHED for c in own):
                found[child] = open_now
    return found


def answering(process: subprocess.Popen[bytes], url: str) -> list[psutil.Process]:
    return list(connections(process, url, 4))


def until(holds: Callable[[], bool]) -> None:
    last = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < last
        time.sleep(0.05)


def counted(url: str, name: str) -> float:
    """A counter, over all its labels."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_they_answer_count_and_reload_together_and_one_that_dies_comes_back(
    together: tuple[subprocess.Popen[bytes], str], tiny: Dataset
) -> None:
    process, url = together
    asked = {"user": str(tiny.user_ids[0])}
    for _ in range(20):  # over connections of their own
        assert httpx.post(f"{url}/recommend", json=asked).status_code == 200
    assert counted(url, 'llmesr_requests_total{route="/recommend"') == 20
    assert httpx.post(f"{url}/reload").status_code == 200
    until(lambda: counted(url, "llmesr_reloads_total") == 2)

    first, *_ = answering(process, url)
    first.kill()
    psutil.wait_procs([first], timeout=60)
    for _ in range(4):  # the other one takes what comes meanwhile
        assert httpx.post(f"{url}/recommend", json=asked).status_code == 200
    until(lambda: len(set(answering(process, url)) - {first}) == 2)
    others = answering(process, url)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    assert not any(other.is_running() for other in others)


def test_each_has_as_many_connections_as_the_other(together: tuple[subprocess.Popen[bytes], str]) -> None:
    assert list(connections(*together, 10).values()) == [5, 5]


def test_one_that_cannot_be_started_again_says_why(run: Run, store: Store, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("wb") as err, serving(PROGRAM, run, store, *TWO, err=err) as (process, url):
        one, *_ = answering(process, url)
        run.folder.rename(run.folder.with_name("gone"))
        one.kill()
        until(lambda: f"ended with 2 (There is no run called {run.id!r}" in said.read_text())


def test_they_end_when_the_first_one_is_killed(together: tuple[subprocess.Popen[bytes], str]) -> None:
    process, url = together
    others = answering(process, url)
    process.kill()
    _, alive = psutil.wait_procs(others, timeout=60)
    assert not alive


def test_what_cannot_be_served_is_said_once(store: Store) -> None:
    command = [sys.executable, *PROGRAM, "serve", "nothing", "--port", str(free_port()), *TWO]
    env = {**os.environ, "LLMESR_ARTIFACTS": str(store.root)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("nothing") == 1
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_not_shared_with_strangers(run: Run, store: Store) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, *PROGRAM, "serve", run.id, "--port", str(taken.getsockname()[1]), *TWO]
        env = {**os.environ, "LLMESR_ARTIFACTS": str(store.root)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "Choose another --port" in done.stderr
