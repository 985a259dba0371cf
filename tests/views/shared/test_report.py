"""A report is one file that opens offline, shows text as text and says where it comes from."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from factories import HOSTILE

from llmesr.views.shared import theme
from llmesr.views.shared.report import PAGE, Section, embedded_json, html_report, html_table, number
from llmesr.views.shared.theme import Mode


def draw(mode: theme.Mode) -> go.Figure:
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], marker_color=theme.method_color("id", mode)))
    return theme.finish(figure, mode, height=300, title="seen")


def report(sections: list[Section], title: str = "Shop", **more: Any) -> str:
    return html_report(title, ["A sentence."], sections, **{"provenance": {}, "definitions": {}, **more})


def embedded(html: str) -> list[Any]:
    return [json.loads(t) for t in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html)]


def test_plotly_is_inlined_once_and_nothing_is_fetched() -> None:
    html = report([Section("One", chart=draw), Section("Two", chart=draw)])
    assert html.count("plotly.js v") == 1
    assert "default-src &#x27;none&#x27;" in html
    page = re.sub(r"<script.*?</script>", "", html, flags=re.S)
    assert not re.search(r"(src|href)\s*=", page)


def test_without_a_chart_plotly_stays_out() -> None:
    assert len(report([Section("Only text", ["Hello."])])) < 20_000


def test_a_chart_is_there_in_light_and_in_dark_and_described() -> None:
    html = report([Section("One", chart=draw, alt="two points")])
    figures = embedded(html)[0]
    assert figures["light"]["data"][0]["marker"]["color"] == theme.method_color("id", "light")
    assert figures["dark"]["data"][0]["marker"]["color"] == theme.method_color("id", "dark")
    assert 'role=img aria-label="two points"' in html
    assert "height:300px" in html


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_wherever_it_stands(text: str) -> None:
    def chart(mode: Mode) -> Any:
        return go.Figure(go.Scatter(x=[1], y=[1], text=[text], name=text))

    html = report(
        [Section(text, [text], chart, text, pd.DataFrame({text: [text], "n": [1]}), text)],
        title=text,
        provenance={text: {text: [text, 1, True, None]}},
        definitions={text: text},
    )
    page = re.sub(r"<script.*?</script>", "", html, flags=re.S)
    assert "<img" not in page
    assert "<b>" not in page
    assert len(re.findall(r"<script", html)) == len(re.findall(r"</script>", html)) == 5
    assert text.replace("\x00", "\ufffd") in unescape(page)
    assert embedded(html)[0]["light"]["data"][0]["text"] == [text]


def test_embedded_json_never_ends_its_element() -> None:
    value = {"a": "</script><!--", "b": "\u2028&"}
    text = embedded_json(value)
    assert "<" not in text
    assert ">" not in text
    assert json.loads(text) == value


def test_tables_align_numbers_and_mark_what_is_missing() -> None:
    html = html_table(pd.DataFrame({"name": ["a"], "count": [1234], "value": [0.12345], "gap": [float("nan")]}))
    assert "<td dir=auto>a</td>" in html
    assert "<td class=n>1,234</td><td class=n>0.1235</td><td class=n>–</td>" in html


def test_a_table_wider_than_a_page_stands_in_parts_and_says_once_what_every_row_says() -> None:
    measures = {f"measure {i}": [0.12345, -1.5, float("nan")] for i in range(20)}
    frame = pd.DataFrame({"group": ["a", "b", "c"], "metric": ["HR@10"] * 3, **measures, "note": ["", "few users", ""]})
    html = html_table(frame)
    assert html.count("<table>") > 1
    assert html.count("<th scope=col>group</th>") == html.count("<table>"), "every part names its rows"
    assert all(html.count(f">{name}</th>") == 1 for name in measures)
    assert html.count("HR@10") == 1
    assert "<p class=caption>b: few users</p>" in html
    for part in html.split("<table>")[1:]:
        assert sum(3 + max(len("measure"), len("−1.5000")) for _ in range(part.count(">measure "))) <= PAGE


def test_what_is_true_is_said_in_words() -> None:
    assert "<td dir=auto>yes</td>" in html_table(pd.DataFrame({"tail": [True, False]}))


def test_numbers() -> None:
    assert [number(v) for v in (3, 0.5, 0.00001, -0.00001, 0.0, None)] == [
        "3",
        "0.5000",
        "<.0001",
        ">−.0001",
        "0.0000",
        "–",
    ]


def test_provenance_nests() -> None:
    html = report([], provenance={"runs": {"id/sasrec": [{"seed": 42, "policy": None}]}})
    assert "<th scope=row>seed</th><td><span dir=auto>42</span></td>" in html
