"""RecBole's side of benchmarks/peers.py: SASRec, BERT4Rec and GRU4Rec, always with a softmax over all items."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers_side import (
    BATCH,
    BLOCKS,
    DROPOUT,
    FACTORS,
    HEADS,
    LENGTH,
    MASKED,
    RATE,
    Data,
    Plan,
    Score,
    Watch,
    carry_out,
    known_only,
    padded,
)

ATTENTION = {
    "n_layers": BLOCKS,
    "n_heads": HEADS,
    "hidden_size": FACTORS,
    "hidden_dropout_prob": DROPOUT,
    "attn_dropout_prob": DROPOUT,
}
SIZES: dict[str, dict[str, Any]] = {
    "sasrec": {**ATTENTION, "inner_size": FACTORS, "train_neg_sample_args": None},
    "bert4rec": {**ATTENTION, "inner_size": 4 * FACTORS, "mask_ratio": MASKED, "train_neg_sample_args": None},
    "gru4rec": {
        "embedding_size": FACTORS,
        "hidden_size": FACTORS,
        "num_layers": BLOCKS,
        "dropout_prob": DROPOUT,
        "train_neg_sample_args": None,
    },
}
NAMES = {"sasrec": "SASRec", "bert4rec": "BERT4Rec", "gru4rec": "GRU4Rec"}


class Watched:
    """The batches of an epoch; ``watch`` is told when each of them has been learned from."""

    def __init__(self, loader: Any, watch: Watch) -> None:
        self.loader, self.watch = loader, watch

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            yield batch
            self.watch.step()


def train(data: Data, plan: Plan, watch: Watch) -> None:
    from recbole.config import Config
    from recbole.data import create_dataset
    from recbole.data.dataloader import TrainDataLoader
    from recbole.trainer import Trainer
    from recbole.utils import get_model, init_seed

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
            "loss_type": "CE",
            "use_gpu": False,
            **SIZES[plan.backbone],
        }
        config = Config(model=NAMES[plan.backbone], dataset="shop", config_dict=settings)
        init_seed(plan.seed, True)
        dataset = create_dataset(config)
        training = dataset.build()[0]
    loader = TrainDataLoader(config, training, sampler=None, shuffle=True)
    model = get_model(NAMES[plan.backbone])(config, training)
    trainer = Trainer(config, model)
    tokens = dataset.field2token_id["item_id"]
    internal = np.array([0, *(tokens.get(str(item), 0) for item in range(1, data.n_items + 1))])
    watch.start(model, lambda: scoring(model, internal), len(loader))
    epoch = 0
    while True:  # the watch ends it
        trainer._train_epoch(Watched(loader, watch), epoch)
        watch.epoch()
        epoch += 1


def scoring(model: Any, internal: np.ndarray) -> Score:
    """As the model stands; ``internal`` (N + 1,) are the library's numbers of items."""

    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        seen = torch.from_numpy(internal[padded(histories, left=False)])
        lengths = torch.tensor([min(len(h), LENGTH) for h in histories])
        asked = {model.ITEM_SEQ: seen, model.ITEM_SEQ_LEN: lengths}
        found: np.ndarray = known_only(model.full_sort_predict(asked), internal)
        return found

    return score


if __name__ == "__main__":
    carry_out(train)
