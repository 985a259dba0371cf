"""What the search for slices says of data whose truth is known: how often it invents one, and how often it finds one.

    python benchmarks/slices.py                      # 400 searches without structure, 100 for each planted slice
    python benchmarks/slices.py --invented 1000 --planted 200

A target is hit by chance of .2, whatever its slices: 30 of them, five values of six columns. Planted are the slice
`c0: 0` (a fifth of the targets), where the chance is lower, or the pair `c0: 0 & c1: 0` alone (a 25th of them), where
it is higher. Counted is whether any confirmed slice is named, and whether the first that is named is the planted one.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from llmesr.evaluation.slices import Found, search
from llmesr.evaluation.table import Group

CHANCE = 0.2
COLUMNS, VALUES = 6, 5


def slices(rng: np.random.Generator, size: int) -> list[Group]:
    """Five values of each of six columns, drawn for ``size`` targets."""
    drawn = [rng.integers(0, VALUES, size) for _ in range(COLUMNS)]
    return [Group(f"c{c}", str(v), d == v) for c, d in enumerate(drawn) for v in range(VALUES)]


def confirmed(chance: np.ndarray, groups: list[Group], rng: np.random.Generator, less: bool, seed: int) -> list[Found]:
    """The slices that a search confirms, the surest first."""
    hits = (rng.random(len(chance)) < chance).astype(float)
    return [f for f in search(hits, groups, np.arange(len(hits)), less=less, seed=seed) if f.confirmed]


def invented(many: int, size: int) -> int:
    """Of ``many`` searches in data without structure, those that confirm a slice."""
    found = 0
    for seed in range(many):
        rng = np.random.default_rng(seed)
        groups = slices(rng, size)
        found += bool(confirmed(np.full(size, CHANCE), groups, rng, bool(seed % 2), seed))
    return found


def planted(many: int, size: int, chance: float, pair: bool) -> tuple[int, int]:
    """Of ``many`` searches for a planted slice: those that confirm any, and those that name the planted one first."""
    any_found = right = 0
    for seed in range(many):
        rng = np.random.default_rng(10_000 + seed)
        groups = slices(rng, size)
        members = groups[0].members & groups[VALUES].members if pair else groups[0].members
        sure = confirmed(np.where(members, chance, CHANCE), groups, rng, chance < CHANCE, seed)
        any_found += bool(sure)
        right += bool(sure) and np.array_equal(sure[0].group.members, members)
    return any_found, right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--invented", type=int, default=400, help="searches in data without structure")
    parser.add_argument("--planted", type=int, default=100, help="searches for each planted slice")
    parser.add_argument("--targets", type=int, default=3000)
    given = parser.parse_args()
    started = time.perf_counter()
    none = invented(given.invented, given.targets)
    print(f"without structure: {none} of {given.invented} searches confirm a slice")
    for pair, chances in ((False, (0.05, 0.10, 0.15)), (True, (0.4, 0.6, 0.8))):
        for chance in chances:
            found, right = planted(given.planted, given.targets, chance, pair)
            what = "pair" if pair else "slice"
            print(
                f"a {what} with {chance:.2f} instead of {CHANCE:.2f}: {found} of {given.planted} confirm one, "
                f"{right} name it first"
            )
    print(f"{given.targets:,} targets; {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
