"""Tables as files: CSV that no spreadsheet takes for a program."""

from __future__ import annotations

import re

import pandas as pd

_STARTS_FORMULA = re.compile(r"^[\s\u0000]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")


def neutral(value: object) -> object:
    """Text that a spreadsheet would run (``=...``, ``+...``, ``-...``, ``@...``) with a ``'`` before it."""
    return f"'{value}" if isinstance(value, str) and _STARTS_FORMULA.match(value) else value


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """``frame`` as UTF-8 CSV with a byte order mark (so that spreadsheets read it right), formulas neutralised."""
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    texts = [c if pd.api.types.is_numeric_dtype(c.dtype) else pd.Series([neutral(v) for v in c]) for c in columns]
    safe = pd.DataFrame({i: c.to_numpy() for i, c in enumerate(texts)})
    safe.columns = pd.Index([neutral(str(c)) for c in frame.columns])
    return safe.to_csv(index=False).encode("utf-8-sig")
