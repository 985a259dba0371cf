"""Doubts about a contender and its baseline: luck, budgets, effort, text, strength."""

from __future__ import annotations

from dataclasses import replace

import pytest
from guard_cases import Make, case, classics, found, maker, of, seeds

from llmesr.evaluation.contenders import contenders
from llmesr.evaluation.guard import examine
from llmesr.store import Store


@pytest.fixture
def make(store: Store) -> Make:
    return maker(store)


def test_one_seed_each_is_serious_and_one_against_three_is_not(make: Make) -> None:
    alone = found([make("id"), make("llm-esr", text="t")], classics(make))
    doubt = of("one-seed", alone)
    assert doubt.severity == "serious"
    assert doubt.remedy is not None
    assert doubt.remedy.seeds == (43, 44)
    assert len(doubt.remedy.runs) == 2
    assert of("one-seed", found([*seeds(make, "id"), make("llm-esr", text="t")], classics(make))).severity == "caution"


def test_a_stronger_baseline_of_the_same_kind_is_serious_where_the_run_does_not_beat_it(make: Make) -> None:
    runs = [*seeds(make, "popularity", skill=0.1)[:1], *seeds(make, "llm-esr", text="t", skill=0.3)]
    strong = of("weak-baseline", found(runs, seeds(make, "id", skill=0.5), base="popularity"))
    assert (strong.severity, strong.numbers["stronger"]) == ("serious", "id/sasrec")
    assert "is not ahead of it" in strong.short
    unknown = replace(strong, numbers={**strong.numbers, "run": float("nan")})  # a ranking made elsewhere has no more
    assert unknown.short.endswith("llm-esr/sasrec was not evaluated there, so nothing says that it is ahead")
    mild = of("weak-baseline", found(runs, seeds(make, "id", skill=0.2), base="popularity"))
    assert mild.severity == "caution"


def test_classic_baselines_that_are_missing_are_named(make: Make) -> None:
    doubt = of("missing-baseline", found([*seeds(make, "id"), *seeds(make, "llm-esr", text="t")], []))
    assert doubt.remedy is not None
    assert {"popularity", "llm-init"} <= set(doubt.remedy.methods)
    assert "id" not in doubt.remedy.methods


def test_unequal_search_is_serious(make: Make) -> None:
    tried = [make("llm-esr", text="t", dropout=d / 10) for d in range(6)]
    doubt = of("search", found([*seeds(make, "id"), tried[0]], [*tried[1:], *classics(make)]))
    assert (doubt.severity, doubt.numbers["run"], doubt.numbers["baseline"]) == ("serious", 6, 1)
    assert doubt.remedy is not None
    assert doubt.remedy.trials == 6


def test_other_text_other_budgets_and_tuned_scoring_are_cautions(make: Make) -> None:
    base = seeds(make, "llm-init", text="mini", monitor="HR@10")
    runs = [*base, *seeds(make, "llm-esr", text="large", info={"policy": {"describe": "content weight 4"}})]
    doubts = found(runs, [make("popularity")], base="llm-init")
    assert of("text", doubts).numbers == {"run": "large", "baseline": "mini"}
    assert of("budget", doubts).numbers["settings"] == ["monitor NDCG@10 and HR@10"]
    assert of("policy", doubts).severity == "caution"


def test_what_was_put_away_was_tried_and_is_a_rival_still(make: Make) -> None:
    tried = [make("llm-esr", text="t", dropout=d / 10) for d in range(6)]
    strong = seeds(make, "markov", skill=0.5)[:1]
    chosen = contenders([*seeds(make, "id"), tried[0]])
    there = [*chosen, *contenders(classics(make))]
    assert not {"search", "weak-baseline"} & {d.kind for d in examine(case(chosen, there, ("HR@10",), "id"))}
    doubts = examine(case(chosen, there, ("HR@10",), "id", archived=contenders([*tried[1:], *strong])))
    assert of("search", doubts).numbers["run"] == 6
    assert of("weak-baseline", doubts).short.startswith("markov, which was archived, is stronger than the baseline")


def test_a_side_that_early_stopping_gave_less_patience_was_not_trained_alike(make: Make) -> None:
    hasty = seeds(make, "id", patience=6, best=24)  # 6 evaluations without a better one, where the other had 10
    doubts = found([*hasty, *seeds(make, "llm-esr", text="t")], classics(make))
    assert of("budget", doubts).numbers["settings"] == ["patience 10 and 6"]
    patient = seeds(make, "id", patience=6, best=18)
    assert "budget" not in {d.kind for d in found([*patient, *seeds(make, "llm-esr", text="t")], classics(make))}
