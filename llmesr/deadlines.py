"""Ends for what comes from elsewhere: a library bounds the wait for each piece, not for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")
SLOWEST = 10_000
"""Octets a second, on average over :data:`WINDOW`, below which a transfer is given up."""
WINDOW = 60.0
"""Seconds that headers, or a list of what is there, may take, and over which the octets of a transfer are counted."""


class TooSlow(Exception):
    """It does not end, or comes too slowly; the message says which."""


def within(seconds: float, do: Callable[[], T]) -> T:
    """What ``do`` returns. TooSlow after so many seconds.

    It runs in a thread, which is left behind then: close what it reads from.
    """
    answer: Future[T] = Future()

    def go() -> None:
        try:
            answer.set_result(do())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=go, daemon=True).start()
    if not wait([answer], timeout=seconds).done:
        raise TooSlow("the answer does not end")
    return answer.result()


class Pace:
    """How fast octets come. TooSlow once a whole :data:`WINDOW` has brought less than :data:`SLOWEST` a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since, self._octets = clock(), 0

    def note(self, octets: int) -> None:
        """So many have come."""
        self._octets += octets
        seconds = self._clock() - self._since
        if seconds >= WINDOW:
            if self._octets < SLOWEST * seconds:
                raise TooSlow(f"less than {SLOWEST:,} bytes come a second")
            self._since, self._octets = self._clock(), 0
