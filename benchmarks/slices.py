"""What the search for slices says of data whose truth is known: how often it invents one, and how often it finds one.

    python benchmarks/slices.py                      # 400 searches without structure, 100 for each planted slice
    python benchmarks/slices.py --invented 1000 --planted 200
    python benchmarks/slices.py --time               # what a search of 22,000 users and 10 columns takes, and holds

A target is hit by chance of .2, whatever its slices: 30 of them, five values of six columns. Planted are the slice
`c0: 0` (a fifth of the targets), where the chance is lower, the pair `c0: 0 & c1: 0` alone (a 25th), where it is
higher, or the three `c0: 0 & c1: 0 & c2: 0` (a 125th of five times as many targets). Counted is whether any confirmed
slice is named, and whether the first that is named is the planted one: by searches of at most two conditions, and of
three.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from llmesr.evaluation import slices as searching
from llmesr.evaluation.slices import TRIPLES, Found, search
from llmesr.evaluation.table import Group

CHANCE = 0.2
COLUMNS, VALUES = 6, 5
SEARCHES = {"two": 0, "three": TRIPLES}
"""Conditions at most -> slices of three that are tested."""
PLANTED = {1: (0.05, 0.10, 0.15), 2: (0.4, 0.6, 0.8), 3: (0.4, 0.6, 0.8)}
"""Conditions -> the chances of a hit where they hold."""


def slices(rng: np.random.Generator, size: int, columns: int = COLUMNS, values: int = VALUES) -> list[Group]:
    """``values`` values of each of ``columns`` columns, drawn for ``size`` targets."""
    drawn = [rng.integers(0, values, size) for _ in range(columns)]
    return [Group(f"c{c}", str(v), d == v) for c, d in enumerate(drawn) for v in range(values)]


def confirmed(hits: np.ndarray, groups: list[Group], less: bool, seed: int, triples: int) -> list[Found]:
    """The slices that a search confirms, the surest first."""
    found = search(hits, groups, np.arange(len(hits)), less=less, seed=seed, triples=triples)
    return [f for f in found if f.confirmed]


def drawn(chance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(len(chance)) < chance).astype(float)


def invented(many: int, size: int) -> dict[str, int]:
    """Of ``many`` searches in data without structure, those that confirm a slice."""
    found = dict.fromkeys(SEARCHES, 0)
    for seed in range(many):
        rng = np.random.default_rng(seed)
        groups = slices(rng, size)
        hits = drawn(np.full(size, CHANCE), rng)
        for name, triples in SEARCHES.items():
            found[name] += bool(confirmed(hits, groups, bool(seed % 2), seed, triples))
    return found


def planted(many: int, size: int, chance: float, conditions: int) -> dict[str, tuple[int, int]]:
    """Of ``many`` searches for a planted slice: those that confirm any, and those that name the planted one first."""
    found = dict.fromkeys(SEARCHES, (0, 0))
    for seed in range(many):
        rng = np.random.default_rng(10_000 + seed)
        groups = slices(rng, size)
        members = np.logical_and.reduce([groups[VALUES * c].members for c in range(conditions)])
        hits = drawn(np.where(members, chance, CHANCE), rng)
        for name, triples in SEARCHES.items():
            sure = confirmed(hits, groups, chance < CHANCE, seed, triples)
            right = bool(sure) and np.array_equal(sure[0].group.members, members)
            found[name] = found[name][0] + bool(sure), found[name][1] + right
    return found


def timed(users: int, columns: int) -> None:
    """Seconds of one search, with 5 and with 40 values of each column."""
    for values in (VALUES, 40):
        rng = np.random.default_rng(0)
        groups = slices(rng, users, columns, values)
        hits = drawn(np.full(users, CHANCE), rng)
        for name, triples in SEARCHES.items():
            started = time.perf_counter()
            confirmed(hits, groups, True, 0, triples)
            spent = time.perf_counter() - started
            print(f"{users:,} users, {columns} columns of {values} values, {name} conditions: {spent:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--invented", type=int, default=400, help="searches in data without structure")
    parser.add_argument("--planted", type=int, default=100, help="searches for each planted slice")
    parser.add_argument("--targets", type=int, default=3000)
    parser.add_argument("--conditions", type=int, nargs="*", default=list(PLANTED), help="of the planted slices")
    parser.add_argument("--chances", type=float, nargs="+", help="of a hit in them, in place of the usual ones")
    parser.add_argument("--quick", action="store_true", help="as few permutations as there may be")
    parser.add_argument("--time", action="store_true", help="only how long searches take")
    given = parser.parse_args()
    if given.quick:
        searching.CELLS = 0
    if given.time:
        timed(22_000, 10)
        return
    started = time.perf_counter()
    for name, none in (invented(given.invented, given.targets) if given.invented else {}).items():
        print(
            f"without structure, at most {name} conditions: {none} of {given.invented} searches confirm a slice",
            flush=True,
        )
    for conditions in given.conditions:
        size = given.targets * (VALUES if conditions == 3 else 1)
        for chance in given.chances or PLANTED[conditions]:
            for name, (found, right) in planted(given.planted, size, chance, conditions).items():
                what = f"{conditions} planted with {chance:.2f} instead of {CHANCE:.2f}, {size:,} targets"
                counted = f"{found} of {given.planted} confirm one, {right} name it first"
                print(f"{what}, at most {name}: {counted}", flush=True)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
