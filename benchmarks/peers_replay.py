"""RePlay's side of benchmarks/peers.py: SASRec, and BERT4Rec of the older part of the library."""

from collections.abc import Sequence
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
    QUIET,
    RATE,
    SHARED,
    Data,
    Plan,
    Watch,
    carry_out,
    padded,
    watching,
)
from torch.utils.data import DataLoader

ITEM, USER = "item_id", "user_id"


def sasrec(data: Data, plan: Plan, watch: Watch) -> None:
    """Batches are handed over as they are, without the library's reading of files."""
    from lightning import Trainer
    from lightning.pytorch.callbacks import Callback
    from replay.nn.lightning import LightningModule
    from replay.nn.lightning.optimizer import OptimizerFactory
    from replay.nn.loss import CESampled
    from replay.nn.sequential import SasRec
    from replay.nn.transform import UniformNegativeSamplingTransform

    pad = data.n_items

    def sequences(histories: Sequence[np.ndarray]) -> torch.Tensor:
        found = torch.from_numpy(padded(histories, left=True)) - 1
        return torch.where(found < 0, pad, found)

    long = [h for h in data.histories if len(h) > 1]
    read, wanted = sequences([h[:-1] for h in long]), sequences([h[1:] for h in long])
    net = SasRec.from_params(
        schema(data.n_items, padding=pad),
        embedding_dim=FACTORS,
        num_heads=HEADS,
        num_blocks=BLOCKS,
        max_sequence_length=LENGTH,
        dropout=DROPOUT,
    )
    draw: Any = lambda batch: batch  # noqa: E731
    if plan.loss == "sampled":
        net.loss = CESampled(ignore_index=pad)
        net.loss.logits_callback = net.get_logits
        draw = UniformNegativeSamplingTransform(cardinality=data.n_items, num_negative_samples=SHARED)

    def batch(rows: list[int]) -> dict[str, Any]:
        seen, next_ = read[rows], wanted[rows][:, :, None]
        masks = {"padding_mask": seen != pad, "target_padding_mask": next_ != pad}
        made: dict[str, Any] = draw({"feature_tensors": {ITEM: seen}, "positive_labels": next_, **masks})
        return made

    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        seen = sequences(histories)
        found = net(feature_tensors={ITEM: seen}, padding_mask=seen != pad)["logits"].numpy()
        return np.concatenate([np.zeros((len(found), 1), np.float32), found], axis=1)

    judge = watching(watch, Callback, lambda _: net, lambda _: score)
    trainer = Trainer(max_epochs=-1, accelerator="cpu", callbacks=[judge], **QUIET)
    loader: Any = DataLoader(range(len(long)), BATCH, shuffle=True, collate_fn=batch)  # type: ignore[arg-type]
    trainer.fit(LightningModule(net, OptimizerFactory(learning_rate=RATE)), loader)


def bert4rec(data: Data, plan: Plan, watch: Watch) -> None:
    """By the library's own datasets; the mask after the history is read as its validation does it."""
    import pandas as pd
    from lightning import Trainer
    from lightning.pytorch.callbacks import Callback
    from replay.data.nn import PandasSequentialDataset
    from replay.models.nn.optimizer_utils import FatOptimizerFactory
    from replay.models.nn.sequential import Bert4Rec
    from replay.models.nn.sequential.bert4rec import Bert4RecTrainingDataset

    sizes = schema(data.n_items, padding=0)
    net = Bert4Rec(
        sizes,
        block_count=BLOCKS,
        head_count=HEADS,
        hidden_size=FACTORS,
        max_seq_len=LENGTH,
        dropout_rate=DROPOUT,
        enable_embedding_tying=True,
        loss_type="CE",
        optimizer_factory=FatOptimizerFactory(learning_rate=RATE),
    )

    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        seen = torch.from_numpy(np.pad(padded(histories, left=True, length=LENGTH - 1), ((0, 0), (0, 1))))
        real = seen > 0
        there = real.clone()
        there[:, -1] = True
        found = net({ITEM: (seen - 1).clamp(min=0)}, there, real).numpy()
        return np.concatenate([np.zeros((len(found), 1), np.float32), found], axis=1)

    long = [(user, h - 1) for user, h in enumerate(data.histories) if len(h) > 1]
    frame = pd.DataFrame(long, columns=[USER, ITEM])
    training = Bert4RecTrainingDataset(PandasSequentialDataset(sizes, USER, ITEM, frame), LENGTH, mask_prob=MASKED)
    judge = watching(watch, Callback, lambda module: module, lambda _: score)
    trainer = Trainer(max_epochs=-1, accelerator="cpu", callbacks=[judge], **QUIET)
    trainer.fit(net, DataLoader(training, BATCH, shuffle=True))


def schema(n_items: int, padding: int) -> Any:
    """Items 0..N - 1 in sequences, ``padding`` for none."""
    from replay.data import FeatureHint, FeatureSource, FeatureType
    from replay.data.nn import TensorFeatureInfo, TensorFeatureSource, TensorSchema

    feature = TensorFeatureInfo(
        ITEM,
        is_seq=True,
        feature_type=FeatureType.CATEGORICAL,
        embedding_dim=FACTORS,
        padding_value=padding,
        cardinality=n_items,
        feature_hint=FeatureHint.ITEM_ID,
        feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, ITEM)],
    )
    return TensorSchema([feature])


def train(data: Data, plan: Plan, watch: Watch) -> None:
    (bert4rec if plan.backbone == "bert4rec" else sasrec)(data, plan, watch)


if __name__ == "__main__":
    carry_out(train)
