"""SASRec of others for benchmarks/sasrec_peers.py; runs in an environment of its own, prints a JSON line an epoch.

    python sasrec_side.py rectools|recbole|replay DATA.npz EPOCHS

DATA holds the training histories (``items``, 1..N, oldest first, of user u from ``starts[u]`` to ``starts[u + 1]``)
and ``users`` with their ``target`` on validation. Every side has 64 factors, 2 blocks, 1 head, histories of 50,
batches of 128, dropout .2, Adam at .001 and a softmax over all items. The clock stands still while an epoch is judged.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from linear_side import tallied

ITEM = "item_id"
FACTORS, BLOCKS, LENGTH, BATCH, DROPOUT, RATE = 64, 2, 50, 128, 0.2, 1e-3
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
"""Of a trainer of Lightning."""
JUDGED = 256
"""Users that are ranked together."""
Score = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Histories, oldest item first -> (B, N + 1) scores, what is in column 0 does not count."""


@dataclass
class Data:
    """What every side learns from and is asked."""

    histories: list[np.ndarray]
    users: np.ndarray
    target: np.ndarray
    n_items: int

    @classmethod
    def read(cls, file: str) -> "Data":
        found = np.load(file)
        histories = np.split(found["items"], found["starts"][1:-1])
        return cls(histories, found["users"], found["target"], int(found["n_items"]))

    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """User, item and place in the history of every interaction."""
        lengths = [len(h) for h in self.histories]
        places = np.concatenate([np.arange(n) for n in lengths])
        return np.repeat(np.arange(len(lengths)), lengths), np.concatenate(self.histories), places


@dataclass
class Watch:
    """Seconds since training began, without those of judging, and what each epoch reached."""

    data: Data
    wall: float = 0.0
    cpu: float = 0.0
    epochs: int = 0
    began: tuple[float, float] = field(default=(0.0, 0.0))

    def start(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def epoch(self, score: Score) -> None:
        """An epoch has ended: stop the clock, judge, print, go on."""
        self.wall += time.perf_counter() - self.began[0]
        self.cpu += time.process_time() - self.began[1]
        self.epochs += 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        quality = judged(score, self.data)
        print(
            json.dumps({"epoch": self.epochs, "wall": self.wall, "cpu": self.cpu, "peak": peak, **quality}), flush=True
        )
        self.start()


def judged(score: Score, data: Data) -> dict[str, float]:
    """NDCG@10 and HR@10 of the targets among all items that are not in the training history; a tie counts half."""
    gain = hits = 0.0
    for first in range(0, len(data.users), JUDGED):
        users, wanted = data.users[first : first + JUDGED], data.target[first : first + JUDGED]
        histories = [data.histories[u] for u in users]
        scores = np.array(score(histories), np.float64)
        scores[:, 0] = -np.inf
        for row, history in zip(scores, histories, strict=True):
            row[history] = -np.inf
        more = tallied(scores, wanted)
        gain, hits = gain + more[0], hits + more[1]
    return {"NDCG@10": gain / len(data.users), "HR@10": hits / len(data.users)}


def padded(histories: Sequence[np.ndarray], *, left: bool) -> np.ndarray:
    """(B, LENGTH) the newest items of each, 0 where there are fewer."""
    made = np.zeros((len(histories), LENGTH), np.int64)
    for row, history in zip(made, histories, strict=True):
        newest = history[-LENGTH:]
        if left:
            row[LENGTH - len(newest) :] = newest
        else:
            row[: len(newest)] = newest
    return made


def known_only(scores: np.ndarray, internal: np.ndarray) -> np.ndarray:
    """(B, N') by the numbers of a library -> (B, N + 1) by ours; what is not in training (0) stands last."""
    return np.where(internal > 0, scores[:, internal], -np.inf)


def rectools(data: Data, epochs: int, watch: Watch) -> None:
    import pandas as pd
    from pytorch_lightning import Callback, Trainer
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    class Judge(Callback):  # type: ignore[misc]
        def on_train_start(self, *_: object) -> None:
            watch.start()

        def on_train_epoch_end(self, _: object, module: Any) -> None:
            net = module.torch_model
            ids = module.data_preparator.item_id_map.to_internal
            internal = np.zeros(data.n_items + 1, np.int64)
            known = [item for item in ids.index if item != "PAD"]
            internal[np.array(known, np.int64)] = ids[known].to_numpy()

            @torch.inference_mode()
            def score(histories: Sequence[np.ndarray]) -> np.ndarray:
                items = net.item_model.get_all_embeddings()
                x = torch.from_numpy(internal[padded(histories, left=True)])
                state = net.encode_sessions({"x": x}, items)[:, -1]
                return known_only((state @ items.T).numpy(), internal)

            net.eval()
            watch.epoch(score)
            net.train()

    users, items, places = data.rows()
    frame = pd.DataFrame({Columns.User: users, Columns.Item: items, Columns.Weight: 1.0})
    frame[Columns.Datetime] = pd.to_datetime(places, unit="D")
    SASRecModel(
        n_factors=FACTORS,
        n_blocks=BLOCKS,
        n_heads=1,
        session_max_len=LENGTH,
        batch_size=BATCH,
        epochs=epochs,
        dropout_rate=DROPOUT,
        lr=RATE,
        loss="softmax",
        train_min_user_interactions=2,
        get_trainer_func=lambda: Trainer(
            max_epochs=epochs, accelerator="cpu", callbacks=[Judge()], enable_model_summary=False, **QUIET
        ),
    ).fit(Dataset.construct(frame))


def recbole(data: Data, epochs: int, watch: Watch) -> None:
    from recbole.config import Config
    from recbole.data import create_dataset
    from recbole.data.dataloader import TrainDataLoader
    from recbole.model.sequential_recommender import SASRec
    from recbole.trainer import Trainer

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "shop"
        folder.mkdir()
        lines = (f"{user}\t{item}\t{place}\n" for user, item, place in zip(*data.rows(), strict=True))
        heading = "user_id:token\titem_id:token\ttimestamp:float\n"
        (folder / "shop.inter").write_text(heading + "".join(lines))
        settings = {
            "data_path": scratch,
            "checkpoint_dir": scratch,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "MAX_ITEM_LIST_LENGTH": LENGTH,
            "eval_args": {"split": {"RS": [1, 0, 0]}, "group_by": "none", "order": "TO", "mode": "full"},
            "train_batch_size": BATCH,
            "learning_rate": RATE,
            "hidden_size": FACTORS,
            "inner_size": FACTORS,
            "n_layers": BLOCKS,
            "n_heads": 1,
            "hidden_dropout_prob": DROPOUT,
            "attn_dropout_prob": DROPOUT,
            "loss_type": "CE",
            "train_neg_sample_args": None,
            "use_gpu": False,
        }
        config = Config(model="SASRec", dataset="shop", config_dict=settings)
        dataset = create_dataset(config)
        training = dataset.build()[0]
    loader = TrainDataLoader(config, training, sampler=None, shuffle=True)
    model = SASRec(config, training)
    trainer = Trainer(config, model)
    tokens = dataset.field2token_id["item_id"]
    internal = np.array([0, *(tokens.get(str(item), 0) for item in range(1, data.n_items + 1))])

    @torch.inference_mode()
    def score(histories: Sequence[np.ndarray]) -> np.ndarray:
        seen = torch.from_numpy(internal[padded(histories, left=False)])
        lengths = torch.tensor([min(len(h), LENGTH) for h in histories])
        asked = {model.ITEM_SEQ: seen, model.ITEM_SEQ_LEN: lengths}
        return known_only(model.full_sort_predict(asked).numpy(), internal)

    watch.start()
    for epoch in range(epochs):
        trainer._train_epoch(loader, epoch)
        model.eval()
        watch.epoch(score)


def replay(data: Data, epochs: int, watch: Watch) -> None:
    """Batches are handed over as they are, without the library's reading of files."""
    from lightning import Trainer
    from lightning.pytorch.callbacks import Callback
    from replay.nn.lightning import LightningModule
    from replay.nn.lightning.optimizer import OptimizerFactory
    from replay.nn.sequential import SasRec
    from torch.utils.data import DataLoader

    pad = data.n_items

    def sequences(histories: Sequence[np.ndarray]) -> torch.Tensor:
        found = torch.from_numpy(padded(histories, left=True)) - 1
        return torch.where(found < 0, pad, found)

    long = [h for h in data.histories if len(h) > 1]
    read, wanted = sequences([h[:-1] for h in long]), sequences([h[1:] for h in long])

    def batch(rows: list[int]) -> dict[str, Any]:
        seen, next_ = read[rows], wanted[rows][:, :, None]
        masks = {"padding_mask": seen != pad, "target_padding_mask": next_ != pad}
        return {"feature_tensors": {ITEM: seen}, "positive_labels": next_, **masks}

    net = SasRec.from_params(
        _schema(data.n_items),
        embedding_dim=FACTORS,
        num_heads=1,
        num_blocks=BLOCKS,
        max_sequence_length=LENGTH,
        dropout=DROPOUT,
    )

    @torch.inference_mode()
    def score(histories: Sequence[np.ndarray]) -> np.ndarray:
        seen = sequences(histories)
        found = net(feature_tensors={ITEM: seen}, padding_mask=seen != pad)["logits"].numpy()
        return np.concatenate([np.zeros((len(found), 1)), found], axis=1)

    class Judge(Callback):  # type: ignore[misc]
        def on_train_start(self, *_: object) -> None:
            watch.start()

        def on_train_epoch_end(self, *_: object) -> None:
            net.eval()
            watch.epoch(score)
            net.train()

    trainer = Trainer(max_epochs=epochs, accelerator="cpu", callbacks=[Judge()], enable_model_summary=False, **QUIET)
    loader: Any = DataLoader(range(len(long)), BATCH, shuffle=True, collate_fn=batch)  # type: ignore[arg-type]
    trainer.fit(LightningModule(net, OptimizerFactory(learning_rate=RATE)), loader)


def _schema(n_items: int) -> Any:
    """Items 0..N - 1 in sequences, N for none."""
    from replay.data import FeatureHint, FeatureSource, FeatureType
    from replay.data.nn import TensorFeatureInfo, TensorFeatureSource, TensorSchema

    feature = TensorFeatureInfo(
        ITEM,
        is_seq=True,
        feature_type=FeatureType.CATEGORICAL,
        embedding_dim=FACTORS,
        padding_value=n_items,
        cardinality=n_items,
        feature_hint=FeatureHint.ITEM_ID,
        feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, ITEM)],
    )
    return TensorSchema([feature])


def main(library: str, file: str, epochs: int) -> None:
    torch.manual_seed(42)
    data = Data.read(file)
    SIDES[library](data, epochs, Watch(data))


SIDES: dict[str, Callable[[Data, int, Watch], None]] = {"rectools": rectools, "recbole": recbole, "replay": replay}

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
