"""What buyers wrote about an item in the TRAINING part: reviews.parquet, for richer item prompts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from llmesr.data.histories import Numbering
from llmesr.data.kcore import CHUNK
from llmesr.data.reading import count
from llmesr.data.split import MIN_HISTORY

REVIEWS = "reviews.parquet"
PER_ITEM = 8
MAX_CHARACTERS = 4000


def training_lines(
    columns: dict[str, np.ndarray], numbering: Numbering, before: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(staging line, item number) of the training interactions, in chunks.

    Training is what happened ``before`` a staged time, the rule of :func:`~llmesr.data.split.temporal`. Without one it
    is a whole history but its last two interactions, or all of it when it is shorter than three: that of
    :func:`~llmesr.data.split.leave_one_out`.
    """
    if before is not None:
        for _, item, line, time in _kept(columns, numbering):
            yield line[time < before], item[time < before]
        return
    lengths = np.zeros(numbering.n_users, np.int64)
    for user, _, _, _ in _kept(columns, numbering):
        lengths += np.bincount(user, minlength=numbering.n_users)
    train = np.where(lengths >= MIN_HISTORY, lengths - 2, lengths)
    offsets = np.cumsum(lengths) - lengths
    done = 0
    for user, item, line, _ in _kept(columns, numbering):
        place = np.arange(done, done + len(user)) - offsets[user]
        done += len(user)
        keep = place < train[user]
        yield line[keep], item[keep]


def write_reviews(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    columns: dict[str, np.ndarray],
    numbering: Numbering,
    before: int | None = None,
) -> int:
    """Write item number and text: the first reviews of each item, a few thousand characters at most.

    ``before`` as in :func:`training_lines`.

    Returns the number of items with a review.
    """
    connection.execute("CREATE TABLE training(line BIGINT, item INT)")
    for line, item in training_lines(columns, numbering, before):
        connection.register("part", pa.table({"line": line, "item": item}))
        connection.execute("INSERT INTO training SELECT line, item FROM part")
        connection.unregister("part")
    connection.execute(f"""
        COPY (
            SELECT item, left(string_agg(review, ' ' ORDER BY place), {MAX_CHARACTERS}) AS text FROM (
                SELECT t.item, trim(regexp_replace(s.review, '\\s+', ' ', 'g')) AS review,
                       row_number() OVER (PARTITION BY t.item ORDER BY t.line) AS place
                FROM training t JOIN staged s ON s.rowid = t.line
                WHERE trim(coalesce(s.review, '')) <> ''
            ) WHERE place <= {PER_ITEM} GROUP BY item ORDER BY item
        ) TO '{str(path).replace("'", "''")}' (FORMAT parquet)""")
    return count(connection, "SELECT count(*) FROM read_parquet(?)", [str(path)])


def _kept(columns: dict[str, np.ndarray], numbering: Numbering) -> Iterator[tuple[np.ndarray, ...]]:
    """User index, item number, staging line and time of what is kept, in chunks."""
    for start in range(0, len(columns["user"]), CHUNK):
        part = {n: np.asarray(columns[n][start : start + CHUNK]) for n in ("user", "item", "line", "time")}
        user, item = numbering.user_index[part["user"]], numbering.item_number[part["item"]]
        keep = (user >= 0) & (item > 0)
        yield user[keep], item[keep], part["line"][keep], part["time"][keep]
