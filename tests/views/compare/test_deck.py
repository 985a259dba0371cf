"""The slides of a comparison, read back: their numbers are those of the page, and nothing in a name is run."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from factories import HOSTILE, make_dataset, make_embedding, make_run, make_standard_runs
from pptx import Presentation
from pptx.enum.chart import XL_CHART_TYPE

from llmesr.data.dataset import Dataset
from llmesr.evaluation.comparison import compare_runs
from llmesr.prose import signed
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.views.compare.deck import comparison_deck
from llmesr.views.compare.report import Measured
from llmesr.views.shared.deck import Deck


@pytest.fixture
def dataset(store: Store) -> Dataset:
    made: Dataset = make_dataset(store)
    make_embedding(store, made)
    return made


@pytest.fixture
def deck(store: Store, dataset: Dataset) -> Any:
    runs = make_standard_runs(store, dataset, seeds=(42,))
    return slides(store, dataset, [r for group in runs.values() for r in group])


def slides(store: Store, dataset: Dataset, runs: list[Run], metric: str = "HR@10") -> Any:
    found = compare_runs(store, runs, metrics=[metric])
    labels = {c.name: c.label for c in found.chosen}
    summary, tests = (frame.assign(label=frame["run"].map(labels)) for frame in (found.summary, found.tests))
    empty = summary.iloc[:0]
    measured = Measured(
        metric=metric, k=10, protocol="full", thresholds=found.thresholds, reference=found.baseline.name,
        summary=summary, popularity=empty, length=empty, trade_off=empty, beyond=empty, every=empty,
        comparison=tests, verdicts=found.verdicts, doubts=found.doubts, foremost=found.chosen[-1].name,
        alike="What text changes.",
    )  # fmt: skip
    return found, Presentation(io.BytesIO(comparison_deck(dataset, found.chosen, measured)))


def texts(slide: Any) -> str:
    said = [s.text_frame.text for s in slide.shapes if s.has_text_frame]
    said += [c.text_frame.text for s in slide.shapes if s.has_table for row in s.table.rows for c in row.cells]
    return "\n".join(said)


def charts(file: Any) -> list[Any]:
    return [s.chart for slide in file.slides for s in slide.shapes if s.has_chart]


def test_the_first_slide_says_whom_it_fails_what_text_changes_and_what_is_serious(deck: Any) -> None:
    found, file = deck
    baseline, last = found.baseline.name, found.chosen[-1].name
    first, notes = texts(file.slides[0]), file.slides[0].notes_slide.notes_text_frame.text
    assert "whom the recommender fails, and what text changes" in first
    value = found.summary.set_index(["run", "group"])["value"]
    of = {run: [f"{100 * value[run, group]:.1f}%" for group in ("Head Item", "Tail Item")] for run in (baseline, last)}
    assert f"Without item text ({baseline}) the next item is among the first 10 for {of[baseline][0]} of users" in first
    assert f"{of[baseline][1]} when it is in the tail." in first
    said = next(v for v in found.verdicts if v.run == last)
    head, tail = (said.word(said.answer(group)) for group in ("Head Item", "Tail Item"))
    assert f"With item text ({last}): {of[last][0]} when it is popular ({head})" in first
    assert f"{of[last][1]} when it is in the tail ({tail})." in first
    assert "What text changes." in first
    assert {s.name for s in charts(file)[0].plots[0].series} == {baseline, last}
    assert said.doubts
    assert f"Not settled: {said.doubts[0].sentence}" in first
    assert all(v.sentence(doubts=False) in notes for v in found.verdicts)
    everything = "\n".join(map(texts, file.slides))
    assert all(f.sentence in everything for f in found.doubts)
    assert all(c.ids[0] in everything for c in found.chosen)


def test_the_best_overall_comes_first(deck: Any) -> None:
    found, file = deck
    (matrix,) = [s.table for s in file.slides[1].shapes if s.has_table]
    gains = found.tests[found.tests["group"] == "Overall"].set_index("run")["difference"]
    rows = [row.cells[0].text_frame.text for row in list(matrix.rows)[1:]]
    assert sorted(rows) == sorted(gains.index)
    assert list(gains[rows]) == sorted(gains, reverse=True)
    details = [t for slide in file.slides if (t := texts(slide)).startswith("Details:")]
    assert [t.split(" compared")[0] for t in details] == [f"Details: {name}" for name in rows]


def test_of_two_the_slides_say_everything_once(store: Store, dataset: Dataset) -> None:
    runs = [make_run(store, dataset, method) for method in ("id", "llm-esr")]
    _, file = slides(store, dataset, runs, "NDCG@10")
    titles = [texts(slide).splitlines()[0] for slide in file.slides]
    assert "NDCG@10 of the next item is 0." in texts(file.slides[0])
    assert sum("gained or lost" in t for t in titles) == 1
    assert not any(t.startswith("Against") for t in titles)


def test_charts_hold_the_numbers_of_the_comparison(deck: Any) -> None:
    found, file = deck
    dots = charts(file)[1]
    assert dots.chart_type == XL_CHART_TYPE.LINE_MARKERS
    overall = found.summary[found.summary["group"] == "Overall"].set_index("run")
    places = []
    for series in dots.plots[0].series:
        row = overall.loc[series.name]
        at = next(i for i, value in enumerate(series.values) if value is not None)
        places.append(at)
        assert series.values[at] == pytest.approx(row["value"])
        lengths = [float(v.text) for v in series._element.iterfind(f".//{{*}}errBars//{{*}}pt[@idx='{at}']/{{*}}v")]
        assert lengths == pytest.approx([row["high"] - row["value"], row["value"] - row["low"]], abs=1e-5)
    assert len(set(places)) == len(overall), "each has a place of its own, where it hides nothing"
    overall = found.tests[found.tests["group"] == "Overall"].set_index("run")
    shares = charts(file)[2]  # of all users; tail items and tail users follow
    rows = list(shares.plots[0].categories)[::-1]  # the first configuration is drawn last, on top
    assert sorted(rows) == sorted(overall.index)
    for at, name in enumerate(rows):
        bars = {s.name: s.values[len(rows) - 1 - at] for s in shares.plots[0].series}
        assert bars["missed by both"] == pytest.approx(overall.loc[name, "missed"] / overall.loc[name, "users"])
        assert sum(bars.values()) == pytest.approx(1)


def test_details_say_the_differences(deck: Any) -> None:
    found, file = deck
    last = file.slides[-1]
    worst = min(found.verdicts, key=lambda v: v.answer("Overall").difference)
    answer = worst.answers[0]
    assert f"Details: {worst.run} compared with {found.baseline.name}" in texts(last)
    assert all(text in texts(last) for text in (signed(answer.difference), answer.p_text))


def test_names_stay_text_and_every_slide_has_a_title(store: Store) -> None:
    import pandas as pd

    made = Deck("=cmd|' /C calc'!A0")
    for title in HOSTILE:
        made.table(title, pd.DataFrame({"=1+1": [title], "b": ["<a:t>x</a:t>"]}))
    file = Presentation(io.BytesIO(made.bytes()))
    for slide, title in zip(file.slides, HOSTILE, strict=True):
        assert plain(title) in plain(texts(slide))
        assert not slide._element.findall(".//{*}hlinkClick")


def plain(text: str) -> str:
    """Without what XML cannot hold, which is written as its code."""
    return re.sub(r"\s+", " ", re.sub(r"[\x00-\x08\x0b-\x1f]|_x[0-9A-F]{4}_", "", text))
