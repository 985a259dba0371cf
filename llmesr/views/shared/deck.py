"""A PowerPoint file whose charts are PowerPoint's own: their numbers can be edited, their colours are those of the app.

Text is put in as text: nothing in a name is a formula, a link or markup.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from lxml import etree
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE, XL_LEGEND_POSITION, XL_MARKER_STYLE
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml.ns import qn
from pptx.util import Inches, Pt

from llmesr.views.shared.theme import SURFACE

WIDTH, HEIGHT, MARGIN = 13.333, 7.5, 0.6
"""Inches: a wide screen."""
TOP, BOTTOM = 1.45, 6.75
"""Between them stands what a slide shows; above its title, below the line that says what the numbers are."""
BLANK = 6
"""The layout of PowerPoint's default template that holds nothing but a title's absence."""
FONT = "Calibri"
MARKERS = {
    "circle": XL_MARKER_STYLE.CIRCLE,
    "square": XL_MARKER_STYLE.SQUARE,
    "diamond": XL_MARKER_STYLE.DIAMOND,
    "triangle": XL_MARKER_STYLE.TRIANGLE,
    "cross": XL_MARKER_STYLE.PLUS,
}


class Deck:
    """Slides one after another; ``footer`` stands below every one of them."""

    def __init__(self, footer: str) -> None:
        self._file = Presentation()
        self._file.slide_width, self._file.slide_height = Inches(WIDTH), Inches(HEIGHT)
        self._footer = footer

    def text(self, title: str, paragraphs: Sequence[str], notes: str = "") -> None:
        """A slide of a title and paragraphs. ``notes`` are for the speaker."""
        slide = self._slide(title, notes)
        letters = sum(map(len, paragraphs))
        size = next((s for s, room in ((20, 700), (16, 1300), (13, 2200)) if letters < room), 10)
        _write(slide, paragraphs, top=TOP, height=BOTTOM - TOP, size=size, gap=8)

    def dots(
        self,
        title: str,
        frame: pd.DataFrame,
        colors: Mapping[str, str],
        markers: Mapping[str, str],
        axis: str,
        line: str = "",
    ) -> None:
        """A dot with its interval per series and category. ``frame``: series, category, value, low, high.

        ``line`` stands below it instead of the footer.
        """
        slide = self._slide(title, line=line)
        categories, names = (list(dict.fromkeys(frame[c])) for c in ("category", "series"))
        data = _data(categories, "0.000")
        wide = {n: frame[frame["series"] == n].set_index("category").reindex(categories) for n in names}
        for name in names:
            data.add_series(name, [None if pd.isna(v) else float(v) for v in wide[name]["value"]])
        chart = self._chart(slide, XL_CHART_TYPE.LINE_MARKERS, data, axis)
        for series, name in zip(chart.plots[0].series, names, strict=True):
            color = _rgb(colors[name])
            series.smooth = False
            series.format.line.fill.background()
            series.marker.style = MARKERS.get(markers[name], XL_MARKER_STYLE.CIRCLE)
            series.marker.size = 11
            series.marker.format.fill.solid()
            series.marker.format.fill.fore_color.rgb = color
            series.marker.format.line.color.rgb = color
            rows = wide[name]
            _whiskers(series, rows["high"] - rows["value"], rows["value"] - rows["low"], colors[name])

    def shares(self, title: str, frame: pd.DataFrame, colors: Mapping[str, str]) -> None:
        """A bar of shares per row of ``frame``: the index names the bars, the columns their parts."""
        slide = self._slide(title)
        data = _data([str(i) for i in frame.index][::-1], "0%")
        for column in frame:
            data.add_series(str(column), [float(v) for v in frame[column][::-1]])
        chart = self._chart(slide, XL_CHART_TYPE.BAR_STACKED_100, data, "share of users")
        chart.plots[0].gap_width = 45
        chart.value_axis.tick_labels.number_format, chart.value_axis.tick_labels.number_format_is_linked = "0%", False
        for series, column in zip(chart.plots[0].series, frame, strict=True):
            series.format.fill.solid()
            series.format.fill.fore_color.rgb = _rgb(colors[str(column)])

    def table(self, title: str, frame: pd.DataFrame) -> None:
        """A slide of a table; cells are texts, written as they are."""
        slide = self._slide(title)
        rows, columns = len(frame) + 1, frame.shape[1]
        row = min(0.45, (BOTTOM - TOP) / rows)
        shape = slide.shapes.add_table(
            rows, columns, Inches(MARGIN), Inches(TOP), Inches(WIDTH - 2 * MARGIN), Inches(row * rows)
        )
        cells = [list(map(str, frame.columns)), *frame.astype(str).to_numpy().tolist()]
        widest = np.array([max(len(line[c]) for line in cells) for c in range(columns)], float).clip(6, 40)
        for column, share in zip(shape.table.columns, widest / widest.sum(), strict=True):
            column.width = int(Inches(WIDTH - 2 * MARGIN) * share)
        for r, line in enumerate(cells):
            shape.table.rows[r].height = Inches(row)
            for c, value in enumerate(line):
                _cell(shape.table.cell(r, c), value, head=r == 0, left=c == 0, size=13 if rows < 14 else 10)

    def bytes(self) -> bytes:
        """The file."""
        stream = io.BytesIO()
        self._file.save(stream)
        return stream.getvalue()

    def _slide(self, title: str, notes: str = "", line: str = "") -> Any:
        slide = self._file.slides.add_slide(self._file.slide_layouts[BLANK])
        _write(slide, [title], top=0.4, height=0.95, size=28 if len(title) < 70 else 22, bold=True)
        _write(slide, [line or self._footer], top=BOTTOM + 0.1, height=0.5, size=11, color=SURFACE["light"]["muted"])
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
        return slide

    def _chart(self, slide: Any, kind: XL_CHART_TYPE, data: CategoryChartData, axis: str) -> Any:
        frame = slide.shapes.add_chart(
            kind, Inches(MARGIN), Inches(TOP), Inches(WIDTH - 2 * MARGIN), Inches(BOTTOM - TOP), data
        )
        chart = frame.chart
        chart.font.size, chart.font.name = Pt(13), FONT
        chart.has_title = False
        chart.has_legend = True
        chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.BOTTOM, False
        chart.value_axis.has_title = True
        chart.value_axis.axis_title.text_frame.text = axis
        chart.value_axis.major_gridlines.format.line.color.rgb = _rgb(SURFACE["light"]["grid"])
        chart.value_axis.format.line.fill.background()
        return chart


def _write(
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
        run.font.size, run.font.bold, run.font.name, run.font.color.rgb = Pt(size), bold, FONT, _rgb(color)


def _cell(cell: Any, value: str, *, head: bool, left: bool, size: int) -> None:
    cell.margin_top = cell.margin_bottom = Inches(0.03)
    cell.vertical_anchor = MSO_ANCHOR.MIDDLE
    cell.fill.solid()
    cell.fill.fore_color.rgb = _rgb(SURFACE["light"]["panel" if head else "background"])
    paragraph = cell.text_frame.paragraphs[0]
    paragraph.alignment = PP_ALIGN.LEFT if left else PP_ALIGN.RIGHT
    run = paragraph.add_run()
    run.text = value
    run.font.size, run.font.bold, run.font.name = Pt(size), head, FONT
    run.font.color.rgb = _rgb(SURFACE["light"]["text"])


def _data(categories: Sequence[str], number_format: str) -> Any:
    data: Any = CategoryChartData(number_format=number_format)  # type: ignore[no-untyped-call]
    data.categories = categories
    return data


def _rgb(color: str) -> RGBColor:
    return RGBColor(*bytes.fromhex(color.removeprefix("#")))  # type: ignore[no-untyped-call]


def _whiskers(series: Any, above: pd.Series, below: pd.Series, color: str) -> None:
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
