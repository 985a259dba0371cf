"""A chat model as second ranker, against a service on the loopback that misbehaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_service import ChatService, chatting
from factories import make_embedding
from typer.testing import CliRunner

from llmesr.cli.main import app
from llmesr.config import AllocationConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.scoring.allocation.allocate import ALLOCATED, RANDOM_ORDER, REPORT, allocate
from llmesr.scoring.allocation.chat import HOPELESS, Chat
from llmesr.scoring.allocation.lists import Lists
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import Store
from llmesr.training.train import train


@pytest.fixture
def service() -> Iterator[ChatService]:
    with chatting() as started:
        yield started


def lists(data: Dataset, users: int = 8) -> Lists:
    """Items 3 to 8 for the first users of the test; the last list is shorter."""
    items = np.tile(np.arange(3, 9), (users, 1))
    items[-1, 4:] = 0
    return Lists("test", data.split.users("test")[:users], items)


def chat(service: ChatService, data: Dataset, store: Store, **settings: Any) -> Chat:
    values = {"endpoint": service.url, "tries": 2, "timeout": 5.0, **settings}
    return Chat("small", AllocationConfig.read(None, **values), data, store, pause=0.01)


def test_candidates_come_in_the_order_of_the_answer(service: ChatService, store: Store, tiny: Dataset) -> None:
    asked = lists(tiny)
    ranker = chat(service, tiny, store)
    order = ranker.order(asked)
    assert order[0].tolist() == [8, 7, 6, 5, 4, 3]
    assert order[-1].tolist() == [6, 5, 4, 3, 0, 0]
    asked.ordered(order)
    assert ranker.report()["chat"]["calls"] == 8
    body = service.requests[0]
    assert (body["model"], body["temperature"]) == ("small", 0.0)
    titles = tiny.catalogue["title"]
    assert f"1. {titles[2]}"[:20] in body["messages"][1]["content"]
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"titles": 1}, lambda b: b["messages"][1]["content"].count("\n- ") <= 1),
        ({"system": "Be brief."}, lambda b: b["messages"][0]["content"] == "Be brief."),
        ({"system": ""}, lambda b: len(b["messages"]) == 1),
        ({"prompt": "{history}|{candidates}"}, lambda b: "|" in b["messages"][1]["content"]),
        ({"temperature": None}, lambda b: "temperature" not in b),
        ({"answer_tokens": 99}, lambda b: b["max_tokens"] == 99),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_every_setting_of_the_message_tells(
    change: dict[str, Any], seen: Any, service: ChatService, store: Store, tiny: Dataset
) -> None:
    chat(service, tiny, store, **change).order(lists(tiny, 1))
    assert seen(service.requests[0])


def test_braces_in_titles_are_no_places_to_fill(service: ChatService, store: Store, tiny: Dataset) -> None:
    ranker = chat(service, tiny, store)
    ranker._titles[2] = "a {history} of {count}"
    assert "1. a {history} of {count}\n" in ranker.messages([5], [3, 4])[1]["content"]


@pytest.mark.parametrize(
    ("answer", "expected", "counted"),
    [
        ("no idea", [3, 4, 5, 6, 7, 8], {"not understood": 1}),
        ("6, 6, 99, 5", [8, 7, 3, 4, 5, 6], {"incomplete": 1, "invented": 1, "repeated": 1}),
        ("1" * 5000, [3, 4, 5, 6, 7, 8], {"not understood": 1}),
    ],
)
def test_nonsense_costs_nobody_an_item(
    answer: str, expected: list[int], counted: dict[str, int], service: ChatService, store: Store, tiny: Dataset
) -> None:
    service.answer = lambda _: answer
    ranker = chat(service, tiny, store)
    assert ranker.order(lists(tiny, 2))[0].tolist() == expected
    found = {name: ranker.counts[name] for name in counted}
    assert all(found[name] >= count for name, count in counted.items()), found


@pytest.mark.parametrize("whole", [[], {"choices": []}, {"choices": [{"message": None}]}, "text"])
def test_an_answer_of_another_shape_is_not_understood(
    whole: Any, service: ChatService, store: Store, tiny: Dataset
) -> None:
    service.whole = whole
    ranker = chat(service, tiny, store)
    assert (ranker.order(lists(tiny, 2)) == lists(tiny, 2).items).all()
    assert ranker.counts["not understood"] == 2


def test_time_outs_leave_users_as_they_are_and_too_many_end_it(
    service: ChatService, store: Store, tiny: Dataset
) -> None:
    service.delay = 0.3
    ranker = chat(service, tiny, store, timeout=0.05, tries=1, concurrency=1)
    few = lists(tiny, HOPELESS - 1)
    assert (ranker.order(few) == few.items).all()
    assert ranker.counts["unanswered"] == HOPELESS - 1
    with pytest.raises(UserError, match="did not answer after 1 tries"):
        chat(service, tiny, store, timeout=0.05, tries=1, concurrency=1).order(lists(tiny))


def test_a_busy_service_is_asked_again_and_a_refusal_is_not(service: ChatService, store: Store, tiny: Dataset) -> None:
    service.status = 503
    with pytest.raises(UserError, match="did not answer after 2 tries"):
        chat(service, tiny, store, concurrency=1).order(lists(tiny))
    assert len(service.requests) == 2 * HOPELESS
    service.status, service.requests = 401, []
    with pytest.raises(UserError, match=r"refused to rank.*OPENAI_API_KEY"):
        chat(service, tiny, store, concurrency=1).order(lists(tiny))
    assert len(service.requests) == 1


def test_answers_are_kept_and_what_was_stopped_goes_on(service: ChatService, store: Store, tiny: Dataset) -> None:
    first = chat(service, tiny, store, max_calls=3)
    part = first.order(lists(tiny))
    assert (first.counts["calls"], first.counts["not asked"]) == (3, 5)
    assert (part[3:] == lists(tiny).items[3:]).all()
    again = chat(service, tiny, store)
    order = again.order(lists(tiny))
    assert (again.counts["calls"], again.counts["from the cache"]) == (5, 3)
    assert len(service.requests) == 8
    assert (order[:3] == part[:3]).all()
    chat(service, tiny, store, temperature=0.5).order(lists(tiny, 1))
    assert len(service.requests) == 9  # another question


def test_the_cost_is_said_first(service: ChatService, store: Store, tiny: Dataset) -> None:
    said = chat(service, tiny, store, price=10.0, answer_price=20.0).cost(lists(tiny), 1000)
    assert "at most 1,000 calls" in said
    assert "18,000 answered" in said
    assert "in the currency of the price" in said
    assert not service.requests


def test_the_key_is_sent_and_kept_nowhere(
    service: ChatService, store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    ranker = chat(service, tiny, store)
    ranker.order(lists(tiny))
    assert set(service.keys) == {"Bearer sk-secret"}
    assert "sk-secret" not in json.dumps(ranker.report())
    assert not any(b"sk-secret" in path.read_bytes() for path in Path(store.root).rglob("*") if path.is_file())
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        AllocationConfig.read(None, endpoint="http://user:sk-secret@127.0.0.1/v1")


def test_visitors_reach_no_private_service(
    service: ChatService, store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMESR_PUBLIC_ONLY", "1")
    with pytest.raises(UserError, match="private address"):
        chat(service, tiny, store).order(lists(tiny, 1))
    assert not service.requests


def test_the_whole_way(service: ChatService, store: Store, tiny: Dataset) -> None:
    """The control of other users is left out, since each list costs; a ranker that turns lists around helps nobody."""
    make_embedding(store, tiny)
    run = train(tiny, RunConfig(method="text-ease", max_length=10), store)
    settings = AllocationConfig.read(None, endpoint=service.url, share=0.3, candidates=8)
    made = allocate(ScoredRun(store, run), Chat("small", settings, tiny, store), settings)
    assert made.run is not None
    assert set(made.frames) == {"run", ALLOCATED, RANDOM_ORDER}
    report = json.loads((made.run.folder / REPORT).read_text())
    assert report["chat"]["calls"] == int(made.weak[tiny.split.users("test")].sum())
    words = ["allocate", run.id, "--second", "chat:small", "--set", f"endpoint={service.url}", "--set", "share=0.3"]
    asked = CliRunner().invoke(app, [*words, "--json"])
    assert isinstance(asked.exception, UserError)
    assert "--yes" in str(asked.exception)
    shown = CliRunner().invoke(app, [*words, "--dry-run"])
    assert "Which of these 20 candidates" in shown.output
    service.requests.clear()
    done = CliRunner().invoke(app, [*words, "--set", "candidates=8", "--yes", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["chat"]["from the cache"] == report["chat"]["calls"]
    assert not service.requests
