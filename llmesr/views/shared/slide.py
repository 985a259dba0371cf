"""What a slide is made of, one part at a time: paragraphs, cells of a table, dots and their error bars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from lxml import etree
from pptx.chart.data import CategoryChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_LABEL_POSITION, XL_TICK_LABEL_POSITION, XL_TICK_MARK
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml.ns import qn
from pptx.util import Inches, Pt

from llmesr.views.shared.theme import SURFACE

WIDTH, HEIGHT, MARGIN = 13.333, 7.5, 0.6
"""Inches: a wide screen."""
FONT = "Calibri"
CROWDED = 24
"""More places on a slide leave no room for a word beside a dot."""
NOT_SIGNIFICANT = "n.s."
MANY, LONGEST = 8, 30
"""From so many categories on their names stand aslant, in small letters, and are cut in the middle."""
_NUMBER = re.compile(r"[+\u2212-]?\d[\d.,]*%?|\u2013")


@dataclass(frozen=True)
class Axis:
    """What an axis is of, how its numbers are written, where it begins and ends and in which steps, if that is said,
    whether it is logarithmic or turned, and whether its numbers mean anything."""

    title: str = ""
    number_format: str = "General"
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    turned: bool = False
    told: bool = True

    def put_on(self, axis: Any) -> None:
        """Make an axis of a chart so. Its title is as quiet as its numbers."""
        axis.has_title = bool(self.title)
        if self.title:
            frame = axis.axis_title.text_frame
            frame.text = self.title
            frame.paragraphs[0].runs[0].font.bold = False
            frame.paragraphs[0].runs[0].font.size = Pt(13)
        axis.minimum_scale, axis.maximum_scale, axis.reverse_order = self.low, self.high, self.turned
        axis.major_unit = self.step
        axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = self.number_format, False
        if self.log:
            scaling = axis._element.find(qn("c:scaling"))
            etree.SubElement(scaling, qn("c:logBase")).set("val", "10")
            scaling.insert(0, scaling[-1])  # the schema wants it first
        if not self.told:
            axis.tick_label_position = XL_TICK_LABEL_POSITION.NONE
            axis.major_tick_mark = XL_TICK_MARK.NONE
            axis.format.line.fill.background()
            axis.has_major_gridlines = False


CROWD = 2000
"""So many points are drawn as small as can be."""


@dataclass(frozen=True)
class Series:
    """Points of one colour, joined by a line or not, marked or not; x and y of equal length. ``size``: of a mark, in
    points; 0 leaves it to how many there are."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str
    joined: bool = False
    marked: bool = True
    size: int = 0


def size_of(many: int, *, joined: bool) -> int:
    """The size of a mark, in points, where there are so ``many``: in a crowd as small as can be."""
    return 2 if many >= CROWD else 4 if many >= 50 else 6 if joined else 10


def mark_size(places: int) -> int:
    """The size of a mark, in points, where so many stand side by side on a slide."""
    return int(np.clip(0.5 * 72 * WIDTH / places, 4, 11))


def ratio_of(axes: tuple[Axis, Axis]) -> float:
    """Width to height of a plane whose axes say where they begin and end."""
    wide, high = (float(a.high or 0) - float(a.low or 0) for a in axes)
    return wide / high if wide > 0 and high > 0 else 1.0


def from_zero(frame: pd.DataFrame, axis: Axis) -> Axis:
    """The axis from zero in round steps so far that all dots lie on it with their intervals."""
    values = frame[["value", "low", "high"]].astype(float)
    low, high = min(float(values.min().min()), 0.0), max(float(values.max().max()), 0.0)
    if not low < high:
        return axis
    digits = int(np.floor(np.log10(high - low)))
    step = 10.0**digits / (5 if (high - low) / 10.0**digits < 3 else 1)
    places = max(1 - digits, 0)
    ends = (round(float(end) * step, places + 1) for end in (np.floor(low / step), np.ceil(high / step)))
    written = axis.number_format if "%" in axis.number_format else f"0.{'0' * places}" if places else "0"
    return replace(axis, low=next(ends), high=next(ends), step=round(step, places + 1), number_format=written)


def write(
    slide: Any,
    paragraphs: Sequence[str],
    *,
    top: float,
    height: float,
    size: int,
    bold: bool = False,
    gap: int = 0,
    color: str = SURFACE["light"]["text"],
) -> None:
    box = slide.shapes.add_textbox(Inches(MARGIN), Inches(top), Inches(WIDTH - 2 * MARGIN), Inches(height))
    frame = box.text_frame
    frame.word_wrap = True
    frame.vertical_anchor = MSO_ANCHOR.TOP
    for i, text in enumerate(paragraphs):
        paragraph = frame.paragraphs[0] if i == 0 else frame.add_paragraph()
        paragraph.space_after = Pt(gap)
        run = paragraph.add_run()
        run.text = text
        run.font.size, run.font.bold, run.font.name, run.font.color.rgb = Pt(size), bold, FONT, rgb(color)


def write_looks(series: Any, rows: pd.DataFrame, color: str) -> None:
    """The intervals of a series of dots, and those dots that are not as the others."""
    own = [None if pd.isna(c) else str(c) for c in rows["color"]] if "color" in rows else []
    varied = len(set(own) - {None}) > 1
    tone = SURFACE["light"]["muted"] if varied else color
    whiskers(series, rows["high"] - rows["value"], rows["value"] - rows["low"], tone)
    for at, shade in enumerate(own):
        if shade is not None and (varied or rows["hollow"].iloc[at]):
            hollow = bool(rows["hollow"].iloc[at])
            dot(series.points[at], series.marker, shade, hollow=hollow, crowded=len(rows) > CROWDED)


def dot(point: Any, of_series: Any, color: str, *, hollow: bool, crowded: bool) -> None:
    """The looks of one dot that is not as the others of its series. ``crowded``: another may be right beside it."""
    marker = point.marker
    if hollow:  # in words too: LibreOffice draws it filled
        label = point.data_label
        label.position = XL_LABEL_POSITION.ABOVE if crowded else XL_LABEL_POSITION.RIGHT
        label.has_text_frame = True
        label.text_frame.text = NOT_SIGNIFICANT
        label.text_frame.paragraphs[0].runs[0].font.size = Pt(9)
    marker.style, marker.size = of_series.style, of_series.size
    marker.format.fill.solid()
    marker.format.fill.fore_color.rgb = rgb(SURFACE["light"]["background"] if hollow else color)
    marker.format.line.color.rgb = rgb(color)


def fill(cell: Any, value: str, *, head: bool, left: bool, size: int) -> None:
    cell.margin_top = cell.margin_bottom = Inches(0.03)
    cell.vertical_anchor = MSO_ANCHOR.MIDDLE
    cell.fill.solid()
    cell.fill.fore_color.rgb = rgb(SURFACE["light"]["panel" if head else "background"])
    paragraph = cell.text_frame.paragraphs[0]
    paragraph.alignment = PP_ALIGN.LEFT if left else PP_ALIGN.RIGHT
    run = paragraph.add_run()
    run.text = value or "\u00a0"  # an empty cell would be as high as a line of 18 points
    run.font.size, run.font.bold, run.font.name = Pt(size), head, FONT
    run.font.color.rgb = rgb(SURFACE["light"]["text"])


def rgb(color: str) -> RGBColor:
    return RGBColor(*bytes.fromhex(color.removeprefix("#")))  # type: ignore[no-untyped-call]


def whiskers(series: Any, above: pd.Series, below: pd.Series, color: str) -> None:
    """Error bars of the given lengths, which python-pptx cannot make: elements of DrawingML's chart (c:errBars)."""
    bars = etree.SubElement(series._element, qn("c:errBars"))
    for name, value in (("errDir", "y"), ("errBarType", "both"), ("errValType", "cust"), ("noEndCap", "0")):
        etree.SubElement(bars, qn(f"c:{name}")).set("val", value)
    for side, lengths in (("plus", above), ("minus", below)):
        numbers = etree.SubElement(etree.SubElement(bars, qn(f"c:{side}")), qn("c:numLit"))
        etree.SubElement(numbers, qn("c:formatCode")).text = "General"
        etree.SubElement(numbers, qn("c:ptCount")).set("val", str(len(lengths)))
        for i, length in enumerate(lengths):
            if not pd.isna(length):
                point = etree.SubElement(numbers, qn("c:pt"))
                point.set("idx", str(i))
                etree.SubElement(point, qn("c:v")).text = f"{max(float(length), 0.0):.6f}"
    line = etree.SubElement(etree.SubElement(bars, qn("c:spPr")), qn("a:ln"))
    line.set("w", str(Pt(1.5)))
    etree.SubElement(etree.SubElement(line, qn("a:solidFill")), qn("a:srgbClr")).set("val", color.removeprefix("#"))
    series._element.find(qn("c:cat")).addprevious(bars)  # the schema wants them between the marker and the categories


def write_names(chart: Any, series: Any, names: Sequence[str]) -> None:
    """Give the points of a series their names as labels, each on a ground of its own so that it can be read over other
    points, and leave the series out of the legend."""
    for at, name in enumerate(names):
        label = series.points[at].data_label
        label.position = XL_LABEL_POSITION.ABOVE
        frame = label.text_frame
        frame.text = name
        run = frame.paragraphs[0].runs[0]
        run.font.size, run.font.color.rgb = Pt(12), rgb(SURFACE["light"]["text"])
        looks = etree.Element(qn("c:spPr"))
        ground = etree.SubElement(etree.SubElement(looks, qn("a:solidFill")), qn("a:srgbClr"))
        ground.set("val", SURFACE["light"]["background"].removeprefix("#"))
        etree.SubElement(ground, qn("a:alpha")).set("val", "85000")
        label._dLbl.find(qn("c:tx")).addnext(looks)  # python-pptx knows no ground of a label; the schema wants it here
    if chart.has_legend:
        entry = etree.Element(qn("c:legendEntry"))
        etree.SubElement(entry, qn("c:idx")).set("val", series._element.find(qn("c:idx")).get("val"))
        etree.SubElement(entry, qn("c:delete")).set("val", "1")
        chart.legend._element.find(qn("c:legendPos")).addnext(entry)


def numeric(text: str) -> bool:
    """Whether a cell is a number or nothing: such columns are set to the right."""
    return not text or bool(_NUMBER.fullmatch(text))


def fitting(names: Sequence[str]) -> list[str]:
    """Names of categories; of many the beginning and the end, by which settings of one method are told apart."""
    if len(names) <= MANY:
        return list(names)
    half = LONGEST // 2
    return [n if len(n) <= LONGEST else f"{n[:half].rstrip()}\u2026{n[-half:].lstrip()}" for n in names]


def categories_of(categories: Sequence[str], number_format: str, places: int = 1) -> Any:
    """The empty data of a chart over these categories, each of so many ``places`` side by side."""
    data: Any = CategoryChartData(number_format=number_format)  # type: ignore[no-untyped-call]
    if places == 1:
        data.categories = categories
        return data
    for category in categories:
        added = data.add_category(category)
        for _ in range(places):
            added.add_sub_category("\u00a0")  # without a name a place would be counted, as 1, 2, 3
    return data
