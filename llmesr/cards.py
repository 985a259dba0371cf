"""What a notebook shows of an object: a small card in HTML, in which all that comes from data is text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import pandas as pd

_LEFT, _RIGHT = "text-align:left", "text-align:right"


def card(title: str, subtitle: str, *parts: str) -> str:
    """A title with what stands below it; ``parts`` are HTML, made by the functions here."""
    head = f"<strong>{escape(title)}</strong> <span style='opacity:.7'>{escape(subtitle)}</span>"
    return f"<div>{head}{''.join(parts)}</div>"


def facts(rows: Iterable[tuple[str, object]]) -> str:
    """Names and values, one below the other; values that are None are left out."""
    cells = (
        f"<tr><th style='{_LEFT}'>{escape(name)}</th><td style='{_LEFT}'>{escape(_said(value))}</td></tr>"
        for name, value in rows
        if value is not None
    )
    return f"<table>{''.join(cells)}</table>"


def grid(frame: pd.DataFrame, caption: str = "") -> str:
    """Numbers by row and column, to three decimals."""
    head = "".join(f"<th>{escape(str(c))}</th>" for c in frame.columns)
    body = "".join(
        f"<tr><th style='{_LEFT}'>{escape(str(name))}</th>"
        + "".join(f"<td style='{_RIGHT}'>{_number(v)}</td>" for v in row)
        + "</tr>"
        for name, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)
    )
    told = f"<caption style='{_LEFT}'>{escape(caption)}</caption>" if caption else ""
    return f"<table>{told}<tr><th></th>{head}</tr>{body}</table>"


def sentences(said: Sequence[str]) -> str:
    """Each in a line of its own."""
    return f"<ul>{''.join(f'<li>{escape(s)}</li>' for s in said)}</ul>" if said else ""


def _said(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number(value: object) -> str:
    missing = value is None or value != value
    return "" if missing else f"{value:.3f}" if isinstance(value, float) else escape(str(value))
