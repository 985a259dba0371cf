"""Several processes that answer at one port. One interpreter reads and writes on one core at a time, however many
threads score for it; these have one each, and the runs in memory each.

The first one answers nobody: it starts the others, starts one again that died, and ends them when it is asked to end.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Protocol

from prometheus_client.multiprocess import mark_process_dead

from llmesr.errors import UserError

log = logging.getLogger(__name__)
COUNTED = "PROMETHEUS_MULTIPROC_DIR"
"""The folder in which processes count together; the Prometheus client reads it when it is imported."""
AGAIN = 1.0
"""Seconds before a process that died is started again, and between two looks whether another asked for a reload."""
LOOK = 0.25
"""Seconds between two looks whether the end was asked for."""
PATIENCE = 60.0
"""Seconds the processes have to end; each answers what is in flight first, and has a limit of its own for that."""


@dataclass
class Place:
    """Where several processes answer, and the folder in which they count together and ask each other to reload."""

    host: str
    port: int
    folder: Path
    seen: int = 0
    """When a reload was asked for that this process knows of."""

    def open(self) -> socket.socket:
        """A socket of this process at the port of all. The kernel spreads connections over such sockets; of a single
        one the first to wake would take most."""
        made = socket.socket(_family(self.host), socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((self.host, self.port))
        return made

    def ask_reload(self) -> None:
        """Have every other process load its runs again."""
        self._asked.touch()
        self.seen = self._asked.stat().st_mtime_ns

    async def reloads(self, reload: Callable[[], Awaitable[object]]) -> None:
        """``reload`` whenever another process asked for it, until cancelled."""
        while True:
            await asyncio.sleep(AGAIN)
            if self._asked.exists() and (now := self._asked.stat().st_mtime_ns) != self.seen:
                self.seen = now
                await reload()

    @property
    def _asked(self) -> Path:
        return self.folder / "reload"


class Answering(Protocol):
    """What each process does: answer at ``place`` until it is asked to end. Once it answers it sends the list of what
    it serves; a sentence when it never will."""

    def __call__(self, place: Place, told: Connection) -> None: ...


def serve_together(
    answering: Answering, many: int, host: str, port: int, say: Callable[[list[str], int], None]
) -> None:
    """``many`` processes that answer at a port (0: any free one), until SIGINT or SIGTERM, by which this one then ends.

    ``answering`` can be pickled. ``say`` is told what is served, and the port, once all answer. UserError when the port
    is taken or a process cannot serve, with its sentence.
    """
    if sys.platform != "linux":
        raise UserError(
            "Several processes share a port on Linux only. Leave processes at 1, or put several servers, each with a "
            "port of its own, behind a proxy."
        )
    port = _free(host, port)
    with tempfile.TemporaryDirectory(prefix="llmesr-serve-") as folder:
        os.environ[COUNTED] = folder
        try:
            asked = _Supervisor(answering, many, Place(host, port, Path(folder))).run(lambda served: say(served, port))
        finally:
            del os.environ[COUNTED]
    signal.signal(asked, signal.SIG_DFL)
    signal.raise_signal(asked)


def end_with_parent() -> None:
    """End this process as soon as the one that started it is gone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int) -> None:
        wait([sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, args=(parent.sentinel,), name="parent", daemon=True).start()


class _One:
    """A process, and what it tells."""

    def __init__(self, answering: Answering, place: Place) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.told, other = spawn.Pipe(duplex=False)
        self.process: SpawnProcess = spawn.Process(target=answering, args=(place, other))
        self.process.start()
        other.close()  # so that its end is heard of

    def why(self) -> str:
        """What it said before it ended, where it could not serve."""
        try:
            told = self.told.recv() if self.told.poll() else None
        except EOFError:
            return ""
        return f" ({told.rstrip('.')})" if isinstance(told, str) else ""


class _Supervisor:
    def __init__(self, answering: Answering, many: int, place: Place) -> None:
        self._start: Callable[[], _One] = functools.partial(_One, answering, place)
        self._many, self._folder = many, str(place.folder)
        self._asked: int | None = None
        """The signal that asked for the end."""
        self._ones: list[_One] = []

    def run(self, say: Callable[[list[str]], None]) -> int:
        """The signal that ended it."""
        before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._ones = [self._start() for _ in range(self._many)]
            served = [self._ready(one) for one in self._ones]
            if self._asked is None:
                say(served[0])
            while self._asked is None:
                if wait([one.process.sentinel for one in self._ones], timeout=LOOK) and self._asked is None:
                    self._replace()
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked = number

    def _ready(self, one: _One) -> list[str]:
        """What it serves, once it answers; nothing where the end was asked for meanwhile."""
        while not one.told.poll(LOOK):
            if self._asked is not None:
                return []
        try:
            told: list[str] | str = one.told.recv()
        except EOFError:
            raise UserError("A process of the server ended before it answered; why stands above.") from None
        if isinstance(told, str):
            raise UserError(told)
        return told

    def _replace(self) -> None:
        time.sleep(AGAIN)
        for at, one in enumerate(self._ones):
            if not one.process.is_alive():
                why = one.why()
                log.warning(
                    "process %s ended with %s%s. Another one starts.", one.process.pid, one.process.exitcode, why
                )
                mark_process_dead(one.process.pid, self._folder)  # type: ignore[no-untyped-call]
                self._ones[at] = self._start()

    def _end(self) -> None:
        for one in self._ones:
            one.process.terminate()
        last = time.monotonic() + PATIENCE
        for one in self._ones:
            one.process.join(max(0.0, last - time.monotonic()))
            one.process.kill()
            one.process.join()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _free(host: str, port: int) -> int:
    """``port``, or any for 0. UserError when somebody listens there: such sockets do not keep each other out."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            raise UserError(f"Port {port} of {host} cannot be had: {error.strerror}. Choose another --port.") from None
        return int(tried.getsockname()[1])
