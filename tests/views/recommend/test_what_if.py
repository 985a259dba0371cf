"""What moved in a list, and the list as a chart."""

import pandas as pd
import pytest
from factories import HOSTILE

from llmesr.scoring.explanation import Explanation, Reason, sentence
from llmesr.views.recommend import charts
from llmesr.views.recommend.panels import _TITLE
from llmesr.views.recommend.what_if import changed_line, dropped, moved


def test_moves_by_hand() -> None:
    assert moved(["b", "a", "x", "d"], ["a", "b", "c", "d"]) == ["▲1", "▼1", "new", "="]
    assert dropped(["b", "a", "x", "d"], ["a", "b", "c", "d"]) == ["c"]
    assert moved(["a"], None) == [""]
    assert dropped(["a"], None) == []


def test_a_change_in_words() -> None:
    tail = pd.Series([True, False, True])
    assert changed_line(["a", "b", "c"], None, tail) == "2 of 3 in the tail"
    assert changed_line(["a", "b", "c"], ["a", "b", "c"], tail) == "2 of 3 in the tail; nothing moved"
    assert changed_line(["b", "a", "z"], ["a", "b", "c"], tail) == "2 of 3 in the tail; 1 new, 2 moved"


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item_id": ["a", "b"],
            "title": [HOSTILE[0], "Plain"],
            "score": [3.0, 1.5],
            "rank": [1, 2],
            "tail": [True, False],
            "group": ["Tail Item", "Head Item"],
            "collaborative": [1.0, 2.0],
            "semantic": [2.0, -0.5],
            "content": [0.0, 0.0],
        }
    )


def test_bars_are_the_parts_that_are_there_and_titles_are_text(frame: pd.DataFrame) -> None:
    figure = charts.list_figure(frame, ["new", "▼1"], "light")
    assert [t.name for t in figure.data] == ["collaborative", "semantic"]
    assert list(figure.data[1].x) == [2.0, -0.5]
    assert figure.layout.barmode == "relative"
    headings = [a.text for a in figure.layout.annotations]
    assert "new" in headings[0]
    assert "tail" in headings[0]
    assert "tail" not in headings[1]
    assert "<script" not in "".join(headings) + "".join(figure.data[0].text)
    table = charts.list_table(frame, ["new", "▼1"])
    assert table["Moved"].tolist() == ["new", "▼1"]
    assert table["Group"].tolist() == ["Tail Item", "Head Item"]
    assert "Moved" not in charts.list_table(frame, ["", ""])
    assert "2 Plain ▼1" in charts.describe("id", frame, ["new", "▼1"])


def test_a_reason_is_cut_between_its_parts() -> None:
    why = "because of Three Musketeers, The 60%, Pen 32%; 12% of it by text"
    assert charts._fitting(why, 100) == why
    assert charts._fitting(why, 46) == "because of Three Musketeers, The 60%, Pen 32%"
    assert charts._fitting(why, 10) == "because of Three Musketeers, The 60%"


@pytest.mark.parametrize("longest", _TITLE.values())
def test_the_first_share_is_never_cut_off(longest: int) -> None:
    reason = Reason(item=1, behaviour=1.0, text=0.0, share=1.0)
    explained = Explanation("exact", item=2, score=1.0, reasons=[reason], others={}, text_share=None)
    why = sentence(explained, ["x" * 200], longest=longest - 14)
    assert "… 100%" in charts._why(why, "light", longest)


def test_a_long_title_stands_in_two_lines_of_one_length() -> None:
    assert charts._lines("Short", 20, 2) == ["Short"]
    lines = charts._lines("one two three four five six", 24, 2)
    assert len(lines) == 2
    assert " ".join(lines) == "one two three four five six"
    assert abs(len(lines[0]) + 2 - len(lines[1])) <= 12
    cut = charts._lines("word " * 40, 20, 2)
    assert len(cut) == 2
    assert cut[1].endswith("…")
    assert charts._lines("<b>x</b>", 20, 0) == ["&lt;b&gt;x&lt;/b&gt;"]
