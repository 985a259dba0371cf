"""What an epoch of `language` costs and why: tokens, padding, forward and backward, by precision.

    python benchmarks/reading.py DATASET --set history_input=vectors

DATASET is an ingested and embedded dataset. Steps are those of training, on batches drawn as there; seconds are of the
processor. The share of real tokens says what packing histories could save at most.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from llmesr.config import RunConfig, parse_overrides
from llmesr.data.batches import Sequences
from llmesr.data.dataset import load_dataset
from llmesr.ids import PAD
from llmesr.methods import build
from llmesr.objectives.next_item import cross_entropy
from llmesr.store import Store
from llmesr.training.devices import autocast
from llmesr.training.inputs import prepare
from llmesr.training.rows import Rows, next_item_batch

WARM = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings of the run")
    parser.add_argument("--batches", type=int, default=23)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    store = Store()
    data = load_dataset(store, args.dataset)
    print(
        "| precision | real tokens | forward | loss | backward | an epoch | reading all items |\n|---"
        + "|---" * 6
        + "|"
    )
    for precision in ("float32", "bfloat16"):
        config = RunConfig.read(
            None, **{"method": "language", "batch_size": 32, **parse_overrides(args.set), "precision": precision}
        )
        torch.manual_seed(config.seed)
        model = build(prepare(data, config, store).inputs, config).model.train()
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=config.learning_rate)
        rows, sequences = Rows.of(data, max_length=config.max_length, all_windows=True), Sequences(data)
        batches = rows.batches(config, np.random.default_rng(0), masked=model.masked)
        seconds, real, places = np.zeros(3), 0, 0
        for step, chosen in enumerate(batches[: WARM + args.batches]):
            users, ends = torch.from_numpy(rows.users[chosen]), torch.from_numpy(rows.ends[chosen])
            batch = next_item_batch(sequences, users, ends, max_length=config.max_length, last_only=False)
            predicted = batch.targets != PAD
            marks = [time.process_time()]
            with autocast(torch.device("cpu"), precision):
                states = model.encode(batch.inputs)
                marks.append(time.process_time())
                loss = cross_entropy(states[predicted], model.candidates(), batch.targets[predicted])
            marks.append(time.process_time())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            marks.append(time.process_time())
            if step >= WARM:
                seconds += np.diff(marks)
                real, places = real + int(predicted.sum()), places + predicted.numel()
        started = time.process_time()
        model.read_items(torch.arange(1, data.n_items + 1))
        whole = seconds / args.batches * len(batches)
        cells = [f"{s:.1f} s" for s in (*whole, whole.sum(), time.process_time() - started)]
        print(f"| {precision} | {real / places:.0%} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
