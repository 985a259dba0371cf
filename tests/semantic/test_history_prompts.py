"""Prompts of histories: the newest titles, as many as the embedder reads with the words around them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_embedder import FakeEmbedder
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import write_encoder

from llmesr.config import EmbedConfig, FinetuneConfig, IngestConfig
from llmesr.data.ingest import ingest_frames
from llmesr.errors import UserError
from llmesr.semantic.embedders import open_embedder
from llmesr.semantic.embedders.contract import Embedder
from llmesr.semantic.embedders.endpoint import EndpointEmbedder
from llmesr.semantic.history_prompts import HistoryPrompts
from llmesr.semantic.preferences import Preferences
from llmesr.store import Store
from llmesr.text.prompts import user_prompt
from llmesr.training.material import gather

AROUND = len(user_prompt([""]))


def prompts(titles: list[str], embedder: Embedder) -> HistoryPrompts:
    ids = [f"i{number}" for number in range(len(titles))]
    return HistoryPrompts(pd.DataFrame({"item_id": ids, "title": titles}), embedder)


def of(titles: list[str], embedder: Embedder) -> str:
    """The prompt of who chose all of ``titles``."""
    return prompts(titles, embedder).of([np.arange(len(titles))])[0]


def reading(characters: int | None) -> FakeEmbedder:
    embedder = FakeEmbedder()
    embedder.reach = characters
    return embedder


def test_a_short_history_is_read_whole() -> None:
    for reach in (None, AROUND + 4):
        assert of(["a", "b"], reading(reach)) == user_prompt(["a", "b"])
    assert of(["a", "", " ;", "i3"], reading(None)) == user_prompt(["a"])  # an id is no title
    assert of([], reading(None)) == of(["i0"], reading(AROUND + 4)) == ""


def test_the_oldest_titles_are_left_out_until_the_whole_prompt_fits() -> None:
    titles = ["one", "two", "three"]
    assert of(titles, reading(AROUND + 10)) == user_prompt(["two", "three"]) == of(titles, reading(AROUND + 14))
    assert of(titles, reading(AROUND + 15)) == user_prompt(titles)
    assert of(["one", "a long one"], reading(AROUND + 8)) == user_prompt(["a long "])
    assert len(of([f"title {number}" for number in range(2000)], reading(None))) <= 8000 + AROUND


@given(st.lists(st.text(max_size=30), max_size=30), st.integers(1, 200))
def test_prompts_fit(titles: list[str], room: int) -> None:
    made = prompts(titles, reading(AROUND + room)).of([np.arange(len(titles)), np.arange(0)])
    assert len(made[0]) <= AROUND + room
    assert made[1] == ""


def test_no_room_for_any_title_is_a_sentence() -> None:
    with pytest.raises(UserError, match=f"reads {AROUND} characters .* take {AROUND}: raise max_tokens"):
        of(["a"], reading(AROUND))


@pytest.mark.parametrize(
    "title", ["heavy duty stapler", "加强型订书机适合家庭", "Степлер усиленный", "C2P05AN#140 (2x)"]
)
def test_the_newest_titles_are_read_in_any_language(title: str, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    embedder = open_embedder(EmbedConfig(max_tokens=64), store)
    with caplog.at_level(logging.WARNING):
        made = of([f"{title} {number}" for number in range(60)], embedder)
    assert f"{title} 59. Please" in made
    assert f"{title} 0;" not in made
    whole = embedder.lengths([made, made.replace(f"{title} 59", f"{title} 58; {title} 59")])
    assert whole.tolist() == [len(embedder.tokens([made])[0]), 65]  # type: ignore[attr-defined]
    assert "longer than the specified" not in caplog.text


class Surprising(FakeEmbedder):
    """Parts of a text seem shorter to it than they are in the whole."""

    def lengths(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
        return np.array([len(text) - 5 * (len(text) < AROUND) for text in texts])


def test_wholes_are_measured() -> None:
    embedder = Surprising()
    embedder.reach = AROUND + 30
    made = of(["0123456789"] * 12, embedder)
    assert len(made) <= embedder.reach
    assert made.count("0123456789") == 2


def test_a_service_is_sent_whole_prompts() -> None:
    service = EndpointEmbedder(EmbedConfig(embedder="openai:small", endpoint="http://127.0.0.1:9/v1", max_tokens=50))
    assert of(["a long title"] * 50, service) == user_prompt(["a long title"] * 8)
    with pytest.raises(UserError, match="raise max_tokens"):
        of(
            ["a"],
            EndpointEmbedder(EmbedConfig(embedder="openai:small", endpoint="http://127.0.0.1:9/v1", max_tokens=8)),
        )


def test_tuning_on_preferences_reads_as_an_embedder_does(store: Store, tmp_path: Path) -> None:
    titles = [f"{word} {word} {word}" for word in "abcdefgh"]
    items = pd.DataFrame({"item_id": [f"i{i}" for i in range(8)], "title": titles, "brand": "x"})
    events = pd.DataFrame([(f"u{u}", f"i{(u + t) % 8}", t) for u in range(24) for t in range(8)])
    data = ingest_frames(
        events.set_axis(["user_id", "item_id", "timestamp"], axis=1), items, IngestConfig(name="shop"), store
    )
    config = FinetuneConfig(
        base=f"hf:{write_encoder(tmp_path / 'bert', titles)}", objective="preferences", categories=2, max_tokens=32
    )
    objective = gather(data, config, store).objective
    assert isinstance(objective, Preferences)
    texts, _ = objective.pairs(np.arange(24), 1)
    embedder = open_embedder(EmbedConfig(embedder=config.base, max_tokens=32), store)
    assert embedder.lengths(texts).max() <= 32
    assert all(text.endswith("preference.") for text in texts)
    for own, text in zip(objective.histories, texts, strict=True):
        newest = data.catalogue["title"].tolist()[own[-1]]
        assert f"{newest}. Please" in text
