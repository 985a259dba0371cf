"""The service backend against a real server on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from embedding_service import Service, running
from fake_embedder import fake_vector

from llmesr.config import EmbedConfig
from llmesr.errors import UserError
from llmesr.semantic.cache import embed_cached, uncached
from llmesr.semantic.embedders.endpoint import EndpointEmbedder
from llmesr.semantic.service import retry_after
from llmesr.store import Store

TEXTS = [f"topic{i % 3} text {i}" for i in range(10)]
EXPECTED = np.stack([fake_vector(t) for t in TEXTS])


@pytest.fixture
def service() -> Iterator[Service]:
    with running() as started:
        yield started


def client(service: Service, **settings: object) -> EndpointEmbedder:
    values: dict[str, Any] = {"embedder": "openai:small", "endpoint": service.url, "batch_size": 3, **settings}
    return EndpointEmbedder(EmbedConfig(**values), pause=0.01)


def test_batches_and_model_are_sent(service: Service) -> None:
    np.testing.assert_allclose(client(service).embed(TEXTS), EXPECTED, atol=1e-6)
    bodies = service.requests[1:]  # the first asks for the size
    assert sorted(len(b["input"]) for b in bodies) == [1, 3, 3, 3]
    assert {b["model"] for b in bodies} == {"small"}


def test_answers_in_any_order_find_their_rows(service: Service) -> None:
    service.reverse = True
    np.testing.assert_allclose(client(service).embed(TEXTS), EXPECTED, atol=1e-6)


def test_requests_run_at_once_up_to_the_limit(service: Service) -> None:
    service.delay = 0.05
    client(service, batch_size=1, concurrency=4).embed(TEXTS)
    assert 2 <= service.most_at_once <= 4


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_asked_again(service: Service, status: int) -> None:
    service.trouble = [(status, {}), (status, {"Retry-After": "0.01"})]
    np.testing.assert_allclose(client(service, concurrency=1).embed(TEXTS), EXPECTED, atol=1e-6)


def test_retry_after_is_honoured(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    # Of this module alone: threads of others sleep too.
    monkeypatch.setattr("llmesr.semantic.service.time", SimpleNamespace(sleep=waits.append))
    service.trouble = [(429, {"Retry-After": "7"}), (503, {})]
    client(service, concurrency=1).embed(TEXTS[:2])
    assert waits[0] == 7
    assert 0.005 < waits[1] < 0.05  # the second wait is our own, doubled


def test_retry_after_reads_seconds_dates_and_nonsense() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert retry_after("12") == 12
    assert retry_after("Thu, 01 Jan 2026 12:00:20 GMT", now) == 20
    assert retry_after("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0
    assert retry_after("99999") == 60
    assert retry_after("soon") is None
    assert retry_after("nan") is None
    assert retry_after("inf") == 60
    assert retry_after("Thu, 01 Jan 2026 12:00:20 -0000", now) == 20
    assert retry_after("Thu, 01 Jan 99999 12:00:20 GMT", now) is None
    assert retry_after(None) is None


def test_it_gives_up_with_a_sentence_and_keeps_what_is_paid(service: Service, store: Store) -> None:
    embed_cached(client(service), TEXTS[:4], store)
    service.trouble = [(503, {})] * 100
    with pytest.raises(UserError, match=r"6 tries \(503 not now\).*run the command again"):
        embed_cached(client(service, concurrency=1), TEXTS, store)
    service.trouble = []
    service.requests.clear()
    np.testing.assert_allclose(embed_cached(client(service), TEXTS, store), EXPECTED, atol=1e-6)
    assert sum(len(b["input"]) for b in service.requests) == 6


def test_a_refusal_is_not_repeated_and_other_batches_are_kept(service: Service, store: Store) -> None:
    service.fatal = {TEXTS[4]}
    with pytest.raises(UserError, match="this text is not allowed"):
        embed_cached(client(service, batch_size=1, concurrency=2), TEXTS, store)
    assert sum(TEXTS[4] in b["input"] for b in service.requests) == 1
    left = uncached(client(service), TEXTS, store)
    assert TEXTS[4] in left
    assert TEXTS[3] not in left


def test_wrong_address_key_and_answer(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = EndpointEmbedder(EmbedConfig(embedder="openai:m", endpoint=service.url + "/v2"), pause=0.01)
    with pytest.raises(UserError, match="ends in /v1"):
        wrong.embed(["a"])
    service.trouble = [(401, {})]
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        client(service).embed(["a"])
    monkeypatch.setattr(service, "answer", lambda body: (200, {}, {"result": []}))
    with pytest.raises(UserError, match="does not answer like"):
        client(service).embed(["a"])
    with pytest.raises(UserError, match="http"):
        EndpointEmbedder(EmbedConfig(embedder="openai:m", endpoint="example.org"))


def test_nobody_listens() -> None:
    embedder = EndpointEmbedder(EmbedConfig(embedder="openai:m", endpoint="http://127.0.0.1:9/v1"), pause=0.001)
    with pytest.raises(UserError, match="did not answer"):
        embedder.embed(["a"])


def test_the_key_is_sent_and_not_recorded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    embedder = client(service)
    embedder.embed(["a"])
    assert set(service.keys) == {"Bearer secret"}
    assert "secret" not in embedder.fingerprint + embedder.name


def test_cost_is_tokens_times_price(service: Service) -> None:
    assert client(service, price=0.5).estimate(["x" * 4_000_000] * 2) == (512, 512 / 1e6 * 0.5)  # cut to max_tokens
    assert client(service, price=2, max_tokens=8192).estimate(["x" * 400] * 10) == (1000, 0.002)
    assert client(service).estimate(["x" * 400]) == (100, None)
