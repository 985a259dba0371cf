"""Good files of every format that is read, what is done to them, and mutated archives.

Files are cut, spliced, repeated, filled with odd octets, given wrong numbers and wrong endings, or blown up to bombs.
Not run by itself (see uploads.py).
"""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from llmesr.data.synthetic import frames

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


LINES = (b"u1,i1,1\n", b'u1,"i1,1,1\n', b"\n", b'5","open\n', b"u1,i1,1\r", b"\0\n", b'{"user_id":"u"\n')


def _bomb(content: bytes, rng: random.Random) -> bytes:
    """Lines without end, packed and not, cells of a gigabyte, or an array of objects."""
    how = rng.randrange(4)
    if how in (0, 3):
        line = rng.choice(
            (b"u1,i1,1\n", b'u1,"i1,1,1\n', b"\n", b'5","open\n', b"u1,i1,1\r", b"\0\n", b'{"user_id":"u"\n')
        )
        lines = content + line * (96_000_000 // len(line))
        return lines if how else gzip.compress(lines, 1)
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


def mutated_archive(whole: bytes, rng: random.Random) -> bytes:
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
