"""Requests to an OpenAI-compatible service: its address, its key, and patience with a busy one.

The key is read from ``OPENAI_API_KEY`` and goes nowhere but into the request.
"""

from __future__ import annotations

import email.utils
import os
import random
import time
from datetime import UTC, datetime
from typing import Any

import httpx

from llmesr.errors import UserError
from llmesr.visitors import client

DEFAULT_URL = "https://api.openai.com/v1"
CHARACTERS_PER_TOKEN = 4
"""A rough reading for the cost: English text."""

_LONGEST_WAIT = 60.0
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504)
"""Answers that another try may change."""


class Unanswered(UserError):
    """No answer after the last try; another time there may be one."""


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
        self.url, self.work = url.rstrip("/"), work
        self._pause, self._timeout, self._tries = pause, timeout, tries

    def client(self) -> httpx.Client:
        """A client with the key, if there is one; many threads may share it."""
        key = os.environ.get("OPENAI_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return client(headers=headers, timeout=httpx.Timeout(self._timeout, connect=min(15.0, self._timeout)))

    def post(self, client: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
        """The answer to ``body``. Unanswered after the last try; UserError at once when another would not help."""
        pause = self._pause
        for attempt in range(1, self._tries + 1):
            wanted: float | None = None
            try:
                response = client.post(f"{self.url}/{path}", json=body)
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                if response.is_success:
                    return response
                reason = f"{response.status_code} {_message(response)}"
                if response.status_code not in _PASSING:
                    raise UserError(
                        f"{self.url} refused to {self.work} with {body.get('model')!r}: {reason}{_hint(response)}"
                    )
                wanted = retry_after(response.headers.get("Retry-After"))
            if attempt < self._tries:
                time.sleep(wanted if wanted is not None else pause * random.uniform(0.75, 1.25))
                pause = min(pause * 2, _LONGEST_WAIT)
        raise Unanswered(
            f"{self.url} did not answer after {self._tries} tries ({reason}). What was answered is kept; run the "
            "command again to go on."
        )


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait from a ``Retry-After`` header (seconds or an HTTP date), at most a minute; None without one."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (email.utils.parsedate_to_datetime(header) - (now or datetime.now(UTC))).total_seconds()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return response.text[:300].replace("\n", " ")


def _hint(response: httpx.Response) -> str:
    if response.status_code in (401, 403):
        return " (set OPENAI_API_KEY)"
    if response.status_code == 404:
        return " (is the base URL right? It usually ends in /v1)"
    return ""
