"""Recommendations over HTTP: runs, micro-batches, limits and metrics put together as one FastAPI app."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from typing import Annotated, Any

import orjson
from fastapi import Body, FastAPI, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader

from llmesr.config import ServeConfig
from llmesr.errors import UserError
from llmesr.scoring.explanation import document
from llmesr.scoring.ground import Unavailable
from llmesr.scoring.nearest import SHOWN, Space, shared_items, similar_items, similar_users
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Answer
from llmesr.serving import schemas
from llmesr.serving.batching import Batcher, Overloaded
from llmesr.serving.direct import Direct, written
from llmesr.serving.gate import Gate
from llmesr.serving.hub import Hub, Served
from llmesr.serving.metrics import Metrics
from llmesr.serving.processes import Place

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": schemas.Problem, "description": "The body cannot be read, or the server has another name."},
    401: {"model": schemas.Problem, "description": "The API key is missing or wrong."},
    408: {"model": schemas.Problem, "description": "The body did not arrive in time."},
    404: {"model": schemas.Problem, "description": "No such run, user or item."},
    409: {"model": schemas.Problem, "description": "The run was made without what is asked for."},
    413: {"model": schemas.Problem, "description": "The body is too large."},
    429: {"model": schemas.Problem, "description": "Too many requests in flight from this client; see Retry-After."},
    503: {"model": schemas.Problem, "description": "Overloaded or stopping; see Retry-After."},
}


SHOWN_FIELDS = tuple(name for name in schemas.Item.model_fields if name != "reasons")
KEY = APIKeyHeader(name="X-API-Key", auto_error=False, description="The key given to `llmesr serve`.")


class _State:
    """What the routes share; starts and ends with the app."""

    def __init__(self, hub: Hub, config: ServeConfig, place: Place | None) -> None:
        self.hub = hub
        self.config = config
        self.place = place
        self.metrics = Metrics(lambda: self.batcher.depth, None if place is None else place.folder)
        hub.observe = self.metrics.reload
        self.batcher: Batcher
        self.direct: dict[str, Direct] = {}

    @contextlib.asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        config = self.config
        self.batcher = Batcher(
            max_batch=config.max_batch,
            max_queue=config.max_queue,
            timeout=config.timeout,
            workers=config.workers,
            observe=self.metrics.batch,
            idle=self.hub.warm,
        )
        watchers = [self.hub.watch(config.reload_seconds)] if config.reload_seconds else []
        if self.place is not None:
            watchers.append(self.place.reloads(lambda: self.hub.reload(force=True)))
        tasks = [asyncio.create_task(watcher) for watcher in watchers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await self.batcher.close()

    async def reload(self) -> list[str]:
        """Load every run again, and have other processes do so; which were loaded."""
        if self.place is not None:
            self.place.ask_reload()
        return await self.hub.reload(force=True)


def create_app(hub: Hub, config: ServeConfig, hosts: Collection[str] = (), place: Place | None = None) -> FastAPI:
    """The app that serves the runs of ``hub``, to clients that call it by one of ``hosts`` (any name if empty), in one
    of several processes at a ``place``."""
    state = _State(hub, config, place)
    app = FastAPI(
        title="llmesr",
        version="1",
        summary="Sequential recommendation for the long tail.",
        lifespan=state.running,
    )
    app.add_middleware(
        Gate,
        metrics=lambda: state.metrics,
        max_body=config.max_body,
        body_seconds=config.body_seconds,
        client_limit=config.client_limit,
        key=config.api_key,
        hosts=hosts,
        direct=state.direct,
    )
    _handlers(app, state)
    guards = [Security(KEY)] if config.api_key else []  # described here, checked by the gate
    for routes in (_recommending, _comparing, _operating):
        routes(app, state, guards)
    return app


def _handlers(app: FastAPI, state: _State) -> None:
    @app.exception_handler(Overloaded)
    async def overloaded(request: Request, error: Overloaded) -> JSONResponse:
        state.metrics.rejected.labels("overload").inc()
        return JSONResponse({"detail": str(error)}, 503, {"Retry-After": str(error.retry_after)})

    @app.exception_handler(Unavailable)
    async def unavailable(request: Request, error: Unavailable) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 409)

    @app.exception_handler(UserError)
    async def unknown(request: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 404)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # The input is not sent back: it may be large, or hold numbers JSON cannot write.
        detail = [
            {"loc": [_writable(part) for part in e["loc"]], "msg": e["msg"], "type": e["type"]} for e in error.errors()
        ]
        return JSONResponse({"detail": detail}, 422)


def _errors(guards: list[Any], *codes: int) -> dict[int | str, dict[str, Any]]:
    """The answers a route gives beside its own, as its description names them."""
    return {code: ERRORS[code] for code in (*((401,) if guards else ()), 400, 408, 413, 429, *codes)}


def _recommending(app: FastAPI, state: _State, guards: list[Any]) -> None:
    @app.post(
        "/recommend",
        response_model=schemas.Recommended,
        responses=_errors(guards, 404, 409, 503),
        dependencies=guards,
        summary="The best items for a user or a history",
    )
    async def recommend(asked: Annotated[schemas.Ask, Body()]) -> Response:
        served = state.hub.get(asked.run)
        recommender = served.recommender
        dataset = recommender.dataset
        if isinstance(asked, schemas.AskForUser):
            whom: int | list[int] = dataset.user(asked.user)
        else:
            whom = [dataset.item(i) for i in asked.history]
        policy = _policy(served, asked.policy)
        request = recommender.request(whom, asked.k, policy, asked.reranker, asked.exclude_seen, asked.explain)
        answer = await state.batcher.submit(recommender, request)
        items = _items(served, answer)
        if asked.explain:
            for item, reasons in zip(items, answer.reasons, strict=True):
                item["reasons"] = document(reasons, recommender.item_ids, recommender.titles)
        policy_written = orjson.Fragment(request.policy.model_dump_json())
        return written({"run": served.run.id, "policy": policy_written, "items": items})

    state.direct["/recommend"] = Direct("/recommend", recommend, app.exception_handlers)


def _comparing(app: FastAPI, state: _State, guards: list[Any]) -> None:
    @app.get(
        "/similar-items",
        response_model=schemas.SimilarItems,
        responses=_errors(guards, 404, 409),
        dependencies=guards,
        summary="Items nearest to an item, by text or by behaviour",
    )
    def similar(
        item_id: schemas.Name, k: schemas.K = 10, space: Space = "semantic", run: schemas.Name | None = None
    ) -> dict[str, Any]:
        served = state.hub.get(run)
        recommender = served.recommender
        found, cosines = similar_items(recommender, recommender.dataset.item(item_id), k, space)
        catalogue = recommender.frame_of(found)
        catalogue["similarity"] = cosines
        return {"run": served.run.id, "space": space, "items": catalogue.to_dict("records")}

    @app.get(
        "/neighbours",
        response_model=schemas.Neighbours,
        responses=_errors(guards, 404, 409),
        dependencies=guards,
        summary="Users most similar to a user, by the text they chose",
    )
    def neighbours(
        user: schemas.Name, k: Annotated[int, Query(ge=1, le=100)] = 10, run: schemas.Name | None = None
    ) -> dict[str, Any]:
        served = state.hub.get(run)
        dataset = served.recommender.dataset
        who = dataset.user(user)
        users, similarity = similar_users(served.recommender, who, k, served.similar)
        ids = dataset.catalogue["item_id"].to_numpy(object)
        return {
            "run": served.run.id,
            "users": [
                {
                    "user_id": str(dataset.user_ids[u]),
                    "similarity": float(s),
                    "shared": shared_items(dataset, who, int(u)),
                    "history": ids[dataset.train_history(int(u))[-SHOWN:] - 1].tolist(),
                }
                for u, s in zip(users, similarity, strict=True)
            ],
        }


def _operating(app: FastAPI, state: _State, guards: list[Any]) -> None:
    @app.post(
        "/reload",
        response_model=schemas.Reloaded,
        responses=_errors(guards),
        dependencies=guards,
        summary="Load again; of several processes the others follow",
    )
    async def reload() -> dict[str, Any]:
        return {"reloaded": await state.reload()}

    @app.get(
        "/health",
        response_model=schemas.Health,
        response_model_exclude_unset=True,
        responses=_errors([]),
        summary="That it lives; with the key, where there is one, also what is served",
    )
    async def health(request: Request) -> dict[str, Any]:
        if not request.scope["known"]:
            return {"status": "ok"}
        return {
            "status": "ok",
            "device": str(state.hub.device),
            "waiting": state.batcher.depth,
            "runs": [_info(served) for served in state.hub.all()],
        }

    @app.get(
        "/metrics",
        response_class=Response,
        responses={
            **_errors(guards),
            200: {"content": {"text/plain": {}}, "description": "Prometheus exposition format."},
        },
        dependencies=guards,
        summary="Counters for Prometheus",
    )
    async def metrics() -> Response:
        return Response(state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _writable(part: str | int) -> str | int:
    """A key as it was sent, without what UTF-8 cannot encode."""
    return part if isinstance(part, int) else part.encode("utf-8", "replace").decode()


def _policy(served: Served, asked: str | ScoringPolicy | None) -> ScoringPolicy | None:
    if isinstance(asked, ScoringPolicy) or asked is None:
        return asked
    if asked == "none":
        return ScoringPolicy()
    if served.tuned is None:
        raise Unavailable(f"Run {served.run.id!r} was not tuned; run `llmesr tune {served.run.id}` first.")
    return served.tuned


def _items(served: Served, answer: Answer) -> list[dict[str, Any]]:
    recommender = served.recommender
    columns = zip(
        recommender.item_ids[answer.items - 1],
        recommender.titles[answer.items - 1],
        answer.scores.tolist(),
        range(1, len(answer.items) + 1),
        recommender.tail[answer.items].tolist(),
        *(column.tolist() for column in answer.columns().values()),
        strict=True,
    )
    return [dict(zip(SHOWN_FIELDS, row, strict=True)) for row in columns]


def _info(served: Served) -> dict[str, Any]:
    manifest, dataset = served.run.manifest, served.recommender.dataset
    return {
        "run": served.run.id,
        "name": manifest.name,
        "label": served.run.label,
        "dataset": dataset.name,
        "items": dataset.n_items,
        "tuned": served.tuned,
    }
