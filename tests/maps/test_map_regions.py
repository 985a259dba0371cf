"""Names of regions: the words that set a part of the picture apart, and none where nothing does."""

from __future__ import annotations

import numpy as np
import pytest

from llmesr.maps.regions import PARTS, ROOM, Words, levels, regions

TITLES = ["red ink pen", "blue ink pen", "black ink pen", "oak desk lamp", "steel desk lamp", "brass desk lamp"]


def test_weights_by_hand() -> None:
    words = Words.of([*TITLES, "desk ink"])
    assert list(words.names) == ["desk", "ink", "lamp", "pen"]  # said by three texts at least
    assert words.standing_out(np.arange(3)) == ("pen",)  # ink is said by 4 of 7: not twice as often here
    assert words.standing_out(np.arange(7)) == ()  # nothing sets everybody apart
    among_more = Words.of([*TITLES, "desk ink", *["paper"] * 5])
    # 3 log(1 + 6/3) for pen, 3 log(1 + 6/4) for ink.
    assert among_more.standing_out(np.arange(3)) == ("pen", "ink")
    assert words.standing_out(np.arange(0)) == ()


def test_two_heaps_are_named_by_their_words() -> None:
    rng = np.random.default_rng(0)
    middle = np.repeat([[0.0, 0.0], [10.0, 0.0]], 30, axis=0)
    xy = (middle + rng.normal(0, 0.3, (60, 2))).astype(np.float32)
    xy[0] = np.nan
    texts = [f"{a} ink pen" for a in "abc" * 10] + [f"{a} desk lamp" for a in "abc" * 10]
    found = sorted(regions(xy, Words.of(texts), 2), key=lambda r: r.x)
    assert [set(r.words) for r in found] == [{"ink", "pen"}, {"desk", "lamp"}]
    assert found[0].x == pytest.approx(0, abs=0.3)
    assert found[1].x == pytest.approx(10, abs=0.3)
    assert 0 not in found[0].rows
    assert sum(len(r.rows) for r in found) == 59


def test_shuffled_words_name_nothing() -> None:
    rng = np.random.default_rng(1)
    vocabulary = np.array([chr(97 + i) * 4 for i in range(20)])
    texts = [" ".join(rng.choice(vocabulary, 6, replace=False)) for _ in range(2000)]
    assert regions(rng.normal(size=(2000, 2)), Words.of(texts), 8) == []


@pytest.mark.parametrize("texts", [["", "", ""], ["12 34", "the of", "a b"]])
def test_texts_without_words_have_no_names(texts: list[str]) -> None:
    words = Words.of(texts)
    assert words.standing_out(np.arange(3)) == ()
    assert regions(np.eye(3)[:, :2], words, 2) == []


def test_a_picture_is_cut_smaller_where_it_holds_enough_points() -> None:
    """36 heaps with a word each: seen whole they are too many to be told apart, seen closer each has its own."""
    words = [f"{chr(97 + i % 6)}{chr(97 + i // 6)}xx" for i in range(36)]
    middle = np.array([[i % 6, i // 6] for i in range(36)], np.float32)
    rng = np.random.default_rng(0)
    xy = np.repeat(middle, 60, axis=0) + rng.normal(0, 0.02, (36 * 60, 2)).astype(np.float32)
    texts = Words.of(np.repeat(words, 60).tolist())
    whole, closer = levels(xy, texts)  # 2,160 points: enough for the second level, not for the third
    assert PARTS[1] * ROOM <= len(xy) < PARTS[2] * ROOM
    assert len(whole) <= PARTS[0] < len(closer)
    assert {w for region in closer for w in region.words} == set(words)
    assert max(len(region.words) for region in whole) == 2
    assert {len(region.words) for region in closer} == {1}
    assert [len(r.rows) for r in whole] == sorted((len(r.rows) for r in whole), reverse=True)
    assert len(levels(xy[:100], Words.of(np.repeat(words, 60)[:100].tolist()))) == 1
