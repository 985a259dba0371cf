"""Vectors from elsewhere: every format joins by id, every misfit is a sentence."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_embedder import fake_vector
from safetensors.numpy import save, save_file

from llmesr.config import EmbedConfig
from llmesr.errors import UserError
from llmesr.semantic.embedders import open_embedder
from llmesr.semantic.embedders.precomputed import FORMATS, PrecomputedEmbedder, write_vectors
from llmesr.store import Store

IDS = ["007", "b", "c d", "é", "5"]
VECTORS = np.stack([fake_vector(i) for i in IDS])


def read(path: Path, wanted: list[str] = IDS, **settings: Any) -> np.ndarray:
    return PrecomputedEmbedder(EmbedConfig(embedder=f"file:{path}", **settings)).embed(wanted)


@pytest.mark.parametrize("suffix", FORMATS)
def test_written_read_and_joined_in_another_order(suffix: str, tmp_path: Path) -> None:
    path = write_vectors(tmp_path / f"v{suffix}", VECTORS, IDS)
    wanted = ["5", "b", "007"]
    np.testing.assert_array_equal(read(path, wanted), np.stack([fake_vector(i) for i in wanted]))
    np.testing.assert_array_equal(read(path)[-1], fake_vector(IDS[-1]))  # the last row belongs to the last item


def test_number_columns_in_parquet(tmp_path: Path) -> None:
    columns = {f"d{i}": VECTORS[:, i] for i in range(VECTORS.shape[1])}
    pq.write_table(pa.table({"item_id": IDS, **columns}), tmp_path / "v.parquet")
    np.testing.assert_array_equal(read(tmp_path / "v.parquet"), VECTORS)


def test_integer_ids_match_as_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", vectors=VECTORS[:2], item_ids=np.array([10, 20]))
    np.testing.assert_array_equal(read(tmp_path / "v.npz", ["20", "10"]), VECTORS[1::-1])


def test_row_order_only_when_asked_and_counts_match(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    np.save(path, VECTORS)
    np.testing.assert_array_equal(read(path, row_order=True), VECTORS)
    with pytest.raises(UserError, match="does not say which item"):
        read(path)
    with pytest.raises(UserError, match="has 5 rows, but the dataset has 4 items.*padding row"):
        read(path, IDS[:4], row_order=True)


def test_ids_file_given_or_beside(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    (tmp_path / "other.txt").write_text("\n".join(IDS[::-1]))
    np.testing.assert_array_equal(read(tmp_path / "v.npy", ids=str(tmp_path / "other.txt")), VECTORS[::-1])
    with pytest.raises(UserError, match="no file of item ids"):
        read(tmp_path / "v.npy", ids=str(tmp_path / "absent.txt"))
    (tmp_path / "v.ids.txt").write_text("\n".join(IDS[:3]))
    with pytest.raises(UserError, match="5 vectors but 3 item ids"):
        read(tmp_path / "v.npy")


def test_missing_duplicate_and_nan_rows_are_named(tmp_path: Path) -> None:
    path = write_vectors(tmp_path / "v.npz", VECTORS[:4], IDS[:4])
    with pytest.raises(UserError, match="no vector for 1 of 5 items, such as 5"):
        read(path)
    write_vectors(path, VECTORS, ["a", "b", "a", "é", "5"])
    with pytest.raises(UserError, match=r"item 'a' twice \(rows 1 and 3\)"):
        read(path, ["a"])
    broken = VECTORS.copy()
    broken[2, 1] = np.nan
    write_vectors(path, broken, IDS)
    with pytest.raises(UserError, match=r"NaN .* item 'c d' \(row 3\)"):
        read(path)
    np.testing.assert_array_equal(read(path, ["b"]), VECTORS[1:2])  # nobody asked for the broken one


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read as vectors"):
        read(tmp_path / "v.npy", row_order=True)


@pytest.mark.parametrize("shape", [(5,), (5, 2, 2), (5, 0)])
def test_wrong_shapes(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros(shape))
    with pytest.raises(UserError, match="one row of numbers per item"):
        read(tmp_path / "v.npy", row_order=True)


def test_text_instead_of_numbers(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": IDS, "title": IDS}), tmp_path / "v.parquet")
    with pytest.raises(UserError, match="one row of numbers"):
        read(tmp_path / "v.parquet")


def test_rows_of_different_size(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["a", "b"], "vector": [[1.0, 2.0], [1.0]]}), tmp_path / "v.parquet")
    with pytest.raises(UserError, match="'vector' is missing or of another size"):
        read(tmp_path / "v.parquet", ["a"])


def _zipped(flag: int = 0, method: int = 8, harm: bool = False) -> bytes:
    """A file of vectors whose first member is said to be encrypted or packed another way, or is harmed."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, array in (("vectors.npy", VECTORS), ("item_ids.npy", np.array(IDS))):
            content = io.BytesIO()
            np.save(content, array)
            bundle.writestr(name, content.getvalue())
    octets = bytearray(made.getvalue())
    entry = octets.find(b"PK\1\2")
    for flags, packing in ((6, 8), (entry + 8, entry + 10)):
        octets[flags] |= flag
        octets[packing] = method
    if harm:
        octets[60:70] = b"\xff" * 10
    return bytes(octets)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("encrypted.npz", _zipped(flag=1)),
        ("method.npz", _zipped(method=99)),
        ("damaged.npz", _zipped(harm=True)),
        ("ids.safetensors", save({"vectors": VECTORS}, metadata={"item_ids": "5"})),
        ("nested.safetensors", save({"vectors": VECTORS}, metadata={"item_ids": "[" * 100_000})),
        ("shape.npy", b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': "
         b"(9223372036854775807, 9223372036854775807), }".ljust(68) + b"\n"),
        ("brackets.npy", b"\x93NUMPY\x01\x00\x28\x23" + b"(" * 8_999 + b"\n"),
    ],
)  # fmt: skip
def test_files_that_libraries_stumble_over_are_sentences(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as vectors"):
        read(tmp_path / name)


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{suffix}"
    path.write_bytes(b"\x93garbage")
    with pytest.raises(UserError, match="cannot be read as vectors"):
        read(path)


def test_other_names_inside(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", stuff=VECTORS)
    with pytest.raises(UserError, match="no array 'vectors'"):
        read(tmp_path / "v.npz")
    save_file({"one": VECTORS, "two": VECTORS}, tmp_path / "v.safetensors")
    with pytest.raises(UserError, match="no tensor 'vectors'"):
        read(tmp_path / "v.safetensors")
    with pytest.raises(UserError, match="not a file of vectors"):
        (tmp_path / "v.csv").write_text("1,2")
        read(tmp_path / "v.csv")


@pytest.mark.parametrize("suffix", FORMATS)
def test_items_may_be_missing_when_that_is_allowed(suffix: str, tmp_path: Path) -> None:
    path = write_vectors(tmp_path / f"v{suffix}", VECTORS[:2], IDS[:2])
    found = read(path, ["b", "not here", "007"], missing="allow")
    np.testing.assert_array_equal(found, np.stack([fake_vector("b"), np.zeros(VECTORS.shape[1]), fake_vector("007")]))
    with pytest.raises(UserError, match="no vector for 1 of 3 items, such as not here.*missing=allow"):
        read(path, ["b", "not here", "007"])
    with pytest.raises(UserError, match="no vector for 2 of 2 items.*Check its ids"):
        read(path, ["x", "y"], missing="allow")


def test_only_files_may_lack_items(store: Store) -> None:
    with pytest.raises(UserError, match="missing=allow is for file: embedders"):
        open_embedder(EmbedConfig(missing="allow"), store)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ids_files_of_any_editor(encoding: str, end: str, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    (tmp_path / "v.ids.txt").write_bytes(end.join([*IDS, ""]).encode(encoding))
    np.testing.assert_array_equal(read(tmp_path / "v.npy"), VECTORS)


def test_ids_in_another_encoding_are_named_by_line(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    (tmp_path / "v.ids.txt").write_bytes("\n".join(IDS).encode("latin-1"))
    with pytest.raises(UserError, match=r"v\.ids\.txt, line 4, is not UTF-8; save the file as UTF-8\."):
        read(tmp_path / "v.npy")


@pytest.mark.parametrize(("prefix", "start"), [("v", 0), ("dim_", 1), ("", 0)])
def test_other_numbers_beside_the_vectors_are_no_dimensions(prefix: str, start: int, tmp_path: Path) -> None:
    columns = {f"{prefix}{n + start}": VECTORS[:, n] for n in reversed(range(VECTORS.shape[1]))}
    pq.write_table(
        pa.table({"price": [9.5] * 5, "item_id": IDS, "year": [1999] * 5, **columns}), tmp_path / "v.parquet"
    )
    np.testing.assert_array_equal(read(tmp_path / "v.parquet"), VECTORS)


def test_unnumbered_dimensions_are_asked_about(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": IDS, "price": VECTORS[:, 0], "score": VECTORS[:, 1]}), tmp_path / "v.parquet")
    with pytest.raises(UserError, match=r"not clear which columns are dimensions \(price, score"):
        read(tmp_path / "v.parquet")


def test_a_small_file_of_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmesr.semantic.embedders.precomputed.SMALL", 1 << 20)
    np.savez_compressed(tmp_path / "v.npz", vectors=np.zeros((2_000, 2_000), np.float32), item_ids=np.array(["a"]))
    monkeypatch.setattr("llmesr.semantic.embedders.precomputed.EXPANSION", 100)
    with pytest.raises(UserError, match="unpacks to 0.0 GB, which is too much"):
        read(tmp_path / "v.npz")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_header_that_promises_more_than_there_is(suffix: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**6)})
    path = tmp_path / f"v{suffix}"
    if suffix == ".npy":
        path.write_bytes(buffer.getvalue() + bytes(64))
    else:
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.writestr("vectors.npy", buffer.getvalue() + bytes(64))
    with pytest.raises(UserError, match="cannot be read as vectors"):
        read(path, row_order=True)
