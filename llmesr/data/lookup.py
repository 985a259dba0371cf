"""Where an id stands among many ids."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


class Lookup(Protocol):
    """Finds rows by id."""

    def get(self, id: str) -> int | None:
        """The row of an id; None where it is not there."""
        ...


class Sorted:
    """By binary search over the order of the ids: 8 bytes each, where a dictionary of strings takes some 150."""

    def __init__(self, ids: pd.arrays.ArrowStringArray) -> None:
        """``ids`` differ."""
        self._ids = pa.array(ids)
        self._order = np.asarray(pc.sort_indices(self._ids))  # by their bytes in UTF-8, as Python orders strings

    def get(self, id: str) -> int | None:
        low, high = 0, len(self._order)
        while low < high:
            middle = (low + high) // 2
            if self._ids[int(self._order[middle])].as_py() < id:
                low = middle + 1
            else:
                high = middle
        if low == len(self._order) or self._ids[int(self._order[low])].as_py() != id:
            return None
        return int(self._order[low])


def lookup(ids: np.ndarray | pd.arrays.ArrowStringArray) -> Lookup:
    """Of few ids a dictionary, of those that are mapped a search."""
    if isinstance(ids, np.ndarray):
        return {str(id): row for row, id in enumerate(ids.tolist())}
    return Sorted(ids)
