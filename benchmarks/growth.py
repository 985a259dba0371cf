"""What each step costs as users and items grow, from files to a server: seconds, peak memory, and the slopes of both.

    python benchmarks/growth.py --sizes 100000x10000 1000000x100000 10000000x1000000 --root PATH
    python benchmarks/growth.py --sizes 100000x10000 --root PATH --only "open" "text-ease, local"     # again
    python benchmarks/growth.py --sizes 10000000x1000000 --root PATH --only "similar users, by code" --whole --recall .5

Ten interactions a user (``made.py``), random vectors of 384 numbers in place of a language model's, alike within a line
of fifty items: their size counts here, not their meaning. Each step (``growth_steps.py``) has a process of its own;
peak memory is all that was resident, libraries (0.4 GB) and touched pages of mapped files among it. Of what takes hours
a part is carried out and the rest extrapolated; the table shows both. What was measured is kept under PATH, beside the
data, and a step that is there is not carried out again unless it is named.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from growth_scene import Scene
from growth_steps import STEPS_OF, prepared

FOUND = "found.json"


def one(scene: Scene, name: str) -> dict[str, Any]:
    """Carry out a step in this process."""
    begun, wall = time.process_time(), time.perf_counter()
    told = STEPS_OF[name](scene)
    return {
        "seconds": time.process_time() - begun,
        "wall": time.perf_counter() - wall,
        "left_out": told.left_out,
        "peak": told.peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "remark": told.remark,
    }


def measured(scene: Scene, only: list[str]) -> dict[str, dict[str, Any]]:
    """The steps of one size, each in a process; what broke off says so."""
    prepared(scene)
    path = scene.root / FOUND
    found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}
    for name in STEPS_OF:
        if name not in only and (only or name in found):
            continue
        command = [sys.executable, __file__, "--child", str(scene.root), str(scene.users), str(scene.items), name]
        command += ["--recall", str(scene.recall), *(["--whole"] if scene.whole else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"{scene.users:,} users: {name}: ended with {done.returncode}", file=sys.stderr, flush=True)
            continue
        found[name] = json.loads(done.stdout.splitlines()[-1])
        path.write_text(json.dumps(found, indent=1))
        print(f"{scene.users:,} users: {name}: {found[name]}", file=sys.stderr, flush=True)
    return found


def slope(sizes: list[int], values: list[float]) -> str:
    """By which power of the size the values grow."""
    return f"{np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-3)), 1)[0]:.2f}"


def cell(found: dict[str, Any] | None) -> str:
    """Seconds measured, those extrapolated to the whole behind them; peak memory; the remark."""
    if found is None:
        return ""
    spent, left_out = found["seconds"], found["left_out"]
    seconds = f"{spent:.3g} s" if spent < 100 else f"{spent:,.0f} s"
    seconds += f" (whole: {(spent + left_out) / 3600:.2g} h)" if left_out else ""
    return f"{seconds}, {found['peak']:.1f} GB" + (f"; {found['remark']}" if found["remark"] else "")


def table(scenes: list[Scene], found: list[dict[str, dict[str, Any]]]) -> None:
    """A row for each step, with the slopes over the numbers of users."""
    heads = " | ".join(f"{s.users:,} x {s.items:,}" for s in scenes)
    print(f"| processor, peak memory | {heads} | slopes |\n|---|{'---|' * (len(scenes) + 1)}")
    for name in STEPS_OF:
        rows = [(s.users, of[name]) for s, of in zip(scenes, found, strict=True) if name in of]
        slopes = ""
        if len(rows) > 1:
            users = [u for u, _ in rows]
            times = slope(users, [row["seconds"] + row["left_out"] for _, row in rows])
            slopes = f"{times}, {slope(users, [row['peak'] for _, row in rows])}"
        print(f"| {name} | {' | '.join(cell(of.get(name)) for of in found)} | {slopes} |")


def main() -> None:
    """Measure what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["20000x2000", "60000x6000", "200000x20000"])
    parser.add_argument("--root", type=Path, help="where the data and what was measured are kept")
    parser.add_argument("--only", nargs="+", default=[], choices=list(STEPS_OF), help="these steps, again")
    parser.add_argument("--recall", type=float, default=0.95, help="of similar users")
    parser.add_argument("--whole", action="store_true", help="search for the similar users of all, not of some")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        root, users, items, name = asked.child
        print(json.dumps(one(Scene(Path(root), int(users), int(items), asked.recall, asked.whole), name)))
        return
    if asked.root is None:
        parser.error("give --root PATH, a folder with room for the data (the largest size takes some 20 GB)")
    sizes = [tuple(int(part) for part in size.split("x")) for size in asked.sizes]
    scenes = [Scene(asked.root / f"{u}x{i}", u, i, asked.recall, asked.whole) for u, i in sizes]
    table(scenes, [measured(scene, asked.only) for scene in scenes])


if __name__ == "__main__":
    main()
