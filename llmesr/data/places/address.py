"""Files at an address: http(s) by our own download, object stores and all else through fsspec.

A fetch that was cut goes on where it ended, as long as the file there is the same (by its ETag, or by what its
store says of it). The address may carry a checksum: ``https://example.org/events.csv#sha256=...``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import urllib.parse
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import fsspec
import httpx

from llmesr import deadlines
from llmesr.data.fetch import TIMEOUT, check_limit, download
from llmesr.data.files import CHUNK, SPARE_DISK
from llmesr.data.layouts import check_folder, data_files
from llmesr.deadlines import TooSlow, within
from llmesr.errors import UserError, masked
from llmesr.progress import Progress, silent
from llmesr.store import file_digest, locked
from llmesr.visitors import client

HINT = "pip install 'llmesr[remote]'"
BLOCK = 5 << 20
"""Octets that are asked of a store at a time; they come within ten times :data:`deadlines.WINDOW`."""
WEB = ("http://", "https://")
SUM = "sha256="


class Found(NamedTuple):
    """One file at an address, before it is fetched. ``version`` is "" where it cannot be told from a later one."""

    address: str
    name: str
    version: str
    size: int | None


def shown(address: str) -> str:
    """An address as manifests and messages name it: without user, password, parameters (they may be keys)."""
    parts = urllib.parse.urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def fetch(
    address: str, keep: Path, *, limit: int, progress: Progress = silent, redirects: bool = True
) -> list[tuple[Path, dict[str, str]]]:
    """The files at ``address`` (several where it is a folder), each with where it came from.

    They lie under ``keep`` until they are no longer needed; an unfinished one stays there to be gone on with. UserError
    when there is nothing, when more than ``limit`` octets would come, and when a checksum does not fit.
    """
    plain, _, fragment = address.partition("#")
    digest = fragment.removeprefix(SUM).lower() if fragment.startswith(SUM) else ""
    found = [_on_the_web(plain, redirects)] if plain.startswith(WEB) else _listed(plain)
    if digest and len(found) > 1:
        raise UserError(f"{shown(plain)} is a folder; a checksum belongs to one file.")
    if sum(f.size or 0 for f in found) > limit:
        check_limit(shown(plain), sum(f.size or 0 for f in found), limit)
    home = keep / hashlib.sha256(plain.encode()).hexdigest()[:24]
    got, left = [], limit
    with locked(home):
        for one in found:
            path = _fetched(one, home, left, progress, redirects)
            left -= path.stat().st_size
            got.append((path, {"from": shown(one.address)}))
    if digest and (is_ := file_digest(got[0][0])) != digest:
        got[0][0].unlink()
        raise UserError(f"{shown(plain)} is not the file expected: its SHA-256 is {is_}.")
    return got


def forget(address: str, keep: Path) -> None:
    """Delete what :func:`fetch` keeps of an address."""
    shutil.rmtree(keep / hashlib.sha256(address.partition("#")[0].encode()).hexdigest()[:24], ignore_errors=True)


def _fetched(one: Found, home: Path, limit: int, progress: Progress, redirects: bool) -> Path:
    folder = home / hashlib.sha256(f"{one.address} {one.version}".encode()).hexdigest()[:24]
    if not one.version:
        shutil.rmtree(folder, ignore_errors=True)
    target = folder / one.name
    if one.address.startswith(WEB):
        return download([one.address], target, limit=limit, progress=progress, redirects=redirects)
    return target if target.is_file() else _copy(one, target, limit, progress)


def _on_the_web(address: str, redirects: bool) -> Found:
    name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(address).path)).name or "data"
    try:
        with client(follow_redirects=redirects, timeout=TIMEOUT) as http:
            headers = {"Accept-Encoding": "identity"}
            answer = within(deadlines.WINDOW, lambda: http.head(address, headers=headers))
    except (httpx.HTTPError, httpx.InvalidURL, TooSlow) as error:
        raise UserError(f"{shown(address)} cannot be reached: {error or type(error).__name__}.") from error
    if answer.status_code != 200:  # not every server answers HEAD; a GET tells what is wrong
        return Found(address, name, "", None)
    length = answer.headers.get("content-length")
    version = answer.headers.get("etag") or answer.headers.get("last-modified") or ""
    return Found(address, name, version and f"{version} {length}", int(length) if length else None)


def _listed(address: str) -> list[Found]:
    """See :func:`_in_a_store`. UserError also where the list does not end."""
    try:
        found = within(deadlines.WINDOW, lambda: list(_in_a_store(address)))
    except TooSlow as error:
        raise UserError(f"{shown(address)} cannot be read: {error}.") from error
    fsspec.url_to_fs(address)[0].invalidate_cache()  # every thread has what it saw: this one, which copies, as well
    return found


def _in_a_store(address: str) -> Iterator[Found]:
    """The file at an address, or the data files directly in a folder there."""
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # it asks for rights that no reader needs
    try:
        fs, path = fsspec.url_to_fs(address)
        fs.invalidate_cache()  # what an earlier import of this process saw there may have changed since
    except ImportError as error:
        raise UserError(f"{shown(address)} needs what is not installed: {HINT}") from error
    except ValueError as error:
        raise UserError(
            f"{shown(address)} is no kind of address that can be read; these are: files, http(s)://, s3://, gs://, "
            "hf://datasets/..., postgresql://, sqlite:// and duckdb://."
        ) from error
    try:
        if not fs.isdir(path):
            yield _found(fs, path, fs.info(path))
            return
        entries: dict[str, Any] = {PurePosixPath(e["name"].rstrip("/")).name: e for e in fs.ls(path, detail=True)}
    except FileNotFoundError as error:
        private = ", and HF_TOKEN if the dataset is private" if address.startswith("hf:") else ""
        raise UserError(f"There is nothing at {shown(address)}; check the address{private}.") from error
    except Exception as error:  # each store has errors of its own
        raise UserError(refusal(address, error) or f"{shown(address)} cannot be read: {_reason(error)}") from error
    check_folder(shown(address), entries)
    for name in data_files(shown(address), [n for n, e in entries.items() if e["type"] == "file"]):
        yield _found(fs, entries[name]["name"], entries[name])


def _found(fs: Any, path: str, info: dict[str, Any]) -> Found:
    version = "" if fs.protocol in ("http", "ftp") else str(fs.ukey(path))
    return Found(fs.unstrip_protocol(path), PurePosixPath(path).name, version, info.get("size"))


def _copy(one: Found, target: Path, limit: int, progress: Progress) -> Path:
    """Copy a file of a store, going on where an earlier copy ended."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        fs, path = fsspec.url_to_fs(one.address)
        with fs.open(path, "rb", block_size=BLOCK) as source, part.open("ab") as out:
            done = out.tell()
            source.seek(done)
            while chunk := within(10 * deadlines.WINDOW, lambda: source.read(CHUNK)):
                done += len(chunk)
                check_limit(shown(one.address), done, limit)
                if shutil.disk_usage(part.parent).free < SPARE_DISK + len(chunk):
                    raise UserError(f"{shown(one.address)} would fill the disk; free some space first.")
                out.write(chunk)
                progress(f"fetching {one.name}", done, max(one.size or 0, done))
    except UserError:
        raise
    except Exception as error:  # each store has errors of its own
        raise UserError(_cut(one, part, error)) from error
    if one.size is not None and part.stat().st_size != one.size:
        part.unlink()
        raise UserError(f"{shown(one.address)} changed while it was fetched; run it again.")
    return part.replace(target)


def _cut(one: Found, part: Path, error: Exception) -> str:
    """The sentence for a copy that ended early."""
    if said := refusal(one.address, error):
        return said
    kept = part.stat().st_size if part.is_file() else 0
    resume = f" {kept:,} bytes are kept; run it again to go on." if kept and one.version else ""
    return f"{shown(one.address)} cannot be read to its end: {_reason(error)}{resume}"


_SECRETS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, the path of a key file",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS, the path of a key file",
    "hf": "HF_TOKEN",
}
"""Where each kind of store takes credentials from."""
_REFUSED = re.compile(
    r"credentials|access ?denied|forbidden|unauthorized|access key id|signature we calculated|permission|gated|"
    r"service account|\b40[13]\b",
    re.IGNORECASE,
)


def refusal(address: str, error: Exception) -> str | None:
    """The sentence for an error of a store that does not let us in; None when it says something else."""
    secret = _SECRETS.get(address.partition("://")[0])
    if secret is None or not (isinstance(error, PermissionError) or _REFUSED.search(str(error))):
        return None
    return f"{shown(address)} refuses the credentials, or has got none: {_reason(error)} They come from {secret}."


def _reason(error: Exception) -> str:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return masked(said)[:200].rstrip(".") + "."
