"""Mutated uploads of every format, and mutated archives: what do the page and the import make of them?

    python benchmarks/uploads.py [--files 1000] [--every 1] [--archives 200] [--seed 0] [--json FILE]

Good files (CSV, TSV, JSON lines, a JSON array, Python literals, Parquet, RecBole, MovieLens, gzipped and in other
encodings) are cut, spliced, repeated, filled with odd octets, given wrong numbers and wrong endings, or blown up to
bombs. Each is uploaded to the Datasets page, which shows what it holds (with ``--every 5`` each fifth of them: a page
takes longest), and then imported by the function that the command calls. A *traceback* is any error but a sentence for
a person; *slow* is a page or an import that takes 30 s of processor time or more (a busy machine takes longer by the
clock); the *peak* is the memory of the process that drew the pages, over all of them. Archives are mutated octet by
octet and member by member: each is refused with a sentence, or is the artifact it was.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import io
import json
import logging
import os
import random
import resource
import signal
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from commands import tell
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from factories import make_dataset  # noqa: E402

from llmesr.api import ingest  # noqa: E402
from llmesr.data.synthetic import frames  # noqa: E402
from llmesr.errors import UserError, machine_failure  # noqa: E402
from llmesr.jobs.uploads import Uploads  # noqa: E402
from llmesr.store import Store, examine, export_archive, import_archive  # noqa: E402

SECONDS = 30.0
PATIENCE = 600.0
"""Seconds by the clock after which an import has not ended."""
MEGABYTES = 200
Mutation = Callable[[bytes, random.Random], bytes]


def originals() -> dict[str, bytes]:
    """File name -> content, for every format that is read."""
    interactions, items = frames(40, 25, seed=5)
    interactions["rating"] = 4
    records = [{k: str(v) for k, v in row.items()} for row in interactions.head(200).to_dict("records")]
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(interactions), table)
    numbers = interactions.assign(user_id=interactions["user_id"].str[1:], item_id=interactions["item_id"].str[1:])
    csv = interactions.to_csv(index=False).encode()
    atomic = "user_id:token\titem_id:token\ttimestamp:float\trating:float\n"
    return {
        "interactions.csv": csv,
        "items.csv": items.to_csv(index=False).encode(),
        "dates.csv": _dated(interactions).to_csv(index=False).encode(),
        "interactions.tsv": interactions.to_csv(index=False, sep="\t").encode(),
        "wide.csv": interactions.to_csv(index=False, sep=";").encode("utf-16"),
        "latin.csv": items.assign(title="Café " + items["title"]).to_csv(index=False).encode("cp1252"),
        "interactions.jsonl": "".join(json.dumps(r) + "\n" for r in records).encode(),
        "array.json": json.dumps(records).encode(),
        "literals.json": "".join(f"{r}\n" for r in records).encode(),
        "interactions.parquet": table.getvalue(),
        "interactions.csv.gz": gzip.compress(csv),
        "shop.inter": (atomic + interactions.to_csv(index=False, header=False, sep="\t")).encode(),
        "u.data": numbers[["user_id", "item_id", "rating", "timestamp"]]
        .to_csv(index=False, header=False, sep="\t")
        .encode(),
        "ratings.dat": "".join(f"{u}::{i}::4::{t}\n" for u, i, t, _ in numbers.to_numpy()).encode(),
    }


def _dated(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(timestamp=pd.to_datetime(frame["timestamp"], unit="s").dt.strftime("%d.%m.%Y %H:%M"))


def _flip(content: bytes, rng: random.Random) -> bytes:
    octets = bytearray(content)
    for _ in range(rng.choice((1, 3, 50))):
        octets[rng.randrange(len(octets))] = rng.randrange(256)
    return bytes(octets)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(1, len(content))]


def _splice(content: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(content)) for _ in range(2))
    return content[:a] + content[b:]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    a = rng.randrange(len(content))
    return content[:a] + content[a : a + rng.choice((1, 40, 400))] * rng.choice((2, 100, 2_000)) + content[a:]


def _insert(content: bytes, rng: random.Random) -> bytes:
    odd = rng.choice(
        (b"\0", b"\0" * 300, b'"', b'""""', b"\r", b"\xff\xfe", b"\xef\xbb\xbf", b"\\", b"'", b"\x1a", b"[" * 9_000,
         b'{"a":' * 4_000, b",", b"," * 20_000, b"\n" * 5_000, "\u202e".encode(), "\U0001f9e8".encode(), b"=1+1",
         b"NaN", b"1e400", b"-9223372036854775809", b"9" * 5_000,
         b"x" * 3_000_000, b"\xed\xa0\x80", b"NULL", b"{{}}", b"$x$")
    )  # fmt: skip
    at = rng.randrange(len(content))
    return content[:at] + odd + content[at:]


def _lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    how = rng.randrange(4)
    if how == 0:
        rng.shuffle(lines)
    elif how == 1:
        lines = lines[1:]
    elif how == 2:
        lines = [line.replace(b",", rng.choice((b";", b"|", b"  ", b",,"))) for line in lines]
    else:
        lines = [line + rng.choice((b"", b"\r", b",", b" ")) for line in lines]
    return b"\n".join(lines)


def _numbers(content: bytes, rng: random.Random) -> bytes:
    old = str(rng.randrange(10)).encode()
    return content.replace(old, rng.choice((b"-", b".", b"1e9", b"99999999", b"NaN", b"\xd9\xa3", b"")))


def _bomb(content: bytes, rng: random.Random) -> bytes:
    how = rng.randrange(3)
    if how == 0:
        return gzip.compress(content + b"u1,i1,1\n" * 12_000_000, 1)
    if how == 1:
        cells = pa.DictionaryArray.from_arrays(pa.array([0] * 1_500, pa.int32()), ["x" * 1_000_000])
        table = io.BytesIO()
        pq.write_table(pa.table({"user_id": ["u"] * 1_500, "item_id": ["i"] * 1_500, "note": cells}), table)
        return table.getvalue()
    return gzip.compress(b"[" + b'{"user_id":"u","item_id":"i"},' * 3_000_000, 1)


MUTATIONS: dict[str, Mutation] = {
    m.__name__.strip("_"): m for m in (_flip, _cut, _splice, _repeat, _insert, _lines, _numbers)
}
ENDINGS = (".csv", ".tsv", ".txt", ".dat", ".json", ".jsonl", ".parquet", ".gz", ".inter")


def mutated(files: dict[str, bytes], rng: random.Random) -> tuple[str, str, bytes]:
    """A name, how it was mutated, and the content."""
    name = rng.choice([*files])
    content, how = files[name], []
    if rng.random() < 0.01:
        content, how = _bomb(content, rng), ["bomb"]
    else:
        for _ in range(rng.choice((1, 1, 2, 3))):
            kind = rng.choice([*MUTATIONS])
            content = MUTATIONS[kind](content, rng) or b"x"
            how.append(kind)
            content = content[: MEGABYTES * 1_000_000]
    if rng.random() < 0.1:
        name, how = name.partition(".")[0] + rng.choice(ENDINGS), [*how, "ending"]
    return name, "+".join(how), content


class Traces(logging.Handler):
    """What the page's error boundary writes to the log."""

    lines: ClassVar[list[str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter().format(record)[-900:])

    @classmethod
    def caught(cls) -> list[str]:
        """The traces since the last call."""
        found = [*cls.lines]
        cls.lines.clear()
        return found


def page(token: str) -> str:
    """What the Datasets page says of an upload: an error that it should not show, or nothing."""
    test = AppTest.from_file(str(REPOSITORY / "pages" / "datasets.py"), default_timeout=120)
    test.query_params["upload"] = token
    test.query_params["look"] = "add"
    test.run()
    broken = [str(e.message) for e in test.exception] + [e.value for e in test.error if "could not be shown" in e.value]
    return " | ".join([*broken, *Traces.caught()]) if broken else ""


def imported(store: Store, path: Path) -> str:
    """What goes wrong in an import, in a child of its own as the command would be; nothing when it ends well or with a
    sentence."""
    log = path.parent / "import.log"
    child = os.fork()
    if child == 0:
        said = ""
        try:
            ingest(path, name="mutated", store=store)
        except UserError:
            pass
        except BaseException as error:
            said = "" if machine_failure(error) else f"{type(error).__name__}: {error}"
        finally:
            log.write_text(said)
            os._exit(0)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return log.read_text() if log.exists() else "ended without a word"
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "did not end"


def processor() -> float:
    """Seconds of processor time that this process and those it has waited for have taken."""
    return sum(os.times()[:4])


def try_files(count: int, every: int, rng: random.Random, folder: Path) -> dict[str, object]:
    """Upload ``count`` mutated files and import them; a page is drawn for each ``every``-th."""
    store = Store(folder / "artifacts")
    make_dataset(store)
    os.environ["LLMESR_ARTIFACTS"] = str(store.root)
    files = originals()
    kinds: Counter[str] = Counter()
    faults: list[dict[str, object]] = []
    longest = {"page": 0.0, "import": 0.0}
    for number in range(count):
        name, how, content = mutated(files, rng)
        kinds[how.partition("+")[0]] += 1
        token = Uploads(store).receive([(name, io.BytesIO(content))], limit=MEGABYTES * 1_000_000)
        started = processor()
        shown = page(token) if number % every == 0 else ""
        seconds = {"page": processor() - started}
        started = processor()
        [path] = Uploads(store).files(token)
        wrong = imported(Store(folder / "imports"), path)
        seconds["import"] = processor() - started
        longest = {what: max(longest[what], took) for what, took in seconds.items()}
        slow = [what for what, took in seconds.items() if took >= SECONDS]
        if shown or wrong or slow:
            kept = folder.parent / f"{folder.name}-fault-{number}-{name}"
            kept.write_bytes(content[:2_000_000])
            faults.append({"file": str(kept), "how": how, "page": shown, "import": wrong, "slow": slow})
            print(faults[-1], file=sys.stderr, flush=True)
        Uploads(store).discard(token)
        if number % 50 == 49:
            print(f"{number + 1} files, {_peak_megabytes()} MB", file=sys.stderr, flush=True)
    return {
        "files": count,
        "pages": len(range(0, count, every)),
        "mutations": dict(kinds),
        "tracebacks": sum(bool(f["page"] or f["import"]) for f in faults),
        "slow": sum(bool(f["slow"]) for f in faults),
        "longest_page_seconds": round(longest["page"], 2),
        "longest_import_seconds": round(longest["import"], 2),
        "peak_megabytes": _peak_megabytes(),
        "faults": faults,
    }


def _peak_megabytes() -> int:
    """The most this process has held. Linux lets ``ru_maxrss`` begin with what the process that started it held."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 << 20)
    return next(int(line.split()[1]) // 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def try_archives(count: int, rng: random.Random, folder: Path) -> dict[str, object]:
    """Import ``count`` mutated archives of one dataset; none may be taken that is not what was exported."""
    store = Store(folder / "source")
    data = make_dataset(store)
    whole = export_archive(store, "datasets", data.id, folder / "whole.tar.gz").read_bytes()
    ends: Counter[str] = Counter()
    faults: list[str] = []
    for number in range(count):
        path = folder / "mutated.tar.gz"
        path.write_bytes(_mutated_archive(whole, rng))
        place = Store(folder / f"import-{number}")
        try:
            import_archive(place, path)
            ends["taken, and whole"] += 1
            faults += [f"{number}: {f.what}" for f in examine(place) if f.damaged]
        except UserError:
            ends["refused"] += 1
            faults += [f"{number}: {kind} left" for kind in ("datasets", "runs") if place.ids(kind)]
        except Exception as error:
            faults.append(f"{number}: {type(error).__name__}: {error}")
    return {"archives": count, **ends, "faults": faults}


def _mutated_archive(whole: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return rng.choice((_flip, _cut, _splice, _repeat))(whole, rng)
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(whole)) as old, tarfile.open(fileobj=made, mode="w:gz") as new:
        for member in old:
            content = old.extractfile(member).read()  # type: ignore[union-attr]
            if rng.random() < 0.3:
                content = rng.choice((_flip, _cut, _splice, _numbers))(content, rng)
            if rng.random() < 0.1:
                member.name = rng.choice(("../../x", "/etc/x", "datasets/y/z", "files.json", "runs/a/manifest.json"))
            if rng.random() < 0.05:
                member.type, member.linkname = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE)), "/etc/passwd"
            member.size = len(content) if member.isreg() else 0
            new.addfile(member, io.BytesIO(content))
    return made.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--archives", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.getLogger("llmesr.app").addHandler(Traces())
    # A server looks through what is installed once; AppTest would do so for every page it draws.
    manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="llmesr-uploads-") as folder:
        archives = try_archives(arguments.archives, rng, Path(folder))
        files = try_files(arguments.files, arguments.every, rng, Path(folder) / "files")
    tell({"uploads": files, "archives": archives}, arguments.json)
    sys.exit(bool(files["faults"] or archives["faults"]))


if __name__ == "__main__":
    main()
