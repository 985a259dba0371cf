"""A PostgreSQL of its own for the tests that ask one, on a free port of this machine."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from a_server import free_port

PASSWORD = "to be found nowhere"


def _program(name: str) -> str | None:
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return shutil.which(name) or (found[-1] if found else None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of an empty database; its password is PASSWORD. Skipped where PostgreSQL is not installed."""
    pytest.importorskip("adbc_driver_postgresql")
    if _program("initdb") is None or _program("postgres") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with served() as address:
        yield address


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The address of an empty database on a server that runs until the block ends."""
    initdb, server = _program("initdb"), _program("postgres")
    assert initdb
    assert server
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="llmesr-postgres-"))
    (folder / "password").write_text(PASSWORD)
    if user:
        for path in (folder, folder / "password"):
            shutil.chown(path, user)
    log = (folder / "log").open("w")
    init = [initdb, "-D", f"{folder}/data", "-A", "scram-sha-256", "-U", "reader", f"--pwfile={folder}/password", "-N"]
    subprocess.run(init, user=user, check=True, stdout=log, stderr=log, cwd=folder)
    settings = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
    command = [server, "-D", f"{folder}/data", *(word for s in settings for word in ("-c", s))]
    process = subprocess.Popen(command, user=user, stdout=log, stderr=log, cwd=folder)
    try:
        _wait(port, process, folder / "log")
        yield f"postgresql://reader@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while "ready to accept connections" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, f"no PostgreSQL on port {port} after a minute"
        time.sleep(0.05)


@pytest.fixture
def postgres(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same with the right password in the environment."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return postgres_server
