"""When to stop: because nothing improves any more, or because the process was asked to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any


@dataclass
class Stopper:
    """Stops after ``patience`` evaluations without a new best value (higher is better)."""

    patience: int
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0

    def update(self, value: float, epoch: int) -> bool:
        """Take in a value; True when it is the best so far."""
        if self.best is None or value > self.best:
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def done(self) -> bool:
        return self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        return asdict(self)


class terminate:
    """While active, SIGTERM asks the loop to stop at the next step instead of ending the process.

    Entering gives the question ``should_stop() -> bool``. In a thread that is not the main one it is never asked.
    """

    def __enter__(self) -> Callable[[], bool]:
        self.asked = False
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:
            self.previous = signal.signal(signal.SIGTERM, self._ask)
        return lambda: self.asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __exit__(self, *_: object) -> None:
        if self.main:
            signal.signal(signal.SIGTERM, self.previous)
