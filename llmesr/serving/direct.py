"""An answer given at the gate: what a framework does for any route costs as much as the scores do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_type_hints

import orjson
from fastapi import Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.types import Scope

Handlers = Mapping[Any, Callable[[Request, Any], Any]]
"""What is answered to errors, by their class."""


class Direct:
    """A function whose only argument is the body of a request, read in one step; it returns a Response.

    The route at ``path`` describes it, and answers what it leaves: bodies of another type, and those that do not fit,
    of which FastAPI says why. Dependencies of the route are not run.
    """

    def __init__(self, path: str, answer: Callable[[Any], Awaitable[Response]], handlers: Handlers) -> None:
        [body] = (hint for name, hint in get_type_hints(answer).items() if name != "return")
        self.path = path
        self._answer = answer
        self._reader: TypeAdapter[Any] = TypeAdapter(body)
        self._handlers = handlers

    async def __call__(self, scope: Scope, body: bytes) -> Response | None:
        """The answer to a body; None where the route has to give it."""
        if scope["method"] != "POST" or (b"content-type", b"application/json") not in scope["headers"]:
            return None
        try:
            asked = self._reader.validate_json(body)
        except ValidationError:
            return None
        try:
            return await self._answer(asked)
        except Exception as error:
            handler = next((self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None)
            if handler is None:
                raise
            response: Response = await handler(Request(scope), error)
            return response


def written(document: dict[str, Any]) -> Response:
    """A document made by us, of plain values and arrays: written without a validation."""
    return Response(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")
