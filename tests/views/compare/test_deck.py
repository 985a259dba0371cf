"""The slides of a comparison, read back: their numbers are those of the page, and nothing in a name is run."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from factories import HOSTILE, make_dataset, make_embedding, make_standard_runs
from pptx import Presentation
from pptx.enum.chart import XL_CHART_TYPE

from llmesr.data.dataset import Dataset
from llmesr.evaluation.comparison import compare_runs
from llmesr.prose import signed
from llmesr.store import Store
from llmesr.views.compare.deck import comparison_deck
from llmesr.views.compare.report import Measured
from llmesr.views.shared.deck import Deck


@pytest.fixture
def deck(store: Store) -> Any:
    dataset: Dataset = make_dataset(store)
    make_embedding(store, dataset)
    runs = make_standard_runs(store, dataset, seeds=(42,))
    found = compare_runs(store, [r for group in runs.values() for r in group], metrics=["HR@10"])
    labels = {c.name: c.label for c in found.chosen}
    summary, tests = (frame.assign(label=frame["run"].map(labels)) for frame in (found.summary, found.tests))
    empty = summary.iloc[:0]
    measured = Measured(
        metric="HR@10", k=10, protocol="full", thresholds=found.thresholds, reference=found.baseline.name,
        summary=summary, popularity=empty, length=empty, trade_off=empty, beyond=empty, every=empty,
        comparison=tests, verdicts=found.verdicts, doubts=found.doubts,
    )  # fmt: skip
    return found, Presentation(io.BytesIO(comparison_deck(dataset, found.chosen, measured)))


def texts(slide: Any) -> str:
    said = [s.text_frame.text for s in slide.shapes if s.has_text_frame]
    said += [c.text_frame.text for s in slide.shapes if s.has_table for row in s.table.rows for c in row.cells]
    return "\n".join(said)


def charts(file: Any) -> list[Any]:
    return [s.chart for slide in file.slides for s in slide.shapes if s.has_chart]


def test_the_first_slide_says_the_verdicts_and_what_is_serious(deck: Any) -> None:
    found, file = deck
    first = texts(file.slides[0])
    for verdict in found.verdicts:
        assert verdict.sentence(doubts=False) in first
    said = "\n".join(map(texts, file.slides))
    serious = [f.sentence for f in found.doubts if f.severity == "serious"]
    assert serious
    assert all(sentence in first for sentence in serious)
    assert all(f.sentence in said for f in found.doubts)
    assert all(c.ids[0] in said for c in found.chosen)


def test_charts_hold_the_numbers_of_the_comparison(deck: Any) -> None:
    found, file = deck
    dots = charts(file)[0]
    assert dots.chart_type == XL_CHART_TYPE.LINE_MARKERS
    overall = found.summary[found.summary["group"] == "Overall"].set_index("run")
    for series in dots.plots[0].series:
        row = overall.loc[series.name]
        assert series.values[0] == pytest.approx(row["value"])
        lengths = [float(v.text) for v in series._element.iterfind(".//{*}errBars//{*}pt[@idx='0']/{*}v")]
        assert lengths == pytest.approx([row["high"] - row["value"], row["value"] - row["low"]], abs=1e-5)
    overall = found.tests[found.tests["group"] == "Overall"].set_index("run")
    shares = charts(file)[1]  # of all users; tail items and tail users follow
    rows = list(shares.plots[0].categories)[::-1]  # the first configuration is drawn last, on top
    assert rows == list(overall.index)
    for at, name in enumerate(rows):
        bars = {s.name: s.values[len(rows) - 1 - at] for s in shares.plots[0].series}
        assert bars["missed by both"] == pytest.approx(overall.loc[name, "missed"] / overall.loc[name, "users"])
        assert sum(bars.values()) == pytest.approx(1)


def test_details_say_the_differences(deck: Any) -> None:
    found, file = deck
    last = file.slides[-1]
    answer = found.verdicts[-1].answers[0]
    assert f"Details: {found.verdicts[-1].run} compared with {found.baseline.name}" in texts(last)
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
