"""The names of a map's regions: those of the whole picture as annotations, which a saved image and a slide have too;
those that come as one looks closer for names.js to write, since only the browser knows how close one looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmesr.maps.regions import Region
from llmesr.views.shared import theme
from llmesr.views.shared.marks import plain
from llmesr.views.shared.theme import Mode
from llmesr.views.shared.words import one_line

Ranges = tuple[tuple[float, float], tuple[float, float]]
SCRIPT = Path(__file__).with_name("names.js")
WHOLE = 12
"""Regions named in the whole picture, those with the most points."""
CLOSER = (1.3, 2.0, 4.0)
"""From which zoom on each level of :func:`llmesr.maps.regions.levels` stands; before the first, that of the whole."""
LONGEST = 40
_NARROWEST = (310, 404)  # pixels of a map beside another on a small screen, where names have the least room
_LETTER, _LINE = 6.6, 18  # pixels
_SIDE = 0.15  # of the width, where a name would be cut off
_TOP = 0.06  # of the height, likewise


def whole(named: Sequence[Region], ranges: Ranges, mode: Mode) -> list[dict[str, Any]]:
    """The annotations of the whole picture: of the largest regions those whose names do not lie on one another."""
    return [_annotation(region, ranges, mode) for region in _apart(named[:WHOLE], ranges)]


def closer(levels: Sequence[Sequence[Region]], ranges: Ranges, mode: Mode) -> dict[str, object]:
    """What a layout's ``meta`` says to names.js: the ranges of the whole picture, and each level's names and places."""
    if not any(levels):
        return {}
    (x, y), surface = ranges, theme.SURFACE[mode]
    told = [
        {"from": zoom, "names": [(round(r.x, 4), round(r.y, 4), one_line(", ".join(r.words), LONGEST)) for r in level]}
        for zoom, level in zip(CLOSER, levels, strict=False)
    ]
    colors = {"color": surface["text"], "background": theme.translucent(surface["background"], 0.7)}
    return {"names": {"x": x, "y": y, "levels": told, **colors}}


def _apart(named: Sequence[Region], ranges: Ranges) -> list[Region]:
    """The regions whose names do not lie on one another, those that come first before others, each name once."""
    # One unit is as long on both axes.
    scale = min(pixels / (high - low) for pixels, (low, high) in zip(_NARROWEST, ranges, strict=True))
    kept: list[tuple[Region, float]] = []
    for region in named:
        width = _LETTER * len(", ".join(region.words)) + 8
        clear = all(
            abs(region.x - other.x) * scale > (width + wide) / 2 or abs(region.y - other.y) * scale > _LINE
            for other, wide in kept
        )
        if clear and region.words not in [other.words for other, _ in kept]:
            kept.append((region, width))
    return [region for region, _ in kept]


def _annotation(region: Region, ranges: Ranges, mode: Mode) -> dict[str, Any]:
    """The words of a region above its middle, so that its points are seen, near the top below it; those near a side
    begin or end there."""
    surface = theme.SURFACE[mode]
    places = zip((region.x, region.y), ranges, strict=True)
    place, height = ((at - low) / (high - low) for at, (low, high) in places)
    under = height > 1 - _TOP
    return {
        "xanchor": "left" if place < _SIDE else "right" if place > 1 - _SIDE else "center",
        "yanchor": "top" if under else "bottom",
        "yshift": -6 if under else 6,
        "x": region.x,
        "y": region.y,
        "text": plain(", ".join(region.words), LONGEST),
        "showarrow": False,
        "font": {"size": 12, "color": surface["text"]},
        "bgcolor": theme.translucent(surface["background"], 0.7),
        "borderpad": 1,
    }
