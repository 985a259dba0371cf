"""Item text that stays in its file: only the rows that are looked at are ever in memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.data.int8_rows import quantised, restored
from llmesr.data.row_file import RowFile
from llmesr.ids import PAD

TextRows = RowFile
"""(N, E) text of the items where it stays in its file."""


class TextFile:
    """The N + 2 rows of an item table, of which those of the items are in a file."""

    def __init__(self, rows: TextRows, *, stretch: float, int8: bool) -> None:
        """``rows`` (N, E). ``stretch`` multiplies the numbers; ``int8``: they are then rounded to 8 bits, as a table in
        memory keeps them."""
        self.rows, self.stretch, self.int8 = rows, stretch, int8
        self.mask = len(rows) + 1

    def read(self, items: Tensor) -> Tensor:
        """(...) items -> (..., E), to the last bit what a table in memory has of them. Each item is read once."""
        asked, place = torch.unique(items, return_inverse=True)
        asked = asked.cpu()
        real = (asked != PAD) & (asked != self.mask)
        found = torch.from_numpy(self.rows[asked[real].numpy() - 1])
        found = found if self.stretch == 1 else found * self.stretch
        found = restored(*quantised(found)) if self.int8 else found
        table = found.new_zeros(len(asked), found.shape[1])
        table[real] = found
        return F.embedding(place, table.to(items.device))
