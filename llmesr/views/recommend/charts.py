"""A list of recommendations as a chart: titles, what moved, and each score split into its parts."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from llmesr.config import COLD
from llmesr.views.recommend.what_if import PARTS
from llmesr.views.shared import theme
from llmesr.views.shared.marks import plain
from llmesr.views.shared.theme import Mode
from llmesr.views.shared.words import one_line

BADGE: dict[Mode, str] = {"light": "#a04c00", "dark": "#e58a55"}
"""The hue of tail items, light enough on dark to be read as text."""
STAR = "★"
"""Marks the item that was held out."""
PATTERNS = {"collaborative": "", "semantic": "/", "content": "."}
_ROW, _WHY, _SECOND, _BAR = 40, 14, 17, 12
"""Pixels of a row with one line and its bar, of the line that says why, of a second line, and of the bar."""


def list_figure(frame: pd.DataFrame, moves: Sequence[str], mode: Mode, *, longest: int = 44) -> go.Figure:
    """One list, best first; ``frame`` as from ``Recommender.recommend`` with the ``group`` of
    every item, ``moves`` as from ``what_if.moved``.

    Over each bar stand the rank, what moved, a mark for tail items, the title in one or two lines of ``longest``
    characters, and below them why (``why_short``), where ``frame`` has such a column.
    """
    height = max(len(frame), 1)
    reasons = frame["why_short"].tolist() if "why_short" in frame else [""] * len(frame)
    stars = [STAR if held else "" for held in frame["held"]] if "held" in frame else [""] * len(frame)
    titles = [
        _lines(title, longest, len(f"{row} {star} {move} {_short(group)}"))
        for row, (title, group, move, star) in enumerate(
            zip(frame["title"], frame["group"], moves, stars, strict=True), start=1
        )
    ]
    headings = [
        {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": row + 0.04,  # on the bar, however many lines there are
            "yanchor": "bottom",
            "text": _heading(row + 1, lines, group, move, mode, star) + _why(why, mode, longest),
            "showarrow": False,
            "align": "left",
            "font": {"size": 13},
        }
        for row, (lines, group, move, why, star) in enumerate(
            zip(titles, frame["group"], moves, reasons, stars, strict=True)
        )
    ]
    two = any(len(lines) > 1 for lines in titles)
    layout = {
        "barmode": "relative",
        "bargap": 0.4,
        "annotations": headings,
        "xaxis": {"showticklabels": False, "showgrid": False, "zeroline": False, "fixedrange": True},
        "yaxis": {"range": [len(frame) - 0.4, -0.6], "visible": False, "fixedrange": True},
        # Room for a legend of two lines in every list, so that bars of lists side by side keep their height.
        "margin": {"t": 4, "b": 52, "l": 2, "r": 2},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "font": {"size": 12}},
        "showlegend": True,
    }
    # All at once: plotly checks a figure again whenever something is added.
    row = _ROW + _WHY * any(reasons) + _SECOND * two
    look = theme.look(mode, height=72 + row * height)
    return go.Figure(_bars(frame, mode, _BAR / row), look | layout)


def _bars(frame: pd.DataFrame, mode: Mode, thickness: float) -> list[dict[str, Any]]:
    """A trace for each part of the scores that is there."""
    whole = [f"{plain(t, 90)}<br>score {s:.3f}" for t, s in zip(frame["title"], frame["score"], strict=True)]
    stripes = {"size": 6, "solidity": 0.2, "fillmode": "overlay", "fgopacity": 0.55}
    background = theme.SURFACE[mode]["background"]
    return [
        {
            "type": "bar",
            "x": values,
            "y": list(range(len(frame))),
            "name": part,
            "orientation": "h",
            "width": thickness,
            "offset": 0.05,
            "marker": {
                "color": theme.PARTS[mode][part],
                "line": {"width": 0},
                "pattern": {"shape": PATTERNS[part], "fgcolor": background, **stripes},
            },
            "text": whole,
            "customdata": [[id] for id in frame["item_id"]],
            "textposition": "none",
            "hovertemplate": f"%{{text}}<br>{part} %{{x:.3f}}<extra></extra>",
        }
        for part in PARTS
        if (values := frame[part].to_numpy(float)).any()
    ]


def _why(why: str, mode: Mode, longest: int) -> str:
    """The reason as a second, fainter line."""
    if not why:
        return ""
    muted = theme.SURFACE[mode]["muted"]
    line = longest + longest // 5  # letters are smaller
    return f"<br><span style='color:{muted};font-size:11px'>{plain(_fitting(why, line), line)}</span>"


def _fitting(why: str, longest: int) -> str:
    """As many whole parts of a reason as a line holds, at least the first."""
    said, *more = re.split(r"(?<=\d%)(?=[,;] )", why)
    for part in more:
        if len(said) + len(part) > longest:
            break
        said += part
    return said


def _heading(rank: int, lines: Sequence[str], group: str, move: str, mode: Mode, star: str = "") -> str:
    surface, signs = theme.SURFACE[mode], theme.SEMANTIC[mode]
    colour = signs["good"] if move.startswith("▲") or move == "new" else signs["bad"] if move.startswith("▼") else ""
    moved = f' <span style="color:{signs["highlight"]}"><b>{star}</b></span>' if star else ""
    moved += f' <span style="color:{colour or surface["muted"]}">{move}</span>' if move else ""
    badge = f' <span style="color:{BADGE[mode]}"><b>{_short(group)}</b></span>' if _short(group) else ""
    return f'<span style="color:{surface["muted"]}">{rank}</span>{moved}{badge} {"<br>".join(lines)}'


def _lines(title: str, longest: int, before: int) -> list[str]:
    """A title in one line, or in two where it is longer; ``before``: characters that stand before it."""
    whole, indent = one_line(title, 4 * longest), " " * before
    letters = before + len(whole)
    # Two lines are of one length, as far as words allow: a last word alone below says little.
    width = longest if letters <= longest else min(longest, letters // 2 + 8)
    lines = textwrap.wrap(whole, width, initial_indent=indent, max_lines=2, placeholder="…")
    return [plain(line.strip(), longest) for line in lines] or [""]


def _short(group: str) -> str:
    """*tail* or *cold*; nothing for an item of the head."""
    return {"Tail Item": "tail", COLD: "cold"}.get(group, "")


def list_table(frame: pd.DataFrame, moves: Sequence[str]) -> pd.DataFrame:
    """The same list as a table: Rank, Moved, Title, Item, Group, Score, its parts, and why."""
    table = pd.DataFrame(
        {
            "Rank": frame["rank"],
            "Moved": list(moves),
            "Title": frame["title"],
            "Item": frame["item_id"],
            "Group": frame["group"],
            "Score": frame["score"],
        }
    )
    for part in PARTS:
        table[part.capitalize()] = frame[part]
    if "held" in frame and frame["held"].any():
        table["Held out"] = [STAR if held else "" for held in frame["held"]]
    if "why" in frame:
        table["Why"] = frame["why"]
    return table if any(moves) else table.drop(columns="Moved")


def describe(label: str, frame: pd.DataFrame, moves: Sequence[str]) -> str:
    """The list in words."""
    words = [
        f"{r.rank} {plain(r.title, 60)}{f' ({_short(r.group)})' if _short(r.group) else ''}"
        f"{' (held out)' if getattr(r, 'held', False) else ''}"
        f"{f' {m}' if m and m != '=' else ''}"
        for r, m in zip(frame.itertuples(), moves, strict=True)
    ]
    return f"Recommendations of {label}, best first: " + "; ".join(words)
