"""The integer ids of items inside a dataset, and how a person's own ids stand in one line. Said here and nowhere else.

Items are numbered 1..N in the order of the dataset's catalogue, so row ``i - 1`` of the
catalogue (and of every embedding matrix) is item ``i``, and row ``i`` of a *padded* table is
item ``i`` because row 0 is the padding row. Users are numbered 0..U-1.
"""

import csv
import io
from collections.abc import Iterable

PAD = 0
"""Padding item: never a candidate, never a target, its row in every table is zero."""


def mask_id(n_items: int) -> int:
    """The item id that stands for a masked position (BERT4Rec): one past the last item."""
    return n_items + 1


def read_line(line: str) -> list[str]:
    """Ids between commas; one that holds a comma, a quote or a line break stands in quotes, as in a CSV file."""
    cells = csv.reader(io.StringIO(line, newline=""), skipinitialspace=True)
    return [item for row in cells for item in row if item.strip()]


def write_line(ids: Iterable[str]) -> str:
    """Ids as :func:`read_line` reads them."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow(ids)
    return line.getvalue().removesuffix("\r\n")
