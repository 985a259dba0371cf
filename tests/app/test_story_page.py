"""The Story page: five steps by button and by link, in every state."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from app_pages import open_page
from factories import HOSTILE, corrupt, make_dataset, make_embedding, make_running_run, make_standard_runs
from streamlit.testing.v1 import AppTest

from llmesr.data.dataset import Dataset
from llmesr.store import Store
from llmesr.views.cache import artifacts


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = Store(tmp_path_factory.mktemp("shop"))
    dataset = make_dataset(root, users=150, items=60, seed=1)
    make_embedding(root, dataset)
    make_standard_runs(root, dataset)
    return root.root


@pytest.fixture
def shop(store: Store, made_once: Any) -> None:
    """A dataset with text vectors and five evaluated methods; every test has its own copy."""
    shutil.copytree(made_once, store.root, dirs_exist_ok=True)


def visit(**query: str | list[str]) -> AppTest:
    at: AppTest = open_page("story", **query)
    assert not at.exception
    return at


def text(at: AppTest) -> str:
    kinds = (at.title, at.markdown, at.info, at.error)
    return "\n".join(str(e.value).replace("\\", "") for kind in kinds for e in kind)


def test_empty_says_what_to_do(store: Store) -> None:
    assert "There is no dataset yet" in text(visit())


def test_next_and_previous_walk_through_the_five_steps(store: Store, shop: Dataset) -> None:
    at = visit()
    headlines = [at.title[0].value]
    for _ in range(4):
        at.button(key="next").click().run()
        assert not at.exception
        headlines.append(at.title[0].value)
    assert [h.split(".")[0].rstrip("\\") for h in headlines] == list("12345")
    assert at.button(key="next").disabled
    at.button(key="previous").click().run()
    assert at.title[0].value == headlines[3]
    assert at.query_params["step"] == "4"
    at.button(key="step.2").click().run()
    assert at.title[0].value == headlines[1]


def test_a_link_opens_its_step(store: Store, shop: Dataset) -> None:
    at = visit(step="4")
    assert "tail items" in at.title[0].value
    assert at.title[0].value.startswith("4")
    assert visit(step="99").title[0].value.startswith("1")


def test_presenting_hides_the_rest_and_can_be_left(store: Store, shop: Dataset) -> None:
    at = visit()
    at.button(key="present").click().run()
    assert at.query_params["present"] == "1"
    assert at.button(key="present").label == "Leave"
    at.button(key="present").click().run()
    assert "present" not in at.query_params


def test_another_example(store: Store, shop: Dataset) -> None:
    at = visit(step="3")
    before = at.title[0].value
    at.button(key="another").click().run()
    assert at.title[0].value != before


def test_without_runs_and_text_each_step_says_what_to_make(store: Store, tiny: Dataset) -> None:
    make_running_run(store, tiny)
    assert "llmesr train tiny --method id" in text(visit(step="2"))
    assert "llmesr embed tiny" in text(visit(step="3"))
    assert "80%" in text(visit()) or "of the 60 items" in text(visit())


def test_a_damaged_run_is_one_sentence(store: Store, shop: Dataset) -> None:
    run = next(m for m in artifacts.manifests(store, "runs") if "id" in m.name)
    corrupt(store, "runs", run.id, how="per_user")
    assert "is damaged" in text(visit(step="2"))


def test_hostile_titles_are_text(store: Store) -> None:
    dataset = make_dataset(store, name="hostile", hostile=True)
    make_embedding(store, dataset)
    at = visit(step="3")
    for _ in range(5):
        assert not [m for m in (*at.title, *at.markdown) if "<img" in str(m.value) or "<script" in str(m.value)]
        at.button(key="another").click().run()
    assert HOSTILE
