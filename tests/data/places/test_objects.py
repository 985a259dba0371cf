"""Object stores over their real protocols: S3, Google Cloud Storage, a Hugging Face hub."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import httpx
import pytest
from marketplace import csv, items_csv, rows
from objects import SECRET, Bucket

import llmesr
from llmesr.data.places import address
from llmesr.data.places.bring import brought
from llmesr.errors import UserError
from llmesr.store import Store

pytest_plugins = ("objects",)
CONTENT = csv(rows(users=40)).encode()
LARGE = csv([(f"u{n % 900}", f"i{n}", 1_600_000_000 + n) for n in range(120_000)]).encode()


@pytest.fixture(params=["s3", "gcs", "hub"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    found: Bucket = request.getfixturevalue(request.param)
    return found


def refused(source: str, store: Store, limit: int = 10**9) -> str:
    with pytest.raises(UserError) as told, brought([source], store, limit=limit):
        pass
    sentence = str(told.value)
    assert "\n" not in sentence
    assert SECRET not in sentence
    return sentence


def left(store: Store) -> list[Path]:
    return [p for p in (store.root / "addresses").rglob("*") if p.is_file() and p.name != ".lock"]


def test_a_folder_and_a_file_are_ingested(bucket: Bucket, store: Store) -> None:
    bucket.put("day/orders-1.csv", csv(rows(users=20)).encode())
    bucket.put("day/orders-2.csv", csv(rows(users=40)[80:]).encode())
    bucket.put("day/deeper/more.csv", b"not read")
    items = bucket.put("items.csv", items_csv().encode())
    data = llmesr.ingest(f"{bucket.address}/day", items, name="days", store=store)
    assert (data.n_users, data.n_items) == (40, 5)
    assert [s["file"] for s in data.manifest.info["sources"]] == ["orders-1.csv", "orders-2.csv", "items.csv"]
    assert left(store) == []


def test_what_was_put_there_since_is_seen(bucket: Bucket, store: Store) -> None:
    """A process that runs for days lists a folder again each time."""
    bucket.put("day/orders-1.csv", csv(rows(users=20)).encode())
    first = llmesr.ingest(f"{bucket.address}/day", name="days", store=store)
    bucket.put("day/orders-1.csv", csv(rows(users=10)).encode())
    bucket.put("day/orders-2.csv", csv(rows(users=40)[80:]).encode())
    second = llmesr.ingest(f"{bucket.address}/day", name="days", store=store)
    assert (first.n_users, second.n_users) == (20, 30)


def test_checksums_and_limits(bucket: Bucket, store: Store) -> None:
    source = bucket.put("orders.csv", CONTENT)
    with brought([f"{source}#sha256={hashlib.sha256(CONTENT).hexdigest()}"], store) as given:
        assert given.paths[0].read_bytes() == CONTENT
    assert "not the file expected" in refused(f"{source}#sha256=00", store)
    assert "--max-gb" in refused(source, store, limit=len(CONTENT) - 1)
    assert left(store) == []


def test_what_is_not_there_is_said(bucket: Bucket, store: Store) -> None:
    bucket.put("orders.csv", CONTENT)
    elsewhere = bucket.address.replace("shop", "nobody", 1)
    for source in (f"{bucket.address}/none.csv", f"{bucket.address}/none/none.csv", f"{elsewhere}/orders.csv"):
        sentence = refused(source, store)
        assert sentence.startswith(f"There is nothing at {source}")


def cut_midway(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a large file whose line breaks before its end."""
    monkeypatch.setattr(address, "CHUNK", 1 << 18)
    monkeypatch.setattr(address, "BLOCK", 1 << 18)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("gcsfs.retry.min", lambda *_: 0, raising=False)  # of its waits between attempts, half a minute
    source = bucket.put("orders.csv", LARGE)
    bucket.line.left = 1_200_000
    return source


def test_a_copy_that_was_cut_goes_on_where_it_ended(
    bucket: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = cut_midway(bucket, monkeypatch)
    sentence = refused(source, store)
    assert "bytes are kept; run it again to go on" in sentence
    (part,) = [p for p in left(store) if p.suffix == ".part"]
    kept = part.read_bytes()
    assert 0 < len(kept) < len(LARGE)
    assert kept == LARGE[: len(kept)]
    bucket.line.left = len(LARGE) - len(kept) + 100_000  # with the whole file the line would be cut again
    with brought([source], store) as given:
        assert given.paths[0].read_bytes() == LARGE


def test_a_copy_that_was_cut_begins_anew_when_the_file_has_changed(
    bucket: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = cut_midway(bucket, monkeypatch)
    refused(source, store)
    bucket.line.left = None
    bucket.put("orders.csv", LARGE[::-1])
    with brought([source], store) as given:
        assert given.paths[0].read_bytes() == LARGE[::-1]


def test_wrong_credentials_are_said(s3: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    source = s3.put("orders.csv", CONTENT)
    httpx.post(f"http://127.0.0.1:{s3.line.port}/moto-api/reset-auth", content=b"0")  # from here on it checks them
    sentence = refused(source, store)
    assert sentence.startswith(f"{source} refuses the credentials")
    assert "AWS_ACCESS_KEY_ID" in sentence


def test_absent_credentials_are_said(s3: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    source = s3.put("orders.csv", CONTENT)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    type(s3.fs).clear_instance_cache()
    sentence = refused(source, store)
    assert "AWS_ACCESS_KEY_ID" in sentence


def test_a_private_dataset_of_the_hub_says_which_token(
    hub: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = hub.put("orders.csv", CONTENT)
    hub.fs.token = SECRET
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert "HF_TOKEN" in refused(source, store)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with brought([source], store) as given:
        assert given.paths[0].read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("gs://shop/a.csv", OSError("Forbidden: https://...\nAnonymous caller does not have storage.objects.get"),
         "gs://shop/a.csv refuses the credentials, or has got none: Forbidden: https://....*GOOGLE_APPLICATION_CREDENTIALS"),
        ("gs://shop/a.csv", ValueError("Provided token is either not valid, or expired: 401"), "GOOGLE_APPLICATION"),
        ("s3://shop/a.csv", PermissionError("Access Denied"), "AWS_ACCESS_KEY_ID"),
        ("hf://datasets/a/b/c.csv", OSError("403 Client Error. Cannot access gated repo"), "HF_TOKEN"),
        ("s3://shop/a.csv", OSError("Connection reset by peer"), None),
        ("memory://shop/a.csv", PermissionError("no"), None),
    ],
)  # fmt: skip
def test_a_refusal_says_where_credentials_come_from(source: str, error: Exception, words: str | None) -> None:
    said = address.refusal(source, error)
    assert said is None if words is None else re.match(f".*{words}", said or "")


def test_a_store_that_does_not_answer(s3: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    type(s3.fs).clear_instance_cache()
    assert "s3://shop/orders.csv cannot be read" in refused("s3://shop/orders.csv", store)
