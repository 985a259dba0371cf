"""Requests to an OpenAI-compatible service: its address, its key, and patience with a busy one.

The key is read from ``OPENAI_API_KEY`` and goes nowhere but into the request.
"""

from __future__ import annotations

import email.utils
import json
import math
import os
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from llmesr.deadlines import TooSlow, within
from llmesr.errors import UserError
from llmesr.visitors import client

DEFAULT_URL = "https://api.openai.com/v1"
CHARACTERS_PER_TOKEN = 4
"""A rough reading for the cost: English text."""

MOST_BYTES = 2**28
"""Of an answer, whatever was asked: its values take up to twenty times as much memory."""
SLOWEST = 10
"""An answer may come piece by piece, for so many times as long as its first piece may take."""
_LONGEST_WAIT = 60.0
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504)
"""Answers that another try may change."""


class Unanswered(UserError):
    """No answer after the last try; another time there may be one."""


@dataclass(frozen=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: httpx.Headers
    content: bytes

    def json(self) -> Any:
        """Its value. ValueError when it is no JSON."""
        try:
            return json.loads(self.content)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error


class Service:
    """One service; ``work`` is what it is asked to do, for sentences ("embed")."""

    def __init__(
        self, url: str | None, work: str, *, pause: float = 1.0, timeout: float = 120.0, tries: int = 6
    ) -> None:
        """``url``: ``OPENAI_BASE_URL`` or OpenAI's own when None. ``pause``: seconds before the second try when the
        service names none; doubled for each further one. UserError for an address of another kind."""
        url = url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
        if not url.startswith(("http://", "https://")):
            raise UserError(f"The endpoint {url!r} must begin with http:// or https://.")
        try:
            httpx.URL(url)
        except httpx.InvalidURL as error:
            raise UserError(f"The endpoint {url[:200]!r} is no address: {error}.") from error
        self.url, self.work = url.rstrip("/"), work
        self._pause, self._timeout, self._tries = pause, timeout, tries

    def client(self) -> httpx.Client:
        """A client with the key, if there is one; many threads may share it."""
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not (key.isascii() and key.isprintable()):  # a library would show it in its error
            raise UserError("OPENAI_API_KEY holds characters that no key has. Set it again, without line ends.")
        headers = {"Accept-Encoding": "identity"}  # a packed answer may unpack to any size, and in one step
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        return client(headers=headers, timeout=httpx.Timeout(self._timeout, connect=min(15.0, self._timeout)))

    def post(self, client: httpx.Client, path: str, body: dict[str, Any], *, most: int = MOST_BYTES) -> Answer:
        """The answer to ``body``, of at most so many bytes. Unanswered after the last try; UserError at once when
        another would not help."""
        pause = self._pause
        for attempt in range(1, self._tries + 1):
            wanted: float | None = None
            try:
                answer = self._asked(client, path, body, min(most, MOST_BYTES))
            except httpx.RequestError as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                if 200 <= answer.status < 300:
                    return answer
                reason = f"{answer.status} {_message(answer)}"
                if answer.status not in _PASSING:
                    raise UserError(
                        f"{self.url} refused to {self.work} with {body.get('model')!r}: {reason}{_hint(answer)}"
                    )
                wanted = retry_after(answer.headers.get("Retry-After"))
            if attempt < self._tries:
                time.sleep(wanted if wanted is not None else pause * random.uniform(0.75, 1.25))
                pause = min(pause * 2, _LONGEST_WAIT)
        raise Unanswered(
            f"{self.url} did not answer after {self._tries} tries ({reason}). What was answered is kept; run the "
            "command again to go on."
        )

    def _asked(self, client: httpx.Client, path: str, body: dict[str, Any], most: int) -> Answer:
        """The answer to one try; ReadTimeout for one that does not end, be it in its headers.

        What still waits then ends when the client is closed.
        """
        try:
            return within(SLOWEST * self._timeout, lambda: self._received(client, path, body, most))
        except TooSlow as error:
            raise httpx.ReadTimeout(str(error)) from error

    def _received(self, client: httpx.Client, path: str, body: dict[str, Any], most: int) -> Answer:
        """UserError for an answer that is too large, or packed."""
        content = bytearray()
        with client.stream("POST", f"{self.url}/{path}", json=body) as response:
            if (packed := response.headers.get("Content-Encoding", "identity").lower()) not in ("identity", ""):
                raise UserError(f"{self.url} packs its answers ({packed[:40]}) unasked. Have it send them as they are.")
            for piece in response.iter_raw():
                content += piece
                if len(content) > most:
                    raise UserError(f"{self.url} answers with more than {most:,} bytes. Ask it for less at once.")
        return Answer(response.status_code, response.headers, bytes(content))


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait from a ``Retry-After`` header (seconds or an HTTP date), at most a minute; None without one."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(header)
        except (ValueError, OverflowError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # "-0000": no zone is said
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return None if math.isnan(seconds) else min(max(seconds, 0.0), _LONGEST_WAIT)


def _message(answer: Answer) -> str:
    try:
        return str(answer.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.content[:300].decode("utf-8", "replace").replace("\n", " ")


def _hint(answer: Answer) -> str:
    if answer.status in (401, 403):
        return " (set OPENAI_API_KEY)"
    if answer.status == 404:
        return " (is the base URL right? It usually ends in /v1)"
    return ""
