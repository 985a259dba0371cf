"""Archives from elsewhere: nothing in them is believed before all of it was checked."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from factories import corrupt, make_dataset, make_embedding, make_run, make_running_run

from llmesr.data.dataset import load_dataset
from llmesr.errors import UserError
from llmesr.store import MANIFEST, Store, archive, export_archive, file_digest, import_archive
from llmesr.store.archive import LIST

Members = dict[str, bytes]


@pytest.fixture
def exported(store: Store, tmp_path: Path) -> Path:
    """A run as an archive."""
    data = make_dataset(store)
    run = make_run(store, data, "llm-esr", parents=(make_embedding(store, data).manifest,))
    return export_archive(store, "runs", run.id, tmp_path / "run.tar.gz")


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "other")


def members(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]


def rewritten(path: Path, change: Callable[[Members], object], *, list_too: bool = True) -> Path:
    """The archive after ``change``, its list of checksums made to fit, as somebody with bad intentions would."""
    held = members(path)
    change(held)
    if list_too:
        held[LIST] = json.dumps(
            {n.split("/", 2)[2]: hashlib.sha256(c).hexdigest() for n, c in held.items() if n.count("/") > 1}
        ).encode()
    made = path.with_name("changed.tar.gz")
    with tarfile.open(made, "w:gz") as tar:
        for name, content in held.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made


def manifest_with(**changes: object) -> Callable[[Members], None]:
    def change(held: Members) -> None:
        name = next(n for n in held if n.endswith(MANIFEST))
        held[name] = json.dumps({**json.loads(held[name]), **changes}).encode()

    return change


def moved(kind: str, id: str) -> Callable[[Members], None]:
    def change(held: Members) -> None:
        for name in [n for n in held if n != LIST]:
            held[f"{kind}/{id}/{name.split('/', 2)[2]}"] = held.pop(name)

    return change


def test_a_run_comes_back_whole(exported: Path, store: Store, other: Store) -> None:
    manifest = import_archive(other, exported)
    here, there = store.path("runs", manifest.id), other.path("runs", manifest.id)
    for file in [p for p in here.rglob("*") if p.is_file() and not p.name.startswith(".")]:
        assert file_digest(file) == file_digest(there / file.relative_to(here))


def test_only_what_is_whole_is_exported(exported: Path, store: Store) -> None:
    """Nobody learns from "Wrote" that a copy cannot be used: what is there already stays as it is."""
    kept = exported.read_bytes()
    [run] = store.list("runs")
    corrupt(store, "runs", run.id, "per_user")
    with pytest.raises(UserError, match=r"is damaged here: per_user\.parquet does not match"):
        export_archive(store, "runs", run.id, exported)
    live = make_running_run(store, load_dataset(store, str(run.parent("datasets"))))
    with pytest.raises(UserError, match="has not finished .*can be exported"):
        export_archive(store, "runs", live.id, exported)
    assert exported.read_bytes() == kept


def test_a_file_that_is_not_there_is_said_to_be_so(other: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^There is no file .*nope\.tar\.gz"):
        import_archive(other, tmp_path / "nope.tar.gz")


def test_an_archive_of_an_earlier_version_has_no_list_and_is_read(exported: Path, other: Store) -> None:
    old = rewritten(exported, lambda held: held.pop(LIST), list_too=False)
    assert import_archive(other, old).kind == "runs"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (manifest_with(id="victim"), "says that it is runs/victim"),
        (manifest_with(kind="datasets"), "says that it is datasets/"),
        (manifest_with(parents=[{"kind": "secrets", "id": "x", "digest": ""}]), "not a kind of artifact"),
        (manifest_with(parents=[{"kind": "runs", "id": "../../x", "digest": ""}]), "not an artifact id"),
        (manifest_with(nonsense=1), "manifest.json cannot be read"),
        (moved("secrets", "x"), "not an archive llmesr exported"),
        (moved("runs", "../../evil"), "not an archive llmesr exported"),
        (moved("runs", ".hidden"), "not an archive llmesr exported"),
        (lambda held: held.update({"runs/another/x.txt": b"x"}), "exactly one artifact"),
        (lambda held: held.update({"/etc/x": b"x"}), "not an archive llmesr exported"),
    ],
)
def test_what_claims_to_be_another_is_refused(
    change: Callable[[Members], None], said: str, exported: Path, other: Store
) -> None:
    with pytest.raises(UserError, match=said):
        import_archive(other, rewritten(exported, change))
    assert not other.root.exists() or [p for p in other.root.rglob("*") if p.is_file() and p.name != ".lock"] == []


def test_who_descends_from_itself_is_refused(exported: Path, store: Store) -> None:
    """The dataset comes back, and says it was made from the run that was made from it."""
    [run] = store.list("runs")
    parent = str(run.parent("datasets"))
    packed = export_archive(store, "datasets", parent, exported.with_name("dataset.tar.gz"))
    child = {"kind": "runs", "id": run.id, "digest": ""}
    changed = rewritten(packed, manifest_with(parents=[child]))
    store.path("datasets", parent).rename(exported.with_name("away"))
    with pytest.raises(UserError, match="names itself among what it was made from"):
        import_archive(store, changed)
    itself = rewritten(exported, manifest_with(parents=[child]))
    with pytest.raises(UserError, match="names itself"):
        import_archive(Store(exported.with_name("new")), itself)


@pytest.mark.parametrize("what", ["link", "twice", "unlisted"])
def test_members_that_do_not_belong_are_refused(what: str, exported: Path, other: Store) -> None:
    held = members(exported)
    name = next(iter(held))
    if what == "unlisted":
        packed = rewritten(exported, lambda h: h.update({name.rpartition("/")[0] + "/extra": b"x"}), list_too=False)
    else:
        packed = exported.with_name("odd.tar.gz")
        with tarfile.open(packed, "w:gz") as tar:
            info = tarfile.TarInfo(name)
            if what == "link":
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            for _ in range(2):
                tar.addfile(info, io.BytesIO())
    with pytest.raises(UserError, match=r"neither file nor folder|twice|not among the files it lists"):
        import_archive(other, packed)


def test_sizes_and_counts_are_bounded(exported: Path, other: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(archive, "MOST_FILES", 3)
        with pytest.raises(UserError, match="an artifact has at most 3 files"):
            import_archive(other, exported)
    with monkeypatch.context() as patch:
        patch.setattr(archive, "MOST_BYTES", 1_000)
        with pytest.raises(UserError, match="It is not taken"):
            import_archive(other, exported)
    assert list(other.root.rglob("*.parquet")) == []


def test_a_header_that_claims_gigabytes_is_not_read(exported: Path, other: Store) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 3 << 30
    packed = exported.with_name("bomb.tar.gz")
    with gzip.open(packed, "wb") as out:
        out.write(info.tobuf(tarfile.USTAR_FORMAT))
        out.write(bytes(1 << 20))
    with pytest.raises(UserError, match="a header of"):
        import_archive(other, packed)


def test_no_flipped_bit_is_taken(exported: Path, other: Store) -> None:
    """Either refused, or the very same content (some bits of a gzip header mean nothing)."""
    whole, rng, taken = exported.read_bytes(), random.Random(0), 0
    expected = {n.split("/", 2)[2]: c for n, c in members(exported).items() if n != LIST}
    for number in range(60):
        octets = bytearray(whole)
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
        packed = exported.with_name("flipped.tar.gz")
        packed.write_bytes(octets)
        place = Store(other.root / str(number))
        try:
            manifest = import_archive(place, packed)
        except UserError:
            continue
        taken += 1
        folder = place.path("runs", manifest.id)
        assert {n: (folder / n).read_bytes() for n in expected} == expected
    assert taken < 5


def test_an_export_takes_up_what_a_killed_one_left_and_two_do_not_mix(store: Store, tmp_path: Path) -> None:
    data = make_dataset(store)
    target = tmp_path / "shop.tar.gz"
    part = tmp_path / ".shop.tar.gz.part"
    part.write_bytes(b"half of it")
    export_archive(store, "datasets", data.id, target)
    assert not part.exists()
    assert import_archive(Store(tmp_path / "other"), target).id == data.id
    with open(part, "ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="Another process is writing"):
            export_archive(store, "datasets", data.id, target)
    assert import_archive(Store(tmp_path / "third"), target).id == data.id
