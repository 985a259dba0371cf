"""What a file is, told by its first bytes, and why it is refused where it is nothing to read."""

from __future__ import annotations

import codecs
from pathlib import Path

from llmesr.errors import UserError

ZEROS = 1000
"""One zero byte in this many at the beginning makes a file binary; a stray one costs only its line."""

REFUSED: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK\x03\x04", "a ZIP archive (or an Office document): unpack it, or save the sheet as CSV"),
    (0, b"PK\x05\x06", "an empty ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it"),
    (0, b"Rar!", "a RAR archive: unpack it"),
    (0, b"\xfd7zXZ", "compressed with xz: unpack it, or use gzip"),
    (0, b"BZh", "compressed with bzip2: unpack it, or use gzip"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it, or use gzip"),
    (257, b"ustar", "a tar archive: unpack it"),
    (0, b"%PDF", "a PDF document: give a CSV, JSONL or Parquet file"),
    (0, b"\x89PNG", "a PNG image: give a CSV, JSONL or Parquet file"),
    (0, b"\xff\xd8\xff", "a JPEG image: give a CSV, JSONL or Parquet file"),
    (0, b"GIF8", "a GIF image: give a CSV, JSONL or Parquet file"),
    (0, b"\x7fELF", "a program: give a CSV, JSONL or Parquet file"),
    (0, b"MZ", "a program: give a CSV, JSONL or Parquet file"),
    (0, b"\xd0\xcf\x11\xe0", "an old Excel or Word document: save the sheet as CSV"),
    (0, b"SQLite format 3", 'an SQLite database: say what to read of it with --sql "SELECT ..."'),
    (0, b"\x89HDF", "an HDF5 file: export it as CSV or Parquet"),
    (0, b"\x93NUMPY", "a NumPy array: give a CSV, JSONL or Parquet file"),
    (0, b"ORC", "an ORC file: export it as Parquet"),
    (0, b"Obj\x01", "an Avro file: export it as Parquet"),
)

REFUSED_TEXT: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "only a pointer of Git LFS: fetch the data itself with `git lfs pull`"),
    (b"<!doctype html", "a web page: download the file that it leads to"),
    (b"<html", "a web page: download the file that it leads to"),
    (b"<?xml", "an XML document: export it as CSV, JSONL or Parquet"),
)
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
"""How text that is not UTF-8 begins where it says so; that of UTF-32 begins like one of UTF-16."""


def marked(start: bytes) -> str | None:
    """The encoding that a byte order mark names, but for UTF-8."""
    return next((encoding for mark, encoding in MARKS if start.startswith(mark)), None)


def check_kind(path: Path, start: bytes, *, zeros: bool = False) -> None:
    """Refuse archives, images, programs, pickles and other binary files by their first bytes."""
    if start[:4] == b"%PDF" or not _is_text(start[:4096]):  # a header "ORCID,..." is no ORC file
        for offset, magic, what in REFUSED:
            if start[offset : offset + len(magic)] == magic:
                raise UserError(f"{path.name} is {what}.")
    if start[:1] == b"\x80" and len(start) > 1 and start[1] in range(2, 6):
        raise UserError(
            f"{path.name} is a Python pickle, which can run code when read; `llmesr convert --trust` turns the "
            "files of the LLM-ESR authors into safe ones."
        )
    if start[:2] == b"\x1f\x8b":
        raise UserError(f"{path.name} is compressed twice; unpack it once.")
    for sign, what in REFUSED_TEXT:
        if start[:200].lstrip().lower().startswith(sign):
            raise UserError(f"{path.name} is {what}.")
    if start[:4] == b"PAR1" or marked(start):
        return
    if not zeros and start.count(b"\0") * ZEROS > len(start):
        line = start.count(b"\n", 0, start.index(b"\0")) + 1
        raise UserError(
            f"{path.name} is not text (it holds zero bytes, the first in line {line}); give a CSV, JSONL or Parquet "
            "file, or say its encoding, such as --set encoding=utf-16-le."
        )


def is_gzip(path: Path) -> bool:
    """Whether the file is gzip by its content, whatever its name."""
    with path.open("rb") as handle:
        return handle.read(2) == b"\x1f\x8b"


def _is_text(start: bytes) -> bool:
    if b"\0" in start:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # a cut last character is no error here
    except UnicodeDecodeError:
        return False
    return True
