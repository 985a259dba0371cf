"""SQL over one prepared file: a FROM clause, an expression per column, the original line.

Text that is one record a line, from its first byte to its last, is read in bulk. All other text is first taken apart
line by line (:mod:`llmesr.data.lines`), with the line numbers kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from llmesr.data.by_lines import Judge, blocks, objects, rejects_of, write_parquet
from llmesr.data.dialect import Dialect
from llmesr.data.files import Prepared
from llmesr.data.heads import is_nested, parquet_text, path_literal
from llmesr.data.lines import MAX_LINE, Batch, Departures, Records, opened
from llmesr.data.literals import literals_to_json
from llmesr.data.sources import Source
from llmesr.data.survey import is_regular
from llmesr.errors import UserError

MAX_EMPTY = 50
"""Columns up to which rows without anything are told from rows without a user: of more, each would be read for it."""
INEXACT, NESTED = "\x01inexact", "\x01nested"
"""What stands for an id that would not be exact, and for one that is an object or a list."""
_EXACT = 2**53


class Reader:
    """One file. ``departures``: what was mended in it; ``rejects``: a Parquet file (line, reason, text) of the lines
    that are no records, both None for a file that is read in bulk.

    ``most``: the share of its lines that may be wrong, where that can be said of it alone: a file that is clearly
    beyond it is not read to its end.
    """

    def __init__(self, source: Source, prepared: Prepared, scratch: Path, most: float = 1.0) -> None:
        self.source, self._most = source, most
        self.path, self.plus = prepared.path, prepared.plus
        self.departures: Departures | None = None
        self.rejects: Path | None = None
        self._records = scratch / f"{hashlib.sha256(str(source.path.resolve()).encode()).hexdigest()[:16]}.records"
        if source.layout == "literals":
            self.path = literals_to_json(prepared.path, self._records.with_suffix(".jsonl"))
        if source.layout == "blocks" or (self._text and not is_regular(self.path, self._strict)):
            self.read_lines()

    @property
    def by_lines(self) -> bool:
        """Whether the file was taken apart line by line."""
        return self.rejects is not None

    @property
    def _text(self) -> bool:
        return self.source.layout not in ("parquet", "json array")

    @property
    def _json(self) -> bool:
        return self.source.layout in ("json", "literals", "json array")

    @property
    def _strict(self) -> Dialect | None:
        return self.source.dialect if self.source.delimited else None

    def read_lines(self) -> None:
        """Take the file apart line by line, into a Parquet file of its records."""
        s = self.source
        width = 1 if self._json else len(s.columns)
        with opened(self.path) as text:
            if s.layout == "blocks":
                found: Iterator[Batch] = blocks(text, s.dialect.delimiter)
            elif self._json:
                found = objects(text)
            else:
                for _ in range(s.dialect.skip):
                    text.readline()
                table = Records(text, s.dialect, width, s.numeric, at=s.dialect.skip)
                self.departures = table.departures
                if s.header:
                    table.leave_out_first()
                found = table.batches()
            shortest = {"blocks": 3, "csv": width}.get(s.layout, 2)
            judge = Judge(s.name, self._most, self.path.stat().st_size, shortest)
            write_parquet(judge.of(found), width, self._records)
        self.rejects = rejects_of(self._records)

    @property
    def first_line(self) -> int:
        """The line number of the first row."""
        return 1 + (self.source.delimited and self.source.header)

    @property
    def place(self) -> str:
        """What a row of this file is called where it is named by number."""
        return "line" if self._text else "row"

    @property
    def relation(self) -> str:
        """SQL to select from: ``line`` (a number, or NULL where lines are rows) and the columns c0, c1, ..., or for
        JSON ``text`` and ``record`` (NULL where it is no object)."""
        s, path = self.source, path_literal(self.path)
        if s.layout == "parquet":
            renamed = ", ".join(f'"{c.replace(chr(34), 2 * chr(34))}" AS c{i}' for i, c in enumerate(s.columns))
            return f"(SELECT NULL::BIGINT AS line, {renamed} FROM read_parquet({path}, hive_partitioning=false))"
        if self.by_lines:
            table = f"read_parquet({path_literal(self._records)}, hive_partitioning=false)"
            return _with_record(f"SELECT line, c0 AS text FROM {table}") if self._json else table
        if s.layout == "json array":
            size = f"maximum_object_size={MAX_LINE}"
            objects = f"read_json_objects({path}, format='array', compression='uncompressed', {size})"
            return _with_record(f"SELECT NULL::BIGINT AS line, json AS text FROM {objects}")
        common = (
            f"auto_detect=false, compression='none', hive_partitioning=false, max_line_size={MAX_LINE}, "
            f"buffer_size={2 * MAX_LINE}"
        )
        if self._json:
            # a table of one column: a delimiter that text does not hold, and no quoting
            one = "delim='\x1f', quote='', escape='', header=false, columns={'text': 'VARCHAR'}"
            return _with_record(f"SELECT NULL::BIGINT AS line, text FROM read_csv({path}, {common}, {one})")
        columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(s.columns)))
        quote = _literal(s.dialect.quote)
        return (
            f"(SELECT NULL::BIGINT AS line, * FROM read_csv({path}, {common}, delim={_literal(s.dialect.delimiter)}, "
            f"quote={quote}, escape={quote}, header={str(s.header).lower()}, columns={{{columns}}}))"
        )

    def column(self, name: str) -> str:
        """SQL for a column as VARCHAR."""
        s = self.source
        index = s.columns.index(name)
        if s.layout == "parquet":
            return parquet_text(f"c{index}", s.types[index])
        return f"c{index}" if s.delimited else f"json_extract_string(record, {_pointer(name)})"

    def time_column(self, name: str) -> str:
        """SQL for a column of times as VARCHAR; nanoseconds of a Parquet file as their number."""
        return (
            f"epoch_ns(c{self.source.columns.index(name)})::VARCHAR" if self.in_nanoseconds(name) else self.column(name)
        )

    def in_nanoseconds(self, name: str) -> bool:
        """Whether a Parquet column holds times in nanoseconds."""
        s = self.source
        return s.layout == "parquet" and s.types[s.columns.index(name)] == "TIMESTAMP_NS"

    def weight_column(self, name: str) -> str:
        """SQL for a column of weights as text of a number; decimal commas read as points where all say so."""
        text = self.column(name)
        return f"replace({text}, ',', '.')" if decimal_commas(self.source, name) else text

    def id_column(self, name: str) -> str:
        """SQL for an id: exact text. Whole floats (12.0) of Parquet and JSON files are read as 12."""
        s = self.source
        text, kind = self.column(name), s.types[s.columns.index(name)] if s.layout == "parquet" else ""
        filled = [v for v in s.sample[name].tolist() if v]
        if filled and {v.lower() for v in filled} <= {"true", "false"}:
            raise UserError(f"Column {name!r} of {s.name} holds only true and false, which are no ids; name another.")
        if kind == "BLOB" and not filled:
            raise UserError(f"Column {name!r} of {s.name} holds bytes that are no text; write its ids as text.")
        if is_nested(kind) or name in s.nested:
            what = f" ({kind[:40]})" if kind else ""
            raise UserError(f"Column {name!r} of {s.name} holds nested values{what}; an id must be text or a number.")
        if kind in ("FLOAT", "DOUBLE"):
            return _whole(f"c{s.columns.index(name)}", 2**24 if kind == "FLOAT" else _EXACT)
        if kind.startswith("DECIMAL") and not kind.endswith(",0)"):
            whole = f"regexp_full_match({text}, '-?[0-9]+[.]0+')"
            return f"CASE WHEN {whole} OR {text} IS NULL THEN split_part({text}, '.', 1) ELSE {_literal(INEXACT)} END"
        if self._json:
            kind = f"json_type(record, {_pointer(name)})"
            number = f"try_cast({text} AS DOUBLE)"
            return (
                f"CASE WHEN left({text}, 1) IN ('{{', '[') AND {kind} IN ('OBJECT', 'ARRAY') THEN {_literal(NESTED)} "
                f"WHEN (contains({text}, '.') OR contains({text}, 'e+')) AND {kind} = 'DOUBLE' THEN {_whole(number)} "
                f"ELSE {text} END"
            )
        if filled and all(re.fullmatch(r"b'.*'|b\".*\"", v) for v in filled):  # bytes as Python prints them
            return f"regexp_extract({text}, '^(b[''\"])?(.*?)[''\"]?$', 2)"
        if filled and all(
            re.fullmatch(r'=".*"', v) for v in filled
        ):  # text, as spreadsheets are told to leave it alone
            return f"regexp_extract({text}, '^(=\")?(.*?)\"?$', 2)"
        return text

    def original(self, mapping: Mapping[str, str]) -> str:
        """SQL for the line number, if it is known, a tab, and what is used of a row, for the list of rejects."""
        cells = ", ".join(f"coalesce({self.column(c)}, '')" for f, c in mapping.items() if f != "review")
        text = "text" if self._json else f"concat_ws(', ', {cells})"
        return f"concat(coalesce(line::VARCHAR, ''), chr(9), left({text}, 500))"

    @property
    def broken(self) -> str:
        """SQL: whether a JSON line is no object."""
        return "record IS NULL" if self._json else "false"

    @property
    def empty(self) -> str:
        """SQL: whether no cell of a row holds anything (a spreadsheet writes such rows below its table)."""
        if not self.source.delimited or len(self.source.columns) > MAX_EMPTY:
            return "false"
        return " AND ".join(f"trim(coalesce(c{n}, '')) = ''" for n in range(len(self.source.columns)))

    @property
    def blank(self) -> str:
        return "(text IS NULL OR trim(text) = '')" if self._json else "false"


def decimal_commas(source: Source, name: str) -> bool:
    """Whether a text column holds numbers with decimal commas (0,5), and none with points."""
    filled = [v.strip() for v in source.sample[name].tolist() if v.strip()]
    commas = [v for v in filled if re.fullmatch(r"-?\d+,\d+", v)]
    thousands = all(re.fullmatch(r"-?\d{1,3}(,\d{3})+", v) for v in commas)
    return bool(commas) and not thousands and all(re.fullmatch(r"-?\d+(,\d+)?", v) for v in filled)


def _whole(value: str, exact: int = _EXACT) -> str:
    """SQL for a float that is whole, and not beyond ``exact``, as text without a fraction."""
    whole = f"{value} = floor({value}) AND abs({value}) <= {exact}"
    return (
        f"CASE WHEN {value} IS NULL OR isnan({value}) THEN NULL "
        f"WHEN {whole} THEN try_cast({value} AS BIGINT)::VARCHAR ELSE {_literal(INEXACT)} END"
    )


def _with_record(rows: str) -> str:
    valid = "CASE WHEN json_valid(text) AND starts_with(ltrim(text), '{') THEN text END"
    return f"(SELECT line, text, {valid} AS record FROM ({rows}))"


def _pointer(name: str) -> str:
    """A JSON pointer to a field, as an SQL string."""
    return _literal("/" + name.replace("~", "~0").replace("/", "~1"))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
