"""Files that cannot be read in bulk: plain lines are judged as the rules say, and what is clearly wrong ends early."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from marketplace import csv, rows

from llmesr.api import ingest
from llmesr.data import by_lines, files, lines
from llmesr.data.by_lines import Judge, blocks, objects
from llmesr.data.dialect import Dialect, Flaw
from llmesr.data.lines import FEW, MANY, ZERO, Batch, Records
from llmesr.data.literals import literal_to_json
from llmesr.errors import UserError
from llmesr.store import Store

PIECES = st.sampled_from(["a", "1", ",", ",,", '"', '""', " ", "\t", "\n", "\r\n", "\r", "\0", "é", '"x"', "u,i,1\n"])


def read(text: str, width: int = 3, dialect: Dialect | None = None) -> Batch:
    whole = Batch()
    for batch in Records(io.StringIO(text, newline="\n"), dialect or Dialect(), width).batches():
        whole.lines += batch.lines
        whole.rows += batch.rows
        whole.wrong += batch.wrong
    return whole


@given(st.lists(PIECES, max_size=40).map("".join), st.sampled_from(['"', ""]))
@example('u,"i",1\n"u",i,"1"\n', '"')
@example('a,"x" y,1\n', '"')
def test_a_line_on_its_own_is_judged_as_by_the_rules(text: str, quote: str) -> None:
    """The quick ways, for plain lines and for sound quotes, say what the careful one says."""
    dialect = Dialect(",", quote, quote)
    for line in text.split("\n"):
        if "\r" in line.rstrip("\r"):
            continue
        found, bare = read(line + "\n", 3, dialect), line.rstrip("\r")
        cells = dialect.split(bare)
        if not line.strip():
            assert (found.rows, found.wrong) == ([], [])
        elif "\0" in line:
            assert [reason for _, reason, _ in found.wrong] == [ZERO]
        elif not isinstance(cells, Flaw) and (len(cells) == 3 or (len(cells) == 4 and not cells[-1].strip())):
            assert found.rows == [cells[:3]]
        elif not isinstance(cells, Flaw):
            assert found.wrong == [(1, FEW if len(cells) < 3 else MANY, bare)]


@given(st.lists(PIECES, max_size=60).map("".join), st.integers(1, 12))
def test_how_much_is_read_at_once_changes_nothing(text: str, characters: int) -> None:
    whole, parts = read(text), Batch()
    for batch in Records(io.StringIO(text, newline="\n"), Dialect(), 3).batches(characters):
        parts.lines += batch.lines
        parts.rows += batch.rows
        parts.wrong += batch.wrong
    assert (parts.lines, parts.rows, parts.wrong) == (whole.lines, whole.rows, whole.wrong)


def test_a_batch_ends_though_each_line_looks_at_the_next() -> None:
    text = io.StringIO('u1,"i1,1\n' * 2_000, newline="\n")
    sizes = [len(batch.lines) for batch in Records(text, Dialect(), 3).batches(900)]
    assert sum(sizes) == 2_000
    assert max(sizes) <= 102


def test_lines_keep_their_numbers() -> None:
    found = read('u,i,1\n\nu,"a\nb",2\nu,i\n\0\nu,i,3,\n')
    assert (found.lines, found.rows) == ([1, 3, 7], [["u", "i", "1"], ["u", "a\nb", "2"], ["u", "i", "3"]])
    assert found.wrong == [(5, FEW, "u,i"), (6, ZERO, "")]


def test_a_line_has_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 20)
    found = read("u,i,1\n" + "u,i,1\r" * 9 + "\n" + "x" * 21 + "\n" + "v,i,2\rw,i,3\n")
    assert found.rows == [["u", "i", "1"], ["v", "i", "2"], ["w", "i", "3"]]
    assert [(line, reason) for line, reason, _ in found.wrong] == [(n, "longer than 20 characters") for n in (2, 3)]


def test_other_layouts_keep_their_numbers_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_lines, "BATCH", 1)
    movies = list(blocks(io.StringIO("1:\nu,5,d\n2:\nv\n\nw,4,e\n"), ","))
    assert [row for batch in movies for row in batch.rows] == [["u", "1", "5", "d"], ["w", "2", "4", "e"]]
    assert [n for batch in movies for n in batch.lines] == [2, 6]
    assert [wrong for batch in movies for wrong in batch.wrong] == [(4, FEW, "v")]
    found = list(objects(io.StringIO('{"a": 1}\n\n\0{}\n {} \n')))
    assert [(n, *row) for batch in found for n, row in zip(batch.lines, batch.rows, strict=True)] == [
        (1, '{"a": 1}'),
        (4, "{}"),
    ]
    assert [wrong for batch in found for wrong in batch.wrong] == [(3, ZERO, "{}")]


def test_a_file_of_wrong_lines_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_lines, "LINES", 4)
    batches = [Batch(lines=[n], rows=[["u"]], wrong=[(n, FEW, "x")] * 9, read=20 * n) for n in range(1, 101)]
    judge, seen = Judge("x.csv", 0.5, octets=2_000, shortest=4), []
    with pytest.raises(UserError, match=r"of the first \d+ lines of x.csv cannot be used.*most often missing columns"):
        seen += [batch.read for batch in judge.of(batches)]
    # 9 n wrong of 10 n lines, and 500 - 5 n + 1 may be good: more than half once 9 n > (5 n + 501) / 2
    assert judge.good == 39


def test_a_file_that_may_still_be_good_enough_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the beginning is wrong, and a tenth of the whole."""
    monkeypatch.setattr(by_lines, "LINES", 4)
    batches = [Batch(lines=[1], rows=[["u"]], wrong=[(2, FEW, "x")], read=10)]
    batches += [Batch(lines=[3] * 8, rows=[["u"]] * 8, read=50)]
    assert len(list(Judge("x.csv", 0.1, octets=50, shortest=5).of(batches))) == 2


@pytest.mark.parametrize("line", ["u1,i1\n", "u1,i1,1500000000,4,5\n"])
def test_an_import_of_wrong_lines_says_so_early(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_lines, "LINES", 1_000)
    monkeypatch.setattr(by_lines, "BATCH", 1_000)
    monkeypatch.setattr(lines, "BATCH", 1_000)
    (tmp_path / "x.csv").write_text(csv(rows()) + line * 30_000)
    with pytest.raises(UserError, match=r"of the first [\d,]+ lines of x\.csv cannot be used.*whatever follows"):
        ingest(tmp_path / "x.csv", name="x", store=Store(tmp_path / "artifacts"))


def test_quotes_in_the_wrong_place_all_over_are_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_STRAYS", 100)
    (tmp_path / "x.csv").write_text(csv(rows()) + 'u1,"i1,1500000000\n' * 2_000)
    with pytest.raises(UserError, match=r"hold a quotation mark in the wrong place.*--set quote=none"):
        list(Records(open(tmp_path / "x.csv", newline="\n"), Dialect(), 3).batches(1_000))  # noqa: SIM115


def test_quotes_that_open_and_close_without_end_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line closes the cell of the line before and opens another: a thousand of them would be looked through for
    each line."""
    assert len(read('5","open\n' * 20_000, 3).wrong) == 20_000
    monkeypatch.setattr(lines, "MAX_VAIN", 10_000)
    with pytest.raises(UserError, match="open and do not close"):
        read('5","open\n' * 100_000, 3_000)


MIXED = st.lists(st.sampled_from([b"a,b\n", b"caf\xe9\n", "caf\u00e9\n".encode(), b"\x81\n", b"\xc3\xa9\xe9\n", b"\n"]))


@given(MIXED, st.integers(1, 20))
def test_lines_in_windows_1252_are_read_as_such_also_many_at_once(content: list[bytes], octets: int) -> None:
    def western(line: bytes) -> bytes:
        return "".join(bytes([o]).decode("cp1252", "ignore") or chr(o) for o in line).encode()

    odd = [n for n, line in enumerate(content, 1) if line in (b"caf\xe9\n", b"\x81\n", b"\xc3\xa9\xe9\n")]
    with tempfile.TemporaryDirectory() as name, mock.patch.object(files, "CHUNK", octets):
        source, made = (Path(name) / n for n in ("source", "made"))
        source.write_bytes(b"".join(content))
        if content.count(b"\x81\n") > max(1, 0.05 * len(content)):
            return
        found = files._repair(source, made, source, "")
        assert made.read_bytes() == b"".join(western(x) if n in odd else x for n, x in enumerate(content, 1))
    assert (found.repaired, found.first_repaired) == (len(odd), odd[0] if odd else 0)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{'a': 'x', 'b': 1}", '{"a": "x", "b": 1}'),
        ("{'a': 1, 'a': 2}", '{"a": 2}'),
        ("{'a': 1.50}", '{"a": 1.5}'),
        ("{'a': ': x'}", '{"a": ": x"}'),
        ("{'a': -0}", '{"a": 0}'),
        ("{'a': 007}", "{'a': 007}"),
        ("{'a': 'it\\'s'}", '{"a": "it\'s"}'),
        ("{'a': \"x\"}", '{"a": "x"}'),
        ("{'a': None}", '{"a": null}'),
        ("{'a': '\t'}", '{"a": "\\t"}'),
    ],
)
def test_python_literals_are_the_same_by_the_quick_way(line: str, expected: str) -> None:
    assert literal_to_json(line) == expected
