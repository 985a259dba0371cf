"""Cross-entropy over the whole catalogue with its gradients: all logits at once, and chunks of few and of more rows.

    python benchmarks/softmax.py --items 12101 50000 100000 300000

Processor milliseconds a position on one thread, the least of three. `cache`: as many rows as keep the logits in the
cache; `now`: what :func:`llmesr.objectives.next_item.cross_entropy` takes, 32 rows at the least.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.objectives import next_item

PLAIN_UP_TO = 256_000_000
"""Logits that are held at once by the plain way, 1 GB; beyond it is left out."""


def cost(loss: Callable[[Tensor, Tensor, Tensor], Tensor], hidden: Tensor, table: Tensor, targets: Tensor) -> float:
    """Milliseconds a position, forwards and backwards."""
    taken = []
    for _ in range(3):
        started = time.process_time()
        loss(hidden, table, targets).backward()
        taken.append(time.process_time() - started)
    return 1000 * min(taken) / len(hidden)


def plain(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(hidden @ table[1:].T, targets - 1)


def by_cache(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    at_least, next_item.ROWS = next_item.ROWS, 1
    try:
        return next_item.cross_entropy(hidden, table, targets)
    finally:
        next_item.ROWS = at_least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[12_101, 50_000, 100_000, 300_000])
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| items | all at once | cache | now |\n|---|---|---|---|")
    for items in args.items:
        hidden = torch.randn(args.positions, args.size, requires_grad=True)
        table = torch.randn(items + 1, args.size, requires_grad=True)
        targets = torch.randint(1, items + 1, (args.positions,))
        ways = [plain] if items * args.positions <= PLAIN_UP_TO else []
        told = [f"{cost(way, hidden, table, targets):.3f}" for way in (*ways, by_cache, next_item.cross_entropy)]
        print(f"| {items:,} | {' | '.join(told if ways else ['-', *told])} |", flush=True)


if __name__ == "__main__":
    main()
