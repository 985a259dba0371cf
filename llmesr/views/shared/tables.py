"""Tables for people: what their columns are called, and files of them that no spreadsheet takes for a program."""

from __future__ import annotations

import re

import pandas as pd

_SUMMARY = {
    "run": "configuration",
    "group": "group",
    "metric": "metric",
    "value": "mean",
    "low": "95% low",
    "high": "95% high",
    "users": "users",
    "seeds": "seeds",
    "spread": "seed spread",
    "warning": "note",
}
_COMPARISON = {
    "run": "configuration",
    "baseline": "baseline",
    "group": "group",
    "metric": "metric",
    "difference": "difference",
    "low": "95% low",
    "high": "95% high",
    "relative": "relative",
    "p_adjusted": "p (corrected)",
    "p_wilcoxon_adjusted": "p (Wilcoxon, corrected)",
    "significant": "significant",
    "bound": "at most",
    "detectable": "detectable",
    "effect": "effect (d)",
    "rank_biserial": "rank-biserial",
    "better": "users better",
    "worse": "users worse",
    "missed": "missed by both",
    "users": "users",
    "warning": "note",
}
_DIGITS = r"[+\u2212-]?\d[\d.,]*([eE][+-]?\d+)?"
_NUMBER = re.compile(rf"{_DIGITS}( \[{_DIGITS}, {_DIGITS}\]| to {_DIGITS})?")
"""A number, a number and its interval, or an interval alone: +0.20 [+0.10, +0.30], -0.14 to +0.15."""
_STARTS_FORMULA = re.compile(r"^[\s\u0000]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")


def neutral(value: object) -> object:
    """Text that a spreadsheet would run (``=...``, ``+...``, ``-...``, ``@...``) with a ``'`` before it; numbers in
    text stay, with their intervals."""
    if not isinstance(value, str) or not _STARTS_FORMULA.match(value) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with text that nothing runs: a table can be downloaded or copied from the page as it stands there."""
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    texts = [
        c if pd.api.types.is_numeric_dtype(c.dtype) else pd.Series([neutral(v) for v in c], c.index) for c in columns
    ]
    safe = pd.DataFrame(dict(enumerate(texts)), frame.index)
    safe.columns = pd.Index([neutral(str(c)) for c in frame.columns])
    return safe


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """``frame`` as UTF-8 CSV with a byte order mark (so that spreadsheets read it right), formulas neutralised."""
    text: str = harmless(frame).to_csv(index=False)
    return text.encode("utf-8-sig")


def readable_summary(summary: pd.DataFrame) -> pd.DataFrame:
    """A table of :func:`evaluation.statistics.summary` for people."""
    return summary[list(_SUMMARY)].rename(columns=_SUMMARY)


def readable_comparison(comparison: pd.DataFrame, *, settled: bool) -> pd.DataFrame:
    """A table of :func:`evaluation.statistics.compare` for people; without ratios until it is ``settled``."""
    shown = [c for c in _COMPARISON if settled or c != "relative"]
    return comparison[shown].rename(columns=_COMPARISON)
