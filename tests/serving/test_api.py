"""The HTTP API in process: answers, errors, limits, reload. No network."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from served_app import Client, served, text_for_all

from llmesr.config import ServeConfig
from llmesr.data.dataset import Dataset
from llmesr.scoring.policy import ScoringPolicy
from llmesr.store import Store


@pytest.fixture
def with_text(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    text_for_all(tiny, monkeypatch)


def test_recommend_answers_as_the_recommender(store: Store, tiny: Dataset, with_text: None) -> None:
    run, hub, app = served(store, tiny)
    history = tiny.catalogue["item_id"].iloc[[2, 6]].tolist()
    policy = {"gamma": 1.5, "route_threshold": 5, "route_weight": 0.5}

    async def go() -> Any:
        async with Client(app) as http:
            by_history = await http.post("/recommend", json={"history": history, "k": 4, "policy": policy})
            by_user = await http.post(
                "/recommend", json={"user": tiny.user_ids[0], "reranker": {"name": "mmr", "strength": 0.5}}
            )
            return by_history, by_user

    by_history, by_user = asyncio.run(go())
    expected = hub.get(None).recommender.recommend([3, 7], 4, ScoringPolicy(**policy))
    body = by_history.json()
    assert body["run"] == run.id
    assert body["policy"] == ScoringPolicy(**policy).model_dump()
    assert [i["item_id"] for i in body["items"]] == expected["item_id"].tolist()
    assert [i["title"] for i in body["items"]] == expected["title"].tolist()
    for column in ("score", "rank", "tail", "collaborative", "semantic", "content"):
        assert [i[column] for i in body["items"]] == pytest.approx(expected[column].tolist(), rel=1e-4, abs=1e-5)
    assert by_user.status_code == 200
    assert len(by_user.json()["items"]) == 10


def test_the_gate_answers_as_the_route_does(store: Store, tiny: Dataset) -> None:
    """What is not plain JSON goes the long way, through the route; the answers are the same."""
    _, _, app = served(store, tiny)
    known = f'{{"user": "{tiny.user_ids[0]}"'
    bodies = [f"{known}}}", f'{known}, "policy": "tuned"}}', '{"user": "nobody"}', f'{known}, "k": 0}}', "{"]

    async def go() -> Any:
        async with Client(app) as http:
            return [
                [
                    (answer.status_code, answer.json())
                    for body in bodies
                    for answer in [await http.post("/recommend", content=body, headers={"content-type": kind})]
                ]
                for kind in ("application/json", "application/json; charset=utf-8")
            ], (await http.get("/metrics")).text

    (direct, by_route), metrics = asyncio.run(go())
    assert [status for status, _ in direct] == [200, 409, 404, 422, 422]
    assert direct == by_route
    assert 'llmesr_requests_total{route="/recommend",status="200"} 2.0' in metrics


def test_reasons_come_with_the_items_when_asked_for(store: Store, tiny: Dataset, with_text: None) -> None:
    _, _, app = served(store, tiny)
    history = tiny.catalogue["item_id"].iloc[[2, 6]].tolist()

    async def go() -> Any:
        async with Client(app) as http:
            asked = {"history": history, "k": 3}
            return [
                (await http.post("/recommend", json={**asked, "explain": explain})).json()["items"]
                for explain in (False, True)
            ]

    plain, told = asyncio.run(go())
    assert all("reasons" not in item for item in plain)
    assert [item["item_id"] for item in told] == [item["item_id"] for item in plain]
    for item in told:
        assert item["reasons"]["kind"] == "leave-one-out"  # the model is no linear one
        assert {part["item_id"] for part in item["reasons"]["history"]} == set(history)


def test_similar_items_and_neighbours(store: Store, tiny: Dataset, with_text: None) -> None:
    _, hub, app = served(store, tiny)
    item, user = tiny.catalogue["item_id"].iloc[4], tiny.user_ids[3]

    async def go() -> Any:
        async with Client(app) as http:
            return [
                (await http.get("/similar-items", params={"item_id": item, "k": 3, "space": space})).json()
                for space in ("semantic", "collaborative")
            ] + [(await http.get("/neighbours", params={"user": user, "k": 5})).json()]

    semantic, collaborative, users = asyncio.run(go())
    text = hub.get(None).recommender.ground.content().text
    cosines = text @ text[5]
    cosines[[0, 5]] = -9
    assert [i["item_id"] for i in semantic["items"]] == tiny.catalogue["item_id"].iloc[
        cosines.topk(3).indices - 1
    ].tolist()
    assert semantic["items"] != collaborative["items"]
    embedding = hub.get(None).recommender.embedding
    assert embedding is not None
    vectors = embedding.user_vectors / np.linalg.norm(embedding.user_vectors, axis=1, keepdims=True)
    order = np.argsort(-(vectors @ vectors[3]))
    assert [u["user_id"] for u in users["users"]] == tiny.user_ids[order[order != 3][:5]].tolist()
    assert all(len(u["history"]) <= 20 for u in users["users"])


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/recommend", {"user": "nobody"}, 404, "'nobody' is not in dataset"),
        ("/recommend", {"history": ["nothing"]}, 404, "'nothing' is not in dataset"),
        ("/recommend", {"user": "\ud800"}, 422, ""),
        ("/recommend", {"history": ["x"], "run": "other"}, 404, "not served here"),
        ("/recommend", {"history": []}, 422, ""),
        ("/recommend", {"history": ["x"], "user": "y"}, 422, ""),
        ("/recommend", {"history": ["x"] * 1001}, 422, ""),
        ("/recommend", {"history": ["x"], "k": 100000}, 422, ""),
        ("/recommend", {"history": ["x"], "policy": {"gamma": -1}}, 422, ""),
        ("/recommend", {"history": ["x"], "typo": 1}, 422, ""),
        ("/recommend", "{", 422, ""),
        ("/recommend", b"\xff\xfeX", 400, ""),
        ("/recommend", '{"history": ["x"], "policy": {"gamma": 1e999}}', 422, ""),
        ("/recommend", "x" * 300_000, 413, "at most"),
    ],
)
def test_bad_requests_get_a_sentence(
    store: Store, tiny: Dataset, path: Any, body: Any, status: Any, words: str
) -> None:
    _, _, app = served(store, tiny)

    async def go() -> Any:
        async with Client(app) as http:
            if isinstance(body, str | bytes):
                return await http.post(path, content=body, headers={"content-type": "application/json"})
            import json

            return await http.post(path, content=json.dumps(body), headers={"content-type": "application/json"})

    answer = asyncio.run(go())
    assert answer.status_code == status, answer.text
    assert words in str(answer.json()["detail"])


def test_what_a_run_lacks_is_a_conflict(store: Store, tiny: Dataset) -> None:
    _, _, app = served(store, tiny)  # no embedding, never tuned
    item = tiny.catalogue["item_id"].iloc[0]

    async def go() -> Any:
        async with Client(app) as http:
            return [
                await http.post("/recommend", json={"history": [item], "policy": {"gamma": 1}}),
                await http.post("/recommend", json={"history": [item], "policy": "tuned"}),
                await http.get("/similar-items", params={"item_id": item}),
                await http.get("/neighbours", params={"user": tiny.user_ids[0]}),
            ]

    answers = asyncio.run(go())
    assert [a.status_code for a in answers] == [409] * 4
    assert all("llmesr" in a.json()["detail"] for a in answers)


def test_an_api_key_guards_everything_but_health(store: Store, tiny: Dataset, with_text: None) -> None:
    _, _, app = served(store, tiny, ServeConfig(api_key="correct-horse", reload_seconds=0))

    async def go() -> Any:
        async with Client(app) as http:
            body = {"user": tiny.user_ids[0]}
            return [
                (await http.post("/recommend", json=body)).status_code,
                (await http.post("/recommend", json=body, headers={"X-API-Key": "wrong"})).status_code,
                (await http.post("/recommend", json=body, headers={"X-API-Key": "correct-horse"})).status_code,
                (await http.get("/metrics")).status_code,
                (await http.post("/reload")).status_code,
                (await http.get("/docs")).status_code,
                (await http.get("/openapi.json")).status_code,
                (await http.get("/nothing")).status_code,
                (await http.get("/health")).json(),
                set((await http.get("/health", headers={"X-API-Key": "correct-horse"})).json()),
            ]

    alive = {"status": "ok"}
    asked = {"status", "device", "waiting", "runs"}
    assert asyncio.run(go()) == [401, 401, 200, 401, 401, 401, 401, 401, alive, asked]


def test_openapi_names_every_route_and_its_errors(store: Store, tiny: Dataset) -> None:
    _, _, app = served(store, tiny, ServeConfig(api_key="correct-horse", reload_seconds=0))
    paths = app.openapi()["paths"]
    assert set(paths) == {"/recommend", "/similar-items", "/neighbours", "/health", "/metrics", "/reload"}
    assert set(paths["/recommend"]["post"]["responses"]) == {
        "200",
        "400",
        "401",
        "404",
        "408",
        "409",
        "413",
        "422",
        "429",
        "503",
    }
    assert paths["/recommend"]["post"]["security"] == [{"APIKeyHeader": []}]
