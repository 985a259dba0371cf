"""Files taken apart line by line, as Parquet files of what is good and of what is not. One that is clearly not what it
says is refused before its end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from llmesr.data.lines import BATCH, FEW, KEPT, MANY, ZERO, Batch
from llmesr.errors import UserError

LINES = 100_000
"""After how many lines a file may be refused before its end."""
_MOVIE = re.compile(r"\d+:")


@dataclass
class Judge:
    """Passes the batches of a file on while its lines may still be good enough: UserError once more than the share
    ``most`` of them is wrong whatever follows.

    ``octets``: of the file; ``shortest``: of a good line with its end.
    """

    name: str
    most: float
    octets: int
    shortest: int
    good: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Reason -> its first line: the number and the text."""

    def of(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            yield batch
            self.good += len(batch.lines)
            for line, reason, text in batch.wrong:
                if reason not in self.wrong:
                    self.examples[reason] = line, text
                self.wrong[reason] += 1
            bad = self.wrong.total()
            left = self.octets - batch.read
            most_lines = self.good + bad + left // self.shortest + 1
            if left > 0 and self.good + bad >= LINES and bad > self.most * most_lines:
                raise self._refusal(bad)

    def _refusal(self, bad: int) -> UserError:
        [(reason, times)] = self.wrong.most_common(1)
        line, text = self.examples[reason]
        return UserError(
            f"{bad:,} of the first {self.good + bad:,} lines of {self.name} cannot be used, which is more than "
            f"max_rejected = {self.most:.0%} of all, whatever follows; most often {reason} ({times:,} times, first in "
            f"line {line}: {text.strip()[:80]!r}). Check the columns and the file, or raise --set max_rejected=0.5."
        )


def blocks(text: TextIO, delimiter: str) -> Iterator[Batch]:
    """Netflix Prize layout: a line ``1:`` names the movie of the lines ``user,rating,date`` below it."""
    movie, at, read = "", 0, 0
    while lines := text.readlines(BATCH):
        read += sum(map(len, lines))
        batch = Batch(read=read)
        for number, raw in enumerate(lines, at + 1):
            line = raw.strip()
            cells = line.split(delimiter)
            if line.endswith(":") and _MOVIE.fullmatch(line):
                movie = line[:-1]
            elif line and len(cells) == 3:
                batch.lines.append(number)
                batch.rows.append([cells[0], movie, *cells[1:]])
            elif line:
                batch.wrong.append((number, FEW if len(cells) < 3 else MANY, line[:KEPT]))
        at += len(lines)
        yield batch


def objects(text: TextIO) -> Iterator[Batch]:
    """Lines of JSON, not yet read as such."""
    at = read = 0
    while lines := text.readlines(BATCH):
        read += sum(map(len, lines))
        batch = Batch(read=read)
        for number, raw in enumerate(lines, at + 1):
            line = raw.strip()
            if "\0" in line:
                batch.wrong.append((number, ZERO, line.replace("\0", "")[:KEPT]))
            elif line:
                batch.lines.append(number)
                batch.rows.append([line])
        at += len(lines)
        yield batch


def write_parquet(batches: Iterable[Batch], width: int, target: Path) -> Path:
    """Write good records as Parquet (``line``, ``c0`` ...), the others to ``.rejects`` (line, reason, text)."""
    schema = pa.schema([("line", pa.int64()), *((f"c{n}", pa.string()) for n in range(width))])
    wrong_schema = pa.schema([("line", pa.int64()), ("reason", pa.string()), ("text", pa.string())])
    with (
        pq.ParquetWriter(target, schema, compression="lz4", use_dictionary=False) as out,
        pq.ParquetWriter(rejects_of(target), wrong_schema) as wrong_out,
    ):
        for batch in batches:
            if batch.lines:
                columns = [batch.lines, *zip(*batch.rows, strict=True)]
                out.write_table(_table(columns, schema))
            if batch.wrong:
                wrong_out.write_table(_table([*zip(*batch.wrong, strict=True)], wrong_schema))
    return target


def _table(columns: Sequence[Sequence[object]], schema: pa.Schema) -> pa.Table:
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def rejects_of(target: Path) -> Path:
    return target.with_suffix(".rejects")
