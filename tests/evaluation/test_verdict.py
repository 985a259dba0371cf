"""Sentences made of values: what they say, and what they keep back while the guard objects."""

from __future__ import annotations

import pandas as pd
import pytest

from llmesr.evaluation.doubts import Doubt, Remedy
from llmesr.evaluation.verdict import p_text, verdict


def rows(**groups: dict[str, object]) -> pd.DataFrame:
    """Rows of a comparison of ``new`` with ``old``; what is not given is unremarkable."""
    common = {"run": "new", "baseline": "old", "metric": "HR@10", "difference": 0.1, "low": 0.05, "high": 0.15}
    common |= {"users": 500, "better": 60, "worse": 10, "p_adjusted": 0.0001, "floor": True, "bound": 0.14}
    common |= {"significant": True, "warning": ""}
    return pd.DataFrame([{**common, "group": g.replace("_", " "), **values} for g, values in groups.items()])


CUT_SHORT = Doubt(
    "undertrained",
    "serious",
    ("old",),
    ("old-1",),
    {"best_epoch": 15, "epochs": 15, "waited": 0},
    Remedy("train-longer", ("old-1",), {"epochs": 200, "patience": 10}),
)


@pytest.mark.parametrize(
    ("p", "floor", "text"),
    [
        (0.0001, True, "p ≤ .0001"),
        (0.0012, True, "p ≤ .0012"),
        (0.0004, False, "p = .0004"),
        (0.003, False, "p = .003"),
        (0.25, False, "p = .250"),
        (1.0, False, "p = 1.000"),
        (0.00001, False, "p < .0001"),
    ],
)
def test_p_as_people_write_it(p: float, floor: bool, text: str) -> None:
    assert p_text(p, floor) == text


def test_no_clear_difference_says_what_could_still_be_there() -> None:
    measured = {"difference": 0.004, "low": -0.006, "high": 0.0142}
    found = verdict(rows(Overall={"significant": False, "p_adjusted": 0.4, **measured}), [])
    assert found.sentence() == f"No clear difference overall (+0.004 {found.metric}, between −0.006 and +0.014)."
    assert not found.significant


def test_better_is_said_where_nothing_serious_stands() -> None:
    note = Doubt("text", "caution", ("new", "old"))
    found = verdict(rows(Overall={}, Tail_Item={"difference": -0.2}), [note])
    assert (
        found.sentence() == "Better overall (+0.100 HR@10, p ≤ .0001); worse on tail items (−0.200 HR@10, p ≤ .0001)."
    )
    assert found.sentence(metric=False).startswith("Better overall (+0.100, p ≤ .0001)")


def test_a_serious_finding_takes_the_word_and_says_why_in_the_same_sentence() -> None:
    found = verdict(rows(Overall={}), [CUT_SHORT])
    assert found.sentence() == (
        "Ahead overall (+0.100 HR@10, p ≤ .0001), but that is not settled: old was still improving when its 15 epochs "
        "ran out."
    )


def test_what_is_serious_about_others_does_not_matter_here() -> None:
    other = Doubt("undertrained", "serious", ("third",), (), CUT_SHORT.numbers)
    assert verdict(rows(Overall={}), [other]).sentence().startswith("Better")
    everyone = Doubt("few-candidates", "serious", numbers={"candidates": 8, "needed": 11})
    assert verdict(rows(Overall={}), [everyone]).sentence().startswith("Ahead")
