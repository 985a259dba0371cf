"""Findings as a report, as slides and on paper: the numbers of the charts, and every doubt, go with them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from factories import HOSTILE, make_dataset, make_run, make_standard_runs
from pptx import Presentation
from pptx.oxml.ns import qn

import llmesr
from llmesr import charts, findings
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.comparison import Comparison
from llmesr.findings import Subject
from llmesr.findings.drawn import plain
from llmesr.findings.record import FIGURE
from llmesr.store import Store
from llmesr.views.findings import paper
from llmesr.views.findings.deck import LINES, findings_deck
from llmesr.views.findings.native import Bars, Dots, native
from llmesr.views.findings.plane import Points
from llmesr.views.findings.report import findings_report
from llmesr.views.neighbours.charts import rank_figure
from llmesr.views.shared.recolour import recoloured
from llmesr.views.shared.report import html_report
from llmesr.views.shared.slide import Axis
from llmesr.views.shared.theme import Mode
from llmesr.views.story.charts import gains_chart, tail_chart


@pytest.fixture
def compared(store: Store) -> Comparison:
    data = make_dataset(store)
    runs = [r for group in make_standard_runs(store, data).values() for r in group]
    found: Comparison = llmesr.compare(runs, baseline=runs[2], metric="HR@10")
    return found


def json_of(figure: go.Figure) -> dict[str, Any]:
    made: dict[str, Any] = plain(figure.to_plotly_json())
    made["layout"].pop("template", None)
    return made


DRAWN: dict[str, Callable[[Comparison, Mode], go.Figure]] = {
    "groups": lambda c, mode: charts.groups(c, mode=mode),
    "differences": lambda c, mode: charts.differences(c, mode=mode),
    "seesaw": lambda c, mode: charts.seesaw(c, mode=mode),
}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize(("old", "new"), [("light", "dark"), ("dark", "light")])
def test_a_chart_in_the_other_colours_is_the_chart_of_the_other_theme(
    compared: Comparison, name: str, old: Mode, new: Mode
) -> None:
    draw = DRAWN[name]
    assert recoloured(json_of(draw(compared, old)), old, new) == json_of(draw(compared, new))


def test_panels_become_dots_with_the_numbers_and_intervals_of_the_comparison(compared: Comparison) -> None:
    made = native(json_of(charts.groups(compared)))
    assert isinstance(made, Dots)
    summary = compared.summary.set_index(["run", "group"])
    for row in made.frame.itertuples():
        truth = summary.loc[(row.series, str(row.category).split(",")[0])]
        assert (row.value, row.low, row.high) == pytest.approx((truth["value"], truth["low"], truth["high"]))
    assert set(made.frame["series"]) == set(compared.summary["run"])


def test_what_is_hollow_on_the_page_is_hollow_on_the_slide(compared: Comparison) -> None:
    made = native(json_of(charts.differences(compared)))
    assert isinstance(made, Dots)
    tests = compared.tests.set_index(["run", "group"])["significant"]
    told = {(r.series, str(r.category).split(",")[0]): r.hollow for r in made.frame.itertuples()}
    assert told == {key: not tests[key] for key in told}
    assert set(told.values()) == {True, False}


def test_points_bars_and_what_cannot_be_drawn(compared: Comparison) -> None:
    assert isinstance(native(json_of(charts.seesaw(compared))), Points)
    bars = go.Figure([go.Bar(y=["a", "b"], x=[0.25, 0.5], orientation="h", name="part")])
    made = native(json_of(bars.update_layout(barmode="stack", xaxis_tickformat=".0%")))
    assert isinstance(made, Bars)
    assert made.frame["part"].to_dict() == {"b": 0.5, "a": 0.25}
    assert (made.stacked, made.lying, made.number_format) == (True, True, "0%")
    for figure in (
        go.Figure(go.Heatmap(z=[[1]])),
        go.Figure(go.Scatter(x=list(range(11_000)), y=list(range(11_000)), mode="markers")),
        go.Figure(),
    ):
        assert native(json_of(figure)) is None


def test_axes_are_said_as_they_are() -> None:
    ranks = go.Figure(go.Scatter(x=[1, 200], y=["a", "b"], mode="markers")).update_xaxes(type="log", range=[-0.1, 3])
    made = native(json_of(ranks))
    assert isinstance(made, Dots)
    assert made.axis == Axis(log=True)
    weights = go.Figure(go.Scatter(x=[0, 1], y=[1, 40], mode="lines+markers")).update_yaxes(autorange="reversed")
    made = native(json_of(weights.update_xaxes(range=[0, 1], tickformat=".0%", showticklabels=False)))
    assert isinstance(made, Points)
    assert made.axes == (Axis(number_format="0%", low=0, high=1, told=False), Axis(turned=True))
    assert (made.series[0].joined, made.series[0].marked) == (True, True)


def test_every_series_of_the_tail_curve_is_on_the_slide_the_longest_first(store: Store) -> None:
    counts = np.arange(60)[::-1] ** 2
    figure = tail_chart(counts, Thresholds(item=2500, user=3), "Counted.")
    finding = findings.pin("The tail", figure, store=store)
    _, slide = Presentation(io.BytesIO(findings_deck([finding]))).slides
    (chart,) = [s.chart for s in slide.shapes if s.has_chart]
    lengths = [len(list(s.values)) for s in chart.plots[0].series]
    assert [s.name.split(":")[0] for s in chart.plots[0].series] == ["Tail", "Head"]
    assert lengths == sorted(lengths, reverse=True)
    assert chart.category_axis.maximum_scale == 1


def test_dots_lie_on_their_axis_with_their_intervals(store: Store, compared: Comparison) -> None:
    finding = findings.pin("Gains", charts.differences(compared), store=store)
    _, slide = Presentation(io.BytesIO(findings_deck([finding]))).slides
    (chart,) = [s.chart for s in slide.shapes if s.has_chart]
    axis = chart.value_axis
    assert axis.minimum_scale <= compared.tests["low"].min()
    assert axis.maximum_scale >= compared.tests["high"].max()


def test_a_chart_gives_its_words_for_standing_upright_and_no_words_are_rewritten(
    store: Store, compared: Comparison
) -> None:
    lying = charts.differences(compared)
    own = lying.layout.title.text
    assert "right is better" in own
    mine = "Mine (right: better): left of the line is worse"
    made = [
        findings.pin(own, lying, store=store),
        findings.pin(mine, lying, note=mine, store=store),
        findings.pin(own, table=pd.DataFrame({"a": [mine]}), store=store),
        findings.pin(mine, gains_chart(first_against(compared), "HR@10", "Cut."), store=store),
    ]
    summary, first, second, third, fourth = Presentation(io.BytesIO(findings_deck(made))).slides
    standing = lying.layout.meta["upright"]["title"]
    assert standing.endswith("below the line is worse, above is better")
    assert texts(first).splitlines()[0] == standing
    assert texts(summary).splitlines()[-4:] == [f"1. {standing}", f"2. {mine}: {mine}", f"3. {own}", f"4. {mine}"]
    assert texts(second).splitlines().count(mine) == 2  # the title and the note
    assert texts(third).splitlines()[0] == own
    assert mine in texts(third).splitlines()
    assert texts(fourth).splitlines()[0] == mine
    assert axis_title(fourth) == "difference in HR@10 (up: better)"


def test_every_word_of_a_chart_on_a_slide_is_one_the_figure_gives(store: Store, compared: Comparison) -> None:
    ranks = pd.DataFrame({"label": ["id", "ease"], "setting": "", "rank": [3, 40], "candidates": 60})
    figures = {
        "groups": charts.groups(compared),
        "differences": charts.differences(compared),
        "seesaw": charts.seesaw(compared),
        "gains": gains_chart(first_against(compared), "HR@10", "Cut."),
        "ranks": rank_figure(ranks, "light"),
    }
    for name, figure in figures.items():
        _, slide = Presentation(io.BytesIO(findings_deck([findings.pin(name, figure, store=store)]))).slides
        upright = (figure.layout.meta or {}).get("upright", {})
        axes = [figure.layout[a].title.text for a in figure.layout if a[:5] in ("xaxis", "yaxis")]
        assert axis_title(slide) in ([upright["axis"]] if "axis" in upright else axes), name
    assert axis_title(slide) == "rank"
    (chart,) = [s.chart for s in slide.shapes if s.has_chart]
    assert chart.value_axis.reverse_order, "rank 1 is at the top"


def test_a_map_keeps_its_shape_and_the_names_of_its_regions(store: Store) -> None:
    xy = np.random.default_rng(0).normal(size=(60, 2)) * [4, 1]
    regions = [{"x": -3.0, "y": 0.5, "text": "bikes, <i>light</i>", "showarrow": False}]
    regions += [{"x": 3.0, "y": -0.5, "text": "tea &amp; cups", "showarrow": False}]
    beside = {"x": 0.5, "y": 1, "xref": "paper", "yref": "paper", "text": "above", "showarrow": False}
    figure = go.Figure(go.Scattergl(x=xy[:, 0], y=xy[:, 1], mode="markers", name="items"))
    figure.update_xaxes(range=[-12.3, 12.3]).update_yaxes(range=[-4.4, 3.2], scaleanchor="x")
    figure.update_layout(annotations=[*regions, beside])
    made = native(json_of(figure))
    assert isinstance(made, Points)
    assert made.names == ((-3.0, 0.5, "bikes, light"), (3.0, -0.5, "tea & cups"))
    assert [(a.low, a.high) for a in made.axes] == [(-13, 13), (-4.4, 3.2)]
    _, slide = Presentation(io.BytesIO(findings_deck([findings.pin("Map", figure, store=store)]))).slides
    (frame,) = [s for s in slide.shapes if s.has_chart]
    assert frame.width / frame.height == pytest.approx(26 / 7.6, abs=0.01)
    names = next(s for s in frame.chart.plots[0].series if len(list(s.values)) == 2)
    of_names = [element.tag.rpartition("}")[2] for element in next(iter(names._element.iter(qn("c:dLbl"))))]
    assert of_names[1:4] == ["tx", "spPr", "dLblPos"], "a ground over the points; PowerPoint wants this order"
    assert [names.points[i].data_label.text_frame.text for i in range(2)] == ["bikes, light", "tea & cups"]


def axis_title(slide: Any) -> str:
    (chart,) = [s.chart for s in slide.shapes if s.has_chart]
    return str(chart.value_axis.axis_title.text_frame.text)


def first_against(compared: Comparison) -> pd.DataFrame:
    tests = compared.tests
    return tests[tests["run"] == tests["run"].iloc[0]]


def test_a_long_summary_goes_on(store: Store) -> None:
    made = [findings.pin(f"Finding {n}", table=pd.DataFrame({"a": [n]}), store=store) for n in range(1, 16)]
    slides = Presentation(io.BytesIO(findings_deck(made))).slides
    assert len(slides) == 17
    assert "Finding 15" not in texts(slides[0])
    assert "Finding 15" in texts(slides[1])


def pinned(store: Store, compared: Comparison) -> list[findings.Pinned]:
    of = Subject(dataset_name="shop", definition="Full ranking.", doubts=(("serious", "One seed."), ("note", "Mind.")))
    table = compared.summary[["run", "group", "value"]]
    return [
        findings.pin("Groups", charts.groups(compared), table, note="First line\nsecond", subject=of, store=store),
        findings.pin("Only a table", table=table, mode="dark", store=store),
        findings.pin("Only a picture", go.Figure(go.Heatmap(z=[[1]])), alt="One square.", store=store),
    ]


def texts(slide: Any) -> str:
    said = [s.text_frame.text for s in slide.shapes if s.has_text_frame]
    said += [c.text_frame.text for s in slide.shapes if s.has_table for row in s.table.rows for c in row.cells]
    return "\n".join(said)


def test_slides_hold_charts_that_can_be_edited_and_what_is_serious(store: Store, compared: Comparison) -> None:
    made = pinned(store, compared)
    summary, groups, table, picture = Presentation(io.BytesIO(findings_deck(made, "Our findings"))).slides
    assert all(t in texts(summary) for t in ("Our findings", "3 findings on shop", "Only a picture"))
    (chart,) = [s.chart for s in groups.shapes if s.has_chart]
    overall = compared.summary[compared.summary["group"] == "Overall"].set_index("run")["value"]
    first = {s.name: next(v for v in s.values if v is not None) for s in chart.plots[0].series}
    assert first == pytest.approx(overall.to_dict())
    assert all(
        t in texts(groups) for t in ("First line", "Not settled: One seed.", "Bear in mind: Mind.", "Full ranking.")
    )
    assert "Note: Mind." in groups.notes_slide.notes_text_frame.text
    assert [s for s in table.shapes if s.has_table]
    assert all(t in texts(picture) for t in ("One square.", "PowerPoint has no chart"))


def test_the_report_begins_with_a_summary_and_holds_everything(store: Store, compared: Comparison) -> None:
    html = findings_report(pinned(store, compared), "Our findings")
    assert html.index("3 findings on shop") < html.index("<h2 dir=auto>1. Groups")
    for text in ("Serious: One seed.", "Note: Mind.", "second", "Full ranking.", "<details>"):
        assert text in html
    assert html.count("data-chart=") == 2


def test_names_in_a_report_are_text(store: Store) -> None:
    made = [findings.pin(t, table=pd.DataFrame({t: [t]}), note=t, alt=t, store=store) for t in HOSTILE]
    html = findings_report(made, HOSTILE[0])
    assert "<script>window" not in html
    assert "<img" not in html
    summaries = -(-(len(HOSTILE) + 1) // LINES)
    assert len(Presentation(io.BytesIO(findings_deck(made, HOSTILE[0]))).slides) == len(HOSTILE) + summaries


def test_changed_runs_are_said_in_the_report(store: Store) -> None:
    run = make_run(store, make_dataset(store), "id")
    made = findings.pin("One", table=pd.DataFrame({"a": [1]}), runs=[run])
    store.delete("runs", run.id)
    assert f"The run {run.id} is gone" in findings_report([made])


def test_files_by_their_ending(store: Store, compared: Comparison, tmp_path: Path) -> None:
    made = pinned(store, compared)
    assert b"Our findings" in llmesr.export_findings(made, tmp_path / "a.html", title="Our findings").read_bytes()
    assert llmesr.export_findings(made, tmp_path / "a.pptx").read_bytes()[:2] == b"PK"
    with pytest.raises(UserError, match=r"\.html, \.pptx, \.pdf"):
        llmesr.export_findings(made, tmp_path / "a.doc")
    with pytest.raises(UserError, match="no findings to export"):
        llmesr.export_findings([], tmp_path / "a.html")


def test_points_on_paper_need_no_webgl_and_few_need_none_anywhere(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = go.Figure(go.Scattergl(x=[1, 2, 3], y=[1, 2, 3], mode="markers"))
    made = [findings.pin("Map", figure, store=store)]
    webgl = '"type":"scattergl"'
    assert webgl not in findings_report(made)
    monkeypatch.setattr("llmesr.views.findings.report.PATHS", 2)
    assert webgl in findings_report(made), "many points as paths are slow to move"
    assert webgl not in findings_report(made, paper=True)


@pytest.mark.slow
@pytest.mark.skipif(paper.browser() is None, reason="no Chromium is installed")
def test_what_made_the_numbers_is_printed_in_few_pages() -> None:
    runs = [f"synthetic-llm-init-sasrec-{seed}-3320c69d" for seed in range(14)]
    made = {"Findings": {f"{n}. A finding": {"Finding": "a-finding-e0561d67", "Runs": runs} for n in range(4)}}
    file = paper.printed(html_report("Findings", [], [], provenance=made, definitions={}))
    assert len(re.findall(rb"/Type /Page\b(?!s)", file)) <= 3


def test_without_a_browser_a_pdf_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "browser", lambda: None)
    with pytest.raises(UserError, match=r"neither is installed here. Export as \.html"):
        paper.printed("<p>x</p>")


def test_a_browser_that_prints_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "browser", lambda: "/bin/false")
    with pytest.raises(UserError, match="could not print the report"):
        paper.printed("<p>x</p>")


@pytest.mark.parametrize("data", [[5], [None], [{"type": "nothing"}], [{"x": 7}], ["scatter"], [{"y": [10**30]}]])
def test_a_chart_that_is_none_is_a_sentence_in_every_form(data: list[object], store: Store) -> None:
    made = findings.pin("One", figure=go.Figure(go.Bar(x=["a"], y=[1.0])), store=store)
    (store.path("findings", made.id) / FIGURE).write_text(json.dumps({"data": data, "layout": {}}))
    for form in (findings_deck, findings_report):
        with pytest.raises(UserError, match="is damaged: its chart cannot be drawn. Delete it"):
            form([findings.find(made.id, store)], "Findings")
