"""Reasons by leave-one-out: how far items drawn for the catalogue are off, and what reasons cost beside a list.

    LLMESR_ARTIFACTS=FOLDER python benchmarks/reasons.py RUN                # a tuned run: its policy draws
    LLMESR_ARTIFACTS=FOLDER python benchmarks/reasons.py RUN --users 400 --drawn 64 256

An item's loss is how far it falls behind the mean of the catalogue. In terms with text or item-to-item weights, drawn
items stand for that mean (``left_out.CATALOGUE``); here their shares are compared with those of the whole catalogue,
for the ten items of the lists of users drawn by chance. Times are of the processor, one thread, the least of five.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import torch

from llmesr.runs.record import find_run
from llmesr.scoring import left_out
from llmesr.scoring.recommender import Answer, Recommender, Request
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import Store

BATCH = 32


def answers(recommender: Recommender, requests: Sequence[Request], drawn: int) -> list[Answer]:
    """With so many items for the catalogue."""
    left_out.CATALOGUE = drawn
    left_out._drawn.cache_clear()
    return [answer for at in range(0, len(requests), BATCH) for answer in recommender.answer(requests[at : at + BATCH])]


def shares(answer: Answer) -> np.ndarray:
    """(C, D) of the items of a list by the items of the history, in the order of their numbers."""
    told = [dict(sorted((reason.item, reason.share) for reason in one.reasons)) for one in answer.reasons]
    return np.array([list(one.values()) for one in told])


def seconds(recommender: Recommender, requests: Sequence[Request]) -> float:
    """Of the processor for all requests, the least of five times."""
    spent = []
    for _ in range(5):
        begun = time.process_time()
        answers(recommender, requests, left_out.CATALOGUE)
        spent.append(time.process_time() - begun)
    return min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--drawn", nargs="+", type=int, default=[64, 128, left_out.CATALOGUE, 512])
    args = parser.parse_args()
    torch.set_num_threads(1)
    store, usual = Store(), left_out.CATALOGUE
    recommender = Recommender(ScoredRun(store, find_run(store, args.run)))
    data = recommender.dataset
    users = np.random.default_rng(3).choice(data.n_users, min(args.users, data.n_users), replace=False)
    several = [int(user) for user in users if len(set(data.history(user).tolist())) > 1]
    asked = [recommender.request(user, explain=True) for user in several]
    print(f"{args.run}: {data.n_items:,} items; {len(asked)} users with several; {recommender.policy.describe()}\n")

    exact = [shares(answer) for answer in answers(recommender, asked, data.n_items)]
    print("Of the shares of a list, by how much they are off: median and 95% of the lists.\n")
    print("| items drawn | on average | the one most off | another item first |")
    print("|---|---|---|---|")
    for drawn in args.drawn:
        pairs = list(zip(exact, (shares(answer) for answer in answers(recommender, asked, drawn)), strict=True))
        off = [np.abs(a - b) for a, b in pairs]
        first = np.mean([(a.argmax(1) != b.argmax(1)).mean() for a, b in pairs])
        quantiles = (np.quantile([of(one) for one in off], [0.5, 0.95]) for of in (np.mean, np.max))
        columns = " | ".join(f"{middle:.4f}, {high:.4f}" for middle, high in quantiles)
        print(f"| {drawn} | {columns} | {first:.1%} |")

    left_out.CATALOGUE = usual
    lists = [recommender.request(user) for user in several]
    plain, told = (1e3 * seconds(recommender, requests) / len(asked) for requests in (lists, asked))
    print(f"\nA list takes {plain:.2f} ms of the processor, with reasons {told:.2f} ms, in batches of {BATCH}.")


if __name__ == "__main__":
    main()
