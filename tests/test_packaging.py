"""The wheel, installed where there is no checkout: every command is there, the demo trains and the app answers."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from a_server import free_port
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
REPOSITORY = Path(__file__).parents[1]
SPOKEN = Subprotocol("streamlit")
PAGES = [page.name for page in (REPOSITORY / "pages").glob("*.py")]
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "*.egg-info", "artifacts", "tests", "docs", "__pycache__")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel; built from a copy, since setuptools leaves its scraps beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(REPOSITORY, source, ignore=NOT_SOURCE)
    shutil.copytree(REPOSITORY / ".streamlit", source / ".streamlit")
    (source / ".streamlit" / "secrets.toml").write_text("[auth]\ncookie_secret = 'stays at home'\n")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "-w", str(folder), str(source)], check=True)
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of a new environment with the wheel in it, and the libraries of this one within its reach."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder)})
    Path(packages, "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    scripts = folder / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "install", "--no-deps", "--quiet"]
    subprocess.run([*pip, "--ignore-installed", str(wheel)], check=True)
    return scripts


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return {**own, "LLMESR_ARTIFACTS": str(tmp_path / "artifacts")}


@pytest.fixture
def address(installed: Path, environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """Where the installed app listens."""
    port = free_port()
    log = tmp_path / "app.log"
    with open(log, "wb") as out:
        command = [str(installed / "llmesr"), "app", "--port", str(port)]
        server = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and server.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
            except OSError:
                time.sleep(0.2)
            else:
                break
        else:
            raise AssertionError(f"the app did not start:\n{log.read_text()}")
        yield f"127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


def test_what_the_wheel_carries(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [name for name in names if name.endswith("/METADATA")]
        needs = email.message_from_bytes(archive.read(metadata)).get_all("Requires-Dist") or []
    assert {n for n in names if n.startswith("llmesr/_app/")} == {
        "llmesr/_app/app.py",
        "llmesr/_app/.streamlit/config.toml",
        *(f"llmesr/_app/pages/{page}" for page in PAGES),
    }
    assert {"llmesr/py.typed", "llmesr/views/shared/icon.svg"} <= names
    assert all(n.startswith(("llmesr/", "llmesr-")) for n in names)
    lines = (REPOSITORY / "requirements.txt").read_text().split()
    wanted = {re.split(r"[=<>]", line)[0] for line in lines} - {"pytest"}
    assert {re.split(r"[=<>;\[ ]", need)[0] for need in needs if "extra ==" not in need} == wanted


def test_the_demo_trains(installed: Path, environment: dict[str, str], tmp_path: Path) -> None:
    def run(*words: str) -> str:
        done = subprocess.run(
            [installed / "llmesr", *words], env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "serve" in run("--help")
    made = json.loads(run("demo", "--synthetic", "--users", "150", "--json"))
    assert len(made["runs"]) >= 4
    rows = json.loads(run("compare", *made["runs"][:2], "--json"))["rows"]
    assert {row["run"] for row in rows} == set(made["runs"][:2])


def test_the_app_shows_its_first_page(address: str) -> None:
    with connect(f"ws://{address}/_stcore/stream", subprotocols=[SPOKEN], max_size=None) as visitor:
        hello = BackMsg()
        hello.rerun_script.query_string = ""
        visitor.send(hello.SerializeToString())
        shown: list[ForwardMsg] = []
        while not shown or shown[-1].WhichOneof("type") != "script_finished":
            message = visitor.recv(timeout=60)
            assert isinstance(message, bytes)
            shown.append(ForwardMsg.FromString(message))
    assert [len(m.navigation.app_pages) for m in shown if m.HasField("navigation")] == [len(PAGES)]
    elements = [m.delta.new_element for m in shown if m.HasField("delta")]
    assert "heading" in [e.WhichOneof("type") for e in elements]
    assert [str(e) for e in elements if e.HasField("exception") or "material/error" in str(e)] == []
    [session] = [m.new_session for m in shown if m.HasField("new_session")]
    assert "#0f6e66" in str(session.custom_theme)  # the theme travelled too


def test_the_app_answers_to_no_other_name(address: str) -> None:
    rebound = address.replace("127.0.0.1", "evil.localhost")  # a name that leads here, and is not the app's
    with (
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=10) as line,
        pytest.raises(InvalidStatus),
    ):
        connect(f"ws://{rebound}/_stcore/stream", subprotocols=[SPOKEN], sock=line)
