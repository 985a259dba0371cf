"""Any file given -> plain UTF-8 text or Parquet that can be read in bulk, or a refusal that says why.

Nothing here trusts a file's name: what it is, is told by its first bytes. Gzip is unpacked within
limits, so a small file cannot fill the disk.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import hashlib
import re
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from llmesr.data.kinds import check_kind, is_gzip, marked
from llmesr.errors import UserError
from llmesr.progress import Progress, silent

HEAD = 1 << 20
CHUNK = 1 << 20
MAX_EXPANSION = 100
"""Gzip that unpacks to more than this many times its size (past 64 MB) is refused; text gives 3 to 20."""
SPARE_DISK = 1 << 30
MAX_FOREIGN = 0.05
"""The share of lines that may hold what no letter of Windows-1252 is, before another encoding is asked for."""


@dataclass(frozen=True)
class Prepared:
    """A file ready to be read in bulk.

    ``path`` is the original or a plain copy in the scratch folder, ``digest`` the SHA-256 of the
    unpacked content, ``repaired`` how many lines were not UTF-8 (read as Windows-1252 instead) and
    ``first_repaired`` the line number of the first of them.
    """

    path: Path
    digest: str
    repaired: int = 0
    first_repaired: int = 0
    plus: bool = True
    """Whether there may be a ``+`` in it: without one no id is in scientific notation, and none is looked at."""


def head(path: Path, encoding: str | None = None) -> bytes:
    """The first megabyte of the unpacked content. UserError when it is missing or of a refused kind.

    ``encoding`` is what the text is said to be in: then zero bytes may be part of it.
    """
    try:
        with _opened(path) as stream:
            start = stream.read(HEAD)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _bad_gzip(path) from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
    check_kind(path, start, zeros=encoding is not None)
    return start


def known_encoding(name: str) -> str:
    """The codec of an encoding's name. UserError when there is none for text."""
    try:
        codec = codecs.lookup(name)
        "".encode(codec.name)
    except (LookupError, ValueError) as error:
        raise UserError(f"Encoding {name!r} is not known; such as utf-8, cp1252, cp1251, gbk, shift_jis.") from error
    return codec.name


def decode(start: bytes, encoding: str | None = None) -> str:
    """The beginning of a text file for sniffing; a cut last line is dropped when there are others."""
    if encoding is not None:
        text = start.decode(known_encoding(encoding), errors="replace").removeprefix("\ufeff")
    elif stated := marked(start):
        text = start[: len(start) // 4 * 4].decode(stated, errors="replace")
    else:
        plain = start.removeprefix(codecs.BOM_UTF8)
        try:  # all at once, which is most files; a character cut by the end of the beginning is no error
            text = codecs.getincrementaldecoder("utf-8")().decode(plain, len(start) < HEAD)
        except UnicodeDecodeError:
            text = "\n".join(map(_line, plain.split(b"\n")))
    if len(start) == HEAD and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    return text


def _line(line: bytes) -> str:
    """A line in UTF-8, or in Windows-1252 where it is not."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return _western(line)[0]


def _western(line: bytes) -> tuple[str, bool]:
    """A line in Windows-1252, and whether it holds a byte that stands for nothing there: as it is, so that two of them
    stay two."""
    try:
        return line.decode("cp1252"), False
    except UnicodeDecodeError:
        return "".join(_WESTERN[octet] for octet in line), True


_WESTERN = [bytes([n]).decode("cp1252", errors="ignore") or chr(n) for n in range(256)]


def prepare(path: Path, scratch: Path, progress: Progress = silent, encoding: str | None = None) -> Prepared:
    """Unpack, check and, where needed, convert a file from ``encoding`` to UTF-8 in ``scratch``.

    UserError on a truncated or hostile gzip, on binary content, on text that is not in the stated encoding, and when
    the disk would run full.
    """
    start = head(path, encoding)
    if start[:4] == b"PAR1":
        with open(path, "rb") as handle:
            return Prepared(path, hashlib.file_digest(handle, "sha256").hexdigest())
    packed = is_gzip(path)
    copy = scratch / f"{path.name}.{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}.txt"
    digest, valid, plus = _scan(path, copy if packed else None, progress)
    plain = copy if packed else path
    converted = copy.with_suffix(".utf8")
    if encoding is not None:
        return Prepared(_converted(plain, converted, path, known_encoding(encoding)), digest)
    if stated := marked(start):
        return Prepared(_converted(plain, converted, path, stated), digest)
    if valid:
        return Prepared(plain, digest, plus=plus)
    return _repair(plain, converted, path, digest)


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if is_gzip(path) else path.open("rb")


def _bad_gzip(path: Path) -> UserError:
    return UserError(f"{path.name} is a damaged or truncated gzip file; download or compress it again.")


def _chunks(path: Path, packed: bool, progress: Progress) -> Iterator[bytes]:
    size = path.stat().st_size
    total = 0
    with path.open("rb") as raw:
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw
        while chunk := stream.read(CHUNK):
            total += len(chunk)
            if packed and total > 1 << 26 and total > MAX_EXPANSION * size:
                raise UserError(
                    f"{path.name} unpacks to more than {MAX_EXPANSION} times its size, "
                    "which no real data does; refused."
                )
            yield chunk
            progress(f"checking {path.name}", min(raw.tell(), size), size)


def _scan(path: Path, copy: Path | None, progress: Progress) -> tuple[str, bool, bool]:
    """Digest, whether all is UTF-8, and whether there is a plus sign; writes the unpacked content to ``copy``."""
    digest, valid, plus = hashlib.sha256(), True, False
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with copy.open("wb") if copy else contextlib.nullcontext() as out:
            for chunk in _chunks(path, copy is not None, progress):
                digest.update(chunk)
                if out is not None and copy is not None:
                    if shutil.disk_usage(copy.parent).free < SPARE_DISK + len(chunk):
                        raise UserError(f"Unpacking {path.name} would fill the disk; free some space first.")
                    out.write(chunk)
                valid = valid and _decodes(decoder, chunk)
                plus = plus or b"+" in chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _bad_gzip(path) from error
    return digest.hexdigest(), valid and _decodes(decoder, b"", final=True), plus


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return True


def _converted(path: Path, target: Path, original: Path, encoding: str) -> Path:
    """A copy in UTF-8. UserError names the first line that is not in ``encoding``."""
    try:
        with (
            open(path, encoding=encoding, newline="\n") as text,
            open(target, "w", encoding="utf-8", newline="") as out,
        ):
            for number, content in enumerate(text):
                out.write(content if number else content.removeprefix("\ufeff"))
    except UnicodeError as error:
        raise UserError(
            f"{original.name}{_first_bad_line(path, encoding)} is not {encoding}; say the right one with "
            "--set encoding=NAME, or save the file as UTF-8."
        ) from error
    return target


def _first_bad_line(path: Path, encoding: str) -> str:
    if "\n".encode(encoding) == b"\n":
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    line.decode(encoding)
                except UnicodeError:
                    return f", line {number},"
    return ""


_MAYBE_UTF8 = re.compile(rb"[\xc2-\xf4][\x80-\xbf]")


def _alike(block: bytes) -> bytes | None:
    """Lines of which none can be UTF-8 beyond ASCII, from Windows-1252, all at once; None where each has to be looked
    at."""
    if _MAYBE_UTF8.search(block):
        return None
    try:
        return block.decode("cp1252").encode("utf-8")
    except UnicodeDecodeError:
        return None


def _valid(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _repair(path: Path, target: Path, original: Path, digest: str) -> Prepared:
    """Rewrite line by line: what is not UTF-8 is read as Windows-1252, and counted.

    UserError where too many lines are neither.
    """
    repaired = first = foreign = number = 0
    with open(path, "rb") as file, open(target, "wb") as out:
        while lines := file.readlines(CHUNK):
            whole = _alike(b"".join(lines))
            odd = [at for at, line in enumerate(lines) if not (line.isascii() if whole is not None else _valid(line))]
            if whole is None:
                for at in odd:
                    text, unknown = _western(lines[at])
                    foreign += unknown
                    lines[at] = text.encode()
            out.write(b"".join(lines) if whole is None else whole)
            first = first or (number + odd[0] + 1 if odd else 0)
            repaired += len(odd)
            number += len(lines)
    if foreign > max(1, MAX_FOREIGN * number):
        raise UserError(
            f"{original.name} is in neither UTF-8 nor Windows-1252 (first in line {first}); say its encoding, such as "
            "--set encoding=shift_jis, gbk, cp1251 or mac_roman."
        )
    return Prepared(target, digest, repaired, first)
