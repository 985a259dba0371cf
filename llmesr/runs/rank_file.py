"""The ranks of a run in a Parquet file: written some rows at a time, and read in part."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

RISING = {"user": "DELTA_BINARY_PACKED", "user_id": "DELTA_BYTE_ARRAY"}
"""Columns that rise, or nearly: what a row has beyond the one before it takes less room than a dictionary."""


def write(path: Path, frames: Iterable[pd.DataFrame]) -> None:
    """Write frames of the same columns, at least one, as one: a row group of each, so that whoever asks for a part
    reads that part. What is read back is what ``to_parquet`` keeps of all of them together."""
    rows = iter(frames)
    first = next(rows)
    table = pa.Table.from_pandas(first, preserve_index=False)
    said = {**table.schema.metadata, b"PANDAS_ATTRS": json.dumps(first.attrs).encode()}
    others = [name for name in table.column_names if name not in RISING]
    schema = table.schema.with_metadata(said)
    with pq.ParquetWriter(path, schema, column_encoding=RISING, use_dictionary=others) as writer:
        writer.write_table(table)
        for frame in rows:
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))


def read(path: Path, part: str | None, protocol: str | None, columns: Sequence[str] | None) -> pd.DataFrame:
    """The rows of a part and protocol, of all where None. OSError or ValueError when the file is damaged."""
    asked = [(name, "==", value) for name, value in (("part", part), ("protocol", protocol)) if value is not None]
    return pd.read_parquet(path, columns=None if columns is None else list(columns), filters=asked or None)
