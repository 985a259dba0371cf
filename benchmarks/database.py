"""Ingest of a large table of a PostgreSQL of its own: seconds, peak memory, and what a kill in the middle leaves.

    python benchmarks/database.py                      10 million rows
    python benchmarks/database.py --rows 1000000

Starts a server on a free port (as the tests do; PostgreSQL must be installed), fills a table of user_id, item_id and
bought_at (a tenth as many users, a fiftieth as many items, unsorted), then runs `llmesr ingest` in a process each time:
killed in the middle, to its end, and to its end where it was killed. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
TABLE = """
    CREATE TABLE big AS SELECT 'u' || floor({users} * power(random(), 1.6))::int AS user_id,
    'i' || floor({items} * power(random(), 2.5))::int AS item_id,
    timestamp '2019-01-01' + random() * interval '1000 days' AS bought_at FROM generate_series(1, {rows})"""
QUERY = "SELECT user_id, item_id, bought_at FROM big"


def fill(address: str, rows: int) -> None:
    import adbc_driver_postgresql.dbapi as driver

    with driver.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")
        cursor.execute(TABLE.format(rows=rows, users=rows // 10, items=rows // 50))


def ingest(address: str, artifacts: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "llmesr", "ingest", address, "--sql", QUERY, "--name", "big", "--json"]
    env = {**os.environ, "LLMESR_ARTIFACTS": str(artifacts), "PYTHONPATH": str(HERE)}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)


def whole(address: str, artifacts: Path) -> dict[str, Any]:
    started = time.perf_counter()
    process = ingest(address, artifacts)
    code = process.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "code": code,
        "seconds": round(time.perf_counter() - started, 1),
        "peak_gb": round(used.ru_maxrss / 1e6, 2),
    }


def killed(address: str, artifacts: Path, size: int) -> dict[str, Any]:
    """What is left of an import that was killed once ``size`` octets were written."""
    process = ingest(address, artifacts)
    while process.poll() is None and _written(artifacts) < size:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    code, reached = process.wait(), _written(artifacts)
    left = [p.name for p in (artifacts / "datasets").glob("*") if not p.name.startswith(".")]
    return {"code": code, "octets_when_killed": reached, "datasets_left": left}


def _written(folder: Path) -> int:
    sizes = []
    for path in folder.rglob("query 1"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:  # deleted since
            continue
    return sum(sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    sys.path[:0] = [str(HERE / "tests"), str(HERE / "tests" / "data" / "places")]
    import postgres

    os.environ["PGPASSWORD"] = postgres.PASSWORD
    report: dict[str, Any] = {"rows": options.rows, "load_before": round(os.getloadavg()[0], 1)}
    with postgres.served() as address, tempfile.TemporaryDirectory() as name:
        fill(address, options.rows)
        report["killed"] = killed(address, Path(name) / "killed", options.rows)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        report["whole"] = whole(address, Path(name) / "whole")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        report["whole"]["processor_seconds"] = round(spent, 1)
        report["again"] = whole(address, Path(name) / "killed")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
