"""The text of a large catalogue as the content term compares it, kept beside its embedding: evened out once, and mapped
by whoever scores with it, so that several processes have it in memory once.

It is derived (:mod:`llmesr.store.derived`): of no manifest, made again when the vectors change, gone with them.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from llmesr.data.frame import mapped_array
from llmesr.data.unit_rows import unit_rows
from llmesr.semantic.embed import VECTORS
from llmesr.semantic.matrix import whitened
from llmesr.store import derived, forget

log = logging.getLogger(__name__)
KEPT_FROM = 2**27
"""Bytes from which it is kept; less is evened out in about a second."""
FILE = "text.npy"


def evened(
    text: np.ndarray | Tensor,
    whitening: float,
    beside: Path | None = None,
    like: np.ndarray | Tensor | None = None,
) -> Tensor:
    """(N + 1, E) rows of ``text``, evened out by ``whitening`` and of unit length or zero, float32. ``beside``: the
    folder of the embedding they are of. ``like``: the text whose directions are evened out, where it is another one;
    that is not kept."""
    if like is not None:
        return unit_rows(torch.as_tensor(whitened(text, whitening, like), dtype=torch.float32))
    if beside is None or whitening == 0 or 4 * text.shape[0] * text.shape[1] < KEPT_FROM:
        return _made(text, whitening)
    try:
        with derived(beside, f"text-{whitening!r}", (VECTORS,), partial(_write, text, whitening)) as place:
            if place is None:
                raise PermissionError("it may only be read")
            if (kept := _mapped(place, text.shape)) is not None:
                return kept
    except OSError as error:
        log.warning("%s cannot keep its text as it is compared (%s): every start works it out.", beside, error)
    return _made(text, whitening)


def _made(text: np.ndarray | Tensor, whitening: float) -> Tensor:
    return unit_rows(torch.as_tensor(whitened(text, whitening), dtype=torch.float32))


def _write(text: np.ndarray | Tensor, whitening: float, place: Path) -> None:
    np.save(place / FILE, _made(text, whitening).cpu().numpy())


def _mapped(place: Path, shape: tuple[int, ...]) -> Tensor | None:
    """None where it cannot be read; it is made again the next time."""
    try:
        kept = torch.from_numpy(mapped_array(place / FILE))
    except (OSError, ValueError):
        kept = None
    if kept is None or kept.shape != shape or kept.dtype != torch.float32:
        forget(place)
        return None
    return kept
