"""The cosines of the items of a large dataset, kept on disk beside it: reckoned once, mapped by whoever reads them.

Like the mapped form of a dataset they are derived (:mod:`llmesr.store.derived`): of no manifest, made again when the
interactions change, gone with the dataset.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import torch

from llmesr.data.dataset import Dataset
from llmesr.data.frame import INTERACTIONS, mapped_array
from llmesr.linear.rows import Rows
from llmesr.store import derived, forget

KEPT_FROM = 1_000_000
"""Interactions from which they are kept; those of fewer are reckoned in about a second."""
_PARTS = ("starts.npy", "candidates.npy", "values.npy")


def cosine_rows(dataset: Dataset, folder: Path | None = None, device: torch.device | str = "cpu") -> Rows:
    """The cosines of the training part of ``dataset`` by the item of the history (:mod:`llmesr.data.cosines`).

    ``folder``: where the dataset lies. They are kept there from :data:`KEPT_FROM` interactions on, for each training
    part by itself, so that those of one split never answer for another.
    """
    if folder is None or len(dataset.items) < KEPT_FROM:
        return Rows.of_matrix(dataset.item_cosines, device)
    lengths = np.ascontiguousarray(dataset.split.train_lengths, np.int64)
    name = f"cosines-{hashlib.sha256(lengths.tobytes()).hexdigest()[:16]}"
    with derived(folder, name, (INTERACTIONS,), partial(_write, dataset)) as place:
        if place is not None:
            try:
                return Rows(*(torch.from_numpy(mapped_array(place / part)).to(device) for part in _PARTS))
            except (OSError, ValueError):
                forget(place)
    return Rows.of_matrix(dataset.item_cosines, device)


def _write(dataset: Dataset, place: Path) -> None:
    rows = Rows.of_matrix(dataset.item_cosines)
    vars(dataset).pop("item_cosines")  # or they would be in memory twice
    for part, values in zip(_PARTS, (rows.starts, rows.candidates, rows.values), strict=True):
        np.save(place / part, values.numpy())
