"""What it costs to open a dataset: read into memory, as before, and mapped.

    python benchmarks/opening.py --users 10000000 --items 1000000      # 100 million interactions

Each opening has a process of its own. Processor seconds and resident memory, without what the libraries take.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made import write

from llmesr.data import frame
from llmesr.data.dataset import load_dataset
from llmesr.store import Store


def resident() -> float:
    """GB of this process that lie in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e9


def opened(root: Path, id: str, mapped: bool) -> dict[str, float]:
    """Open it once, and read the history of a user."""
    frame.MAPPED_FROM = 0 if mapped else sys.maxsize
    before, wall, processor = resident(), time.perf_counter(), time.process_time()
    data = load_dataset(Store(root), id)
    found = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    assert len(data.history(data.n_users - 1)) >= 3
    return {**found, "resident": resident() - before}


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--artifacts", type=Path, help="where the dataset is kept; a temporary folder otherwise")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(opened(asked.artifacts, asked.child[0], asked.child[1] == "mapped")))
        return
    with tempfile.TemporaryDirectory() as scratch:
        root = asked.artifacts or Path(scratch) / "artifacts"
        id = write(Store(root), asked.users, asked.items)
        rows = Store(root).manifest("datasets", id).info["interactions"]
        print(f"{asked.users:,} users, {asked.items:,} items, {rows:,} interactions\n")
        print("| opening | processor s | wall s | resident GB |\n|---|---|---|---|")
        ways = {
            "read into memory": "memory",
            "mapped, the first time (it is written)": "mapped",
            "mapped, from then on": "mapped",
        }
        for name, way in ways.items():
            command = [sys.executable, __file__, "--artifacts", str(root), "--child", id, way]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout)
            print(f"| {name} | {found['processor']:.2f} | {found['wall']:.2f} | {found['resident']:.2f} |")


if __name__ == "__main__":
    main()
