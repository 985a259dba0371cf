"""What it costs to finish a run of many users, and to look at two: processor seconds, peak memory, bytes on disk.

    python benchmarks/ranks.py --users 3000 22000 100000 1000000 --root PATH
    python benchmarks/ranks.py --users 10000000 --root PATH --only finish

The ranks are made up, so that nothing is scored: *finish* is all that follows, from the arrays that ranking fills to a
sealed run (both parts, both protocols, 20 items a user), of two runs one after the other; of one above two million
users. *compare* is ``llmesr compare`` of the two, *page* the Compare page of the app about them, opened once without a
browser. Each step has a process of its own; its peak is all that was resident, and beside it stands what was before the
step, libraries and touched pages of the dataset.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from made import write

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.split import Part
from llmesr.evaluation.frames import Ranks
from llmesr.evaluation.ranks import PROTOCOLS, Evaluation
from llmesr.evaluation.results import evaluate_parts
from llmesr.runs.record import PER_USER, TOP_ITEMS, Run, Status
from llmesr.store import Store

REPOSITORY = Path(__file__).resolve().parents[1]
METHODS = ("popularity", "markov")
TOP, COMPARED = 20, 2_000_000
"""Items in a list; users up to which there is a second run, to compare the first with."""
HARD = 2.0
"""The share of ranks up to r of N is (log r / log N) to this power: of 100,000 items 4% are among the first ten."""


class MadeUp:
    """Stands where ``TwoStage`` does: ranks and lists drawn at random."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, scorer: object, dataset: Dataset, part: Part, *, top: int, **_: Any) -> Evaluation:
        pairs = dataset.split.pairs(part)
        found = {}
        for protocol in PROTOCOLS:
            most = dataset.n_items if protocol == "full" else 101
            ranks = np.empty((2, len(pairs[0])), np.int32)
            ranks[0] = most ** self.rng.random(len(pairs[0]), np.float32) ** (1 / HARD)
            ranks[1] = most
            found[protocol] = ranks
        users = len(dataset.split.users(part))
        lists = self.rng.integers(1, dataset.n_items + 1, (users, top), np.int32)
        return Evaluation(Ranks(dataset, part, pairs, found), lists)


def peak() -> float:
    """High-water mark of this process in GB; ``getrusage`` counts what its parent had as well."""
    said = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(said.split()[1]) / 1e6


def made(store: Store, dataset: str) -> Callable[[], None]:
    """A run from its ranks; it takes the place of one that was made before."""
    data = load_dataset(store, dataset)
    data.split.users("test"), data.thresholds

    def work() -> None:
        for seed, method in enumerate(METHODS if data.n_users <= COMPARED else METHODS[:1]):
            id = f"{dataset}-{method}"
            if store.exists("runs", id):
                store.delete("runs", id)
            config = RunConfig.read(None, method=method)
            run = Run.create(store, config, [data.manifest], name=method, id=id, device="cpu")
            run.write_results(*evaluate_parts(None, data, top=TOP, two_stage=MadeUp(seed)))  # type: ignore[arg-type]
            run.finish(Status(state="SUCCEEDED"), {}, {})

    return work


def compared(store: Store, dataset: str) -> Callable[[], None]:
    """``llmesr compare`` of both."""
    from llmesr.cli.main import main

    def work() -> None:
        sys.argv = ["llmesr", "compare", *(f"{dataset}-{method}" for method in METHODS)]
        with suppress(SystemExit):
            main()

    return work


def shown(store: Store, dataset: str) -> Callable[[], None]:
    """The Compare page about both."""
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=3600)
    app.switch_page("pages/compare.py")
    app.query_params["dataset"] = dataset

    def work() -> None:
        app.run()
        assert not app.exception
        assert app.title[0].value == "Compare"

    return work


STEPS: dict[str, Callable[[Store, str], Callable[[], None]]] = {"finish": made, "compare": compared, "page": shown}


def measured(root: Path, dataset: str, name: str) -> dict[str, float]:
    """A step in this process."""
    work = STEPS[name](Store(root), dataset)
    before, cpu, wall = peak(), time.process_time(), time.perf_counter()
    work()
    seconds, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"before": before, "seconds": seconds, "wall": wall, "peak": peak()}


def main() -> None:
    """A row for each size and step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[3_000, 22_000, 100_000])
    parser.add_argument("--items", type=int, help="a tenth of the users where it is not given")
    parser.add_argument("--root", type=Path, required=True, help="where datasets and runs are kept")
    parser.add_argument("--only", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(measured(asked.root, *asked.child)))
        return
    print("| users | step | processor s | s | GB before | peak GB | bytes of a user |\n|---|---|---|---|---|---|---|")
    for users in asked.users:
        dataset = write(Store(asked.root), users, asked.items or max(users // 10, 1_000))
        load_dataset(Store(asked.root), dataset)  # its mapped files are written
        for name in asked.only:
            command = [sys.executable, __file__, "--root", str(asked.root), "--child", dataset, name]
            environment = {**os.environ, "LLMESR_ARTIFACTS": str(asked.root)}
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                raise SystemExit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            run = Run(Store(asked.root), f"{dataset}-{METHODS[0]}").folder
            size = sum((run / file).stat().st_size for file in (PER_USER, TOP_ITEMS)) / users
            row = f"{found['seconds']:.2f} | {found['wall']:.2f} | {found['before']:.2f} | {found['peak']:.2f}"
            print(f"| {users:,} | {name} | {row} | {size:.0f} |", flush=True)


if __name__ == "__main__":
    main()
