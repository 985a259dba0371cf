"""What a server counts, in the words of Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters in a registry of their own, so that several servers can live in one process."""

    def __init__(self, depth: Callable[[], int], folder: Path | None = None) -> None:
        """``depth`` gives the number of waiting requests; ``folder`` is where several processes count together."""
        self.registry = to = CollectorRegistry()
        self._depth, self._folder = depth, folder
        self.requests = Counter("llmesr_requests", "Requests answered.", ["route", "status"], registry=to)
        self.seconds = Histogram("llmesr_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=to)
        self.batches = Histogram("llmesr_batch_size", "Requests scored together.", buckets=SIZES, registry=to)
        self.scoring = Histogram("llmesr_batch_seconds", "Time to score a batch.", buckets=SECONDS, registry=to)
        self.rejected = Counter("llmesr_rejected", "Requests turned away.", ["reason"], registry=to)
        self.reloads = Counter("llmesr_reloads", "Runs loaded again while serving.", ["run", "outcome"], registry=to)
        self.depth = Gauge("llmesr_queue_depth", "Requests waiting.", registry=to, multiprocess_mode="livesum")
        if folder is None:
            self.depth.set_function(depth)

    def batch(self, size: int, seconds: float) -> None:
        """A batch was scored."""
        self.batches.observe(size)
        self.scoring.observe(seconds)
        if self._folder is not None:
            self.depth.set(self._depth())

    def reload(self, ref: str, outcome: str) -> None:
        """A run was loaded again, or could not be."""
        self.reloads.labels(ref, outcome).inc()

    def text(self) -> bytes:
        """The exposition format; of all processes that count together."""
        if self._folder is None:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(together)
