"""Where work is carried out and who may end it: what travels with it and never changes what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from llmesr.processes import ALONE, Processes
from llmesr.progress import Progress, silent
from llmesr.runs.record import Run

GiveUp = Callable[[Run], str | None]
"""Asked before every epoch about the run so far: the reason not to go on with it, or None."""


def never(_run: Run) -> str | None:
    """No run is given up."""
    return None


def unasked() -> bool:
    """Nobody asks to stop, and no time runs out."""
    return False


@dataclass(frozen=True)
class Runtime:
    """Of several ``processes`` each holds the whole model on its ``device`` and reads a share of every batch.

    ``should_stop()`` and ``enough()`` are asked before every step, ``give_up(run)`` before every epoch. When it is
    enough, training ends with the best epoch so far as if it had no longer improved; without one it stops.
    """

    device: torch.device
    processes: Processes = ALONE
    should_stop: Callable[[], bool] = unasked
    enough: Callable[[], bool] = unasked
    give_up: GiveUp = never
    progress: Progress = silent

    @property
    def described(self) -> str:
        """``cuda:0``, or ``4 x cuda`` for several processes."""
        size = self.processes.size
        return str(self.device) if size == 1 else f"{size} x {self.device.type}"
