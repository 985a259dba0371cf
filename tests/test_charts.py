"""The figures of the app in Python, and the cards of a notebook."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from factories import HOSTILE, make_dataset, make_run
from plotly.graph_objects import Figure

import llmesr
from llmesr import charts
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation.comparison import Comparison
from llmesr.runs.record import Run
from llmesr.store import Store


@pytest.fixture
def data(store: Store) -> Dataset:
    return make_dataset(store, users=120, items=60)


@pytest.fixture
def runs(store: Store, data: Dataset) -> list[Run]:
    return [make_run(store, data, method) for method in ("popularity", "id", "llm-esr")]


@pytest.fixture
def compared(runs: list[Run]) -> Comparison:
    found: Comparison = llmesr.compare(runs, baseline=runs[1], metric=["NDCG@10", "HR@10"])
    return found


def titles(figure: Figure) -> str:
    return str(figure.layout.title.text)


def test_figures_of_a_dataset_hold_its_numbers(data: Dataset) -> None:
    counts = sorted((c for c in data.item_counts[1:] if c), reverse=True)
    drawn = [y for trace in llmesr.charts.popularity(data).data for y in trace.y]
    assert sorted(drawn, reverse=True) == counts
    assert sum(sum(t.y) for t in charts.lengths(data).data) == data.n_users
    assert charts.lorenz(data).data[1].y[-1] == pytest.approx(1)


def test_figures_of_a_comparison_hold_its_means(compared: Comparison) -> None:
    for metric in ("NDCG@10", "HR@10"):
        drawn = {x for trace in charts.groups(compared, metric).data for x in trace.x}
        assert set(compared.table(metric).to_numpy().ravel()) <= drawn
        assert metric in titles(charts.differences(compared, metric))
    assert len(charts.seesaw(compared).data)
    with pytest.raises(UserError, match="NDCG@10, HR@10, not MRR@10"):
        charts.groups(compared, "MRR@10")


def test_what_is_not_settled_stands_on_the_figure(store: Store, data: Dataset) -> None:
    drawn = [charts.groups, charts.differences, charts.seesaw]
    of = [make_run(store, data, m, seed=s) for m in ("id", "llm-esr") for s in (42, 43, 44)]

    def below(draw: Any) -> str:
        return str(draw(llmesr.compare(of)).layout.title.subtitle.text).replace("<br>", " ")

    assert not any("Not settled" in below(draw) for draw in drawn)
    of[0].finish(of[0].status(), {}, {"best_epoch": 12, "epochs": 12})
    assert all("Not settled: 1 serious doubt." in below(draw) for draw in drawn)


def test_figures_of_a_run_are_its_curves(runs: list[Run]) -> None:
    assert list(charts.losses(runs[1]).data[0].y) == runs[1].events()["loss"].tolist()
    assert charts.validation(runs[1]).data
    with pytest.raises(UserError, match="not trained by"):
        charts.losses(runs[0])


def test_figures_need_no_app() -> None:
    code = "import sys, llmesr.charts; print('streamlit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_cards_say_what_print_says(data: Dataset, runs: list[Run], compared: Comparison) -> None:
    assert f"{data.n_items:,}" in data._repr_html_()
    asked = {"protocol": "full", "group": "Tail Item", "metric": "HR@10"}
    row = next(r for r in runs[2].metrics() if asked.items() <= r.items())
    assert f"{row['value']:.3f}" in runs[2]._repr_html_()
    page = compared._repr_html_()
    assert f"{compared.table().iloc[0, 0]:.3f}" in page
    for verdict in compared.verdicts:
        assert verdict.sentence().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")[:40] in page


def test_names_in_cards_are_text(store: Store) -> None:
    named = make_dataset(store, name=HOSTILE[1])
    for page in (named._repr_html_(), make_run(store, named, "id", name=HOSTILE[0])._repr_html_()):
        assert "<script" not in page
        assert "<img" not in page
