"""The door of the server: body size, requests in flight per client, timing of every request."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmesr.serving.metrics import Metrics


class Gate:
    """ASGI middleware that answers 413 to large bodies and 429 to clients with too much in flight."""

    def __init__(self, app: ASGIApp, *, max_body: int, client_limit: int, metrics: Any) -> None:
        """``client_limit`` 0 is no limit; ``metrics`` is called for the :class:`Metrics`, which start with the app."""
        self.app = app
        self.max_body = max_body
        self.client_limit = client_limit
        self._metrics = metrics
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
        metrics: Metrics = self._metrics()
        if 0 < self.client_limit < self._in_flight[client]:
            metrics.rejected.labels("client").inc()
            sentence = f"You have more than {self.client_limit} requests in flight; wait for answers."
            await _refuse(send, 429, sentence, {"retry-after": "1"})
            return
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self.max_body:
            metrics.rejected.labels("size").inc()
            await _refuse(send, 413, f"The body may have at most {self.max_body} bytes.")
            return
        body = await _read(receive, self.max_body) if b"transfer-encoding" in headers else None
        if body is None and b"transfer-encoding" in headers:
            metrics.rejected.labels("size").inc()
            await _refuse(send, 413, f"The body may have at most {self.max_body} bytes.")
            return
        await self.app(scope, receive if body is None else _replay(body, receive), send)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        metrics: Metrics = self._metrics()
        metrics.requests.labels(route, str(status)).inc()
        metrics.seconds.labels(route).observe(seconds)


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body of a request that did not announce its size; None when it is too large."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return body


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
