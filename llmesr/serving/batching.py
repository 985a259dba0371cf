"""Micro-batching: requests that wait while the device is busy become its next batch.

An idle device starts at once, and the busier it is the larger its batches grow: where the last one had many, the next
waits a moment for as many. The queue is bounded, so overload is said at once instead of growing into timeouts.
"""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from llmesr.scoring.recommender import Answer, Recommender, Request

log = logging.getLogger(__name__)
STEP = 1.0
"""Seconds that requests, and the end of the server, wait for what is worked out ahead; then it goes on by itself."""
LULL = 0.1
"""Seconds without a batch after which work ahead begins: between two of a busy server it would keep people waiting."""
GATHERING, CALM = 0.3, 0.002
"""A batch waits for those the last one had: this share of its usual time, so many seconds without a new one."""


class _Ahead:
    """One thread for work that nobody waits for; a process ends without it."""

    def __init__(self, work: Callable[[], bool]) -> None:
        self._work = work
        self._asked: queue.SimpleQueue[Future[bool] | None] = queue.SimpleQueue()
        threading.Thread(target=self._go, name="ahead", daemon=True).start()

    def step(self) -> Future[bool]:
        """Begin one step of it; whether there is more, once it is done."""
        done: Future[bool] = Future()
        self._asked.put(done)
        return done

    def close(self) -> None:
        """End the thread after the step it is at."""
        self._asked.put(None)

    def _go(self) -> None:
        while (done := self._asked.get()) is not None:
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(self._work())
            except BaseException as error:
                done.set_exception(error)


class Overloaded(Exception):
    """The queue is full or the wait too long. ``retry_after`` is in whole seconds."""

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(eq=False)
class _Waiting:
    recommender: Recommender
    request: Request
    answer: asyncio.Future[Answer]


class Batcher:
    """Threads that answer everything for one device, one batch each. Use inside a running event loop."""

    def __init__(
        self,
        *,
        max_batch: int = 64,
        max_queue: int = 256,
        timeout: float = 10.0,
        workers: int = 1,
        observe: Callable[[int, float], None] = lambda size, seconds: None,
        idle: Callable[[], bool] = lambda: False,
    ) -> None:
        """``observe`` is told the size and the seconds of every batch; ``idle`` does a little work while nobody waits,
        and says whether there is more. No batch begins before it is done, or has taken :data:`STEP`."""
        self.max_batch = max_batch
        self.max_queue = max_queue
        self.timeout = timeout
        self._observe = observe
        self._ahead = _Ahead(idle)
        self._step: asyncio.Future[bool] | None = None
        """What is being worked out ahead."""
        self._free = workers
        """Threads that answer nobody now."""
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._seconds = 0.01  # per batch, a moving average
        self._size = 1
        """Of the last batch."""
        self._last = -math.inf
        """When it was done."""
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="scoring")
        self._loops = [asyncio.create_task(self._run(first=n == 0)) for n in range(workers)]

    @property
    def depth(self) -> int:
        """Requests waiting."""
        return len(self._waiting)

    @property
    def retry_after(self) -> int:
        """Seconds after which the queue should have emptied."""
        return max(1, math.ceil(math.ceil((self.depth + 1) / self.max_batch) * self._seconds))

    async def submit(self, recommender: Recommender, request: Request) -> Answer:
        """The answer, after waiting its turn. Overloaded when there is no room or it takes too long."""
        if self._closing:
            raise Overloaded("The server is stopping.", 1)
        if self.depth >= self.max_queue:
            raise Overloaded(f"{self.depth} requests are waiting already.", self.retry_after)
        waiting = _Waiting(recommender, request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        try:
            return await asyncio.wait_for(waiting.answer, self.timeout)
        except TimeoutError:
            raise Overloaded(f"No answer within {self.timeout:g} seconds.", self.retry_after) from None

    async def close(self) -> None:
        """Take nothing new, answer what is waiting as long as a request may wait at all, end the threads. What still
        runs then is left behind."""
        self._closing = True
        self._wake.set()
        if self._step is not None:
            self._step.cancel()
        self._ahead.close()
        _, late = await asyncio.wait(self._loops, timeout=self.timeout + STEP)
        for loop in late:
            loop.cancel()
        self._threads.shutdown(wait=not late)

    async def _run(self, first: bool) -> None:
        """What one of the threads does; the ``first`` one works while nobody waits."""
        while not (self._closing and not self._waiting):
            if not self._waiting:
                self._wake.clear()
                if self._closing or not (first and await self._lulled() and await self._worked()):
                    await self._wake.wait()
                continue
            await self._gathered()
            many = min(self.max_batch, math.ceil(len(self._waiting) / self._free))  # the others have theirs
            batch, self._waiting = self._waiting[:many], self._waiting[many:]
            batch = [w for w in batch if not w.answer.done()]  # given up by their clients
            if batch:
                with self._busy():
                    await self._answer(batch)

    async def _gathered(self) -> None:
        """Wait a little for as many as the last batch had: whoever was answered together asks again together, and the
        first of them would else have a batch alone, which costs nearly as much."""
        until = time.perf_counter() + GATHERING * self._seconds
        while len(self._waiting) < min(self._size, self.max_batch) and not self._closing:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), min(CALM, until - time.perf_counter()))
            except TimeoutError:  # at once where no time is left
                return

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    async def _lulled(self) -> bool:
        """Whether the last batch was :data:`LULL` ago, once that is so or somebody asks."""
        if (left := self._last + LULL - time.perf_counter()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)
                return False
        return True

    async def _worked(self) -> bool:
        """Whether there was something to do while nobody waits. What fails is only slower later; what takes long goes
        on beside the batches, and the next step begins after it."""
        if self._step is None:
            self._step = asyncio.wrap_future(self._ahead.step())
            with self._busy():
                await asyncio.wait([self._step], timeout=STEP)
            if not self._step.done():
                self._step.add_done_callback(lambda _: self._wake.set())
        if not self._step.done():
            return False
        step, self._step = self._step, None
        try:
            return step.result()
        except Exception:
            log.exception("what the next requests need could not be worked out beforehand")
            return False

    async def _answer(self, batch: list[_Waiting]) -> None:
        started = time.perf_counter()
        results = await asyncio.get_running_loop().run_in_executor(self._threads, _work, batch)
        seconds = time.perf_counter() - started
        self._seconds += 0.2 * (seconds - self._seconds)
        self._observe(len(batch), seconds)
        self._size, self._last = len(batch), time.perf_counter()
        for waiting, result in zip(batch, results, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(result, Exception):
                waiting.answer.set_exception(result)
            else:
                waiting.answer.set_result(result)


def _work(batch: list[_Waiting]) -> list[Answer | Exception]:
    """One call per run. A batch that fails is tried one by one, so that one request fails alone."""
    results: dict[int, Answer | Exception] = {}
    for recommender in dict.fromkeys(w.recommender for w in batch):
        rows = [i for i, w in enumerate(batch) if w.recommender is recommender]
        try:
            results.update(zip(rows, recommender.answer([batch[i].request for i in rows]), strict=True))
        except Exception:
            log.exception("a batch of %d failed; answering one by one", len(rows))
            for i in rows:
                try:
                    results[i] = recommender.answer([batch[i].request])[0]
                except Exception as error:  # handed to the one who asked
                    results[i] = error
    return [results[i] for i in range(len(batch))]
