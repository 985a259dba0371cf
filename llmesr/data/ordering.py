"""Staged interactions -> histories in order: coded, cleaned and cut to the k-core, with every loss told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from llmesr.config import IngestConfig
from llmesr.data import histories
from llmesr.data.histories import Numbering
from llmesr.data.reading import count
from llmesr.data.report import Report
from llmesr.errors import UserError
from llmesr.prose import counted, either


def order(
    connection: duckdb.DuckDBPyConnection,
    config: IngestConfig,
    scratch: Path,
    report: Report,
    *,
    source: str,
    columns: Mapping[str, str],
    timed: bool,
) -> tuple[dict[str, Any], Numbering]:
    """Code, sort, clean and cut the staged interactions to the k-core; what each step left is told to ``report``.

    ``source`` and ``columns`` name the file and its columns in errors; ``timed``: whether there are times to sort by.
    Returns the columns of the histories and how users and items are numbered. UserError when nothing worth keeping is
    left.
    """
    n_users, n_items = histories.encode(connection, config.min_weight)
    kept = count(connection, "SELECT count(*) FROM good")
    if config.min_weight is not None:
        lost = count(connection, "SELECT count(*) FROM staged WHERE reason = 0") - kept
        less = f"less than {config.min_weight:g}."
        report.info("min_weight", either(lost, f"1 interaction weighs {less}", f"{{}} interactions weigh {less}"), lost)
    report.step("usable", kept, n_users, n_items)
    _tell_trimmed(connection, report)
    _tell_look_alikes(connection, report)
    kept_columns, cleaned = histories.clean(
        connection, scratch, timed=timed, repeats=config.repeats, n_items=max(n_items, 1)
    )
    _tell_cleaning(connection, cleaned, config, report)
    report.step("without duplicates", kept - cleaned.duplicates, n_users, n_items)
    report.step("without repeats" if config.repeats != "keep" else "with repeats", cleaned.kept, n_users, n_items)
    numbering = histories.number(kept_columns, n_users, n_items, config.k_core)
    report.step(f"{config.k_core}-core", numbering.interactions, numbering.n_users, numbering.n_items)
    lost = cleaned.kept - numbering.interactions
    if lost:
        report.info(
            "k_core",
            f"The {config.k_core}-core leaves out {counted(n_users - numbering.n_users, 'user')}, "
            f"{counted(n_items - numbering.n_items, 'item')} and {counted(lost, 'interaction')} "
            f"({lost / cleaned.kept:.1%}), in {counted(numbering.rounds, 'round')}.",
            lost,
        )
    _check_left(config, numbering, cleaned.kept, n_users, n_items, source, columns)
    if numbering.short_users and config.split.kind == "leave-one-out":
        report.info(
            "short_users",
            either(
                numbering.short_users,
                "1 user with fewer than 3 interactions is used for training only.",
                "{} users with fewer than 3 interactions are used for training only.",
            ),
            numbering.short_users,
        )
    return kept_columns, numbering


def _tell_trimmed(connection: duckdb.DuckDBPyConnection, report: Report) -> None:
    """Ids lose the spaces at their ends; where that makes one of two, it is told."""
    for column, noun in (("user", "user id"), ("item", "item id")):
        query = (
            f"WITH wide AS (SELECT DISTINCT {column}_id AS id, wide_{column} AS written FROM good "
            f"WHERE wide_{column} IS NOT NULL), "
            f"forms AS (SELECT * FROM wide UNION ALL SELECT DISTINCT {column}_id, {column}_id FROM good "
            f"WHERE wide_{column} IS NULL AND {column}_id IN (SELECT id FROM wide)) "
            "SELECT id, count(*) - 1, max(written) FILTER (written <> id) FROM forms GROUP BY id "
            "HAVING count(*) > 1 ORDER BY id"
        )
        found = connection.execute(query).fetchall()
        if found:
            extra = sum(n for _, n, _ in found)
            report.warn(
                "trimmed_ids",
                f"Spaces at the ends of ids are trimmed; {counted(extra, noun)} became the same as another by that.",
                extra,
                (f"{written!r} is {id!r}" for id, _, written in found),
            )


_LOOKS = (
    "nfc_normalize(regexp_replace(id, '[\\x{00AD}\\x{200B}-\\x{200F}\\x{202A}-\\x{202E}\\x{2060}\\x{FEFF}]', '', 'g'))"
)
"""SQL for an id as it looks: without soft hyphens, joiners and marks of direction, which have no width."""


def _tell_look_alikes(connection: duckdb.DuckDBPyConnection, report: Report) -> None:
    """Ids are compared character by character; those that look the same and are not, are told."""
    for table, noun in (("users", "user id"), ("items", "item id")):
        query = (
            f"WITH odd AS (SELECT id, code, {_LOOKS} AS look FROM {table} WHERE strlen(id) <> length(id)), "
            f"alike AS (SELECT * FROM odd UNION SELECT id, code, id FROM {table} WHERE id IN (SELECT look FROM odd)) "
            "SELECT count(DISTINCT id) - 1, min(id) FROM alike GROUP BY look "
            "HAVING count(DISTINCT id) > 1 ORDER BY min(code)"
        )
        found = connection.execute(query).fetchall()
        if found:
            extra = sum(n for n, _ in found)
            report.warn(
                "look_alike_ids",
                f"{counted(extra, noun)} differ from another only in how accents are encoded (Unicode normal forms) "
                "or in characters that nobody sees; they count as different.",
                extra,
                (id for _, id in found),
            )


def _tell_cleaning(
    connection: duckdb.DuckDBPyConnection, cleaned: histories.Cleaned, config: IngestConfig, report: Report
) -> None:
    def name(table: str, code: int) -> str:
        return str(connection.execute(f"SELECT id FROM {table} WHERE code = ?", [code]).fetchall()[0][0])

    if cleaned.duplicates:
        report.warn(
            "duplicates",
            either(
                cleaned.duplicates,
                "1 interaction repeats the user, item and time of another and is dropped.",
                "{} interactions repeat the user, item and time of another and are dropped.",
            ),
            cleaned.duplicates,
            (f"user {name('users', u)}, item {name('items', i)}" for u, i in cleaned.duplicate_examples),
        )
    if cleaned.repeats:
        done = {"keep": "all are kept", "first": "only the first is kept", "last": "only the last is kept"}
        report.info(
            "repeats",
            either(
                cleaned.repeats,
                f"1 interaction chooses an item the user had chosen before; {done[config.repeats]}.",
                f"{{}} interactions choose an item the user had chosen before; {done[config.repeats]}.",
            ),
            cleaned.repeats,
        )
    if cleaned.tied:
        report.warn(
            "ties",
            f"{counted(cleaned.tied, 'interaction')} with the user and time of another: the order of the file decides.",
            cleaned.tied,
            (f"user {name('users', u)}" for u in cleaned.tie_examples),
        )


def _check_left(
    config: IngestConfig,
    numbering: Numbering,
    before: int,
    n_users: int,
    n_items: int,
    file: str,
    columns: Mapping[str, str],
) -> None:
    if before == 0:
        raise UserError(f"{file} has no usable interactions left; lower min_weight or check its columns.")
    if n_users < 2 or n_items < 2:
        raise UserError(
            f"{file} has {counted(n_users, 'user')} and {counted(n_items, 'item')}; at least two of each are needed. "
            f"Check that user_id is column {columns['user_id']!r} and item_id {columns['item_id']!r}."
        )
    if numbering.interactions == 0 and n_users >= 0.9 * before:
        raise UserError(
            f"Nearly every value of {columns['user_id']!r} stands once in {file}, so no user has a history; is it an "
            "order number? Choose the column that says who."
        )
    if numbering.interactions == 0:
        raise UserError(
            f"Nothing is left of the {counted(before, 'interaction')} of {file} after the {config.k_core}-core; "
            "give a smaller --k-core."
        )
    if numbering.short_users == numbering.n_users and config.split.kind == "leave-one-out":
        raise UserError(
            f"No user of {file} has three interactions, so nothing can be held out for judging; "
            "give longer histories or check the user column."
        )
