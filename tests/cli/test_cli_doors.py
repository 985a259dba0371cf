"""Listening beyond this machine is said on purpose, and only a server's own names are answered."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from a_server import free_port

from llmesr.cli.doors import answered_names, beyond_this_machine, has_sign_in
from llmesr.cli.main import app
from llmesr.config import EmbedConfig
from llmesr.errors import UserError
from llmesr.store import Store


@pytest.mark.parametrize(
    ("host", "beyond"),
    [
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.0.2.7", True),
        ("shop.example.com", True),
    ],
)
def test_which_addresses_others_can_reach(host: str, beyond: bool) -> None:
    assert beyond_this_machine(host) is beyond


@pytest.mark.parametrize(
    ("words", "flag"),
    [(["app", "--host", "0.0.0.0"], "--without-sign-in"), (["serve", "RUN", "--host", "::"], "--without-key")],
)
def test_an_open_door_is_said_on_purpose(
    words: list[str], flag: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LLMESR_API_KEY", raising=False)
    with pytest.raises(UserError, match=f"lets everybody on the network in.*{flag}"):
        app(words, standalone_mode=False)


def test_with_a_key_or_the_flag_the_door_opens(store: Store) -> None:
    for more in (["--without-key"], ["--api-key", "correct-horse"]):
        with pytest.raises(UserError, match="no run called 'RUN'"):  # past the door
            app(["serve", "RUN", "--host", "0.0.0.0", *more], standalone_mode=False)


def test_a_sign_in_is_seen_where_streamlit_looks_for_it(tmp_path: Path) -> None:
    secrets = tmp_path / ".streamlit" / "secrets.toml"
    secrets.parent.mkdir()
    secrets.write_text("[other]\nkey = 'x'\n")
    assert not has_sign_in(tmp_path / "elsewhere", tmp_path)
    secrets.write_text("[auth]\nclient_id = 'x'\n")
    assert has_sign_in(tmp_path / "elsewhere", tmp_path)
    secrets.write_text("[auth\n")
    with pytest.raises(UserError, match="secrets.toml cannot be read"):
        has_sign_in(tmp_path)


def test_the_names_of_a_server() -> None:
    assert answered_names("127.0.0.1") == ["127.0.0.1", "::1", "localhost"]
    assert "shop.example.com" in answered_names("0.0.0.0", ["Shop.example.com."])
    assert answered_names("0.0.0.0", ["*"]) == []


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("[::1]", "::1"),
        ("2001:DB8::0:7", "2001:db8::7"),
        ("*.Example.com", "*.example.com"),
        ("192.0.2.7", "192.0.2.7"),
    ],
)
def test_a_name_is_written_as_clients_write_it(given: str, name: str) -> None:
    assert name in answered_names("127.0.0.1", [given])


@pytest.mark.parametrize(
    "given",
    [
        "https://shop.example.com",
        "shop.example.com:8000",
        "shop/llmesr",
        "",
        "a b",
        "*.",
        "[x]",
        "[::1]:80",
        "shop,evil",
    ],
)
def test_what_is_no_name_is_not_allowed_in_silence(given: str) -> None:
    with pytest.raises(UserError, match="is no name"):
        answered_names("127.0.0.1", [given])


@pytest.mark.slow
def test_the_app_answers_to_its_own_names_alone(store: Store, tmp_path: Path) -> None:
    """Pages come over its websocket: a page elsewhere must not open one, by its own name or by a name of ours, nor read
    what else the server holds. Ctrl-C ends it without a traceback."""
    log = tmp_path / "app.log"
    port = free_port()
    command = [sys.executable, "-m", "llmesr", "app", "--port", str(port), "--allow-host", "shop.example.com"]
    with open(log, "wb") as out:
        process = subprocess.Popen(
            command, env={**os.environ, "LLMESR_ARTIFACTS": str(store.root)}, stdout=out, stderr=out
        )

    def opened(*lines: str) -> str:
        asked = ["GET /_stcore/stream HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", *lines]
        asked += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
            line.sendall("\r\n".join(asked).encode())
            return line.recv(1000).decode("latin-1").split(" ")[1]

    def read(path: str, *names: str) -> str:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
            asked = [f"GET {path} HTTP/1.1", *(f"Host: {name}" for name in names), "Connection: close", "", ""]
            line.sendall("\r\n".join(asked).encode())
            return line.recv(1000).decode("latin-1").split(" ")[1]

    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                assert opened(f"Host: localhost:{port}") == "101"
                break
            except OSError:
                time.sleep(0.2)
        for host in ("shop.example.com", "SHOP.example.com.:443", f"[::1]:{port}", f"127.0.0.1:{port}"):
            assert opened(f"Host: {host}", f"Origin: http://{host}") == "101", host
        for host in (
            "evil.net",
            "shop.example.com.evil.net",
            "localhost@evil.net",
            "evil.net#localhost",
            "[::ffff:7f00:1]",
        ):
            assert opened(f"Host: {host}", f"Origin: http://{host}") == "403", host
            assert opened(f"Host: {host}", "X-Forwarded-Host: localhost") == "403", host
        assert opened(f"Host: localhost:{port}", "Origin: http://evil.net") == "403"
        assert (
            opened(f"Host: localhost:{port}", "Origin: http://evil.net", f"X-Forwarded-Host: localhost:{port}") == "403"
        )
        assert opened(f"Host: localhost:{port}", "X-Forwarded-Host: evil.net") == "101"
        for path in ("/", "/_stcore/health", "/_stcore/host-config", "/_stcore/metrics", "/compare"):
            assert read(path, f"localhost:{port}") == "200", path
            assert read(path, "shop.example.com") == "200", path
            for names in (["evil.net"], ["localhost@evil.net"], ["localhost", "evil.net"], []):
                assert read(path, *names) == "400", (path, names)
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)  # impatiently
        assert process.wait(60) == 0
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait(60)


def test_passwords_in_urls_are_neither_stored_nor_shown() -> None:
    with pytest.raises(UserError, match="OPENAI_API_KEY") as refused:
        EmbedConfig.read(None, embedder="openai:x", endpoint="https://me:hunter2@models.example.com/v1")
    assert "hunter2" not in str(refused.value)
    assert "me:***@models.example.com" in str(refused.value)
    assert str(UserError("ftp://a:b@c/d cannot be opened")) == "ftp://a:***@c/d cannot be opened"
