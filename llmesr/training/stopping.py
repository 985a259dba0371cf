"""When to stop."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
