"""The one place that reads a pickle: the authors' files, on the user's explicit word."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np

from llmesr.errors import UserError
from llmesr.store import deliver


def pickle_to_npy(source: Path, target: Path) -> tuple[list[int], str]:
    """Read a pickled array or list of equally long rows and write it as .npy; returns shape and type.

    The authors' files hold item embeddings, row i for item i + 1 of their inter.txt (some with a
    zero row for padding first), or for each user the list of similar users. Only call this for a
    file the user has said to trust. UserError when it is no such file.
    """
    if target.suffix != ".npy":
        raise UserError(f"{target.name} must end in .npy.")
    try:
        with source.open("rb") as handle:
            value = pickle.load(handle)
    except OSError as error:
        raise UserError(f"Cannot read {source}: {error.strerror or error}.") from error
    except Exception as error:  # a pickle can raise anything
        raise UserError(f"{source.name} is not a pickle that can be read here: {error}.") from error
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise UserError(f"{source.name} holds rows of different lengths, not a table of numbers.") from error
    if array.dtype.kind not in "fiu" or array.ndim != 2:
        raise UserError(f"{source.name} holds {type(value).__name__}, not a table of numbers.")
    array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    deliver(target, buffer.getvalue())
    return list(array.shape), str(array.dtype)
