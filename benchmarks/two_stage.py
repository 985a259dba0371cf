"""Ranking by candidates beside ranking against every item: milliseconds a user, recall, and what metrics lose.

    python benchmarks/two_stage.py --items 100000 1000000          # made vectors: 200 clusters, users three of them
    python benchmarks/two_stage.py --run RUN                       # a finished run: NDCG@10 and HR@10 both ways

Processor time, without the index and the search for how many lists to probe, which the table has beside it.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np
import torch
from made import write
from maps import vectors  # type: ignore[attr-defined]  # the file beside this one, not tests/maps
from torch import Tensor

from llmesr.data.dataset import load_dataset
from llmesr.evaluation.ranks import evaluate
from llmesr.evaluation.table import event_metrics
from llmesr.evaluation.two_stage import TwoStage
from llmesr.retrieval.index_inner import InnerProducts
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.training.load import load_scorer

WIDTH, CLUSTERS, USERS, EXACT = 128, 200, 6_000, 200


class Means:
    """A user is the mean of the history's items."""

    def __init__(self, items: np.ndarray) -> None:
        self.items = torch.from_numpy(items)

    def represent(self, sequences: Tensor) -> Tensor:
        return self.items[sequences].sum(1) / (sequences != 0).sum(1, keepdim=True).clamp(min=1)

    def item_matrix(self) -> Tensor:
        return self.items

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return self.represent(sequences) @ self.items.T


def made(items: int) -> None:
    """A row of the first table."""
    table = vectors(items + 1, WIDTH, 0, cluster=np.arange(items + 1) // 50 % CLUSTERS).astype(np.float32)
    table[0] = 0
    scorer = Means(table)
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(scratch)
        data = load_dataset(store, write(store, USERS, items))
        begun = time.process_time()
        evaluate(scorer, data, "test", users=np.arange(EXACT))
        exact = (time.process_time() - begun) / EXACT
        search, begun = TwoStage(InnerProducts), time.process_time()
        search(scorer, data, "test")
        first, begun = time.process_time() - begun, time.process_time()
        search.wanted = 0.0  # as many lists as have been found to be needed
        search(scorer, data, "test")
        each = (time.process_time() - begun) / data.n_users
    cells = [f"{items:,}", f"{1000 * exact:.2f}", f"{1000 * each:.2f}", f"{first - each * data.n_users:.0f}"]
    cells += [f"{search.recall:.3f}", f"{search.probed} of {search.lists}"]
    print(f"| {' | '.join(cells)} |", flush=True)


def real(run: Run) -> None:
    """Metrics of a finished run both ways."""
    data = load_dataset(run.store, run.dataset_id)
    scorer, search = load_scorer(run, dataset=data), TwoStage(InnerProducts)
    print("| ranking | NDCG@10, full | HR@10, full | NDCG@10, uni100 | recall |\n|---|---|---|---|---|")
    for name, rank in (("exact", evaluate), ("two-stage", search)):
        frame = rank(scorer, data, "test", max_length=run.config.max_length).frame
        found = event_metrics(frame, data.thresholds, ["HR@10", "NDCG@10"])
        wanted = (("full", "NDCG@10"), ("full", "HR@10"), ("uni100", "NDCG@10"))
        cells = [f"{found[f'{protocol}/Overall/{metric}']:.4f}" for protocol, metric in wanted]
        print(f"| {name} | {' | '.join(cells)} | {search.recall if rank is search else 1:.4f} |")
    print(search.report())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", nargs="+", type=int, default=[100_000])
    parser.add_argument("--run", help="a finished run under the artifact root")
    asked = parser.parse_args()
    if asked.run:
        real(Run(Store(), asked.run))
        return
    print("| items | exact, ms a user | two-stage, ms a user | index and probing, s | recall | lists probed |")
    print("|---|---|---|---|---|---|")
    for items in asked.items:
        made(items)


if __name__ == "__main__":
    main()
