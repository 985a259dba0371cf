"""How long two maps of the same items take, ours against umap-learn as it is, and how far each can be trusted.

    python benchmarks/maps.py --items 50000            # 384 and 64 dimensions, both sides in turn
    python benchmarks/maps.py --items 500000 --skip-umap-learn --set landmarks=50000
    python benchmarks/maps.py --lasso 100000         # in the app: until a lasso is answered, and seen in the other map

Every side runs in a process of its own, imports and compilation included, with the cores it is given. The vectors are
generated: clusters with directions of their own and popularity that falls like Zipf's, as text and collaborative
vectors have.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WIDTHS = {"text": 384, "collaborative": 64}


def vectors(items: int, width: int, seed: int, cluster: np.ndarray | None = None) -> np.ndarray:
    """(items, width) float32: 200 clusters of uneven size, each a random 8-dimensional sheet with noise.

    ``cluster`` (items,) in 0..199 says who belongs where; without it that is drawn too.
    """
    rng = np.random.default_rng(seed)
    if cluster is None:
        share = 1 / np.arange(1, 201)
        cluster = rng.choice(200, items, p=share / share.sum())
    centres = rng.normal(size=(200, width)).astype(np.float32)
    sheets = 0.5 * rng.normal(size=(200, 8, width)).astype(np.float32)
    result = np.empty((items, width), np.float32)
    for start in range(0, items, 20_000):
        rows = cluster[start : start + 20_000]
        along = rng.normal(size=(len(rows), 8)).astype(np.float32)
        noise = 0.15 * rng.normal(size=(len(rows), width)).astype(np.float32)
        result[start : start + 20_000] = 0.7 * centres[rows] + np.einsum("nk,nkd->nd", along, sheets[rows]) + noise
    return result


def ours(tables: dict[str, np.ndarray], overrides: list[str]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Both maps as `llmesr map` makes them."""
    from llmesr.config import parse_overrides
    from llmesr.maps.make import neighbourhoods, pictures
    from llmesr.maps.projection import MapConfig

    config = MapConfig.read(None, **parse_overrides(overrides))
    timings: dict[str, float] = {}
    near = neighbourhoods(tables, config, timings)
    rare = np.zeros(len(tables["text"]), bool)
    return pictures(tables, near, config, rare, timings)["umap"], timings


def umap_learn(tables: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Both maps by umap-learn's own defaults, cosine, every core."""
    import umap

    made, timings = {}, {}
    for name, table in tables.items():
        started = time.perf_counter()
        made[name] = umap.UMAP(metric="cosine").fit_transform(table)
        timings[name] = time.perf_counter() - started
    return made, timings


def side(name: str, items: int, sample: int, overrides: list[str]) -> dict[str, object]:
    """One side in this process: seconds, peak memory, trustworthiness of each map."""
    import resource

    import torch

    from llmesr.maps.quality import trustworthiness

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tables = {space: vectors(items, width, seed) for seed, (space, width) in enumerate(WIDTHS.items())}
    started, processor = time.perf_counter(), time.process_time()
    made, timings = ours(tables, overrides) if name == "ours" else umap_learn(tables)
    seconds, busy = time.perf_counter() - started, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    trust = {space: trustworthiness(tables[space], made[space], 15, sample=sample) for space in tables}
    return {"seconds": seconds, "processor": busy, "peak_gb": peak, "trustworthiness": trust, "timings": timings}


def lassoed(items: int) -> None:
    """Seconds of a lasso around most of a map in the app: until the server has answered, and until it is seen."""
    from playwright.sync_api import sync_playwright

    from pages import CHROMIUM, time_of_selection  # type: ignore[attr-defined]  # the file beside this one

    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        stands, answered, seen = time_of_selection(browser, items, Path(scratch))
        browser.close()
    print(f"{items:,} items: both maps stand after {stands:.1f} s; a lasso is answered after {answered:.2f} s (aim: 1)")
    print(f"and seen in the other map after {seen:.2f} s (aim: 2), drawn on the processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--sample", type=int, default=1000, help="points on which trustworthiness is measured")
    parser.add_argument("--skip-umap-learn", action="store_true")
    parser.add_argument("--set", action="append", default=[], help="a setting of our map: key=value")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--side", choices=("ours", "umap-learn"), help=argparse.SUPPRESS)
    parser.add_argument("--lasso", type=int, help="only time a lasso on maps of so many items, in a browser")
    given = parser.parse_args()
    if given.lasso:
        lassoed(given.lasso)
        return
    if given.side:
        print(json.dumps(side(given.side, given.items, given.sample, given.set)))
        return
    found = {}
    for name in ("ours",) if given.skip_umap_learn else ("umap-learn", "ours"):
        overrides = [f"--set={pair}" for pair in given.set]
        command = [sys.executable, __file__, f"--items={given.items}", f"--sample={given.sample}", f"--side={name}"]
        output = subprocess.run([*command, *overrides], stdout=subprocess.PIPE, check=True, text=True).stdout
        found[name] = json.loads(output.splitlines()[-1])
    cores = len(os.sched_getaffinity(0))
    print(f"{given.items:,} items, {' and '.join(map(str, WIDTHS.values()))} dimensions, {cores} cores")
    for name, row in found.items():
        trust = ", ".join(f"{space} {value:.3f}" for space, value in row["trustworthiness"].items())
        print(
            f"{name:>10}: {row['seconds']:6.1f} s, {row['processor']:6.1f} s of processor time, "
            f"{row['peak_gb']:.1f} GB; trustworthiness {trust}"
        )
        print(" " * 12 + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in row["timings"].items()))
    if given.json:
        given.json.write_text(json.dumps({"items": given.items, "cores": cores, "sides": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
