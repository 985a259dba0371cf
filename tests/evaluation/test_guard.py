"""What makes a comparison unfair is found, as a value, with its remedy; and a fair one is left in peace."""

from __future__ import annotations

from dataclasses import replace

import pytest
from guard_cases import Make, case, classics, found, maker, seeds

from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import contenders
from llmesr.evaluation.doubts import Doubt, in_order
from llmesr.evaluation.guard import by_group, examine, standing
from llmesr.store import Store


@pytest.fixture
def make(store: Store) -> Make:
    return maker(store)


def test_a_fair_comparison_is_left_in_peace(make: Make) -> None:
    runs = [*seeds(make, "id"), *seeds(make, "llm-esr", text="t", skill=0.4)]
    assert [f.kind for f in found(runs, classics(make)) if f.kind != "missing-baseline"] == []


def test_only_what_is_said_of_groups_reads_where_head_and_tail_part(make: Make) -> None:
    runs = [make("id", skill=0.02, best=30), make("llm-esr", text="t", skill=0.02)]
    one = case(contenders(runs), contenders([*runs, *classics(make)]), ("HR@10",), "id")
    other = replace(one, thresholds=Thresholds(item=10**6, user=10**6))
    assert standing(one) == standing(other) != []
    assert {f.kind for f in by_group(one)} == {"few-hits"}
    assert by_group(one) != by_group(other)
    assert examine(one) == in_order([*standing(one), *by_group(one)])


def test_the_most_serious_comes_first_and_each_once() -> None:
    note, serious = Doubt("text", "note", ("a", "b")), Doubt("tied", "serious", ("a",), (), {"metric": "HR@10"})
    assert in_order([note, serious, note]) == (serious, note)
