"""The first sentence and the first chart: whose numbers they show, and that they say no more than was tested."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from llmesr.evaluation.doubts import Doubt, rarely_hit
from llmesr.evaluation.verdict import Answer, Verdict
from llmesr.views.overview.charts import headline_chart
from llmesr.views.overview.headline import Headline, sentence

VALUES = {
    "id/sasrec": (0.20, 0.10, 0.30, 0.15, 0.25),
    "llm-init/sasrec": (0.21, 0.20, 0.22, 0.16, 0.26),
    "llm-esr/sasrec": (0.19, 0.07, 0.31, 0.17, 0.27),
}
GROUPS = ("Overall", "Tail Item", "Head Item", "Tail User", "Head User")
CUT = Doubt("undertrained", "serious", ("id/sasrec",), (), {"best_epoch": 15, "epochs": 15, "waited": 0})


@pytest.fixture
def frame() -> pd.DataFrame:
    cells = [(run, group, v) for run, values in VALUES.items() for group, v in zip(GROUPS, values, strict=True)]
    return pd.DataFrame(cells, columns=["run", "group", "value"])


def judged(outcome: Any = "better", doubts: tuple[Doubt, ...] = ()) -> Verdict:
    answers = tuple(Answer(g, outcome, 0.1, 0.05, 0.15, 0.001, False, 0.1, 500) for g in GROUPS)
    return Verdict("llm-init/sasrec", "id/sasrec", "HR@10", answers, doubts)


def test_a_tested_gain_is_said_as_shares_and_a_ratio(frame: pd.DataFrame) -> None:
    said = sentence(Headline(frame, "id/sasrec", "llm-init/sasrec", judged()))
    assert "(id/sasrec) the next item is among the first 10 for **30.0%** of users when that item is popular" in said
    assert "it is **20.0%** in the tail (2.0 times as often) and **22.0%** for popular items." in said


def test_a_loss_in_the_tail_is_said_like_a_gain(frame: pd.DataFrame) -> None:
    said = sentence(Headline(frame, "id/sasrec", "llm-esr/sasrec", judged("worse")))
    assert "it is **7.0%** in the tail (0.7 times as often) and **31.0%** for popular items" in said


def test_the_sentence_follows_the_switch_to_users(frame: pd.DataFrame) -> None:
    said = sentence(Headline(frame, "id/sasrec", "llm-init/sasrec", judged()), by="User")
    assert "**25.0%** of users with a long history, and for **15.0%** of those with a short one" in said
    assert "it is **16.0%** with a short history and **26.0%** with a long one" in said


def test_no_clear_difference_comes_first_and_gives_no_ratio(frame: pd.DataFrame) -> None:
    said = sentence(Headline(frame, "id/sasrec", "llm-init/sasrec", judged("same")))
    assert said.startswith("**No clear difference** between llm-init/sasrec and id/sasrec in any group.")
    assert "times as often" not in said


def test_a_serious_finding_takes_the_ratio_and_the_sentence_says_so(frame: pd.DataFrame) -> None:
    head = Headline(frame, "id/sasrec", "llm-init/sasrec", judged(doubts=(CUT,)), (CUT,))
    said = sentence(head)
    assert "times as often" not in said
    assert said.endswith("for popular items, but that is not settled.")
    assert "not settled" in sentence(replace(head, reading=None, verdict=None))


def test_a_ratio_that_hangs_on_a_few_hits_is_not_given(frame: pd.DataFrame) -> None:
    few = Doubt("few-hits", "caution", ("id/sasrec",), (), {"groups": ["Tail Item"], "hits": [2], "enough": 10})
    other = replace(few, names=("someone else",))
    rare = rarely_hit([CUT, few, other], "id/sasrec", "llm-init/sasrec")
    assert rare == {"Tail Item"}
    said = sentence(Headline(frame, "id/sasrec", "llm-init/sasrec", judged(), (), rare))
    assert "it is **20.0%** in the tail and **22.0%** for popular items." in said


def test_without_any_model_nothing_is_said(frame: pd.DataFrame) -> None:
    assert sentence(Headline(frame, None, None)) == ""


@pytest.mark.parametrize(("by", "tail"), [("Item", "10.0%"), ("User", "15.0%")])
def test_the_chart_shows_items_or_users_as_shares(frame: pd.DataFrame, by: str, tail: str) -> None:
    figure = headline_chart(frame, "HR@10", by=by)
    marks = {t.name: t for t in figure.data if t.name}
    assert list(marks) == [f"Tail {by}", "Overall", f"Head {by}"]
    assert marks[f"Tail {by}"].text[0].strip() == tail
    assert "behaviour alone" in figure.layout.annotations[0].text


def test_the_label_of_the_lower_value_stands_left(frame: pd.DataFrame) -> None:
    frame.loc[(frame["run"] == "id/sasrec") & (frame["group"] == "Head User"), "value"] = 0.01
    marks = {t.name: t for t in headline_chart(frame, "HR@10", by="User").data if t.name}
    assert (marks["Head User"].textposition[0], marks["Tail User"].textposition[0]) == ("middle left", "middle right")
