"""Vectors computed elsewhere: ``file:vectors.npz``, joined to the items by their ids.

| file | vectors | item ids |
|---|---|---|
| .npz | array ``vectors`` | array ``item_ids`` |
| .parquet | one list column, or number columns | column ``item_id`` |
| .safetensors | tensor ``vectors`` | metadata ``item_ids`` (a JSON list), or an ids file |
| .npy | the array | an ids file (``vectors.ids.txt`` beside it, or ``EmbedConfig.ids``), or row order |

An ids file has one id per line. Row order is believed only when asked for and when the counts match. Under
``missing: allow`` an item that the file does not have gets a zero row.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import zipfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Literal

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import safe_open

from llmesr.config import EmbedConfig
from llmesr.errors import UserError, is_full
from llmesr.semantic.embedders.contract import Embedder
from llmesr.semantic.matrix import align
from llmesr.store import config_digest, deliver, delivered, file_digest

EXPANSION = 1000
"""How many times larger than its file a packed one may be, past ``SMALL``; vectors hardly pack at all."""
SMALL = 1 << 28
FORMATS = (".npy", ".npz", ".parquet", ".safetensors")


def build(config: EmbedConfig) -> PrecomputedEmbedder:
    return PrecomputedEmbedder(config)


class PrecomputedEmbedder(Embedder):
    """Reads item ids instead of texts: ``embed(item_ids)`` gives each item its row of the file."""

    reads: Literal["text", "item_id"] = "item_id"

    def __init__(self, config: EmbedConfig) -> None:
        self.path = Path(config.embedder.partition(":")[2]).expanduser()
        self.name = f"file:{self.path.name}"
        self._ids_file = Path(config.ids).expanduser() if config.ids else None
        self._row_order = config.row_order
        self._missing = config.missing == "allow"
        if not self.path.is_file():
            raise UserError(f"There is no file of vectors {str(self.path)!r}.")
        if self.path.suffix not in FORMATS:
            raise UserError(f"{self.path} is not a file of vectors llmesr reads: {', '.join(FORMATS)}.")

    @cached_property
    def fingerprint(self) -> str:
        digests = [file_digest(self.path)]
        if (ids := self._ids_path()) is not None:
            digests.append(file_digest(ids))
        return config_digest("precomputed", self._row_order, *digests)

    @property
    def dimension(self) -> int:
        return int(self._content[0].shape[1])

    @cached_property
    def _content(self) -> tuple[np.ndarray, list[str] | None]:
        try:
            vectors, ids = _READERS[self.path.suffix](self.path)
        except _Unfit as error:
            raise UserError(f"{self.path} cannot be read as vectors: {error}.") from error
        except Exception as error:  # the file may be anybody's, and four libraries read it, which raise anything
            if is_full(error):
                raise
            raise UserError(
                f"{self.path} cannot be read as vectors: it is damaged, or holds something else than numbers."
            ) from error
        if vectors.ndim != 2 or not vectors.shape[1] or vectors.dtype.kind not in "fiu":
            raise UserError(
                f"{self.path} must hold one row of numbers per item, not shape {vectors.shape} of {vectors.dtype}."
            )
        if (beside := self._ids_path()) is not None:
            ids = read_ids(beside)
        return vectors, ids

    def _ids_path(self) -> Path | None:
        if self._ids_file is not None:
            if not self._ids_file.is_file():
                raise UserError(f"There is no file of item ids {str(self._ids_file)!r}.")
            return self._ids_file
        beside = self.path.with_suffix(".ids.txt")
        return beside if beside.is_file() else None

    def stream(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All rows at once; ``texts`` are item ids. UserError when the file does not fit them."""
        vectors, ids = self._content
        if ids is None:
            self._check_order(len(vectors), len(texts))
            ids = list(texts)
        yield np.arange(len(texts)), align(vectors, ids, texts, str(self.path), missing=self._missing)

    def _check_order(self, rows: int, wanted: int) -> None:
        if not self._row_order:
            raise UserError(
                f"{self.path} does not say which item each row is. Give a file with one item id per line "
                f"(--set ids=FILE), or, if its rows are the {wanted} items in the catalogue's order, "
                "--set row_order=true."
            )
        if rows != wanted:
            extra = " One row more is often a padding row: remove it." if rows == wanted + 1 else ""
            raise UserError(
                f"{self.path} has {rows} rows, but the dataset has {wanted} items, so row order cannot be right."
                f"{extra} Give the item ids: --set ids=FILE"
            )


class _Unfit(Exception):
    """What is wrong with a file of vectors, for the end of a sentence."""


def read_ids(path: Path) -> list[str]:
    """One id per line, in UTF-8 or UTF-16, with or without a byte order mark. UserError names the line that is not."""
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}, is not UTF-8; save the file as UTF-8.") from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def write_vectors(path: Path, vectors: np.ndarray, item_ids: Sequence[str]) -> Path:
    """Write ``vectors`` (N, E) with their ids in the format of ``path``'s ending, readable as ``file:<path>``."""
    ids = [str(i) for i in item_ids]
    if len(ids) != len(vectors):
        raise ValueError(f"{len(vectors)} vectors but {len(ids)} item ids")
    if path.suffix not in FORMATS:
        raise UserError(f"Vectors can be written as {', '.join(FORMATS)}, not {path.name!r}.")
    with delivered(path) as file:
        _write(file, path.suffix, np.ascontiguousarray(vectors, np.float32), ids)
    if path.suffix == ".npy":
        deliver(path.with_suffix(".ids.txt"), "".join(f"{i}\n" for i in ids).encode())
    return path


def _write(file: Path, suffix: str, vectors: np.ndarray, ids: list[str]) -> None:
    if suffix == ".npy":
        with open(file, "wb") as out:  # NumPy would add an ending to a name
            np.save(out, vectors)
    elif suffix == ".npz":
        with open(file, "wb") as out:
            np.savez(out, vectors=vectors, item_ids=np.array(ids, dtype=str))
    elif suffix == ".parquet":
        rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        pq.write_table(pa.table({"item_id": pa.array(ids), "vector": rows}), file)
    else:
        from safetensors.numpy import save

        # Its own way to a file leaves one of another name behind where it is killed, in somebody's folder.
        file.write_bytes(save({"vectors": vectors}, metadata={"item_ids": json.dumps(ids)}))


def _npy(path: Path) -> tuple[np.ndarray, list[str] | None]:
    return np.load(path, mmap_mode="r", allow_pickle=False), None  # a header that promises more than there is fails


def _npz(path: Path) -> tuple[np.ndarray, list[str] | None]:
    with zipfile.ZipFile(path) as bundle:
        _check_size(sum(i.file_size for i in bundle.infolist()), path)
        for entry in bundle.infolist():
            with bundle.open(entry) as stream:
                _check_header(stream, entry.file_size)
    with np.load(path, allow_pickle=False) as arrays:
        if "vectors" not in arrays:
            raise _Unfit(f"no array 'vectors' in it, only {', '.join(arrays.files)}")
        ids = arrays.get("item_ids")
        return arrays["vectors"], None if ids is None else [str(i) for i in ids.tolist()]


def _check_size(octets: int, path: Path) -> None:
    """Refuse what unpacks to far more than its file and to more than memory may hold."""
    if octets > max(EXPANSION * path.stat().st_size, SMALL) or octets > psutil.virtual_memory().available / 2:
        raise _Unfit(f"it unpacks to {octets / 1e9:,.1f} GB, which is too much for its size or for this machine")


def _check_header(stream: IO[bytes], octets: int) -> None:
    """Refuse an array whose header promises more than its bytes: memory is taken by the header."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if math.prod(shape) * dtype.itemsize > octets:
        raise _Unfit("an array in it promises more than it holds")


def _parquet(path: Path) -> tuple[np.ndarray, list[str] | None]:
    found = pq.read_metadata(path)
    _check_size(sum(found.row_group(n).total_byte_size for n in range(found.num_row_groups)), path)
    table = pq.ParquetFile(path).read()
    names = [n for n in table.column_names if n != "item_id"]
    ids = [str(i) for i in table["item_id"].to_pylist()] if "item_id" in table.column_names else None
    lists = [n for n in names if pa.types.is_nested(table.schema.field(n).type)]
    if len(lists) > 1:
        raise _Unfit(f"several columns hold lists ({', '.join(lists)}); keep one")
    if not lists:
        return table.select(_dimensions(names)).to_pandas().to_numpy(), ids
    column = table[lists[0]].to_pandas()
    sizes = column.map(lambda row: -1 if row is None else len(row))
    if sizes.nunique() > 1:
        place = int((sizes != sizes.mode()[0]).to_numpy().argmax())
        raise _Unfit(f"row {place + 1} of column {lists[0]!r} is missing or of another size than the others")
    return np.array(column.tolist()), ids


def _dimensions(names: list[str]) -> list[str]:
    """The columns that are dimensions: those numbered under one name (v0, v1, ...). Others beside them, such as a
    price, are none."""
    families: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        match = re.fullmatch(r"(.*?)(\d+)", name)
        if match:
            families.setdefault(match[1], []).append((int(match[2]), name))
    whole = [sorted(f) for f in families.values() if sorted(n for n, _ in f) in (_up(0, f), _up(1, f)) and len(f) > 1]
    if len(whole) == 1:
        return [name for _, name in whole[0]]
    if len(names) > 1:
        raise _Unfit(
            f"it is not clear which columns are dimensions ({', '.join(names[:6])}, ...): number them under one name "
            "(v0, v1, ...), or put them into one column of lists"
        )
    return names


def _up(start: int, family: list[tuple[int, str]]) -> list[int]:
    return list(range(start, start + len(family)))


def _safetensors(path: Path) -> tuple[np.ndarray, list[str] | None]:
    with safe_open(path, framework="numpy") as tensors:
        names = list(tensors.keys())
        name = "vectors" if "vectors" in names else names[0] if len(names) == 1 else None
        if name is None:
            raise _Unfit(f"no tensor 'vectors' in it, only {', '.join(names)}")
        ids = (tensors.metadata() or {}).get("item_ids")
        return tensors.get_tensor(name), None if ids is None else [str(i) for i in json.loads(ids)]


_READERS = {".npy": _npy, ".npz": _npz, ".parquet": _parquet, ".safetensors": _safetensors}
