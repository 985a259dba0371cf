"""When to stop: because nothing improves any more, or because the process was asked to; and how the end is recorded."""

from __future__ import annotations

import contextlib
import errno
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

from llmesr.errors import UserError
from llmesr.processes import LOST, is_lost
from llmesr.runs.live import Live


class Stopped(Exception):
    """Training was asked to stop; its state is in the last checkpoint."""


class Pruned(Exception):
    """Training was given up, for the reason it carries; its state is in the last checkpoint."""


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

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True

    def __exit__(self, *_: object) -> None:
        if self.main:
            signal.signal(signal.SIGTERM, self.previous)


@contextlib.contextmanager
def recorded_end(record: Live) -> Iterator[None]:
    """Any end of the block but a good one is written into the record: STOPPED when it can go on, else FAILED.

    UserError in place of the system's error when the disk is full.
    """
    try:
        yield
    except (Stopped, KeyboardInterrupt):
        record.set_state("STOPPED", "stopped; resume goes on")
        raise
    except Pruned as reason:
        record.set_state("STOPPED", f"pruned: {reason}")
        raise
    except BaseException as error:
        with contextlib.suppress(OSError):  # the disk may be what failed
            record.set_state("FAILED", LOST if is_lost(error) else str(error))
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            again = f"`{record.resume_command} {record.id}`"
            raise UserError(
                f"The disk that holds {record.folder} is full. Free space and go on with {again}."
            ) from error
        raise
