"""Ends for what comes from elsewhere: a library bounds the wait for each piece, not for all of them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
SLOWEST = 10_000
"""Octets a second, on average over :data:`WINDOW`, below which a transfer is given up."""
WINDOW = 60.0
"""Seconds that headers, or a list of what is there, may take, and over which the octets of a transfer are counted."""


PIECE = 10
"""Windows that a piece may take, which comes at once after a while: libraries pass on some megabytes at a time."""


class TooSlow(Exception):
    """It does not end, or comes too slowly; the message says which."""


def within(seconds: float, do: Callable[[], T]) -> T:
    """What ``do`` returns. TooSlow after so many seconds.

    It runs in a thread, which is left behind then: close what it reads from.
    """
    answer = _begun(do)
    if not wait([answer], timeout=seconds).done:
        raise TooSlow("the answer does not end")
    return answer.result()


def while_moving(do: Callable[[], T], moved: Callable[[], int]) -> T:
    """What ``do`` returns, however long that takes while ``moved``, the octets that have come so far, grows.

    TooSlow once it has grown by less than :data:`SLOWEST` a second over :data:`PIECE` windows. It runs in a thread,
    which is left behind then.
    """
    answer, pace, before = _begun(do), Pace(windows=PIECE), moved()
    while not wait([answer], timeout=WINDOW / 60).done:
        now = moved()
        pace.note(max(now - before, 0))
        before = now
    return answer.result()


def _begun(do: Callable[[], T]) -> Future[T]:
    """What ``do`` will return, from a thread that no process waits for at its end."""
    answer: Future[T] = Future()

    def go() -> None:
        try:
            answer.set_result(do())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=go, daemon=True).start()
    return answer


def patience(octets: int) -> float:
    """Seconds that a transfer of so many octets may take: a :data:`WINDOW`, and those at :data:`SLOWEST`."""
    return WINDOW + octets / SLOWEST


@contextmanager
def arriving(source: Callable[[], AbstractContextManager[Iterator[T]]], seconds: float) -> Iterator[Iterator[T]]:
    """What ``source`` opens, one by one. TooSlow when the first, or the next, takes longer than so many seconds.

    It is opened, read and closed in one thread, at most two ahead of who asks. Where it does not end, the thread is
    left behind with all that it holds: nothing is closed under a library that still waits.
    """
    belt = _Belt(source)
    threading.Thread(target=belt.fill, daemon=True).start()
    try:
        yield belt.taken(seconds)
    finally:
        belt.wanted.clear()


class _Belt(Generic[T]):
    """Between the thread that reads ``source`` and who takes what comes: each thing in a tuple, then how it ended."""

    def __init__(self, source: Callable[[], AbstractContextManager[Iterator[T]]]) -> None:
        self._source = source
        self._came: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(2)
        self.wanted = threading.Event()
        """Whether somebody still takes."""
        self.wanted.set()

    def fill(self) -> None:
        end: BaseException | None = None
        try:
            with self._source() as things:
                for thing in things:
                    if not self._put((thing,)):
                        return
        except BaseException as error:
            end = error
        self._put(end)

    def _put(self, what: tuple[T] | BaseException | None) -> bool:
        """Whether there was somebody to take it."""
        while self.wanted.is_set():
            try:
                self._came.put(what, timeout=0.1)
            except queue.Full:
                continue
            return self.wanted.is_set()
        return False

    def taken(self, seconds: float) -> Iterator[T]:
        while True:
            try:
                what = self._came.get(timeout=seconds)
            except queue.Empty:
                raise TooSlow("the answer does not end") from None
            if what is None:
                return
            if isinstance(what, BaseException):
                raise what
            yield what[0]


class Pace:
    """How fast octets come. TooSlow once ``windows`` :data:`WINDOW` have brought less than :data:`SLOWEST` a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, windows: int = 1) -> None:
        self._clock, self._windows = clock, windows
        self._since, self._octets = clock(), 0

    def note(self, octets: int) -> None:
        """So many have come."""
        self._octets += octets
        seconds = self._clock() - self._since
        if seconds >= self._windows * WINDOW:
            if self._octets < SLOWEST * seconds:
                raise TooSlow(f"less than {SLOWEST:,} bytes come a second")
            self._since, self._octets = self._clock(), 0
