"""Charts show the numbers they are given, tell configurations apart, and show hostile names as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from factories import HOSTILE

from llmesr.config import GROUPS
from llmesr.data.groups import Thresholds
from llmesr.views.compare import charts, trade_off_charts
from llmesr.views.compare.frames import popularity_sentence
from llmesr.views.compare.popularity_charts import popularity_chart
from llmesr.views.compare.splits_charts import splits_chart
from llmesr.views.findings.traces import text
from llmesr.views.shared import theme
from llmesr.views.shared.marks import legend_below, plain, titled
from llmesr.views.shared.theme import Mode
from llmesr.views.story import charts as charts_story

LINE = "Held-out test items, full ranking over all items. Tail item: fewer than 3 training interactions."
RUNS = {"id/sasrec": "id/sasrec", "llm-esr/sasrec": "llm-esr/sasrec", "llm-esr/sasrec (loss=bce)": "llm-esr/sasrec"}


def summary(runs: dict[str, str] = RUNS) -> pd.DataFrame:
    rows = [
        {"run": run, "label": label, "group": group, "value": 0.1 * (i + 1), "low": 0.05, "high": 0.5, "users": 40 + g}
        for i, (run, label) in enumerate(runs.items())
        for g, group in enumerate(GROUPS)
    ]
    return pd.DataFrame(rows)


def comparison(runs: dict[str, str] = RUNS) -> pd.DataFrame:
    table = summary(dict(list(runs.items())[1:]))
    table = table.rename(columns={"value": "difference"}).assign(low=-0.1, high=0.2)
    return table.assign(significant=table["run"] != list(runs)[-1])


def seesaw() -> pd.DataFrame:
    sides = {f"{s}{b}": [v] for s in ("head", "tail") for b, v in (("", 0.1), ("_low", 0.05), ("_high", 0.2))}
    return pd.DataFrame({"run": ["llm-esr/sasrec"], "label": ["llm-esr/sasrec"], **sides})


def every(mode: theme.Mode, runs: dict[str, str] = RUNS) -> list[go.Figure]:
    table = summary(runs)
    points = table[table["group"] == "Overall"].assign(accuracy=0.2, exposure=0.3)
    shares = pd.DataFrame({"group": GROUPS, "gained": 0.2, "same": 0.1, "missed": 0.6, "lost": 0.1, "users": 10})
    lists = pd.concat([table.assign(metric=m)[table["group"] == "Overall"] for m in ("Coverage@10", "Gini@10")])
    first, last = next(iter(runs)), list(runs)[-1]
    return [
        charts.group_chart(table, "HR@10", LINE, mode),
        charts.difference_chart(comparison(runs), "HR@10", first, LINE, mode),
        charts.bucket_chart(table, "HR@10", "popularity", LINE, mode),
        trade_off_charts.trade_off_chart(points, "HR@10", "APLT@10", LINE, mode),
        trade_off_charts.seesaw_chart(seesaw().assign(run=last), "HR@10", first, LINE, mode),
        trade_off_charts.outcome_chart(shares, last, first, LINE, mode),
        trade_off_charts.beyond_chart(lists, LINE, mode),
        popularity_chart(explained(runs), "HR@10", LINE, mode),
    ]


def explained(runs: dict[str, str] = RUNS) -> pd.DataFrame:
    """Popularity explains a quarter of the first run's uni100 score, and more of each that follows."""
    rows = [
        {
            "run": run,
            "label": label,
            "protocol": protocol,
            "value": 0.4,
            "popularity": 0.4 * share,
            "share": share,
        }
        for i, (run, label) in enumerate(runs.items())
        for protocol, share in (("full", 0.02), ("uni100", 0.25 + 0.1 * i))
    ]
    return pd.DataFrame(rows)


def test_what_popularity_explains_is_part_of_each_bar_and_said() -> None:
    figure = popularity_chart(explained(), "HR@10", LINE)
    popular, rest = (t for t in figure.data if t.type == "bar" and t.xaxis == "x2")
    np.testing.assert_allclose(np.asarray(popular.x, float) + np.asarray(rest.x, float), 0.4)
    np.testing.assert_allclose(popular.x, [0.1, 0.14, 0.18])
    said = popularity_sentence(explained(), "HR@10")
    said = said.replace("\\", "")
    assert "(loss=bce), popularity alone scores **45%** as well; of that of id/sasrec, **25%**" in said
    assert said.endswith("Under full ranking it is at most 2% (id/sasrec).")
    between = explained()
    between.loc[(between["run"] == "llm-esr/sasrec") & (between["protocol"] == "full"), "share"] = 0.28
    assert popularity_sentence(between, "HR@10").replace("\\", "").endswith("28% (llm-esr/sasrec).")
    itself = explained({**RUNS, "popularity": "popularity"})
    assert popularity_sentence(itself, "HR@10").replace("\\", "") == said
    nothing = explained().assign(share=np.nan)
    assert popularity_sentence(nothing, "HR@10").startswith("None of these")


@pytest.mark.parametrize(
    ("low", "high", "ticks", "written"),
    [
        (-0.26, 0.1, [-0.2, 0], "+.1~f"),
        (-0.13, 0.19, [-0.1, 0, 0.1], "+.1~f"),
        (-0.38, 0.22, [-0.2, 0, 0.2], "+.1~f"),
        (-0.3, 0.09, [-0.3, 0], "+.1~f"),
        (0.001, 0.0047, [0, 0.004], "+.3~f"),
        (0.0, 0.0, None, "+.2~f"),
    ],
)
def test_gains_have_a_scale(low: float, high: float, ticks: Any, written: str) -> None:
    figure = charts.difference_chart(comparison().assign(difference=0.0, low=low, high=high), "HR@10", "id", LINE)
    found = figure.layout.xaxis.tickvals
    assert (None if found is None else list(found), figure.layout.xaxis.tickformat) == (ticks, written)


def test_the_caption_of_a_chart_beside_another_takes_the_room_of_a_phone() -> None:
    """330 of 358 pixels, at 4.6 a character."""
    caption = charts.bucket_chart(summary(), "HR@10", "popularity", LINE).layout.title.subtitle.text
    assert [len(line) for line in caption.split("<br>")] == [71, 24]


def test_a_panel_per_group_with_values_and_intervals() -> None:
    figure = charts.group_chart(summary(), "HR@10", LINE)
    assert len(figure.data) == 5
    first = figure.data[0]
    assert list(first.x) == pytest.approx([0.1, 0.2, 0.3])
    assert list(first.y) == list(RUNS)
    assert first.error_x.array[0] == pytest.approx(0.4)
    assert first.error_x.arrayminus[0] == pytest.approx(0.05)
    heads = [a.text for a in figure.layout.annotations]
    assert [h.split("<br>")[0] for h in heads] == list(GROUPS)
    assert "40 users" in heads[0]


def test_a_dot_does_not_cover_its_interval_on_a_small_screen() -> None:
    """Of a thousand users, in five panels of a page 1280 pixels wide, whose names leave 780 for them."""
    table = summary().assign(value=0.33, low=0.305, high=0.355)
    figure = charts.group_chart(pd.concat([table, table.tail(1).assign(value=0.45, high=0.51)]), "HR@10", LINE)
    left, right = figure.layout.xaxis.domain
    start, end = figure.layout.xaxis.range
    pixels = 780 * (right - left) / (end - start)
    dots = figure.data[0]
    assert pixels * 0.025 > max(dots.marker.size) / 2 + 1
    assert dots.error_x.width > 0


def test_few_cold_items_are_named_and_not_drawn() -> None:
    table = summary()
    cold = table[table["group"] == "Overall"].assign(group="Cold Item", users=8)
    figure = charts.group_chart(pd.concat([table, cold]), "HR@10", LINE)
    assert len(figure.data) == len(GROUPS)
    assert "Cold Item: 8 users, too few to draw" in figure.layout.title.subtitle.text.replace("<br>", " ")
    many = charts.group_chart(pd.concat([table, cold.assign(users=800)]), "HR@10", LINE)
    assert len(many.data) == len(GROUPS) + 1


def test_an_empty_group_leaves_its_panel_empty() -> None:
    table = summary()
    table.loc[table["group"] == "Tail Item", ["value", "low", "high"]] = np.nan
    figure = charts.group_chart(table, "HR@10", LINE)
    assert {t.xaxis: len(t.x) for t in figure.data} == {"x": 3, "x2": 0, "x3": 3, "x4": 3, "x5": 3}


def test_a_difference_is_filled_only_where_the_test_is_sure() -> None:
    figure = charts.difference_chart(comparison(), "HR@10", "id/sasrec", LINE)
    fills = dict(zip(figure.data[0].y, figure.data[0].marker.color, strict=True))
    assert fills["llm-esr/sasrec"] == theme.method_color("llm-esr")
    assert fills["llm-esr/sasrec (loss=bce)"] == theme.SURFACE["light"]["background"]


def test_configurations_of_one_method_share_a_color_but_not_a_marker() -> None:
    figure = charts.bucket_chart(summary(), "HR@10", "popularity", LINE)
    _, first, second = figure.data
    assert first.line.color == second.line.color
    assert first.marker.symbol != second.marker.symbol
    assert first.line.dash != second.line.dash


def test_shares_of_users_fill_the_bar() -> None:
    figure = every("light")[5]
    assert sum(t.x[0] for t in figure.data) == pytest.approx(1)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_chart_carries_its_definition_and_the_colors_of_its_mode(mode: Mode) -> None:
    for figure in every(mode):
        text = figure.layout.title.subtitle.text.replace("<br>", " ")
        assert "Tail item: fewer than 3 training interactions." in text
        assert figure.layout.template.layout.paper_bgcolor == theme.SURFACE[mode]["background"]


def test_hostile_names_reach_plotly_as_text() -> None:
    runs = {"id/sasrec": "id/sasrec", **dict.fromkeys(HOSTILE, "llm-esr/sasrec")}
    for figure in every("light", runs):
        drawn = figure.to_json().replace("\\u003c", "<").replace("\\u002f", "/")
        assert not [tag for tag in ("<script", "<img", "</script", "<b>bold") if tag in drawn]


def test_plain_is_one_short_line_without_markup() -> None:
    assert plain("a <b>bold</b>\n& more") == "a &lt;b&gt;bold&lt;/b&gt; &amp; more"
    assert len(plain("x" * 500)) == 60


def test_the_tail_is_drawn_with_every_item_once() -> None:
    counts = np.array([9, 7, 1, 1, 1, 0])
    figure = charts_story.tail_chart(counts, Thresholds(item=7, user=1), LINE)
    head, tail = figure.data
    assert head.name == "Head: 33% of items, 84% of interactions"
    assert tail.name == "Tail: 67% of items, 16% of interactions"
    assert list(tail.y) == [1, 1, 1, 0]
    assert tail.x[0] == pytest.approx(2.5 / 6)


def test_gains_are_colored_by_what_they_mean() -> None:
    table = comparison().head(5).assign(significant=[True, True, False, True, True])
    table.loc[1, "difference"] = -0.2
    figure = charts_story.gains_chart(table, "HR@10", LINE)
    tones = theme.SEMANTIC["light"]
    assert figure.data[0].marker.color == tones["good"]
    assert figure.data[1].marker.color == tones["bad"]
    assert figure.data[2].marker.color == theme.SURFACE["light"]["background"]


def test_a_long_legend_leaves_the_plot_its_height() -> None:
    def plot(contenders: int) -> float:
        rows = [(f"run {i}", "id/sasrec", 0.1, 0.05, 0.15, 0.2) for i in range(contenders)]
        points = pd.DataFrame(rows, columns=["run", "label", "accuracy", "low", "high", "exposure"])
        layout = trade_off_charts.trade_off_chart(points, "HR@10", "APLT@10", LINE).layout
        return float(layout.height - layout.margin.t - layout.margin.b)

    assert plot(12) == plot(2) >= 200


def test_a_legend_has_two_columns_where_short_names_are_told_apart_and_one_where_not() -> None:
    def drawn(*names: str) -> Any:
        figure = go.Figure([go.Scatter(x=[1], y=[1], name=name) for name in names])
        return legend_below(titled(figure, "Title", "Caption.", "light", 340))

    four = drawn("id/sasrec", "ease", "text-ease", "a name that is much too long for a phone")
    assert four.layout.legend.entrywidth == pytest.approx(0.49)
    assert all(len(t.name) <= 18 for t in four.data)
    alike = drawn("text-ease (ridge=20.0, half)", "text-ease (ridge=20.0, whole)")
    assert alike.layout.legend.entrywidth == pytest.approx(0.98)
    assert alike.data[1].name == "text-ease (ridge=20.0, whole)"
    # as high as its lines: two for four names, two for two of one column
    assert four.layout.height == alike.layout.height


def test_what_stands_over_three_splits_is_broken_into_lines_that_fit_and_is_whole_on_a_slide() -> None:
    names = ["leave-one-out", *(f"temporal split, from {day} 23:56:32 on" for day in ("2020-10-14", "2022-06-18"))]
    numbers = {"run": "ease", "label": "ease", "place": 1, "value": 0.3, "low": 0.2, "high": 0.4, "users": 1200}
    frame = pd.DataFrame([numbers | {"split": name} for name in names])
    figures = [splits_chart(frame[frame["split"].isin(names[:n])], "HR@10", "Overall", "full") for n in (1, 3)]
    over = [note.text for note in figures[1].layout.annotations]
    assert [text(heading) for heading in over] == [f"{name}, 1,200 users" for name in names]
    assert max(len(line) for heading in over for line in heading.split("<span")[0].split("<br>")) <= 27
    assert figures[1].layout.margin.t - figures[0].layout.margin.t == 18  # a second line in the longest
