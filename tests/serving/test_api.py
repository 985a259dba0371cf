"""The HTTP API in process: answers, errors, limits, reload. No network."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from fastapi import FastAPI
from serving_doubles import FakeScorer, bare_run, text_vectors

from llmesr.config import ServeConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.runs.record import Run, Status
from llmesr.scoring import scored_run
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun, Shared
from llmesr.scoring.tuning.outcome import PolicyPoint, PolicyTuningConfig, TunedPolicy
from llmesr.semantic.embed import Embedding
from llmesr.serving.api import create_app
from llmesr.serving.hub import Hub, Opener
from llmesr.store import Store


@pytest.fixture
def with_text(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    users = rng.normal(size=(tiny.n_users, 6)).astype(np.float32)
    ids = tiny.catalogue["item_id"].to_numpy()
    made = Embedding(tiny.manifest, text_vectors(tiny.n_items).numpy()[1:], users, ids)
    monkeypatch.setattr(scored_run, "text_of", lambda *_: made)


def open_fake(
    store: Store, run: Run, device: torch.device | str, seed: int = 0, *, shared: Shared | None = None
) -> ScoredRun:
    dataset_items = load_dataset(store, run.dataset_id).n_items
    return ScoredRun(store, run, device, scorer=FakeScorer(dataset_items, seed=seed), shared=shared)


class Client:
    """Requests into an app whose lifespan is running."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __aenter__(self) -> httpx.AsyncClient:
        self.life = self.app.router.lifespan_context(self.app)
        await self.life.__aenter__()
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://test")
        return self.http

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()
        await self.life.__aexit__(kind, error, trace)


def served(
    store: Store, tiny: Dataset, config: ServeConfig | None = None, opener: Opener = open_fake
) -> tuple[Run, Hub, FastAPI]:
    run = bare_run(store, tiny)
    run.set_status(Status(state="SUCCEEDED"))
    hub = Hub(store, [run.id], open_run=opener)
    return run, hub, create_app(hub, config or ServeConfig(reload_seconds=0))


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


class Slow(FakeScorer):
    """Scores only once ``go`` is set, so that a queue forms."""

    go = threading.Event()

    def represent(self, sequences: torch.Tensor) -> torch.Tensor:
        assert Slow.go.wait(5)
        return super().represent(sequences)


def open_slow(store: Store, run: Run, device: torch.device | str, *, shared: Shared | None = None) -> ScoredRun:
    return ScoredRun(store, run, device, scorer=Slow(load_dataset(store, run.dataset_id).n_items))


def test_overload_is_said_with_retry_after_and_nobody_else_suffers(
    store: Store, tiny: Dataset, with_text: None
) -> None:
    Slow.go.clear()
    _, _, app = served(store, tiny, ServeConfig(max_queue=4, max_batch=2, reload_seconds=0), open_slow)

    async def go() -> Any:
        async with Client(app) as http:

            def ask(count: int) -> Any:
                return [
                    asyncio.create_task(http.post("/recommend", json={"user": tiny.user_ids[0]})) for _ in range(count)
                ]

            asked = ask(2)
            await asyncio.sleep(0.1)  # both are being scored now, and held up
            asked += ask(10)
            while sum(t.done() for t in asked) < 6:
                await asyncio.sleep(0.01)
            health = await http.get("/health")
            Slow.go.set()
            return await asyncio.gather(*asked), health, await http.get("/metrics")

    answers, health, metrics = asyncio.run(go())
    codes = [a.status_code for a in answers]
    assert sorted(codes) == [200] * 6 + [503] * 6  # two being scored and four in the queue
    assert all(int(a.headers["retry-after"]) >= 1 for a in answers if a.status_code == 503)
    assert health.json()["waiting"] == 4
    assert f'llmesr_rejected_total{{reason="overload"}} {float(codes.count(503))}' in metrics.text


def test_a_client_with_too_much_in_flight_gets_429(store: Store, tiny: Dataset, with_text: None) -> None:
    Slow.go.clear()
    _, _, app = served(store, tiny, ServeConfig(client_limit=2, reload_seconds=0), open_slow)

    async def go() -> Any:
        async with Client(app) as http:
            asked = [asyncio.create_task(http.post("/recommend", json={"user": tiny.user_ids[0]})) for _ in range(5)]
            while sum(t.done() for t in asked) < 3:
                await asyncio.sleep(0.01)
            Slow.go.set()
            return await asyncio.gather(*asked)

    answers = asyncio.run(go())
    assert sorted(a.status_code for a in answers) == [200, 200, 429, 429, 429]
    assert all(a.headers["retry-after"] == "1" for a in answers if a.status_code == 429)


def test_a_reload_swaps_the_run_and_drops_nothing(store: Store, tiny: Dataset, with_text: None) -> None:
    made = []

    def opener(store: Store, run: Run, device: torch.device | str, *, shared: Shared | None = None) -> ScoredRun:
        made.append(run.id)
        return open_fake(store, run, device, seed=len(made))

    run, hub, app = served(store, tiny, opener=opener)
    body = {"user": tiny.user_ids[0]}

    async def go() -> Any:
        async with Client(app) as http:
            before = await http.post("/recommend", json=body)
            assert (await hub.reload()) == []  # nothing changed
            policy = ScoringPolicy(gamma=2)
            save_policy(run, tiny, policy)
            storm = [asyncio.create_task(http.post("/recommend", json=body)) for _ in range(30)]
            assert (await hub.reload()) == [run.id]
            storm += [asyncio.create_task(http.post("/recommend", json=body)) for _ in range(10)]
            answers = await asyncio.gather(*storm)
            tuned = await http.post("/recommend", json={**body, "policy": "tuned"})
            return before, answers, tuned

    before, answers, tuned = asyncio.run(go())
    assert {a.status_code for a in answers} == {200}
    assert answers[-1].json()["items"] != before.json()["items"]
    assert tuned.json()["policy"]["gamma"] == 2
    assert len(made) == 2


def save_policy(run: Run, tiny: Dataset, policy: ScoringPolicy) -> None:
    points = [PolicyPoint(policy=p, metrics={}, users=1) for p in (ScoringPolicy(), policy)]
    TunedPolicy(
        run=run.id,
        dataset=tiny.id,
        embedding=None,
        config=PolicyTuningConfig(),
        thresholds=tiny.thresholds,
        units={0.0: 1.0},
        users=1,
        seconds=0.1,
        created="now",
        points=points,
        sampled=[],
        chosen=1,
    ).save(run)


def test_a_run_that_breaks_stays_served_as_it_was(store: Store, tiny: Dataset, with_text: None) -> None:
    run, hub, app = served(store, tiny)
    (run.folder / "manifest.json").write_text("noise")

    async def go() -> Any:
        async with Client(app) as http:
            assert (await hub.reload()) == []
            return await http.post("/recommend", json={"user": tiny.user_ids[0]}), await http.get("/metrics")

    answer, metrics = asyncio.run(go())
    assert answer.status_code == 200
    assert f'llmesr_reloads_total{{outcome="failed",run="{run.id}"}} 1.0' in metrics.text


def test_a_name_stands_for_its_newest_finished_run(store: Store, tiny: Dataset, with_text: None) -> None:
    old = bare_run(store, tiny)
    old.set_status(Status(state="SUCCEEDED"))
    name = old.manifest.name
    hub = Hub(store, [name], open_run=open_fake)
    new = bare_run(store, tiny, seed=43)
    asyncio.run(hub.reload())
    assert hub.get(None).run.id == old.id  # still training
    new.set_status(Status(state="SUCCEEDED"))
    asyncio.run(hub.reload())
    assert hub.get(name).run.id == new.id


def test_one_bad_request_in_a_batch_fails_alone(store: Store, tiny: Dataset, with_text: None) -> None:
    class Fussy(FakeScorer):
        def represent(self, sequences: torch.Tensor) -> torch.Tensor:
            if (sequences == 13).any():
                raise RuntimeError("thirteen")
            return super().represent(sequences)

    def opener(store: Store, run: Run, device: torch.device | str, *, shared: Shared | None = None) -> ScoredRun:
        return ScoredRun(store, run, device, scorer=Fussy(tiny.n_items))

    _, _, app = served(store, tiny, opener=opener)
    ids = tiny.catalogue["item_id"]

    async def go() -> Any:
        async with Client(app) as http:
            ask = [[ids.iloc[0]], [ids.iloc[12]], [ids.iloc[1]]]
            return await asyncio.gather(*(http.post("/recommend", json={"history": h}) for h in ask))

    assert [a.status_code for a in asyncio.run(go())] == [200, 500, 200]


def test_a_hub_works_out_the_tuned_policy_before_the_first_request(
    store: Store, tiny: Dataset, with_text: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = []
    monkeypatch.setattr(Recommender, "prepare", lambda self, policy: prepared.append(policy))
    run = bare_run(store, tiny)
    policy = ScoringPolicy(gamma=2, linear=1)
    save_policy(run, tiny, policy)
    Hub(store, [run.id], open_run=open_fake)
    assert prepared == [ScoringPolicy(), policy]


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


def test_runs_of_one_dataset_share_what_is_not_theirs(store: Store, tiny: Dataset, with_text: None) -> None:
    runs = [bare_run(store, tiny) for _ in range(2)]
    for run in runs:
        run.set_status(Status(state="SUCCEEDED"))
    one, two = (served.recommender for served in Hub(store, [run.id for run in runs], open_run=open_fake).all())
    assert one.scorer is not two.scorer
    assert one.dataset is two.dataset
    assert one.ground is two.ground


def test_a_server_works_ahead_while_nobody_asks_and_answers_all_the_same(store: Store, tiny: Dataset) -> None:
    _, hub, app = served(store, tiny)
    left = [3]

    def warm() -> bool:
        left[0] -= 1
        return left[0] > 0

    hub.warm = warm  # type: ignore[method-assign]

    async def go() -> Any:
        async with Client(app) as http:
            while left[0]:
                await asyncio.sleep(0.01)
            return await http.post("/recommend", json={"user": tiny.user_ids[0]})

    assert asyncio.run(go()).status_code == 200
    assert left[0] <= 0
