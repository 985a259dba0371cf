"""Item files -> the catalogue: one row per item of the dataset, text as given but for white space."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmesr.config import IngestConfig
from llmesr.data.attributes import attributes_of
from llmesr.data.columns import plain
from llmesr.data.histories import Numbering
from llmesr.data.markup import title_of
from llmesr.data.reader import Reader
from llmesr.data.reading import MISSING, count, literal, stage_items
from llmesr.data.rejects import check_item_rejects, tell_departures
from llmesr.data.report import EXAMPLES, Report
from llmesr.errors import UserError
from llmesr.prose import counted, either

MAX_TEXT = 20_000
BATCH = 20_000
LISTS = {"genres", "genre", "categories", "category", "tags", "class"}


def text(value: str) -> str:
    """SQL for readable text: white space collapsed, "" for what stands for nothing, cut to MAX_TEXT."""
    missing = ", ".join(literal(m) for m in (*MISSING, "-"))
    tidy = f"trim(regexp_replace(left({value}, {MAX_TEXT}), '[\\s\\x00-\\x1f\u00a0]+', ' ', 'g'))"
    return f"CASE WHEN {value} IS NULL OR {tidy} IN ({missing}) THEN '' ELSE {tidy} END"


def load(
    connection: duckdb.DuckDBPyConnection, readers: list[Reader], config: IngestConfig, report: Report, *, inside: bool
) -> list[str]:
    """Read the item files into table ``catalogue``; returns the attribute names (a0, a1, ... in the table).

    ``inside`` says that the files are the interactions, with an item described in each of its rows.
    """
    if not readers:
        connection.execute("CREATE TABLE catalogue(item_id VARCHAR)")
        report.warn(
            "no_items_file", "There is no item file: titles are the item ids, and text methods have nothing to read."
        )
        return []
    item_column, chosen, left_out = attributes_of(readers[0].source, config, inside)
    names = [*chosen, *(["genres"] if readers[0].source.flags else [])]
    connection.execute(
        f"CREATE TABLE catalogue(item_id VARCHAR{''.join(f', a{i} VARCHAR' for i in range(len(names)))})"
    )
    for reader in readers:
        columns = {name: reader.column(column) for name, column in chosen.items()}
        if reader.source.flags:
            flags = ", ".join(f"CASE WHEN {reader.column(f)} = '1' THEN {literal(f)} END" for f in reader.source.flags)
            columns["genres"] = f"concat_ws('; ', {flags})"
        stage_items(connection, reader, item_column, columns, grouped=inside)
    tell_departures([] if inside else readers, report)
    check_item_rejects(connection, [] if inside else [r.source.name for r in readers], config, report)
    used = ", ".join(f"{n} from {c!r}" if n != c else repr(c) for n, c in chosen.items()) or "no text"
    report.info("item_columns", f"Items are identified by {item_column!r} and described by {used}.")
    if left_out:
        listed = "; ".join(
            f"{', '.join(c for c in left_out if left_out[c] == reason)} ({reason})"
            for reason in dict.fromkeys(left_out.values())
        )
        report.info(
            "left_out_columns",
            f"Left out of the text about items: {listed}. Take one in with --item-column NAME=COLUMN.",
            len(left_out),
            left_out,
        )
    return names


def number_items(
    connection: duckdb.DuckDBPyConnection, numbering: Numbering, config: IngestConfig, report: Report, names: list[str]
) -> int:
    """Table ``numbered`` (number 1..N, item_id): the items kept, then cold ones if wanted. Returns N."""
    codes = np.flatnonzero(numbering.item_number).astype(np.int32)
    kept = pa.table({"code": codes, "number": numbering.item_number[codes]})
    connection.register("kept", kept)
    connection.execute(
        "CREATE TABLE numbered AS SELECT k.number, i.id AS item_id FROM kept k JOIN items i USING (code)"
    )
    connection.unregister("kept")
    connection.execute(
        "CREATE TABLE described AS SELECT item_id, min(rowid) AS row, count(*) AS times FROM catalogue "
        "WHERE item_id IS NOT NULL GROUP BY item_id"
    )
    _check_catalogue(connection, numbering, report, names)
    if not config.cold_items:
        _tell_unchosen(connection, report)
        return numbering.n_items
    connection.execute(
        f"INSERT INTO numbered SELECT {numbering.n_items} + row_number() OVER (ORDER BY row), item_id FROM described "
        "WHERE item_id NOT IN (SELECT item_id FROM numbered)"
    )
    total = count(connection, "SELECT count(*) FROM numbered")
    cold = total - numbering.n_items
    report.info("cold_items", f"{counted(cold, 'catalogue item')} without interactions stay as candidates.", cold)
    return total


def _tell_unchosen(connection: duckdb.DuckDBPyConnection, report: Report) -> None:
    """What is described and was chosen by nobody; what the k-core leaves out is told there."""
    unchosen = "FROM described WHERE item_id NOT IN (SELECT id FROM items)"
    left_out = count(connection, f"SELECT count(*) {unchosen}")
    if left_out:
        examples = connection.execute(f"SELECT item_id {unchosen} ORDER BY row LIMIT 5").fetchall()
        keeps = "left out; `--set cold_items=true` keeps such items as candidates."
        report.info(
            "unchosen_items",
            either(
                left_out,
                f"1 described item that nobody chose was {keeps}",
                f"{{}} described items that nobody chose were {keeps}",
            ),
            left_out,
            (i for (i,) in examples),
        )


def _check_catalogue(
    connection: duckdb.DuckDBPyConnection, numbering: Numbering, report: Report, names: list[str]
) -> None:
    if not names and not count(connection, "SELECT count(*) FROM catalogue"):
        return
    again = connection.execute("SELECT item_id, times FROM described WHERE times > 1 ORDER BY row").fetchall()
    if again:
        extra = sum(times - 1 for _, times in again)
        report.warn(
            "duplicate_items",
            either(
                extra,
                "1 item row repeats an item id; the first row of each is used.",
                "{} item rows repeat an item id; the first row of each is used.",
            ),
            extra,
            (i for i, _ in again),
        )
    no_id = count(connection, "SELECT count(*) FROM catalogue WHERE item_id IS NULL")
    if no_id:
        said = either(no_id, "1 item row has no id and is not used.", "{} item rows have no id and are not used.")
        report.warn("items_without_id", said, no_id)
    absent = "FROM numbered WHERE item_id NOT IN (SELECT item_id FROM described)"
    missing = count(connection, f"SELECT count(*) {absent}")
    examples = [i for (i,) in connection.execute(f"SELECT item_id {absent} ORDER BY number LIMIT 5").fetchall()]
    if missing and missing == numbering.n_items:
        theirs = connection.execute("SELECT item_id FROM described ORDER BY row LIMIT 1").fetchall()
        raise UserError(
            f"No item of the interactions (such as {examples[0]!r}) is in the item file (such as "
            f"{theirs[0][0] if theirs else 'nothing'!r}); check that both use the same ids, or name the column with "
            "--item-column item_id=NAME."
        )
    if missing:
        report.warn(
            "missing_in_catalogue",
            either(
                missing,
                "1 item of the interactions is not in the item file; its title is its id.",
                "{} items of the interactions are not in the item file; their title is their id.",
            ),
            missing,
            examples,
        )


def write(connection: duckdb.DuckDBPyConnection, path: Path, names: list[str], report: Report) -> dict[str, int]:
    """Write items.parquet (item_id, title, attributes with any text) in the order of item numbers.

    Returns how many items are without any text.
    """
    source = "FROM numbered n LEFT JOIN described d ON n.item_id = d.item_id LEFT JOIN catalogue c ON c.rowid = d.row"
    filled = _filled(connection, names, source)
    used = [i for i, name in enumerate(names) if filled[i] or name == "title"]
    order = sorted(used, key=lambda i: (names[i] != "title", i))
    columns = ["item_id", "title", *(names[i] for i in order if names[i] != "title")]
    schema = pa.schema([pa.field(c, pa.string()) for c in columns])
    cells = "".join(f", {text(f'c.a{i}')} AS a{i}" for i in order)
    without = longer = untitled = 0
    examples: list[str] = []
    mended = _Mended()
    with pq.ParquetWriter(path, schema) as writer:
        for batch in connection.sql(f"SELECT n.item_id{cells} {source} ORDER BY n.number").to_arrow_reader(BATCH):
            rows: dict[str, list[str]] = {"item_id": batch.column(0).to_pylist(), "title": []}
            for place, i in enumerate(order, 1):
                rows[names[i]] = [tidy(v, names[i]) for v in batch.column(place).to_pylist()]
                longer += sum(len(v) >= MAX_TEXT for v in rows[names[i]])
            rows["title"] = [mended.title(v) for v in rows["title"]]
            described = [any(cells) for cells in zip(*(rows[names[i]] for i in order), strict=True)] if order else []
            without += len(batch) - sum(described)
            titles = rows["title"] or [""] * len(batch)
            bare = [i for i, t, any_text in zip(rows["item_id"], titles, described, strict=False) if any_text and not t]
            untitled += len(bare)
            examples += bare[: 5 - len(examples)]
            rows["title"] = [t or i for t, i in zip(titles, rows["item_id"], strict=True)]
            writer.write_table(pa.table([pa.array(rows[c], pa.string()) for c in columns], schema=schema))
    mended.tell(report)
    if longer:
        far = f"longer than {MAX_TEXT:,} characters"
        said = either(longer, f"1 item text {far} is cut.", f"{{}} item texts {far} are cut.")
        report.warn("long_text", said, longer)
    if without and names:
        said = "{} items have no text; their title is their id."
        said = either(without, "1 item has no text; its title is its id.", said)
        report.warn("items_without_text", said, without)
    if untitled:
        said = "{} items have no title; their id stands in."
        said = either(untitled, "1 item has no title; its id stands in.", said)
        report.warn("items_without_title", said, untitled, examples)
    return {"items_without_text": without}


@dataclass
class _Mended:
    """Titles that are not stored as they were written: how many, and a few of them."""

    marked: int = 0
    empty: int = 0
    shown: list[str] = field(default_factory=list)
    said: dict[str, None] = field(default_factory=dict)

    def title(self, written: str) -> str:
        found = title_of(written)
        if found and found != written:
            self.marked += 1
            self.shown += [written][: EXAMPLES - len(self.shown)]
        elif written and not found:
            self.empty += 1
            self.said[written] = None
        return found

    def tell(self, report: Report) -> None:
        if self.marked:
            said = "{} titles hold markup (tags or entities such as &amp;), which is taken out."
            said = either(
                self.marked, "1 title holds markup (tags or entities such as &amp;), which is taken out.", said
            )
            report.info("title_markup", said, self.marked, self.shown)
        if self.empty:
            said = either(self.empty, "1 title says only that there is none.", "{} titles say only that there is none.")
            report.warn("no_titles", said, self.empty, self.said)


def _filled(connection: duckdb.DuckDBPyConnection, names: list[str], source: str) -> list[int]:
    """How many items have something in each attribute."""
    if not names:
        return []
    sums = ", ".join(f"count(*) FILTER ({text(f'c.a{i}')} <> '')" for i in range(len(names)))
    return [int(v) for v in connection.execute(f"SELECT {sums} {source}").fetchall()[0]]


def tidy(cell: str, name: str) -> str:
    """Lists and objects written as JSON, and ``a|b`` in genre columns, as readable text."""
    if cell[:1] in ("[", "{") and name != "title":
        try:
            return "; ".join(dict.fromkeys(_flat(json.loads(cell))))
        except (ValueError, RecursionError):
            return cell
    if "|" in cell and plain(name) in LISTS:
        return "; ".join(part.strip() for part in cell.split("|") if part.strip())
    return cell


def _flat(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{k}: {', '.join(_flat(v))}" for k, v in value.items() if v not in (None, "", [], {})]
    if isinstance(value, list):
        return [part for entry in value for part in _flat(entry)]
    written = "" if value is None else " ".join(str(value).split())
    return [written] if written else []
