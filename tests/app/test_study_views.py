"""Compare's views of studies and of allocated runs, by the numbers they show."""

from __future__ import annotations

from typing import Any

import pytest
from app_pages import open_page, texts
from factories import make_dataset, make_run
from streamlit.testing.v1 import AppTest

from llmesr.config import StudyConfig
from llmesr.data.dataset import Dataset
from llmesr.jobs.record import Job
from llmesr.runs.live import Status
from llmesr.runs.study import Study
from llmesr.scoring.allocation.allocate import ALLOCATED, RANDOM_ORDER, REPORT
from llmesr.store import Store, write_json


@pytest.fixture
def shop(store: Store) -> Dataset:
    dataset = make_dataset(store, users=100, items=50, seed=1)
    make_run(store, dataset, "popularity")
    return dataset


def visit(**query: str | list[str]) -> AppTest:
    at: AppTest = open_page("compare", **query)
    assert not at.exception
    return at


def row(judge: str, label: str, protocol: str, difference: float | None) -> dict[str, Any]:
    value = 0.1 + (difference or 0.0)
    found = {"judge": judge, "label": label, "changes": {}, "protocol": protocol, "group": "Overall", "users": 100}
    found |= {"value": value, "difference": difference, "low": None, "high": None, "p": None, "p_adjusted": None}
    if difference is not None:
        found |= {"low": difference - 0.01, "high": difference + 0.01, "p": 0.2, "p_adjusted": 0.3}
    return {**found, "significant": False}


def make_study(store: Store, dataset: Dataset, *, finished: bool = True) -> Study:
    config = StudyConfig(attributes=["all", "title"], similarities=["cosine", "whitened"])
    study = Study.create(store, config, [dataset.manifest], name="shop study", device="cpu")
    if not finished:
        study.set_status(Status(state="RUNNING", epoch=2, epochs=5, message="text-ease: attributes title"))
        return study
    rows = [row("text-ease", "default", p, None) for p in ("full", "uni100")]
    rows += [row("text-ease", "attributes title", p, d) for p, d in (("full", -0.021), ("uni100", 0.034))]
    rows += [row("semantic-knn", "default", "full", None), row("semantic-knn", "similarity whitened", "full", 0.055)]
    study.write_table(rows)
    made_of = {"encoders": {}, "run": None, "thresholds": {"item": 77, "user": 9}}
    study.finish(Status(state="SUCCEEDED", epoch=5, epochs=5), {}, {"finalists": {}, "made_of": made_of})
    return study


def shown(at: AppTest, column: str) -> Any:
    return next(d.value for d in at.dataframe if column in d.value.columns)


def test_without_a_study_the_view_says_how_to_make_one(shop: Dataset) -> None:
    at = visit(view="study")
    assert "No study of prompts and encoders" in texts(at)
    assert "llmesr study shop" in "".join(code.value for code in at.code)


def test_a_study_is_started_as_a_job(shop: Dataset, store: Store, started: list[Job]) -> None:
    at = visit(view="study")
    at.multiselect(key="pick.attributes").set_value(["all"]).run()
    at.multiselect(key="pick.similarities").set_value(["cosine"]).run()
    assert at.button(key="study.start").disabled, "the default alone is no comparison"
    at.multiselect(key="pick.similarities").set_value(["cosine", "dot"]).run()
    at.button(key="study.start").click().run()
    assert not at.exception
    (step,) = started[0].record.steps
    assert (started[0].kind, step.verb, step.makes) == ("study", "study", "studies")
    assert {'attributes=["all"]', 'similarities=["cosine", "dot"]', "design=one"} <= set(step.arguments)
    assert "Study shop" in texts(at), "its progress stands where the form was"
    assert not [b for b in at.button if b.key == "study.start"]


def test_a_study_shows_each_change_by_judge_and_protocol(store: Store, shop: Dataset) -> None:
    make_study(store, shop)
    table = shown(visit(view="study"), "change").set_index("change")
    assert table.loc["attributes title", "difference"] == -0.021
    other = shown(visit(view="study", protocol="uni100"), "change").set_index("change")
    assert other.loc["attributes title", "difference"] == 0.034
    knn = shown(visit(view="study", judge="semantic-knn"), "change").set_index("change")
    assert knn.loc["similarity whitened", "difference"] == 0.055


def test_a_study_states_the_head_and_tail_that_its_numbers_have(store: Store, shop: Dataset) -> None:
    made = make_study(store, shop)
    assert "Tail item: fewer than 77 training interactions." in texts(visit(view="study"))
    with store.changing("studies", made.id) as manifest:
        del manifest.info["made_of"]
    said = texts(visit(view="study"))
    assert shop.thresholds.describe() in said
    assert "held before its definition of head and tail was kept" in said


def test_a_study_under_way_says_how_far_it_is(store: Store, shop: Dataset) -> None:
    make_study(store, shop, finished=False)
    assert "2 of 5 comparisons are done" in texts(visit(view="study"))


def make_allocated(store: Store, dataset: Dataset) -> None:
    run = make_run(store, dataset, "popularity", name="popularity + text-ease", seed=43)
    arms = [(ALLOCATED, 0.021), (RANDOM_ORDER, -0.043)]
    tests = [
        {"run": arm, "group": group, "metric": "NDCG@10", "protocol": "full", "users": 60, "difference": gain,
         "low": gain - 0.01, "high": gain + 0.01, "p_adjusted": 0.01, "significant": True}
        for arm, gain in arms for group in ("Weak User", "Overall")
    ]  # fmt: skip
    report = {
        "second": "text-ease shop-1", "share": 0.3, "weak_users": 30, "users": 100,
        "who": [{"feature": "length", "weak": 2.5, "strong": 7.5}],
        "chosen_from": [{"share": 0.3, "gain": 0.01, "error": 0.002}], "rows": [], "tests": tests,
    }  # fmt: skip
    write_json(run.folder / REPORT, report)


def test_an_allocation_stands_beside_its_random_control(store: Store, shop: Dataset) -> None:
    assert "No weak users were handed" in texts(visit(view="allocation"))
    make_allocated(store, shop)
    at = visit(view="allocation")
    said = texts(at)
    assert "30 of 100 users" in said
    assert "No random users" in said
    table = shown(at, "difference").set_index(["run", "group"])["difference"]
    assert table["Weak, second ranker", "Weak User"] == 0.021
    assert table["Weak, random order", "Overall"] == -0.043
    assert shown(at, "weak").set_index("feature").loc["items in the history", "strong"] == 7.5


def test_a_damaged_report_is_one_sentence(store: Store, shop: Dataset) -> None:
    make_allocated(store, shop)
    for manifest in store.list("runs"):
        path = store.path("runs", manifest.id) / REPORT
        if path.is_file():
            path.write_text("{")
    assert "is damaged" in texts(visit(view="allocation"))
