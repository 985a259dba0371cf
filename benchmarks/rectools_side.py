"""RecTools' half of benchmarks/training.py; runs in an environment of its own and prints one JSON line.

    python rectools_side.py HISTORIES.csv LOSS EPOCHS

Each user's last two interactions are kept away from training; the first of the two is what is to be found.
"""

import json
import math
import sys
import time

import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

torch.set_num_threads(1)
torch.manual_seed(42)


SECONDS: list[float] = []


class Clock(Callback):  # type: ignore[misc]
    """Seconds of every epoch, kept outside: RecTools works on a copy of the trainer."""

    def on_train_epoch_start(self, *_: object) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, *_: object) -> None:
        SECONDS.append(time.perf_counter() - self.started)


def main(file: str, loss: str, epochs: int) -> None:
    rows = pd.read_csv(file)
    back = rows.groupby("user_id").cumcount(ascending=False)
    long = rows.groupby("user_id")["item_id"].transform("size") >= 3
    known = rows[(back >= 2) | ~long]
    target = rows[(back == 1) & long].set_index("user_id")["item_id"]
    target = target[known.groupby("user_id").size().reindex(target.index, fill_value=0) >= 2]  # others are cold to it
    frame = known.rename(columns={"user_id": Columns.User, "item_id": Columns.Item})
    frame = frame.assign(**{Columns.Weight: 1.0, Columns.Datetime: pd.to_datetime(frame["datetime"], unit="D")})
    dataset = Dataset.construct(frame)
    model = SASRecModel(
        n_factors=64,
        n_blocks=2,
        n_heads=1,
        session_max_len=50,
        batch_size=128,
        epochs=epochs,
        dropout_rate=0.2,
        lr=1e-3,
        loss=loss,
        n_negatives=1,
        train_min_user_interactions=2,
        get_trainer_func=lambda: Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            callbacks=[Clock()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ),
    )
    model.fit(dataset)
    found = model.recommend(target.index.to_numpy(), dataset, k=10, filter_viewed=True)
    found = found[found[Columns.Item] == found[Columns.User].map(target)]
    ranks = found[Columns.Rank].tolist()
    result = {
        "seconds": sorted(SECONDS)[len(SECONDS) // 2],
        "NDCG@10": sum(1 / math.log2(r + 1) for r in ranks) / len(target),
        "HR@10": len(ranks) / len(target),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
