"""What trees on top of a blend cost, by users, items, members and length of histories.

    python benchmarks/growing.py

Made shops, linear members (some of them several times: what counts is how many there are). Processor seconds of one
thread: growing all rounds three times (for either half and for all), a user; and what asking the trees costs beyond
asking the blend, a score. `llmesr best` keeps time by these.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import cycle, islice

import numpy as np
import torch

from llmesr.config import RunConfig
from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset
from llmesr.data.synthetic import make
from llmesr.models.boosted import BoostedScorer, Trees, many_features
from llmesr.models.scorers import Scorer
from llmesr.progress import silent
from llmesr.scoring.blend import fitted_blend
from llmesr.scoring.boosting import DEPTH, ROUNDS, boosted
from llmesr.store import Store
from llmesr.training.load import load_scorer
from llmesr.training.train import train

METHODS = ("item-knn", "markov", "popularity")
ASKED = 256
"""Users whose scores are timed."""


def members(data: Dataset, store: Store, many: int) -> list[Scorer]:
    runs = [train(data, RunConfig(method=method), store, device="cpu") for method in METHODS]
    return list(islice(cycle([load_scorer(run, dataset=data) for run in runs]), many))


def grown_to(many: int) -> Trees:
    """As many trees as there may be, of anything: what asking them costs does not depend on what they say."""
    rng, inner = torch.Generator().manual_seed(0), 2**DEPTH - 1
    chosen = torch.randint(0, many_features(many), (ROUNDS, inner), generator=rng)
    cuts, values = (torch.randn(ROUNDS, size, generator=rng) for size in (inner, 2 * inner + 1))
    return Trees(chosen, cuts, values)


def measured(data: Dataset, of: list[Scorer]) -> tuple[float, float]:
    """Seconds of growing a user, and of asking all trees for a score."""
    users, cpu = data.split.users("valid"), torch.device("cpu")
    blend, judging, _ = fitted_blend(of, data, users, 50, 0.5, cpu, silent)
    asked = {"max_length": 50, "emphasis": 0.5, "device": cpu, "progress": silent}
    started = time.process_time()
    made, _, _ = boosted(blend, judging, data, users, **asked)  # type: ignore[arg-type]
    grown = time.process_time() - started
    sequences, _ = Sequences(data).padded(
        torch.arange(ASKED), torch.from_numpy(np.asarray(data.split.train_lengths))[:ASKED], 50
    )
    seconds = {}
    whole = BoostedScorer(blend, grown_to(len(of)), made.log_counts, made.usual)
    for name, each in (("blend", blend), ("trees", whole)):
        each.score(sequences[:8])
        started = time.process_time()
        each.score(sequences)
        seconds[name] = time.process_time() - started
    per_score = (seconds["trees"] - seconds["blend"]) / (ASKED * data.n_items)
    return grown / len(users), per_score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", nargs="+", default=["500x500", "2000x500", "2000x2000"], help="users x items")
    parser.add_argument("--members", type=int, nargs="+", default=[3, 12])
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| users | items | mean history | members | grown, ms a user | asked, ns a score |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="llmesr-growing-") as root:
        store = Store(root)
        for shop in args.shops:
            users, items = map(int, shop.split("x"))
            data = make(store, name=f"shop-{shop}", users=users, items=items, seed=1)
            history = float(np.mean(np.asarray(data.split.train_lengths)))
            for many in args.members:
                grown, asked = measured(data, members(data, store, many))
                cells = f"{data.n_users:,} | {data.n_items:,} | {history:.1f} | {many} | {1000 * grown:.1f}"
                print(f"| {cells} | {1e9 * asked:.0f} |", flush=True)


if __name__ == "__main__":
    main()
