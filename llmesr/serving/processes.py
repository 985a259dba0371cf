"""Several processes that answer at one port. One interpreter reads and writes on one core at a time, however many
threads score for it; these have one each, and the runs in memory each.

The first one answers nobody: it takes connections and deals them to the others in turn, starts one again that died, and
ends them when it is asked to end. Were each to take its own, one would have more than another, and its clients wait.
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
AGAIN, SELDOM = 1.0, 60.0
"""Seconds before a process that died is started again; each time twice as many where it never answered, at the most."""
RELOADED = 1.0
"""Seconds between two looks whether another asked for a reload."""
LOOK = 0.25
"""Seconds between two looks whether the end was asked for."""
BACKLOG = 2048
"""Connections that wait in the kernel, as with one process."""
PATIENCE = 60.0
"""Seconds the processes have to end; each answers what is in flight first, and has a limit of its own for that."""


@dataclass
class Place:
    """The folder in which several processes count together and ask each other to reload."""

    folder: Path
    seen: int = 0
    """When a reload was asked for that this process knows of."""

    def ask_reload(self) -> None:
        """Have every other process load its runs again."""
        self._asked.touch()
        self.seen = self._asked.stat().st_mtime_ns

    async def reloads(self, reload: Callable[[], Awaitable[object]]) -> None:
        """``reload`` whenever another process asked for it, until cancelled."""
        while True:
            await asyncio.sleep(RELOADED)
            if self._asked.exists() and (now := self._asked.stat().st_mtime_ns) != self.seen:
                self.seen = now
                await reload()

    @property
    def _asked(self) -> Path:
        return self.folder / "reload"


class Answering(Protocol):
    """What each process does: answer the connections that come through ``dealt`` until it is asked to end. Once it can
    it sends the list of what it serves; a sentence when it never will."""

    def __call__(self, place: Place, told: Connection, dealt: socket.socket) -> None: ...


def take(dealt: socket.socket) -> socket.socket:
    """The next connection. BlockingIOError where none waits or can be opened, another OSError where nobody deals any
    more."""
    data, numbers, _, _ = socket.recv_fds(dealt, 1, 1)
    if not data:
        raise ConnectionResetError("nobody deals connections any more")
    if not numbers:
        raise BlockingIOError("this process has as many files open as it may; the connection is closed")
    return socket.socket(fileno=numbers[0])


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
    with _opened(host, port) as door, tempfile.TemporaryDirectory(prefix="llmesr-serve-") as folder:
        os.environ[COUNTED] = folder
        try:
            port = door.getsockname()[1]
            asked = _Supervisor(answering, many, Place(Path(folder)), door).run(lambda served: say(served, port))
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
    """A process, what it tells, and the way to hand it connections."""

    def __init__(self, answering: Answering, place: Place, pause: float) -> None:
        """``pause`` as for :attr:`again`."""
        spawn = multiprocessing.get_context("spawn")
        self.told, other = spawn.Pipe(duplex=False)
        self._hand, dealt = socket.socketpair()
        self._hand.setblocking(False)
        self.process: SpawnProcess = spawn.Process(target=answering, args=(place, other, dealt))
        self.process.start()
        other.close()  # so that its end is heard of
        dealt.close()
        self.heard = False
        self.serves: list[str] = []
        """The runs that it answers for; none before it answers."""
        self.why = ""
        """What it said where it could not serve."""
        self.again = pause
        """Seconds after its end until another starts."""
        self.ended: float | None = None

    def hand(self, connection: socket.socket) -> bool:
        """Whether it took a connection; not where it ended, or is so busy that many wait already."""
        try:
            socket.send_fds(self._hand, [b"."], [connection.fileno()])
        except OSError:
            return False
        return True

    def hear(self) -> None:
        """What it tells: once only, that it answers or why it never will."""
        try:
            told: list[str] | str = self.told.recv()
        except EOFError:  # it ends
            told = ""
        self.heard = True
        self.serves, self.why = (told, "") if isinstance(told, list) else ([], told)

    def close(self) -> None:
        self.told.close()
        self._hand.close()


class _Supervisor:
    def __init__(self, answering: Answering, many: int, place: Place, door: socket.socket) -> None:
        """``door`` is bound; it listens once all answer."""
        self._start: Callable[[float], _One] = functools.partial(_One, answering, place)
        self._many, self._folder, self._door = many, str(place.folder), door
        self._asked: int | None = None
        """The signal that asked for the end."""
        self._ones: list[_One] = []
        self._turn = 0

    def run(self, say: Callable[[list[str]], None]) -> int:
        """The signal that ended it."""
        before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._ones = [self._start(AGAIN) for _ in range(self._many)]
            served = [self._ready(one) for one in self._ones]
            if self._asked is None:
                _listen(self._door)
                say(served[0])
            while self._asked is None:
                self._look()
        finally:
            self._door.close()
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
        one.hear()
        if not one.serves:
            raise UserError(one.why or "A process of the server ended before it answered; why stands above.")
        return one.serves

    def _look(self) -> None:
        """Wait until something happens, for :data:`LOOK` at the most, and do what it asks for."""
        alive = [one for one in self._ones if one.ended is None]
        able = [one for one in alive if one.serves]
        heard = wait(
            [
                *([self._door] if able else []),  # else connections wait in the kernel
                *(one.process.sentinel for one in alive),
                *(one.told for one in alive if not one.heard),
            ],
            timeout=LOOK,
        )
        if self._door in heard:
            self._deal(able)
        for one in alive:
            if one.told in heard:
                one.hear()
            if one.process.sentinel in heard:
                self._mourn(one)
        now = time.monotonic()
        for at, one in enumerate(self._ones):
            if one.ended is not None and now > one.ended + one.again:
                one.close()
                self._ones[at] = self._start(AGAIN if one.serves else min(2 * one.again, SELDOM))

    def _deal(self, able: list[_One]) -> None:
        """Hand every connection that waits to whose turn it is, or where that one cannot take it to the next."""
        while True:
            try:
                connection, _ = self._door.accept()
            except OSError:  # none waits, or its client is gone
                return
            with connection:
                for _ in able:
                    self._turn += 1
                    if able[self._turn % len(able)].hand(connection):
                        break

    def _mourn(self, one: _One) -> None:
        one.process.join()
        one.ended = time.monotonic()
        why = f" ({one.why.rstrip('.')})" if one.why else ""
        log.warning("process %s ended with %s%s. Another one starts.", one.process.pid, one.process.exitcode, why)
        mark_process_dead(one.process.pid, self._folder)  # type: ignore[no-untyped-call]

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


def _opened(host: str, port: int) -> socket.socket:
    """A socket bound to ``port``, or any for 0. UserError when somebody listens there."""
    opened = socket.socket(_family(host), socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise _taken(host, port, error) from None
    return opened


def _listen(door: socket.socket) -> None:
    """UserError when somebody else began to meanwhile."""
    door.setblocking(False)
    try:
        door.listen(BACKLOG)
    except OSError as error:
        host, port, *_ = door.getsockname()
        raise _taken(host, port, error) from None


def _taken(host: str, port: int, error: OSError) -> UserError:
    return UserError(f"Port {port} of {host} cannot be had: {error.strerror}. Choose another --port.")
