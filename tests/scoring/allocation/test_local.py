"""A language model on this machine as second ranker: the same questions, cache and checks as a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import write_decoder, write_encoder
from transformers import LlamaForCausalLM

from llmesr.config import AllocationConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.scoring.allocation.lists import Lists
from llmesr.scoring.allocation.local import Local
from llmesr.semantic.generator import Generator
from llmesr.store import Store


@pytest.fixture
def model(tiny: Dataset, tmp_path: Path) -> str:
    folder = write_decoder(tmp_path / "llama", tiny.catalogue["title"].tolist(), positions=512)
    LlamaForCausalLM.from_pretrained(folder).save_pretrained(folder)  # with a head, which writes
    return f"hf:{folder}"


def lists(users: int = 3) -> Lists:
    return Lists("test", np.arange(users), np.arange(1, 5 * users + 1, dtype=np.int32).reshape(users, 5))


def says(monkeypatch: pytest.MonkeyPatch, answers: list[str | None]) -> list[dict[str, Any]]:
    """The model says these, one after another; what it was asked."""
    asked: list[dict[str, Any]] = []

    def answer(_: Generator, messages: object, **options: Any) -> str | None:
        asked.append({"messages": messages, **options})
        return answers[len(asked) - 1]

    monkeypatch.setattr(Generator, "answer", answer)
    return asked


def test_a_model_without_a_pad_token_answers_and_costs_nobody_an_item(model: str, store: Store, tiny: Dataset) -> None:
    ranker = Local(model, AllocationConfig(answer_tokens=16), tiny, store)
    assert ranker.generator._tokenizer.pad_token_id is None
    found = ranker.order(lists())
    np.testing.assert_array_equal(np.sort(found, axis=1), lists().items)
    assert ranker.counts["calls"] == 3
    again = Local(model, AllocationConfig(answer_tokens=16), tiny, store)
    np.testing.assert_array_equal(again.order(lists()), found)
    assert (again.counts["calls"], again.counts["from the cache"]) == (0, 3)
    longer = Local(model, AllocationConfig(answer_tokens=17), tiny, store)
    longer.order(lists())
    assert longer.counts["calls"] == 3


def test_answers_are_checked(model: str, store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = says(monkeypatch, ["5, 4, 3, 2, 1", "2, 2, 99, 1", None])
    ranker = Local(model, AllocationConfig(titles=2, timeout=7), tiny, store)
    found = ranker.order(lists())
    assert found.tolist() == [[5, 4, 3, 2, 1], [7, 6, 8, 9, 10], [11, 12, 13, 14, 15]]
    counts = {name: ranker.counts[name] for name in ("repeated", "invented", "incomplete", "unanswered")}
    assert counts == {"repeated": 1, "invented": 1, "incomplete": 1, "unanswered": 1}
    assert (asked[0]["tokens"], asked[0]["temperature"], asked[0]["seconds"]) == (30, 0.0, 7)
    title = str(tiny.catalogue["title"][0])
    assert title in asked[0]["messages"][-1]["content"]


def test_no_more_is_asked_than_allowed(
    model: str, store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = says(monkeypatch, ["2, 1"] * 9)
    ranker = Local(model, AllocationConfig(max_calls=2), tiny, store)
    found = ranker.order(lists())
    assert len(asked) == 2
    assert ranker.counts["not asked"] == 1
    assert found[2].tolist() == [11, 12, 13, 14, 15]


def test_the_cost_is_timed_on_an_answer_that_is_kept(
    model: str, store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = says(monkeypatch, ["2, 1"] * 9)
    ranker = Local(model, AllocationConfig(), tiny, store)
    assert "An answer takes about" in ranker.cost(lists(), 3)
    ranker.order(lists())
    assert len(asked) == 3
    assert "An answer takes" not in ranker.cost(lists(), 3)  # all are there


def test_the_model_is_in_memory_before_an_answer_is_timed(
    model: str, store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[bool] = []

    def answer(self: Generator, *_: object, **__: object) -> str:
        there.append("_model" in self.__dict__)
        return "2, 1"

    monkeypatch.setattr(Generator, "answer", answer)
    Local(model, AllocationConfig(), tiny, store).cost(lists(), 3)
    assert there == [True]


def test_what_writes_no_text_is_refused(store: Store, tiny: Dataset, tmp_path: Path) -> None:
    encoder = f"hf:{write_encoder(tmp_path / 'bert', [])}"
    for ref, problem in ((encoder, "writes none"), ("gguf:/nowhere.gguf", "no GGUF file")):
        with pytest.raises(UserError, match=problem):
            Local(ref, AllocationConfig(), tiny, store)


def test_a_message_longer_than_the_model_reads_is_left_unanswered(store: Store, tiny: Dataset, tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "short", tiny.catalogue["title"].tolist(), positions=32)
    LlamaForCausalLM.from_pretrained(folder).save_pretrained(folder)
    ranker = Local(f"hf:{folder}", AllocationConfig(answer_tokens=16), tiny, store)
    assert ranker.order(lists(1)).tolist() == lists(1).items.tolist()
    assert ranker.counts["unanswered"] == 1
