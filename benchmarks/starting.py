"""How long `llmesr serve` takes from its start to its first answer, and what of that is processor time.

    python benchmarks/starting.py [--items 2000 100000] [--times 3] [--code PATH PATH]

Datasets of that many items and untrained llm-esr runs are written to a temporary folder, as for serving.py. The code of
several checkouts is started in turn, so that both sides meet the same machine. Seconds on the clock depend on what else
runs; files have been read once before.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
from serving import prepare  # type: ignore[attr-defined]  # the file beside this one, not tests/serving

from llmesr.store import Store

PATIENCE = 180.0


def once(root: Path, run: str, code: str | None) -> tuple[float, float, float]:
    """Seconds on the clock and of the processor until the first list, and its resident GB."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llmesr", "serve", run, "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "LLMESR_ARTIFACTS": str(root), **({"PYTHONPATH": code} if code else {})}
    begun = time.perf_counter()
    # In a folder of its own: Python looks for llmesr in the current one first.
    process = subprocess.Popen(command, env=environment, cwd=root, stdout=subprocess.DEVNULL)
    try:
        ask(port, process)
        seconds, server = time.perf_counter() - begun, psutil.Process(process.pid)
        times = server.cpu_times()
        return seconds, times.user + times.system, server.memory_info().rss / 2**30
    finally:
        process.terminate()
        process.wait(60)


def ask(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait for the first list. SystemExit when the server ends or does not answer."""
    body = json.dumps({"history": ["i1", "i7", "i99"], "k": 10}).encode()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit("the server did not start")
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/recommend", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
                assert json.load(answer)["items"]
                return
        except urllib.error.HTTPError as error:
            raise SystemExit(f"the server said {error.read().decode()}") from None
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server did not answer within three minutes")


def main() -> None:
    """Print a row for each number of items and each code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[2_000, 100_000])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--code", nargs="+", metavar="PATH", help="folders whose llmesr is started in turn, one a row")
    asked = parser.parse_args()
    print("| items | code | processor s | seconds | GB |\n|---|---|---|---|---|")
    for items in asked.items:
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(scratch)
            _, run = prepare(store, items)
            once(store.root, run.id, None)  # what is made at the first opening is there
            codes: list[str | None] = asked.code or [None]
            found: dict[str | None, list[tuple[float, float, float]]] = {code: [] for code in codes}
            for _ in range(asked.times):
                for code in codes:
                    found[code].append(once(store.root, run.id, code))
            for code, starts in found.items():
                middle = [statistics.median(values) for values in zip(*starts, strict=True)]
                said = f"{middle[1]:.1f} | {middle[0]:.1f} | {middle[2]:.2f}"
                print(f"| {items:,} | {code or 'this'} | {said} |", flush=True)


if __name__ == "__main__":
    main()
