"""Runs the API under uvicorn, in one process or several, and stops it gracefully."""

from __future__ import annotations

import asyncio
import functools
import gc
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llmesr.config import ServeConfig
from llmesr.errors import UserError
from llmesr.serving.api import create_app
from llmesr.serving.hub import Hub
from llmesr.serving.processes import Place, end_with_parent, serve_together, take
from llmesr.store import Store
from llmesr.training.devices import pick_device

GRACE = 30
"""Seconds that requests in flight have to finish once the server is asked to stop."""
HEADER_BYTES = 65_536
"""Most bytes of a request line and headers."""
HEADER_SECONDS = 10.0
"""Seconds a connection may stay open without a whole request line and headers."""


class TimedProtocol(HttpToolsProtocol):
    """HTTP/1.1 that closes connections on which no request arrives, or one whose line and headers never end; uvicorn
    itself waits for its first for ever, and keeps all it is sent."""

    _due: asyncio.TimerHandle | None = None
    _unread = 0
    """Bytes of a request line and headers that are not whole yet."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        waiting = self._waits()
        super().data_received(data)
        self._unread = self._unread + len(data) if waiting and self._waits() else 0
        if self._unread > HEADER_BYTES:
            self.transport.close()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_clock()

    def _waits(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _watch(self) -> None:
        if not self._waits():
            self._stop_clock()
        elif self._due is None:
            self._due = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_clock(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


def _shorten_pauses() -> None:
    """What is loaded stays, so the collector need not look at it again; and whoever computes hands the interpreter over
    to the loop that reads and answers requests after a millisecond, not after five."""
    if gc.isenabled():  # off since the start it would look for 0.2 s, and find little of what was loaded only once
        gc.collect()
    gc.freeze()
    gc.enable()
    sys.setswitchinterval(0.001)


def run_server(
    store: Store,
    runs: list[str],
    config: ServeConfig,
    *,
    host: str,
    port: int,
    hosts: Collection[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Serve until SIGINT or SIGTERM; then no new connections are taken, those in flight are answered, and the process
    ends by that signal.

    UserError when a run cannot be served.
    """

    def serving(served: list[str], port: int) -> None:
        guard = "with an API key" if config.api_key else "without an API key"
        many = f" from {config.processes} processes" if config.processes > 1 else ""
        say(f"Serving {', '.join(served)} at http://{host}:{port}{many} {guard}; /docs describes it.")

    if config.processes > 1:
        answering = functools.partial(_answer, store.root, runs, config, tuple(hosts))
        serve_together(answering, config.processes, host, port, serving)
        return
    hub = Hub(store, runs, pick_device(config.device))
    _shorten_pauses()
    if threading.current_thread() is threading.main_thread():  # elsewhere no signal arrives
        # As SIGTERM: uvicorn raises the signal again once it has shut down. Python's own answer to an interrupt would
        # wait for the threads of batches that do not end.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    serving([s.run.id for s in hub.all()], port)
    uvicorn.run(create_app(hub, config, hosts), host=host, port=port, **_settings(config))


def _answer(
    root: Path,
    runs: list[str],
    config: ServeConfig,
    hosts: tuple[str, ...],
    place: Place,
    told: Connection,
    dealt: socket.socket,
) -> None:
    """What each of several processes does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # while it loads; the first process says when to end
    end_with_parent()
    gc.disable()
    torch.set_num_threads(max(1, torch.get_num_threads() // config.processes))
    try:
        hub = Hub(Store(root), runs, pick_device(config.device))
    except UserError as error:
        told.send(str(error))
        raise SystemExit(2) from None
    _shorten_pauses()
    server = _Dealt(uvicorn.Config(create_app(hub, config, hosts, place), **_settings(config)), dealt)
    server.answers = lambda: told.send([s.run.id for s in hub.all()])
    server.run(sockets=[])  # of its own it has none


class _Dealt(uvicorn.Server):
    """Answers connections that another process hands over, and tells when it can."""

    answers: Callable[[], None]

    def __init__(self, config: uvicorn.Config, dealt: socket.socket) -> None:
        super().__init__(config)
        self._dealt = dealt
        self._opening: set[asyncio.Task[object]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._dealt.setblocking(False)
        asyncio.get_running_loop().add_reader(self._dealt, self._take)
        self.answers()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().remove_reader(self._dealt)
        await super().shutdown(sockets)

    def _take(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection = take(self._dealt)
        except BlockingIOError:
            return
        except OSError:  # and the end of the other process ends this one
            loop.remove_reader(self._dealt)
            return
        connection.setblocking(False)
        task = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _protocol(self) -> asyncio.Protocol:
        return TimedProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def _settings(config: ServeConfig) -> dict[str, Any]:
    return {
        "log_level": "warning",
        "access_log": False,
        "timeout_graceful_shutdown": GRACE,
        "server_header": False,
        "limit_concurrency": config.max_connections,
        "http": TimedProtocol,
        "ws": "none",  # nothing here speaks it, and the gate reads requests alone
    }
