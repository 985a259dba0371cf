"""The first sentence and the first chart: whose numbers they show, and that they flatter nobody."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from llmesr.views.overview.charts import headline_chart
from llmesr.views.overview.headline import best_runs, protagonists, sentence

VALUES = {
    "id/sasrec": (0.20, 0.10, 0.30, 0.15, 0.25),
    "llm-init/sasrec": (0.21, 0.20, 0.22, 0.16, 0.26),
    "llm-esr/sasrec": (0.19, 0.07, 0.31, 0.17, 0.27),
}
GROUPS = ("Overall", "Tail Item", "Head Item", "Tail User", "Head User")


@pytest.fixture
def frame() -> pd.DataFrame:
    cells = [(run, group, v) for run, values in VALUES.items() for group, v in zip(GROUPS, values, strict=True)]
    return pd.DataFrame(cells, columns=["run", "group", "value"])


def test_the_reader_is_not_the_one_that_is_luckiest_on_the_test(frame):
    assert protagonists(list(VALUES)) == ("id/sasrec", "llm-esr/sasrec")
    assert protagonists(["popularity", "llm-init/gru4rec"]) == (None, "llm-init/gru4rec")


def test_the_best_of_each_method_is_one_as_it_was_trained():
    def made(label, score, **info):
        return SimpleNamespace(label=label, score=score, manifest=SimpleNamespace(info=info))

    def table(run, protocol, part):
        assert (protocol, part) == ("full", "valid")
        return pd.DataFrame({"group": ["Overall"], "metric": ["NDCG@10"], "value": [run.score]})

    worse, better = made("llm-esr/sasrec", 0.1), made("llm-esr/gru4rec", 0.2)
    tuned, blind = made("llm-esr/sasrec", 0.3, policy={}), made("id/sasrec", 0.15)
    assert best_runs([worse, better, tuned, blind], table) == [blind, better]


def test_a_loss_in_the_tail_is_said_like_a_gain(frame):
    said = sentence(frame)
    assert "**30.0%** of users when that item is popular, and for **10.0%**" in said
    assert "it is **7.0%** in the tail (0.7 times as often) and **31.0%** for popular items" in said


@pytest.mark.parametrize(("by", "tail"), [("Item", "10.0%"), ("User", "15.0%")])
def test_the_chart_shows_items_or_users_as_shares(frame, by, tail):
    figure = headline_chart(frame, "HR@10", by=by)
    marks = {t.name: t for t in figure.data if t.name}
    assert list(marks) == [f"Tail {by}", "Overall", f"Head {by}"]
    assert marks[f"Tail {by}"].text[0].strip() == tail
    assert "behaviour alone" in figure.layout.yaxis.ticktext[0]


def test_the_label_of_the_lower_value_stands_left(frame):
    frame.loc[(frame["run"] == "id/sasrec") & (frame["group"] == "Head User"), "value"] = 0.01
    marks = {t.name: t for t in headline_chart(frame, "HR@10", by="User").data if t.name}
    assert (marks["Head User"].textposition[0], marks["Tail User"].textposition[0]) == ("middle left", "middle right")
