"""Download a file so that a cut connection, a killed process or a wrong file costs as little as possible."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from llmesr import deadlines
from llmesr.deadlines import Pace, TooSlow, within
from llmesr.errors import UserError, is_full, machine_failure
from llmesr.progress import Progress, silent
from llmesr.store import write_json
from llmesr.visitors import client

ATTEMPTS = 5
TIMEOUT = httpx.Timeout(30, connect=10)


def download(
    addresses: Sequence[str],
    target: Path,
    *,
    size: int | None = None,
    md5: str | None = None,
    limit: int | None = None,
    progress: Progress = silent,
    pause: float = 1.0,
    redirects: bool = True,
) -> Path:
    """Fetch ``target`` from the first of ``addresses`` that works; an existing target is kept.

    What has arrived stays in ``<target>.part`` and the next attempt, or the next call, asks for the
    rest (HTTP Range, with the ETag, so parts of two versions are never joined). ``pause`` seconds
    between attempts doubles each time. Without ``redirects``, an address that leads to another is not followed.
    A transfer that comes too slowly (see :mod:`llmesr.deadlines`) is a cut one.
    UserError when no address works, when the disk is full, beyond ``limit`` octets, or when size or MD5 differ from
    what is expected; a file that fails its check is deleted.
    """
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    reasons: list[str] = []
    for address in addresses:
        try:
            _attempts(address, target, progress, pause, limit, redirects)
            _check(target, _part(target), size, md5)
            _part(target).replace(target)
            _note(target).unlink(missing_ok=True)
            return target
        except _Failed as error:
            reasons.append(f"{httpx.URL(address).host}: {error}")
        except OSError as error:
            said = machine_failure(error) if is_full(error) else f"Cannot write {target}: {error.strerror or error}."
            raise UserError(f"{said}") from error
    kept = _part(target).stat().st_size if _part(target).is_file() else 0
    resume = f" {kept:,} bytes are kept; run it again to go on." if kept else ""
    raise UserError(f"Cannot download {target.name} ({'; '.join(reasons)}).{resume}")


class _Failed(Exception):
    """An address did not give the file; the message says why."""


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _note(target: Path) -> Path:
    """Remembers which version of which address the part belongs to."""
    return target.with_name(target.name + ".part.json")


def _remembered(note: Path) -> dict[str, Any]:
    """What a note says; nothing where there is none or it is damaged, so that the download begins anew."""
    try:
        found = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def check_limit(name: str, size: int, limit: int | None) -> None:
    """UserError when ``size`` octets are more than ``limit``."""
    if limit is not None and size > limit:
        raise UserError(
            f"{name} is larger than {limit / 1_000_000_000:g} GB; ask for less, or allow more with --max-gb NUMBER."
        )


def _named(address: str) -> str:
    """An address in a note: it may hold a key, so its digest stands there."""
    return hashlib.sha256(address.encode()).hexdigest()


def _attempts(address: str, target: Path, progress: Progress, pause: float, limit: int | None, redirects: bool) -> None:
    """Read until the file is complete, going on where the last attempt ended."""
    for attempt in range(ATTEMPTS):
        before = _part(target).stat().st_size if _part(target).is_file() else 0
        try:
            if _once(address, target, progress, limit, redirects):
                return
            reason = "the connection was cut"
        except (httpx.HTTPError, TooSlow) as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, (httpx.ConnectError, httpx.UnsupportedProtocol)) and not before and attempt:
                break  # not reachable at all
        if attempt + 1 < ATTEMPTS:
            time.sleep(pause * 2**attempt)
    raise _Failed(reason)


def _once(address: str, target: Path, progress: Progress, limit: int | None, redirects: bool) -> bool:
    """One request; True when the file is complete."""
    part, note = _part(target), _note(target)
    known = _remembered(note) if part.is_file() else {}
    start = part.stat().st_size if known.get("address") == _named(address) else 0
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if known.get("etag"):
            headers["If-Range"] = known["etag"]
    with (
        client(follow_redirects=redirects, timeout=TIMEOUT) as http,
        closing(_asked(http, address, headers)) as response,
    ):
        if response.status_code == 416:  # the part is as long as the file, or longer than a changed one
            complete = str(response.headers.get("content-range", "")).endswith(f"/{start}")
            if not complete:
                part.unlink(missing_ok=True)
            return complete
        _check_answer(response)
        if response.status_code == 200:
            start = 0
        total = start + int(response.headers.get("content-length", 0))
        check_limit(target.name, total, limit)
        write_json(note, {"address": _named(address), "etag": response.headers.get("etag")})
        done, pace = start, Pace()
        with part.open("ab" if start else "wb") as out:
            for chunk in response.iter_raw():  # as it arrives, so that a cut loses nothing
                out.write(chunk)
                done += len(chunk)
                pace.note(len(chunk))
                check_limit(target.name, done, limit)
                progress(f"fetching {target.name}", done, max(total, done))
    return total == start or done >= total


def _asked(http: httpx.Client, address: str, headers: dict[str, str]) -> httpx.Response:
    """The answer, its body yet to come. TooSlow where its headers do not end."""
    return within(deadlines.WINDOW, lambda: http.send(http.build_request("GET", address, headers=headers), stream=True))


def _check_answer(response: httpx.Response) -> None:
    """_Failed unless the server sends the file, or the rest of it."""
    if response.is_redirect:
        raise _Failed("the server sends on to another address, which is not followed")
    if response.status_code not in (200, 206):
        raise _Failed(f"the server answers {response.status_code} {response.reason_phrase}")
    if "text/html" in response.headers.get("content-type", ""):
        raise _Failed("the server answers with a web page instead of the file")


def _check(target: Path, part: Path, size: int | None, md5: str | None) -> None:
    found = part.stat().st_size
    digest = ""
    if md5 is not None:
        with part.open("rb") as handle:
            digest = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    wrong = ""
    if size is not None and found != size:
        wrong = f"has {found:,} bytes instead of {size:,}"
    elif md5 is not None and digest != md5:
        wrong = f"has MD5 {digest} instead of {md5}"
    if wrong:
        part.unlink()
        _note(target).unlink(missing_ok=True)
        raise _Failed(f"the file {wrong}; it was deleted")
