"""Doubts about what is measured: hits, candidates, ties, parts, protocols."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from guard_cases import USERS, Make, case, classics, found, maker, of, seeds

from llmesr.evaluation.contenders import contenders
from llmesr.evaluation.doubts import rarely_hit
from llmesr.evaluation.guard import examine
from llmesr.store import Store


@pytest.fixture
def make(store: Store) -> Make:
    return maker(store)


def test_few_hits_few_candidates_and_certain_hits(make: Make) -> None:
    runs = [*seeds(make, "id", skill=0.01), *seeds(make, "llm-esr", text="t")]
    few = of("few-hits", found(runs, classics(make)))
    assert "Tail Item" in few.numbers["groups"]
    for run in runs:
        frame = run.per_user()
        frame["candidates"], frame["rank"] = 8, np.minimum(frame["rank"], 8)
    doubts = found(runs, classics(make))
    assert of("few-candidates", doubts).short == "some users choose among 8 candidates only, fewer than 11"
    assert {f.names for f in doubts if f.kind == "tied"} == {("id/sasrec",), ("llm-esr/sasrec",)}
    assert doubts[0].severity == "serious"


def test_few_hits_of_many_are_one_line_and_a_small_group_is_none(make: Make) -> None:
    runs = [*seeds(make, "id", skill=0.01), *seeds(make, "llm-esr", text="t", skill=0.02)]
    doubt = of("few-hits", found(runs, classics(make)))
    assert doubt.names == ("id/sasrec", "llm-esr/sasrec")
    assert doubt.short.startswith("id/sasrec and llm-esr/sasrec hit for fewer than 10 users each in ")
    assert "(at most " in doubt.short
    assert rarely_hit([doubt], "id/sasrec") == set(doubt.numbers["groups"]) != set()
    assert rarely_hit([doubt], "item-knn") == set()
    for run in runs:
        frame = run.per_user()
        frame["target_popularity"] = np.where(
            frame["user"] < 99, 0, frame["target_popularity"]
        )  # 99 are few by themselves
    assert "Cold Item" not in of("few-hits", found(runs, classics(make))).numbers["groups"]
    for run in runs:
        run.per_user().loc[run.per_user()["user"] == 99, "target_popularity"] = 0
    assert "Cold Item" in of("few-hits", found(runs, classics(make))).numbers["groups"]


def test_protocols_that_disagree_are_said(make: Make) -> None:
    runs = [*seeds(make, "id", skill=0.3), *seeds(make, "llm-esr", text="t", skill=0.6)]
    for run in runs[3:]:
        frame = run.per_user()
        frame.loc[frame["protocol"] == "uni100", "rank"] = 80
    doubt = of("protocols", found(runs, classics(make)))
    assert doubt.numbers["difference"] > 0 > doubt.numbers["other_difference"]
    assert "under uni100 llm-esr/sasrec is behind overall" in doubt.short


def test_what_was_chosen_on_validation_is_not_better_there(make: Make) -> None:
    chosen = contenders([*seeds(make, "id"), *seeds(make, "llm-esr", text="t", skill=0.6)])
    at = case(chosen, chosen, ("HR@10",), "id")
    assert of("chosen-there", examine(replace(at, part="valid"))).severity == "serious"
    assert "chosen-there" not in {f.kind for f in examine(at)}


def test_a_target_that_the_order_of_the_file_decides_is_said(make: Make) -> None:
    chosen = contenders([*seeds(make, "id"), *seeds(make, "llm-esr", text="t", skill=0.6)])
    at = case(chosen, chosen, ("HR@10",), "id")
    doubt = of("file-order", examine(replace(at, tied=0.44)))
    assert doubt.sentence == (
        "The held-out item of 44% of users shares its time with the one before: the order of the file decides what is "
        "predicted. Import the data with a finer time column if there is one, or compare under a temporal split."
    )
    assert doubt.severity == "serious"
    assert of("file-order", examine(replace(at, tied=0.249))).severity == "caution"
    assert "file-order" not in {d.kind for d in examine(replace(at, tied=0.009))}


def test_a_run_that_was_ranked_by_candidates_says_so(make: Make) -> None:
    told = [{"ranking": {"kind": "two-stage", "recall": r}} for r in (1.0, 0.993, 0.99)]
    runs = [*seeds(make, "id"), *(make("llm-esr", seed=42 + n, text="t", info=said) for n, said in enumerate(told))]
    doubt = of("by-candidates", found(runs, classics(make)))
    assert doubt.short == (
        "llm-esr/sasrec was ranked by candidates, which hold 99.0% of the 20 best items; ranks beyond are estimates"
    )
    assert (doubt.severity, len(doubt.runs)) == ("note", 3)
    runs[-1].manifest.info["ranking"]["recall"] = 0.9
    assert of("by-candidates", found(runs, classics(make))).severity == "caution"
    assert "by-candidates" not in {d.kind for d in found(seeds(make, "id"), classics(make))}


def test_several_targets_of_a_user_are_one_user(make: Make) -> None:
    """HR of a user is of any of the targets; ranks of several are never put beside those of other users."""
    runs = [*seeds(make, "id", skill=0.3), *seeds(make, "llm-esr", text="t", skill=0.6)]
    for run in runs:
        frame = run.per_user()
        again = frame.assign(target_id=frame["target_id"].astype(str) + "b", rank=60)
        run.frame = pd.concat([frame, again], ignore_index=True)  # type: ignore[attr-defined]
    for run in runs[3:]:
        uni = run.per_user()["protocol"] == "uni100"
        run.per_user().loc[uni, "rank"] = 80
    doubt = of("protocols", found(runs, classics(make)))
    assert doubt.numbers["difference"] == pytest.approx(0.3, abs=0.08)
    for run in runs:  # each user is hit by one target of two: every HR is 1, though half of the ranks are not
        run.per_user()["rank"] = np.tile(np.repeat([1, 60], USERS * 4), 1)
    assert {f.kind for f in found(runs, classics(make))} >= {"tied"}
