"""The HTTP API while much is asked of it: overload, batches, reload, what runs share. No network."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import torch
from served_app import Client, open_fake, served, text_for_all
from serving_doubles import FakeScorer, bare_run

from llmesr.config import ServeConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.runs.record import Run, Status
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun, Shared
from llmesr.scoring.tuning.outcome import PolicyPoint, PolicyTuningConfig, TunedPolicy
from llmesr.serving.api import create_app
from llmesr.serving.hub import Hub
from llmesr.store import Store


class Slow(FakeScorer):
    """Scores only once ``go`` is set, so that a queue forms."""

    go = threading.Event()

    def represent(self, sequences: torch.Tensor) -> torch.Tensor:
        assert Slow.go.wait(5)
        return super().represent(sequences)


def open_slow(store: Store, run: Run, device: torch.device | str, *, shared: Shared | None = None) -> ScoredRun:
    return ScoredRun(store, run, device, scorer=Slow(load_dataset(store, run.dataset_id).n_items))


@pytest.fixture
def with_text(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    text_for_all(tiny, monkeypatch)


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


class Together(FakeScorer):
    """Scores only when two batches are scored at once; anything else fails after a while."""

    both = threading.Barrier(2, timeout=5)

    def represent(self, sequences: torch.Tensor) -> torch.Tensor:
        Together.both.wait()
        return super().represent(sequences)


def open_together(store: Store, run: Run, device: torch.device | str, *, shared: Shared | None = None) -> ScoredRun:
    return ScoredRun(store, run, device, scorer=Together(load_dataset(store, run.dataset_id).n_items))


@pytest.mark.parametrize(("workers", "status"), [(2, 200), (1, 500)])
def test_workers_score_at_once(store: Store, tiny: Dataset, with_text: None, workers: int, status: int) -> None:
    Together.both = threading.Barrier(2, timeout=5 if workers == 2 else 0.2)
    _, _, app = served(store, tiny, ServeConfig(workers=workers, max_batch=1, reload_seconds=0), open_together)

    async def go() -> list[int]:
        async with Client(app) as http:
            asked = [http.post("/recommend", json={"user": user}) for user in tiny.user_ids[:4]]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert asyncio.run(go()) == [status] * 4


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


def test_a_run_that_stands_for_a_policy_is_served_by_its_words(store: Store, tiny: Dataset, with_text: None) -> None:
    """As it is and "tuned" are the same of it; "none" is the run it was made from."""
    parent, own = bare_run(store, tiny), ScoringPolicy(gamma=2)
    said = {"run": parent.id, "values": own.model_dump(), "describe": own.describe()}
    run = Run.create(
        store, parent.config, [tiny.manifest, parent.manifest], name="p", device="cpu", info={"policy": said}
    )
    app = create_app(Hub(store, [run.id], open_run=open_fake), ServeConfig(reload_seconds=0))

    async def go() -> Any:
        async with Client(app) as http:
            words: list[Any] = [{}, {"policy": "tuned"}, {"policy": "none"}]
            answers = [await http.post("/recommend", json={"user": tiny.user_ids[0], **word}) for word in words]
            return [answer.json()["policy"]["gamma"] for answer in answers]

    assert asyncio.run(go()) == [2, 2, 0]


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
