"""Any table, however it is written, comes back exactly or is refused."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from marketplace import START

from llmesr.config import IngestConfig
from llmesr.data.ingest import ingest
from llmesr.errors import UserError
from llmesr.store import Store

# what an id may hold; spaces around it and words for nothing are not kept, and a form feed is a space
ids = st.text(
    st.sampled_from([*"aZ09 ,;|\t'\"\\/.:#-=[{", "\n", "\r", "é", "ß", "日", "\u2028", "🙂"]), min_size=1, max_size=8
).filter(lambda s: s == s.strip(" \t\r\n") and s.lower() not in ("nan", "none", "null", "na", "n/a") and bool(s))
tables = st.lists(st.tuples(ids, ids), min_size=4, max_size=12)
ways = st.fixed_dictionaries(
    {
        "format": st.sampled_from(["csv", "csv", "csv", "jsonl", "json", "parquet"]),
        "delimiter": st.sampled_from([",", "\t", ";", "|"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "ending": st.sampled_from(["\n", "\r\n"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
        "columns": st.permutations(["user_id", "item_id", "timestamp", "note"]),
        "note": st.sampled_from(["fine", "", "it's 12\" long", "a\nb", "x,y"]),
    }
)


def written(frame: pd.DataFrame, way: dict[str, object]) -> tuple[str, bytes]:
    """The name and the content of a file of ``frame``."""
    records = frame.to_dict("records")
    if way["format"] == "parquet":
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pandas(frame), buffer)
        return "t.parquet", buffer.getvalue()
    if way["format"] == "csv":
        text = io.StringIO(newline="")
        out = csv.writer(text, delimiter=str(way["delimiter"]), quoting=way["quoting"],  # type: ignore[arg-type]
                         lineterminator=str(way["ending"]))  # fmt: skip
        out.writerow(frame.columns)
        out.writerows(frame.itertuples(index=False))
        return "t.csv", text.getvalue().encode(str(way["encoding"]))
    lines = [json.dumps(r, ensure_ascii=False) for r in records]
    text_of = "[" + ",\n".join(lines) + "]" if way["format"] == "json" else "".join(f"{line}\n" for line in lines)
    return f"t.{way['format']}", text_of.encode(str(way["encoding"]))


RETURNS = [("0", "0"), ("0", "0"), ("0", "0"), ("0\r0", "0\r\n0")]
PLAIN = {"format": "csv", "delimiter": ",", "quoting": csv.QUOTE_MINIMAL, "ending": "\n", "encoding": "utf-8",
         "columns": ["user_id", "item_id", "timestamp", "note"], "note": "fine"}  # fmt: skip


@example(RETURNS, PLAIN)  # a return before the end of a line whose cell goes on
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(tables, ways)
def test_a_table_comes_back_exactly_or_is_refused(table: list[tuple[str, str]], way: dict[str, object]) -> None:
    rows = [("first", i, n) for n, i in enumerate(("one", "two", "three"))]  # somebody has three, and two users exist
    rows += [(u, i, 3 + n) for n, (u, i) in enumerate(table)]
    frame = pd.DataFrame([(u, i, START + n, way["note"]) for u, i, n in rows],
                         columns=["user_id", "item_id", "timestamp", "note"])[way["columns"]]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        file, content = written(frame, way)
        (Path(name) / file).write_bytes(content)
        config = IngestConfig(name="t", k_core=1, repeats="keep", max_rejected=0.0)
        try:
            dataset = ingest([Path(name) / file], config, Store(Path(name) / "artifacts"))
        except UserError:
            return
        catalogue = dataset.catalogue["item_id"].tolist()
        found = {
            user: [catalogue[i - 1] for i in dataset.history(n)] for n, user in enumerate(dataset.user_ids.tolist())
        }
    expected: dict[str, list[str]] = {}
    for user, item, _ in rows:
        expected.setdefault(user, []).append(item)
    assert found == expected
