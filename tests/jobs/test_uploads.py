"""Files a visitor sends: their names stay in their folder, their sizes are bounded, they go when they are old."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest

from llmesr.errors import UserError
from llmesr.jobs.uploads import KEEP_DAYS, Uploads, plain_name, server_path
from llmesr.store import Store

NAMES = ["../x.csv", "/etc/passwd", "a\\b.csv", "..", "", "x\0.csv", "a" * 300 + ".csv", "a\nb.csv", ".hidden.csv"]


@pytest.mark.parametrize("name", NAMES)
def test_names_cannot_leave_their_folder(name: str, store: Store) -> None:
    with pytest.raises(UserError, match="not allowed"):
        plain_name(name)
    with pytest.raises(UserError, match="not allowed"):
        Uploads(store).receive([("good.csv", io.BytesIO(b"x")), (name, io.BytesIO(b"x"))], limit=100)
    assert list(Uploads(store).folder.iterdir()) == []  # nothing stays behind


def test_ordinary_names_are_kept_and_strange_kinds_are_refused() -> None:
    assert plain_name("my shop (2).csv.gz") == "my shop (2).csv.gz"
    with pytest.raises(UserError, match="not a kind of file"):
        plain_name("shop.exe")


def test_files_are_found_by_their_token_until_they_are_old(store: Store) -> None:
    uploads = Uploads(store)
    token = uploads.receive([("shop.csv", io.BytesIO(b"hello"))], limit=5)
    (file,) = uploads.files(token)
    assert file.read_bytes() == b"hello"
    assert uploads.old() == []
    later = time.time() + (KEEP_DAYS + 1) * 86_400
    assert uploads.old(now=later) == [file.parent]
    assert uploads.old(now=later, in_use=[str(file)]) == []
    uploads.discard(token)
    with pytest.raises(UserError, match="no longer here"):
        uploads.files(token)


def test_too_much_leaves_nothing(store: Store) -> None:
    with pytest.raises(UserError, match="larger than"):
        Uploads(store).receive([("a.csv", io.BytesIO(b"xx")), ("b.csv", io.BytesIO(b"xx"))], limit=3)
    assert list(Uploads(store).folder.iterdir()) == []


@pytest.mark.parametrize("token", ["", "..", "0123456789abcde", "0123456789abcdeg"])
def test_strange_tokens_are_no_uploads(token: str, store: Store) -> None:
    with pytest.raises(UserError, match="no longer here"):
        Uploads(store).files(token)


def test_files_of_the_server_lie_under_a_named_root(tmp_path: Path) -> None:
    inside, outside = tmp_path / "data", tmp_path / "secret.csv"
    inside.mkdir()
    (inside / "shop.csv").write_text("x")
    outside.write_text("x")
    os.symlink(outside, inside / "link.csv")
    assert server_path(str(inside / "shop.csv"), [inside]) == inside / "shop.csv"
    for path in (outside, inside / "link.csv", inside / ".." / "secret.csv"):
        with pytest.raises(UserError, match="may be read from"):
            server_path(str(path), [inside])
    with pytest.raises(UserError, match="no file"):
        server_path(str(inside / "gone.csv"), [inside])
