"""Ingest of a large CSV: seconds and peak memory, beside the same work in pandas.

    python benchmarks/ingest.py                      10 million interactions, both sides
    python benchmarks/ingest.py --rows 100000000 --only llmesr

Writes a CSV of user_id, item_id, timestamp, rating (a tenth as many users, a fiftieth as many
items, unsorted), then runs each side in a process of its own: read, drop duplicates, order, 5-core,
write Parquet. llmesr also checks every field, keeps rejected lines, counts ties and repeats, hashes
the file and writes a manifest. Prints one JSON document. Processor seconds, of all threads together, hold on a busy
machine too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

BLOCK = 5_000_000


def generate(path: Path, rows: int) -> None:
    """Write the CSV block by block; popularity and activity are skewed."""
    import pyarrow as pa
    import pyarrow.csv

    rng = np.random.default_rng(0)
    users, items = rows // 10, rows // 50
    user_ids = pa.array([f"u{n}" for n in range(users)])
    item_ids = pa.array([f"i{n}" for n in range(items)])
    with path.open("wb") as out:
        for start in range(0, rows, BLOCK):
            size = min(BLOCK, rows - start)
            block = pa.table(
                {
                    "user_id": user_ids.take(pa.array((users * rng.random(size) ** 1.6).astype(np.int64))),
                    "item_id": item_ids.take(pa.array((items * rng.random(size) ** 2.5).astype(np.int64))),
                    "timestamp": rng.integers(1_500_000_000, 1_600_000_000, size),
                    "rating": rng.integers(1, 6, size),
                }
            )
            options = pyarrow.csv.WriteOptions(include_header=start == 0, quoting_style="none")
            pyarrow.csv.write_csv(block, out, options)


def with_llmesr(path: Path, folder: Path) -> dict[str, float]:
    from llmesr.config import IngestConfig
    from llmesr.data.dataset import load_dataset
    from llmesr.data.ingest import ingest
    from llmesr.data.profile import profile
    from llmesr.store import Store

    store = Store(folder)
    started, processor = time.perf_counter(), time.process_time()
    dataset = ingest([path], IngestConfig(name="bench", k_core=5), store)
    ended, processor = time.perf_counter(), time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    load_dataset(store, dataset.id)
    loaded = time.perf_counter()
    profile(dataset)
    profiled = time.perf_counter()
    return {
        "seconds": ended - started,
        "processor_seconds": processor,
        "peak_gb": peak,
        "load_seconds": loaded - ended,
        "profile_seconds": profiled - loaded,
        "interactions": len(dataset.items),
        "users": dataset.n_users,
        "items": dataset.n_items,
    }


def with_pandas(path: Path, folder: Path) -> dict[str, float]:
    started, processor = time.perf_counter(), time.process_time()
    frame = pd.read_csv(path, dtype={"user_id": "str", "item_id": "str"})
    frame = frame.drop_duplicates(["user_id", "item_id", "timestamp"])
    frame["user"], users = pd.factorize(frame["user_id"])
    frame["item"], _ = pd.factorize(frame["item_id"])
    frame = frame.sort_values(["user", "timestamp"], kind="stable").drop_duplicates(["user", "item"])
    while True:
        size = len(frame)
        for key in ("user", "item"):
            frame = frame[frame.groupby(key)[key].transform("size") >= 5]
        if len(frame) == size:
            break
    frame[["user", "item", "timestamp", "rating"]].to_parquet(folder / "interactions.parquet", index=False)
    pd.DataFrame({"user_id": users}).to_parquet(folder / "users.parquet", index=False)
    return {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - processor,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "interactions": len(frame),
        "users": int(frame["user"].nunique()),
        "items": int(frame["item"].nunique()),
    }


SIDES = {"llmesr": with_llmesr, "pandas": with_pandas}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--folder", type=Path, help="where the file and the results go; a temporary folder otherwise")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--csv", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        with tempfile.TemporaryDirectory(dir=options.csv.parent) as folder:
            print(json.dumps(SIDES[options.side](options.csv, Path(folder))))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "interactions.csv"
        generate(path, options.rows)
        report: dict[str, object] = {
            "rows": options.rows,
            "megabytes": round(path.stat().st_size / 1e6),
            "cpus": os.cpu_count(),
            "machine": platform.processor() or platform.machine(),
            "load_before": round(os.getloadavg()[0], 1),
        }
        for side in [options.only] if options.only else list(SIDES):
            child = [sys.executable, __file__, "--side", side, "--csv", str(path)]
            done = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True)  # errors are to be seen
            report[side] = {k: round(v, 2) for k, v in json.loads(done.stdout).items()}
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
