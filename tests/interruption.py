"""What stops a training in a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmesr.training import train as training
from llmesr.training.stopping import Stopped


class StopAfter:
    """Stands in for SIGTERM: asks to stop at the n-th question."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def __call__(self) -> StopAfter:
        return self

    def __enter__(self) -> Callable[[], bool]:
        return self.asked

    def asked(self) -> bool:
        self.left -= 1
        return self.left < 0

    def __exit__(self, *_: object) -> None:
        pass


def stopped(after: int, *given: Any, **options: Any) -> None:
    """A training of these, as :func:`llmesr.training.train.train` takes them, that is asked to stop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "terminate", StopAfter(after))
        with pytest.raises(Stopped):
            training.train(*given, **options)
