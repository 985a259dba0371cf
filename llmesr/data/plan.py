"""What an import will do, before it does it: which columns of which file, and how times are read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from llmesr.config import IngestConfig
from llmesr.data.columns import INTERACTION_FIELDS, plain, resolve
from llmesr.data.layouts import Inputs
from llmesr.data.reader import Reader
from llmesr.data.report import Report
from llmesr.data.sources import Source
from llmesr.data.times import DAY, UNIX, WRITTEN_ISO, TimeFormat, detect, likely_years
from llmesr.errors import UserError
from llmesr.prose import listed

NO_TIME = "No time column: file order will be used."


@dataclass(frozen=True)
class FilePlan:
    """Field -> column of one file of interactions, and its times (None: the order of the file)."""

    source: Source
    columns: dict[str, str]
    times: TimeFormat | None


def plan(inputs: Inputs, config: IngestConfig) -> list[FilePlan]:
    """How each file of interactions is read. UserError where only a person can tell, or the files do not agree."""
    unknown = set(config.columns) - set(INTERACTION_FIELDS)
    if unknown:
        raise UserError(
            f"{sorted(unknown)[0]!r} is not a field of interactions; one of {', '.join(INTERACTION_FIELDS)}."
        )
    plans = [file_plan(source, config) for source in inputs.interactions]
    first = plans[0]
    for other in plans[1:]:
        if (other.times is None) != (first.times is None):
            raise UserError(f"{first.source.name} and {other.source.name} do not agree on a time column.")
        if other.times and first.times and other.times.kind != first.times.kind:
            raise UserError(
                f"{other.source.name} holds {other.times.label}, {first.source.name} {first.times.label}: they cannot "
                "be put into one order. Say how they are written with --set time_format=..., or convert one of them."
            )
    return plans


def ahead(inputs: Inputs, config: IngestConfig) -> list[str]:
    """What a person should know before an import begins."""
    plans = plan(inputs, config)
    if plans[0].times is None:
        return [NO_TIME]
    return [_ambiguous(plans[0].times)] if plans[0].times.others else []


def file_plan(source: Source, config: IngestConfig) -> FilePlan:
    """How one file of interactions is read. UserError where only a person can tell."""
    columns = resolve(source.name, source.columns, source.interaction_guess, config.columns, ("user_id", "item_id"))
    _check_repeated(source, columns, config)
    if config.min_weight is not None and "weight" not in columns:
        raise UserError(
            f"min_weight needs a column of ratings, and {source.name} has none; name it with --column weight=NAME."
        )
    if "timestamp" not in columns:
        if "timestamp" not in config.columns:
            _check_parts(source, columns)
        return FilePlan(source, columns, None)
    column = columns["timestamp"]
    times = detect(source.sample[column].tolist(), column, source.name, config.time_format)
    if source.types and source.layout == "parquet" and source.types[source.columns.index(column)] == "TIMESTAMP_NS":
        times = replace(UNIX["ns"], label="times in nanoseconds")
    return FilePlan(source, columns, times)


PARTS = {"day", "dayno", "daynumber", "month", "week", "weekno", "weeknumber"}
"""Names of columns that hold a part of a time."""


def _check_parts(source: Source, columns: Mapping[str, str]) -> None:
    """UserError when the time is there, over several columns or as the number of a day."""
    parts = [c for c in source.columns if plain(c) in PARTS and c not in columns.values()]
    if parts:
        alone = next((f" say --column timestamp={c} to go by that alone," for c in parts if plain(c) != "month"), "")
        raise UserError(
            f"{source.name} has no column of times, but parts of them ({', '.join(map(repr, parts))}). Put them into "
            f"one column,{alone} or say --column timestamp= to take the order of the file."
        )


def _check_repeated(source: Source, columns: dict[str, str], config: IngestConfig) -> None:
    """UserError when a column is taken by a name that several columns have, with other values."""
    for field, column in columns.items():
        if column not in source.repeated or field in config.columns:
            continue
        same = [c for c in source.columns if c == column or c.rpartition("_")[0] == column]
        if any(source.sample[c].tolist() != source.sample[column].tolist() for c in same):
            raise UserError(
                f"{source.name} has {len(same)} columns named {column!r} with different values; say which is the "
                f"{field} with --column {field}=NAME, from left to right {', '.join(map(repr, same))}."
            )


def settle(
    connection: duckdb.DuckDBPyConnection, readers: Sequence[Reader], plans: Sequence[FilePlan]
) -> list[FilePlan]:
    """Decide between day and month where the sample could not: by all values of the file, then by the other files."""
    judged = [_judge(connection, r, p) for r, p in zip(readers, plans, strict=True)]
    known = {_date(p.times) for p in judged if p.times and not p.times.others}
    settled = []
    for one in judged:
        if one.times is not None and one.times.others:
            readings = (replace(one.times, others=()), *one.times.others)
            fitting = [t for t in readings if _date(t) in known]
            one = replace(one, times=fitting[0]) if len(fitting) == 1 else one
        settled.append(one)
    return settled


def _judge(connection: duckdb.DuckDBPyConnection, reader: Reader, one: FilePlan) -> FilePlan:
    if one.times is None or not one.times.others:
        return one
    readings = [replace(one.times, others=()), *one.times.others]
    now = time.time_ns() + DAY
    sums = [
        f"{{'all': count({t}), 'past': count(*) FILTER ({t} < {now}), 'span': max({t}) - min({t})}}"
        for t in (form.sql("v") for form in readings)
    ]
    column = reader.time_column(one.columns["timestamp"])
    query = f"SELECT {', '.join(sums)} FROM (SELECT trim({column}) AS v FROM {reader.relation})"
    try:
        found = connection.execute(query).fetchall()[0]
    except duckdb.Error:  # the same trouble is met, and told, when the rows are staged
        return one
    ranks = [(n["all"], n["past"]) for n in found]
    best = {t: n["span"] or 0 for t, n, rank in zip(readings, found, ranks, strict=True) if rank == max(ranks)}
    first, *others = likely_years(best)
    return replace(one, times=replace(first, others=tuple(others)))


def _date(times: TimeFormat) -> str:
    """The order of day, month and year."""
    return times.formats[0].replace("T", " ").replace(",", " ").split(" ")[0] if times.formats else times.label


def _ambiguous(times: TimeFormat) -> str:
    first = {"%d": "day", "%m": "month"}.get(times.formats[0][:2] if times.formats else "", "year")
    other = (times.others[0].formats or (WRITTEN_ISO,))[0]
    return (
        f"Day and month cannot be told apart; dates are read {first} first. Otherwise say --set time_format='{other}'."
    )


_NOUNS = {"user_id": "user", "item_id": "item", "timestamp": "time", "weight": "rating", "review": "review"}


def tell(plans: Sequence[FilePlan], report: Report) -> None:
    """Which columns are read and how, in the report."""
    one = plans[0]
    used = ", ".join(f"{field} from {column!r}" for field, column in one.columns.items())
    guess = one.source.interaction_guess
    weak = [f for f, c in one.columns.items() if f in guess and guess[f].column == c and guess[f].confidence < 0.9]
    unsure = f" Please check the {listed([_NOUNS[f] for f in weak])} column{'s' * (len(weak) > 1)}." if weak else ""
    report.info("columns", f"Interactions are read as {used}.{unsure}")
    if one.times is None:
        report.warn("no_time", "There is no time column; the order of the lines is taken as the order of events.")
        return
    labels = list(dict.fromkeys(p.times.label for p in plans if p.times))
    if one.times.kind == "order":
        report.info("order_only", f"Column {one.columns['timestamp']!r} holds {one.times.label}, not times.")
    else:
        what = "Dates" if one.times.formats else "Times"
        report.info("time", f"{what} are read as {'; '.join(labels)}.")
    unclear = next((p.times for p in plans if p.times and p.times.others), None)
    if unclear is not None:
        report.warn("ambiguous_dates", _ambiguous(unclear))
