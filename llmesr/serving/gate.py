"""The door of the server: who may come in, how much they may bring and how long that may take, and its timing."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmesr.serving.direct import Direct
from llmesr.serving.hosts import host_name, is_one_of
from llmesr.serving.metrics import Metrics

OPEN_PATH = "/health"
"""Answered without a key, but then with nothing more than that the server lives."""


class Gate:
    """ASGI middleware that turns away, before a body is read, what must not come in.

    400 for a name that is not the server's, 401 without the key, 429 for clients with too much in flight, 413 for
    large bodies and 408 for slow ones.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Callable[[], Metrics],
        max_body: int,
        body_seconds: float,
        client_limit: int = 0,
        key: str | None = None,
        hosts: Collection[str] = (),
        direct: Mapping[str, Direct] | None = None,
    ) -> None:
        """``client_limit`` 0 is no limit, ``hosts`` empty is every name; ``metrics`` start with the app. ``direct``, by
        path: what is answered here."""
        self.app = app
        self.max_body = max_body
        self.body_seconds = body_seconds
        self.client_limit = client_limit
        self.key = key
        self.hosts = frozenset(hosts)
        self._metrics = metrics
        self._direct = {} if direct is None else direct
        self._in_flight: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        client = (scope.get("client") or ("",))[0]
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._in_flight[client] += 1
        try:
            await self._pass(scope, receive, noting, client)
        finally:
            self._in_flight[client] -= 1
            if not self._in_flight[client]:
                del self._in_flight[client]
            self._note(scope, status, time.perf_counter() - started)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, client: str) -> None:
        headers = dict(scope["headers"])
        scope["known"] = self._knows(headers)
        if refusal := self._refusal(scope, headers, client):
            reason, status, sentence, more = refusal
            self._metrics().rejected.labels(reason).inc()
            await _refuse(send, status, sentence, more)
            return
        try:
            async with asyncio.timeout(self.body_seconds):
                body = await _read(receive, self.max_body)
        except TimeoutError:
            self._metrics().rejected.labels("slow").inc()
            sentence = f"The body did not arrive within {self.body_seconds:g} seconds."
            await _refuse(send, 408, sentence, {"connection": "close"})
            return
        if body is None:
            self._metrics().rejected.labels("size").inc()
            await _refuse(send, 413, self._too_large())
            return
        if direct := self._direct.get(scope["path"]):
            scope["route"] = direct
            if response := await direct(scope, body):
                await response(scope, receive, send)
                return
        await self.app(scope, _replay(body, receive), send)

    def _refusal(
        self, scope: Scope, headers: dict[bytes, bytes], client: str
    ) -> tuple[str, int, str, dict[str, str]] | None:
        """Reason, status, sentence and headers of the answer to what is turned away unread."""
        if self.hosts and not self._named(scope):
            return "host", 400, "This server does not answer to that name; `llmesr serve --allow-host` adds one.", {}
        if not scope["known"] and scope["path"] != OPEN_PATH:
            return "key", 401, "The API key is missing or wrong.", {"www-authenticate": "X-API-Key"}
        if 0 < self.client_limit < self._in_flight[client]:
            sentence = f"You have more than {self.client_limit} requests in flight; wait for answers."
            return "client", 429, sentence, {"retry-after": "1"}
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self.max_body:
            return "size", 413, self._too_large(), {}
        return None

    def _named(self, scope: Scope) -> bool:
        """Whether the one name that a request calls the server by is its own."""
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        return len(given) == 1 and is_one_of(host_name(given[0]), self.hosts)

    def _knows(self, headers: dict[bytes, bytes]) -> bool:
        return self.key is None or secrets.compare_digest(headers.get(b"x-api-key", b""), self.key.encode())

    def _too_large(self) -> str:
        return f"The body may have at most {self.max_body} bytes."

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        metrics: Metrics = self._metrics()
        metrics.requests.labels(route, str(status)).inc()
        metrics.seconds.labels(route).observe(seconds)


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body of a request; None when it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
    body = json.dumps({"detail": sentence}).encode()
    pairs = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    raw = [(k.encode(), v.encode()) for k, v in pairs.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
