"""Every sentence of the story is computed: the numbers in it are those of the artifacts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import make_dataset, make_embedding, make_run, make_standard_runs

from llmesr.data.groups import Thresholds
from llmesr.evaluation.doubts import Doubt
from llmesr.evaluation.table import metric_table
from llmesr.store import Store
from llmesr.views.cache import evidence
from llmesr.views.cache.kept import clear
from llmesr.views.shared.report import MODES
from llmesr.views.story import steps as story
from llmesr.views.story.material import Material
from llmesr.views.story.material import material as material_of


def table(step: story.StoryStep) -> pd.DataFrame:
    """The table of a step that has one."""
    assert step.table is not None
    return step.table


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One store for the module: nothing here changes it."""
    store = Store(tmp_path_factory.mktemp("story"))
    dataset = make_dataset(store, users=400, items=80, seed=2)
    make_standard_runs(store, dataset, seeds=(42, 43))
    vectors = make_embedding(store, dataset).item_vectors
    return store, dataset, vectors


@pytest.fixture
def material(shelf: Any) -> Material:
    store, dataset, _ = shelf
    return material_of(store, dataset, thresholds=dataset.thresholds, metric="HR@10", protocol="full")


def test_the_tail_in_numbers(material: Material) -> None:
    step = story.the_tail(material)
    counts = material.dataset.item_counts[1:]
    tail = material.thresholds.tail_items(counts)
    share, choices = round(100 * tail.mean()), round(100 * counts[tail].sum() / counts.sum())
    assert step.headline == f"{share}% of the 80 items get {choices}% of all interactions."
    assert list(table(step)["items"]) == [(~tail).sum(), tail.sum()]
    assert table(step)["training interactions"].sum() == counts.sum()


def test_whom_the_plain_recommender_fails(material: Material) -> None:
    step = story.whom_it_fails(material)
    (plain,) = (c for c in material.chosen if c.name == "id/sasrec")
    tables = [metric_table(run.per_user(), material.thresholds) for run in plain.runs]
    tail = np.mean([t.loc[(t["group"] == "Tail Item") & (t["metric"] == "HR@10"), "value"].iloc[0] for t in tables])
    mean = table(step).set_index("group")["mean"]
    assert mean["Tail Item"] == pytest.approx(tail)
    assert mean.min() == mean["Tail Item"]
    assert "It serves tail items worst" in step.sentences[0]
    assert step.headline.startswith("A plain recommender finds")


def test_what_text_knows_names_the_nearest_by_cosine(material: Material, shelf: Any) -> None:
    item, vectors = material.item, shelf[2]
    assert item is not None
    counts = material.dataset.item_counts
    assert material.thresholds.tail_items(counts[item])
    nearest = material.nearest(item)
    v = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = v @ v[item - 1]
    cosine[item - 1] = -1
    assert list(nearest["item"]) == list(np.argsort(-cosine, kind="stable")[:5] + 1)
    assert nearest["similarity"].iloc[0] == pytest.approx(cosine.max(), abs=1e-6)
    step = story.what_text_knows(material)
    assert nearest["title"].iloc[0] in step.headline
    assert "semantic-knn" in step.sentences[1]


def test_another_example_is_another_item(material: Material) -> None:
    assert material.item != replace(material, example=1).item


def test_an_item_without_a_title_is_no_example(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [replace(material, example=n) for n in range(6)]
    unnamed = {m.item for m in examples}
    catalogue = material.dataset.catalogue.copy()
    for item in (*unnamed, *(i for m in examples if m.item for i in m.nearest(m.item)["item"][:2])):
        catalogue.loc[item - 1, "title"] = catalogue["item_id"].iloc[item - 1]
    dataset = replace(material.dataset, catalogue=catalogue)
    clear()
    monkeypatch.setattr("llmesr.views.cache.spaces.artifacts.dataset", lambda *_: dataset)
    for number in range(20):
        told = replace(material, dataset=dataset, example=number)
        assert told.item not in unnamed
        assert not any(f"“{id}”" in story.what_text_knows(told).headline for id in catalogue["item_id"])
    clear()


def test_what_changed_says_how_much_and_how_sure(material: Material) -> None:
    step = story.what_changed(material)
    row = table(step).set_index("group").loc["Tail Item"]
    assert row["significant"]
    before = row["difference"] / row["relative"]
    after = before + row["difference"]
    assert (
        step.headline
        == f"With llm-esr/sasrec, HR@10 on tail items rises from {100 * before:.1f}% to {100 * after:.1f}%."
    )
    assert "on tail items (+" in step.sentences[0]
    values = material.summary(*material.protagonists).set_index(["run", "group"])["value"]  # type: ignore[arg-type]
    plain, read = (f"{100 * values[c.name, 'Tail Item']:.1f}%" for c in material.protagonists if c)
    assert step.sentences[1].startswith(f"The same model without text and with it, in the tail: id/sasrec {plain}, ")
    assert step.sentences[1].endswith(f"llm-esr/sasrec {read} (better).")
    assert step.sentences[2].startswith("2 seeds of llm-esr/sasrec and 2 seeds of id/sasrec. ")


def test_no_change_is_said_plainly(material: Material) -> None:
    plain, esr = ({c.method: c for c in material.chosen}[m] for m in ("id", "llm-esr"))
    same = replace(esr, runs=plain.runs, manifests=plain.manifests)
    step = story.what_changed(replace(material, chosen=[plain, same]))
    assert step.headline == "llm-esr/sasrec shows no clear change on tail items compared with id/sasrec."


def test_what_next_measures_the_gap_and_advises(material: Material) -> None:
    step = story.what_next(material)
    shown = table(step)
    own = shown[shown["configuration"] == "llm-esr/sasrec"].set_index("group")["mean"]
    assert f"{own['Head Item'] / own['Tail Item']:.1f} times" in step.headline
    advice = " ".join(step.sentences)
    assert "llmesr tune" in advice
    assert "three seeds" in advice


def test_a_gap_that_may_be_luck_is_given_as_two_numbers(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Material.summary

    def wide(of: Material, *who: Any) -> pd.DataFrame:
        return real(of, *who).assign(low=0.0, high=1.0)

    monkeypatch.setattr(Material, "summary", wide)
    assert " times " not in story.what_next(material).headline


def test_a_gap_that_hangs_on_a_few_hits_is_given_as_two_numbers(
    material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Doubt("few-hits", "caution", ("llm-esr/sasrec",), (), {"groups": ["Tail Item"], "hits": [2], "enough": 10})
    monkeypatch.setattr(evidence, "doubts", lambda *_: (few,))
    assert " times " not in story.what_next(material).headline


CUT = Doubt("undertrained", "serious", ("id/sasrec",), (), {"best_epoch": 15, "epochs": 15, "waited": 0})


def test_while_something_serious_stands_no_step_says_better_or_gives_a_ratio(
    material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "doubts", lambda *_: (CUT,))
    fails, changed, following = (story.STEPS[i](material) for i in (1, 3, 4))
    assert all(CUT in step.doubts for step in (fails, changed, following))
    assert changed.headline.endswith("with llm-esr/sasrec, but that is not settled.")
    said = " ".join([changed.headline, *changed.sentences, following.headline, *following.sentences])
    assert not any(word in said for word in ("better", "rises", " times as often", "lose significantly"))
    assert CUT.sentence in story.sections([changed])[0].paragraphs
    assert "relative" not in table(changed)


def test_what_has_no_luck_is_not_told_to_train_more_seeds(material: Material, shelf: Any, tmp_path: Path) -> None:
    store, dataset, _ = Store(tmp_path), shelf[1], None
    made = make_dataset(store, users=200, items=60, seed=4)
    make_embedding(store, made)
    make_run(store, made, "item-knn")
    make_run(store, made, "semantic-knn", head_skill=2.0, tail_skill=2.0)
    told = material_of(store, made, thresholds=dataset.thresholds, metric="HR@10", protocol="full")
    said = " ".join([*story.what_changed(told).sentences, *story.what_next(told).sentences])
    assert "seeds" not in said
    assert "llmesr tune" not in said


def test_missing_artifacts_say_what_to_make(material: Material) -> None:
    bare = replace(material, chosen=[], embedding=None)
    steps = [told(bare) for told in story.STEPS]
    assert not steps[0].missing
    assert "llmesr train shop --method id" in steps[1].missing
    assert "llmesr embed shop" in steps[2].missing
    assert all(s.missing and s.chart is None for s in steps[3:])


def test_a_moved_threshold_moves_the_story(material: Material) -> None:
    everything = replace(material, thresholds=Thresholds(item=10**6, user=10**6))
    assert story.the_tail(everything).headline.startswith("100% of the 80 items")
    assert "no held-out head items" in story.whom_it_fails(everything).headline


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (0.42, "42% of held-out"),
        (0.15, "15% of held-out"),
        (0.025, "2.5% of held-out"),
        (0.0, "none of the held-out"),
        (float("nan"), "no held-out"),
    ],
)
def test_rates_for_a_room(rate: float, said: str) -> None:
    assert story._share(rate) == said


def test_of_several_runs_with_text_validation_decides(shelf: Any, tmp_path: Path) -> None:
    store, dataset, _ = Store(tmp_path), shelf[1], None
    made = make_dataset(store, users=200, items=60, seed=4)
    make_run(store, made, "id")
    make_run(store, made, "llm-esr", head_skill=0.5, tail_skill=0)
    make_run(store, made, "llm-esr", loss="bce", head_skill=2.5, tail_skill=1)
    told = material_of(store, made, thresholds=dataset.thresholds, metric="HR@10", protocol="full")
    assert told.text is not None
    assert told.text.name == "llm-esr/sasrec (loss=bce)"


def test_every_chart_draws_in_both_modes_and_becomes_a_section(material: Material) -> None:
    steps = [told(material) for told in story.STEPS]
    for step in steps:
        assert step.chart is not None
        for mode in MODES:
            assert step.chart(mode).data
    assert [s.title.split(".")[0] for s in story.sections(steps)] == [f"Story {i}" for i in range(1, 6)]
