"""A PowerPoint file whose charts are PowerPoint's own: their numbers can be edited, their colours are those of the app.

Text is put in as text: nothing in a name is a formula, a link or markup.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pptx import Presentation
from pptx.chart.data import XyChartData
from pptx.enum.chart import XL_CHART_TYPE, XL_LEGEND_POSITION, XL_MARKER_STYLE, XL_TICK_LABEL_POSITION, XL_TICK_MARK
from pptx.util import Inches, Pt

from llmesr.views.shared.slide import (
    FONT,
    HEIGHT,
    MANY,
    MARGIN,
    WIDTH,
    Axis,
    Series,
    categories_of,
    fill,
    fitting,
    from_zero,
    mark_size,
    numeric,
    ratio_of,
    rgb,
    size_of,
    write,
    write_looks,
    write_names,
)
from llmesr.views.shared.theme import SURFACE

TOP, BOTTOM = 1.45, 6.75
"""Between them stands what a slide shows; above its title, below the line that says what the numbers are."""
BLANK = 6
"""The layout of PowerPoint's default template that holds nothing but a title's absence."""
LETTERS = 125 * 14
"""Letters of one point in a line of a slide."""
NAMES = "names"
"""The series whose points only carry words."""
WIDEST = 28
"""Characters of the widest column of a table: longer names go on in a second line."""
MARKERS = {
    "circle": XL_MARKER_STYLE.CIRCLE,
    "square": XL_MARKER_STYLE.SQUARE,
    "diamond": XL_MARKER_STYLE.DIAMOND,
    "triangle": XL_MARKER_STYLE.TRIANGLE,
    "cross": XL_MARKER_STYLE.PLUS,
}


@dataclass(frozen=True)
class Around:
    """What stands around a chart or a table: ``lead`` above it, in letters of ``size``, ``line`` below it instead of
    the footer, and ``notes`` for the speaker."""

    lead: Sequence[str] = ()
    line: str = ""
    notes: str = ""
    size: int = 14


class Deck:
    """Slides one after another; ``footer`` stands below every one of them."""

    def __init__(self, footer: str) -> None:
        self._top = TOP
        self._file = Presentation()
        self._file.slide_width, self._file.slide_height = Inches(WIDTH), Inches(HEIGHT)
        self._footer = footer

    def text(self, title: str, paragraphs: Sequence[str], notes: str = "") -> None:
        """A slide of a title and paragraphs. ``notes`` are for the speaker."""
        slide = self._slide(title, Around(notes=notes))
        letters = sum(map(len, paragraphs))
        size = next((s for s, room in ((20, 700), (16, 1300), (13, 2200)) if letters < room), 10)
        write(slide, paragraphs, top=TOP, height=BOTTOM - TOP, size=size, gap=8)

    def dots(
        self,
        title: str,
        frame: pd.DataFrame,
        colors: Mapping[str, str],
        markers: Mapping[str, str],
        axis: str | Axis,
        around: Around = Around(),
        *,
        joined: Collection[str] = (),
    ) -> None:
        """A dot with its interval per series and category. ``frame``: series, category, value, low, high; where dots of
        a series differ in looks, also color and hollow. ``joined``: the series whose dots a line joins; without any,
        each stands beside the others of its category, so that no dot hides one or its interval."""
        slide = self._slide(title, around)
        axis = axis if isinstance(axis, Axis) else Axis(axis)
        if axis.low is None and not axis.log:  # PowerPoint and its kin do not count error bars in
            axis = from_zero(frame, axis)
        categories, names = (list(dict.fromkeys(frame[c])) for c in ("category", "series"))
        apart = len(names) > 1 and not joined
        places = len(names) + 2 if apart else 1  # an empty one at either end
        data = categories_of(fitting(categories), "0.000", places)
        slots = pd.MultiIndex.from_product([categories, range(places)])
        at = {n: i + 1 if apart else 0 for i, n in enumerate(names)}
        wide = {
            n: own.set_index(["category", own["series"].map(at)]).reindex(slots) for n, own in frame.groupby("series")
        }
        for name in names:
            data.add_series(name, [None if pd.isna(v) else float(v) for v in wide[name]["value"]])
        chart = self._chart(slide, XL_CHART_TYPE.LINE_MARKERS, data, axis)
        if len(categories) > MANY:
            chart.category_axis.tick_labels.font.size = Pt(9)
        if apart:
            chart.category_axis.major_tick_mark = XL_TICK_MARK.NONE  # one between any two places
        size = mark_size(len(slots))
        for series, name in zip(chart.plots[0].series, names, strict=True):
            color = rgb(colors[name])
            series.smooth = False
            if name in joined:
                series.format.line.color.rgb = color
            else:
                series.format.line.fill.background()
            series.marker.style = MARKERS.get(markers[name], XL_MARKER_STYLE.CIRCLE)
            series.marker.size = size
            series.marker.format.fill.solid()
            series.marker.format.fill.fore_color.rgb = color
            series.marker.format.line.color.rgb = color
            write_looks(series, wide[name], colors[name])

    def shares(self, title: str, frame: pd.DataFrame, colors: Mapping[str, str]) -> None:
        """A bar of shares per row of ``frame``: the index names the bars, the columns their parts."""
        slide = self._slide(title)
        data = categories_of([str(i) for i in frame.index][::-1], "0%")
        for column in frame:
            data.add_series(str(column), [float(v) for v in frame[column][::-1]])
        chart = self._chart(slide, XL_CHART_TYPE.BAR_STACKED_100, data, "share of users")
        chart.plots[0].gap_width = 45
        chart.value_axis.tick_labels.number_format, chart.value_axis.tick_labels.number_format_is_linked = "0%", False
        for series, column in zip(chart.plots[0].series, frame, strict=True):
            series.format.fill.solid()
            series.format.fill.fore_color.rgb = rgb(colors[str(column)])

    def bars(
        self,
        title: str,
        frame: pd.DataFrame,
        colors: Mapping[str, str],
        axis: str,
        around: Around = Around(),
        *,
        stacked: bool,
        lying: bool,
        number_format: str = "General",
    ) -> None:
        """Bars, ``stacked`` or side by side, ``lying`` or standing: the index names them, the columns are series."""
        slide = self._slide(title, around)
        rows = frame[::-1] if lying else frame  # the first of lying bars is at the top
        data = categories_of([str(i) for i in rows.index], number_format)
        for column in rows:
            data.add_series(str(column), [None if pd.isna(v) else float(v) for v in rows[column]])
        kinds = {
            (True, True): XL_CHART_TYPE.BAR_STACKED,
            (True, False): XL_CHART_TYPE.COLUMN_STACKED,
            (False, True): XL_CHART_TYPE.BAR_CLUSTERED,
            (False, False): XL_CHART_TYPE.COLUMN_CLUSTERED,
        }
        chart = self._chart(slide, kinds[stacked, lying], data, axis)
        chart.plots[0].gap_width = 45
        if not stacked and (rows.notna().sum(axis=1) < 2).all():  # one bar a place, whatever its series
            chart.plots[0].overlap = 100
        if number_format != "General":
            labels = chart.value_axis.tick_labels
            labels.number_format, labels.number_format_is_linked = number_format, False
        if stacked and rows.sum(axis=1).max() <= 1.001:  # shares of a whole
            chart.value_axis.maximum_scale = 1
        for series, column in zip(chart.plots[0].series, rows, strict=True):
            series.format.fill.solid()
            series.format.fill.fore_color.rgb = rgb(colors[str(column)])

    def points(
        self,
        title: str,
        series: Sequence[Series],
        axes: tuple[Axis, Axis],
        around: Around = Around(),
        *,
        names: Sequence[tuple[float, float, str]] = (),
        square: bool = False,
    ) -> None:
        """Points in the plane, joined or not; ``axes``: of x and of y. ``names`` are words at places: the labels of
        points that are not seen. ``square``: one unit is to be as long on both axes."""
        slide = self._slide(title, around)
        data: Any = XyChartData()  # type: ignore[no-untyped-call]
        if names:
            xs, ys, _ = zip(*names, strict=True)
            series = [*series, Series(NAMES, xs, ys, SURFACE["light"]["text"], marked=False)]
        # The longest first: LibreOffice leaves out a series that a longer one follows.
        series = sorted(series, key=lambda one: -len(one.x))
        for one in series:
            added = data.add_series(one.name)
            for x, y in zip(one.x, one.y, strict=True):
                added.add_data_point(x, y)
        ratio = ratio_of(axes) if square else None
        chart = self._chart(slide, XL_CHART_TYPE.XY_SCATTER_LINES_NO_MARKERS, data, axes[1], ratio)
        axes[0].put_on(chart.category_axis)
        chart.category_axis.has_major_gridlines = False
        if axes[1].told:
            chart.value_axis.tick_label_position = XL_TICK_LABEL_POSITION.LOW
        for made, one in zip(chart.plots[0].series, series, strict=True):
            made.smooth = False
            if one.joined:
                made.format.line.color.rgb = rgb(one.color)
            else:
                made.format.line.fill.background()
            if not one.marked:
                made.marker.style = XL_MARKER_STYLE.NONE
            if one.name == NAMES and names:
                write_names(chart, made, [name for _, _, name in names])
            if not one.marked:
                continue
            made.marker.style = XL_MARKER_STYLE.CIRCLE
            made.marker.size = one.size or size_of(len(one.x), joined=one.joined)
            made.marker.format.fill.solid()
            made.marker.format.fill.fore_color.rgb = rgb(one.color)
            made.marker.format.line.color.rgb = rgb(one.color)

    def table(self, title: str, frame: pd.DataFrame, around: Around = Around()) -> None:
        """A slide of a table; cells are texts, written as they are."""
        slide = self._slide(title, around)
        rows, columns = len(frame) + 1, frame.shape[1]
        row = min(0.45, (BOTTOM - self._top) / rows)
        shape = slide.shapes.add_table(
            rows, columns, Inches(MARGIN), Inches(self._top), Inches(WIDTH - 2 * MARGIN), Inches(row * rows)
        )
        cells = [list(map(str, frame.columns)), *frame.astype(str).to_numpy().tolist()]
        words = [c == 0 or not all(numeric(line[c]) for line in cells[1:]) for c in range(columns)]
        widest = np.array([max(len(line[c]) for line in cells) for c in range(columns)], float).clip(6, WIDEST)
        for column, share in zip(shape.table.columns, widest / widest.sum(), strict=True):
            column.width = int(Inches(WIDTH - 2 * MARGIN) * share)
        for r, line in enumerate(cells):
            shape.table.rows[r].height = Inches(row)
            for c, value in enumerate(line):
                fill(
                    shape.table.cell(r, c),
                    value,
                    head=r == 0,
                    left=words[c],
                    size=13 if rows < 10 and columns < 8 else 11 if rows < 14 and columns < 8 else 10,
                )

    def bytes(self) -> bytes:
        """The file."""
        stream = io.BytesIO()
        self._file.save(stream)
        return stream.getvalue()

    def _slide(self, title: str, around: Around = Around()) -> Any:
        slide = self._file.slides.add_slide(self._file.slide_layouts[BLANK])
        size = next((s for s, room in ((28, 52), (22, 80)) if len(title) < room), 16)
        write(slide, [title], top=0.4, height=0.95, size=size, bold=True)
        line = around.line or self._footer
        write(slide, [line], top=BOTTOM + 0.1, height=0.5, size=11, color=SURFACE["light"]["muted"])
        self._top = TOP
        if around.lead:
            write(slide, around.lead, top=TOP - 0.1, height=0.3, size=around.size, gap=around.size // 7)
            wide = LETTERS // around.size
            self._top += 0.15 + 0.02 * around.size * sum(1 + len(text) // wide for text in around.lead)
        if around.notes:
            slide.notes_slide.notes_text_frame.text = around.notes
        return slide

    def _chart(self, slide: Any, kind: XL_CHART_TYPE, data: Any, axis: str | Axis, ratio: float | None = None) -> Any:
        """``ratio``: of width to height; without one as wide as the slide."""
        width, height = WIDTH - 2 * MARGIN, BOTTOM - self._top
        if ratio is not None:
            width, height = min(width, height * ratio), min(height, width / ratio)
        left = (WIDTH - width) / 2
        frame = slide.shapes.add_chart(kind, Inches(left), Inches(self._top), Inches(width), Inches(height), data)
        chart = frame.chart
        chart.font.size, chart.font.name = Pt(13), FONT
        chart.has_title = False
        chart.has_legend = len(list(data)) > 1
        if chart.has_legend:
            chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.BOTTOM, False
        chart.category_axis.tick_label_position = (
            XL_TICK_LABEL_POSITION.LOW
        )  # not in the middle, where some are below zero
        chart.value_axis.major_gridlines.format.line.color.rgb = rgb(SURFACE["light"]["grid"])
        chart.value_axis.format.line.fill.background()
        axis = axis if isinstance(axis, Axis) else Axis(axis)
        axis.put_on(chart.value_axis)
        if axis.turned:  # its low end is at the top
            chart.category_axis.tick_label_position = XL_TICK_LABEL_POSITION.HIGH
        return chart
