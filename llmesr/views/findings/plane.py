"""Points in the plane as PowerPoint can draw them: maps, trade-offs, curves. Of a large map a sample, said in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log10

import numpy as np

from llmesr.views.findings.bins import by_bin
from llmesr.views.findings.traces import Figure, as_said, axis_of, look_of, text
from llmesr.views.shared.marks import Sampled, sampled_of
from llmesr.views.shared.slide import Axis, Series, size_of

MOST_POINTS = 10_000
"""More of them PowerPoint draws slowly, and nobody tells apart."""
SELECTED_SIZE = 6
"""Of a mark, in points."""


@dataclass(frozen=True)
class Points:
    """``names``: words at places in the plane. ``square``: one unit is as long on both axes. ``line``: what of a large
    map is drawn, in a sentence; empty where all of it is."""

    series: list[Series]
    axes: tuple[Axis, Axis]
    names: tuple[tuple[float, float, str], ...] = ()
    square: bool = False
    line: str = ""


def points_of(traces: Sequence[Figure], layout: Figure) -> Points | None:
    """None where the axes are hidden, where there are several panels, and for curves of more than ``MOST_POINTS``."""
    axes = [axis_of(layout, traces[0], letter) for letter in "xy"]
    several = len({(t.get("xaxis"), t.get("yaxis")) for t in traces}) > 1
    if several or any(a.get("visible") is False for a in axes):
        return None
    traces = [part for trace in traces for part in by_bin(trace)]
    made = [found for number, trace in enumerate(traces, start=1) if (found := _series(trace, number)) is not None]
    square, of = axes[1].get("scaleanchor") == "x", sampled_of(layout)
    if not made or (sum(len(s.x) for s in made) > MOST_POINTS and not square):
        return None
    made = _once(made, of.selected)
    kept = _sample(made, of.selected)
    if square:  # on a map a series of few points is no more than one of many
        size = size_of(sum(len(s.x) for s in kept), joined=False)
        kept = [replace(s, size=s.size or size) for s in kept]
    x, y = (_corners(a) if square else as_said(a) for a in axes)
    return Points(kept, (x, y), _names(layout, axes), square, _line(made, kept, of))


def _corners(axis: Figure) -> Axis:
    """From corner to corner, so that the picture keeps its shape."""
    low, high = min(axis["range"]), max(axis["range"])
    step = 10.0 ** (floor(log10(high - low)) - 1) if high > low else 1.0  # two digits are enough, and waste no room
    return replace(as_said(axis), low=round(step * floor(low / step), 9), high=round(step * ceil(high / step), 9))


def _series(trace: Figure, number: int) -> Series | None:
    both = zip(trace.get("x") or [], trace.get("y") or [], strict=False)
    known = [(float(x), float(y)) for x, y in both if isinstance(x, (int, float)) and isinstance(y, (int, float))]
    if not known:
        return None
    xs, ys = zip(*known, strict=True)
    mode, name = trace.get("mode", "lines"), text(trace.get("name") or "") or f"series {number}"
    return Series(name, xs, ys, look_of(trace, 0)[0], joined="lines" in mode, marked="markers" in mode)


def _once(series: Sequence[Series], selected: str) -> list[Series]:
    """Without what is drawn again as selected: LibreOffice would draw it over the selected."""
    chosen = {place for s in series if s.name == selected for place in zip(s.x, s.y, strict=True)}
    if not chosen:
        return list(series)
    beneath = [[place not in chosen for place in zip(s.x, s.y, strict=True)] for s in series]
    return [s if s.name == selected else _only(s, kept) for s, kept in zip(series, beneath, strict=True)]


def _sample(series: Sequence[Series], selected: str) -> list[Series]:
    """All points where they are no more than ``MOST_POINTS``, else so many: the selected, and of the others as many as
    there is room for, each as likely as any other."""
    others = [len(s.x) for s in series if s.name != selected]
    room = MOST_POINTS - sum(len(s.x) for s in series if s.name == selected)
    if sum(others) > room:
        picked = np.zeros(sum(others), bool)
        picked[np.random.default_rng(0).choice(len(picked), max(room, 0), replace=False)] = True
        parts = iter(np.split(picked, np.cumsum(others)[:-1]))
        series = [s if s.name == selected else _only(s, next(parts)) for s in series]
    return [replace(s, size=SELECTED_SIZE) if s.name == selected else s for s in series if len(s.x)]


def _only(series: Series, kept: Iterable[bool]) -> Series:
    pairs = zip(series.x, series.y, strict=True)
    there = [pair for pair, keep in zip(pairs, kept, strict=True) if keep]
    return replace(series, x=[x for x, _ in there], y=[y for _, y in there])


def _line(drawn: Sequence[Series], kept: Sequence[Series], of: Sampled) -> str:
    """How many of how many points are on the slide."""
    there, here = (sum(len(s.x) for s in some) for some in (drawn, kept))
    chosen = sum(len(s.x) for s in kept if s.name == of.selected)
    every = max(of.all, there)
    if here == every:
        return ""
    said = f"Drawn: {here:,} of {every:,} {of.of}"
    if not chosen:
        return f"{said}, at random."
    most = f"all {chosen:,}" if chosen >= of.chosen else f"{chosen:,} of the {of.chosen:,}"
    return f"{said}: {most} selected, the others at random."


def _names(layout: Figure, axes: Sequence[Figure]) -> tuple[tuple[float, float, str], ...]:
    """What is written into the plane: annotations at places on both axes, not those beside or above it."""
    found = []
    for note in layout.get("annotations") or []:
        at = [note.get("x"), note.get("y")]
        if (note.get("xref", "x"), note.get("yref", "y")) != ("x", "y") or not note.get("text"):
            continue
        if all(isinstance(v, (int, float)) for v in at):
            # On a logarithmic axis an annotation stands at the logarithm.
            x, y = (10.0**v if a.get("type") == "log" else float(v) for v, a in zip(at, axes, strict=True))
            found.append((x, y, text(note["text"])))
    return tuple(found)
