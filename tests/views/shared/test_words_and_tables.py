"""Untrusted text in Markdown and in spreadsheets."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmesr.config import SplitConfig
from llmesr.data.groups import Thresholds
from llmesr.views.shared import words
from llmesr.views.shared.tables import csv_bytes, harmless, neutral


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("+1+1", "'+1+1"),
        ("-2+3", "'-2+3"),
        ("-0.5", "-0.5"),
        ("+1,200", "+1,200"),
        ("-1e5", "-1e5"),
        ("+0.201 [+0.095, +0.304]", "+0.201 [+0.095, +0.304]"),
        ("+0.038 [\u22120.048, +0.125]", "+0.038 [\u22120.048, +0.125]"),
        ("+0.2 [A1, +0.3]", "'+0.2 [A1, +0.3]"),
        ("+1 [+1, +2]+cmd", "'+1 [+1, +2]+cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\t=1", "'\t=1"),
        ("＝1", "'＝1"),
        ("a=b", "a=b"),
        ("", ""),
        ("-0.14 to 0.15", "-0.14 to 0.15"),
        ("\u22120.14 to +0.15", "\u22120.14 to +0.15"),
        ("-1 to cmd", "'-1 to cmd"),
        (-0.5, -0.5),
        (None, None),
    ],
)
def test_no_cell_is_a_formula(value: Any, safe: Any) -> None:
    assert neutral(value) == safe


def test_csv_keeps_numbers_and_neutralises_text_and_headings() -> None:
    frame = pd.DataFrame({"=cmd": ["=1+1", "plain, text"], "gain": [-0.25, np.nan]})
    read = pd.read_csv(io.BytesIO(csv_bytes(frame)), encoding="utf-8-sig")
    assert read.columns.tolist() == ["'=cmd", "gain"]
    assert read["'=cmd"].tolist() == ["'=1+1", "plain, text"]
    assert read["gain"].tolist()[0] == -0.25


def test_a_table_is_shown_without_formulas_because_it_can_be_copied_and_downloaded() -> None:
    frame = pd.DataFrame({"Title": ["=1+1", "", "Soap"], "gain": [-0.25, 0.5, np.nan]}, index=[4, 2, 9])
    shown = harmless(frame)
    assert shown["Title"].tolist() == ["'=1+1", "", "Soap"]
    assert shown.index.tolist() == [4, 2, 9]
    pd.testing.assert_series_equal(shown["gain"], frame["gain"])


def test_csv_takes_categories_and_doubled_headings() -> None:
    frame = pd.DataFrame([["=a", "b"]], columns=["x", "x"]).astype("category")
    assert csv_bytes(frame).decode("utf-8-sig").splitlines()[1] == "'=a,b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**bold** [x](javascript:y)", r"\*\*bold\*\* \[x\]\(javascript\:y\)"),
        ("<script>", r"\<script\>"),
        ("$x^2$ & 5:30", r"\$x^2\$ \& 5\:30"),
        ("two\nlines\x00", "two lines\ufffd"),
        ("\u202eabc", "\ufffdabc"),
        ("long " * 100, "long " * 59 + "long…"),
    ],
)
def test_markdown_shows_text_as_text(text: str, shown: str) -> None:
    assert words.as_text(text) == shown


@given(st.text())
def test_no_markdown_character_is_left_unescaped(text: str) -> None:
    shown = words.as_text(text)
    plain = shown.replace("\\\\", "")
    for mark in "*_`[]<>$:#!|":
        assert plain.count(mark) == plain.count("\\" + mark)


REWRITES = (
    r":material_(\w+):",
    r":streamlit:",
    r":\+1:|:-1:|:[\w-]+:",
    r"(https?:\/\/|www(?=\.))([-.\w]+)",
    r"([-.\w+]+)@([-\w]+(?:\.[-\w]+)+)",
    r"(^|\s)(<->|->|<-|--|>=|<=|~=)(\s|$)",
)
"""What Streamlit's frontend looks for in text once Markdown has been read (StreamlitMarkdown, remark-emoji, gfm)."""


@pytest.mark.parametrize(
    "title",
    [
        ":material/home: :streamlit: :smile: :+1: :-1: :a:b:",
        "see https://example.com/x, HTTP://EXAMPLE.COM or www.example.com",
        "write to jo.doe@example.com",
        "a -> b <- c <-> d -- e >= f <= g ~= h -> -> i",
        "AT&amp;T &lt;b&gt; &#58;smile&#58;",
    ],
)
def test_no_icon_link_or_arrow_is_made_of_text(title: str) -> None:
    shown = words.as_text(title)
    read = html.unescape(re.sub(r"\\([\\`*_{}\[\]()<>#+\-.!|~$:@&])", "\x00\\1", shown).replace("\x00&", "\x00＆"))
    text = read.replace("\x00＆", "&").replace("\x00", "").replace(":material/", ":material_")
    assert not [pattern for pattern in REWRITES if re.search(pattern, text, re.IGNORECASE)]
    assert text.replace("\u2060", "") == title


def test_metrics_are_explained_with_their_k() -> None:
    assert "first 10 recommendations" in words.metric_meaning("HR@10")
    assert words.metric_meaning("nonsense@3") == ""


def test_the_line_beside_every_number_names_protocol_and_definition() -> None:
    line = words.protocol_line("uni100", Thresholds(item=4, user=9), SplitConfig())
    assert "Held-out test items (leave-one-out)" in line
    assert "100 random items (uni100)" in line
    assert "fewer than 4 training interactions" in line
    assert "fewer than 9" in line


def test_the_line_names_a_temporal_split_by_its_dates() -> None:
    split = SplitConfig(kind="temporal", valid_from="2024-03-01", test_from="2024-04-01", targets="all")
    of = {part: words.protocol_line("full", Thresholds(item=4, user=9), split, part) for part in ("valid", "test")}
    assert "(temporal split, from 2024-04-01 on, all targets)" in of["test"]
    assert "(temporal split, 2024-03-01 to 2024-04-01, all targets)" in of["valid"]
    assert "trained before 2024-03-01" in words.split_line(split)
