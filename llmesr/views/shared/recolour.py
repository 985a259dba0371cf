"""A figure that was drawn for one theme in the colours of the other."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go
from plotly.io import to_json

from llmesr.errors import UserError
from llmesr.findings import Pinned
from llmesr.views.shared import theme
from llmesr.views.shared.theme import Mode

_COLOR = re.compile(r"#[0-9a-f]{6}\b|rgba\((\d+),(\d+),(\d+),", re.IGNORECASE)


def drawn(finding: Pinned, mode: Mode) -> go.Figure | None:
    """The chart of a finding for a theme; None where it is a table alone. UserError when it is damaged."""
    chart = checked(finding, mode)
    return None if chart is None else go.Figure(chart).update_layout(template=theme.template(mode))


def checked(finding: Pinned, mode: Mode) -> dict[str, Any] | None:
    """The same as plotly's JSON, without a template."""
    found = finding.figure()
    if found is None:
        return None
    chart: dict[str, Any] = recoloured(found, finding.mode, mode)
    try:
        to_json(go.Figure(chart), validate=False)
    except (TypeError, ValueError) as error:  # as plotly refuses what it cannot draw, or write down
        raise UserError(f"The finding {finding.id!r} is damaged: its chart cannot be drawn. Delete it.") from error
    return chart


def recoloured(value: Any, old: Mode, new: Mode) -> Any:
    """The JSON of a figure with every colour of the theme ``old`` as the one that stands for the same in ``new``."""
    if old == new:
        return value
    if isinstance(value, dict):
        return {k: recoloured(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [recoloured(v, old, new) for v in value]
    if isinstance(value, str):
        return _COLOR.sub(lambda found: _other(found, _pairs(old, new)), value)
    return value


def _other(found: re.Match[str], pairs: dict[str, str]) -> str:
    if found[0].startswith("#"):
        return pairs.get(found[0].lower(), found[0])
    color = "#" + "".join(f"{min(int(found[i]), 255):02x}" for i in (1, 2, 3))
    return theme.translucent(pairs.get(color, color), 0).rpartition(",")[0] + ","


@functools.cache
def _pairs(old: Mode, new: Mode) -> dict[str, str]:
    """Colour -> its counterpart. Where two things share one, the first that is listed wins."""
    found: dict[str, str] = {}
    for before, after in _counterparts(old, new):
        found.setdefault(before, after)
    return found


def _counterparts(old: Mode, new: Mode) -> Iterator[tuple[str, str]]:
    for table in (theme.METHODS, theme.GROUP_COLORS, theme.SEMANTIC, theme.PARTS, theme.SURFACE):
        yield from zip(table[old].values(), table[new].values(), strict=True)
    for before, after in zip(theme.POINT_SCALE[old], theme.POINT_SCALE[new], strict=True):
        yield str(before[1]), str(after[1])
