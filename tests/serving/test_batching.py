"""Clients answered together share the next batch; work ahead of the requests holds up neither them nor the end."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, cast

import pytest

from llmesr.scoring.recommender import Recommender, Request
from llmesr.serving import batching
from llmesr.serving.batching import Batcher


class Echo:
    """Answers each request with itself; ``held`` holds it up."""

    def __init__(self) -> None:
        self.held = threading.Event()
        self.held.set()
        self.sizes: list[int] = []
        """Of the batches."""

    def answer(self, requests: list[Any]) -> list[Any]:
        self.held.wait(30)
        self.sizes.append(len(requests))
        return requests


class Slow:
    """A step of work ahead that does not end before it is let go; remembers how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.let_go = threading.Event()

    def __call__(self) -> bool:
        self.begun += 1
        self.let_go.wait(30)
        return False


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "STEP", 0.05)
    monkeypatch.setattr(batching, "LULL", 0.0)


def ask(batcher: Batcher, recommender: Echo, what: str) -> Any:
    return batcher.submit(cast(Recommender, recommender), cast(Request, what))


def test_a_step_that_takes_long_goes_on_beside_the_requests_and_is_not_begun_twice() -> None:
    slow, echo = Slow(), Echo()

    async def go() -> list[Any]:
        batcher = Batcher(idle=slow)
        answers = [await ask(batcher, echo, str(n)) for n in range(3)]
        assert (slow.begun, slow.let_go.is_set()) == (1, False)
        slow.let_go.set()
        while batcher._step is not None:  # the next look finds it done
            await asyncio.sleep(0.01)
        await batcher.close()
        return answers

    assert asyncio.run(go()) == ["0", "1", "2"]
    assert slow.begun == 1  # there was no more to do


def test_closing_does_not_wait_for_a_step_that_takes_long() -> None:
    slow = Slow()

    async def go() -> None:
        batcher = Batcher(idle=slow)
        while not slow.begun:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(batcher.close(), 20)
        assert not slow.let_go.is_set()

    try:
        asyncio.run(go())
    finally:
        slow.let_go.set()
    left = [thread for thread in threading.enumerate() if thread.name == "ahead"]
    assert all(thread.daemon for thread in left)  # the process ends without it
    for thread in left:
        thread.join(20)
        assert not thread.is_alive()


def test_closing_does_not_wait_for_a_batch_longer_than_a_request_may() -> None:
    echo = Echo()

    async def go() -> None:
        batcher = Batcher(timeout=0.1)
        echo.held.clear()
        with pytest.raises(batching.Overloaded, match="No answer within 0.1 seconds"):
            await ask(batcher, echo, "one")
        await asyncio.wait_for(batcher.close(), 20)
        assert not echo.held.is_set()
        echo.held.set()

    asyncio.run(go())


def test_a_step_that_fails_is_logged_and_the_server_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> bool:
        raise ValueError("no text")

    async def go() -> Any:
        batcher = Batcher(idle=broken)
        answer = await ask(batcher, Echo(), "one")
        while not caplog.records:
            await asyncio.sleep(0.01)
        await batcher.close()
        return answer

    assert asyncio.run(go()) == "one"
    assert "could not be worked out beforehand" in caplog.text


def test_nothing_spins_where_there_is_nothing_to_do() -> None:
    looks: list[float] = []

    def idle() -> bool:
        looks.append(time.monotonic())
        return False

    async def go() -> None:
        batcher = Batcher(idle=idle)
        await asyncio.sleep(0.3)
        await batcher.close()

    asyncio.run(go())
    assert len(looks) == 1


def test_a_busy_server_works_nothing_out_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "LULL", 1.0)
    steps: list[float] = []

    def idle() -> bool:
        steps.append(time.perf_counter())
        return True

    async def go() -> tuple[int, int]:
        batcher = Batcher(idle=idle)
        await ask(batcher, Echo(), "what")
        before = len(steps)
        for _ in range(20):
            await ask(batcher, Echo(), "what")
        busy = len(steps)
        while len(steps) == busy:  # it goes on once nobody asks any more
            await asyncio.sleep(0.01)
        await batcher.close()
        return before, busy

    before, busy = asyncio.run(go())
    assert busy == before


async def again(batcher: Batcher, echo: Echo, number: int, times: int) -> None:
    """A client that takes its own time between answer and next request."""
    for _ in range(times):
        await ask(batcher, echo, "what")
        await asyncio.sleep(0.01 * number)


def test_clients_who_were_answered_together_share_the_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "GATHERING", 1e6)
    monkeypatch.setattr(batching, "CALM", 30.0)
    echo = Echo()

    async def go() -> None:
        batcher = Batcher()
        await asyncio.gather(*(again(batcher, echo, number, 3) for number in range(4)))
        await batcher.close()

    asyncio.run(go())
    assert echo.sizes == [4, 4, 4]


def test_a_batch_does_not_wait_for_clients_who_are_gone() -> None:
    echo = Echo()

    async def go() -> None:
        batcher = Batcher()
        await asyncio.gather(*(again(batcher, echo, 0, 1) for _ in range(4)))
        await asyncio.wait_for(again(batcher, echo, 0, 2), 20)
        await batcher.close()

    asyncio.run(go())
    assert echo.sizes == [4, 1, 1]
