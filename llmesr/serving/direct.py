"""A route whose only argument is its body, read in one step: what FastAPI does for any route costs as much as the
scores do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError


class DirectRoute(APIRoute):
    """As any route, and described as one. Its function takes the body alone and returns a Response; dependencies are
    described and not run. A body that does not fit is left to FastAPI, which says why."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        usual, answer = super().get_route_handler(), self.endpoint
        [body] = (hint for name, hint in get_type_hints(answer).items() if name != "return")
        reader: TypeAdapter[Any] = TypeAdapter(body)

        async def handle(request: Request) -> Response:
            if request.headers.get("content-type") != "application/json":
                return await usual(request)
            try:
                asked = reader.validate_json(await request.body())
            except ValidationError:
                return await usual(request)
            response: Response = await answer(asked)
            return response

        return handle


def written(document: dict[str, Any]) -> Response:
    """A document made by us, of plain values and arrays: written without a validation."""
    return Response(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")
