"""RecTools' side of benchmarks/peers.py: SASRec and BERT4Rec."""

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
    OWN,
    QUIET,
    RATE,
    Data,
    Plan,
    Score,
    Watch,
    carry_out,
    known_only,
    padded,
    watching,
)

LOSSES: dict[str, dict[str, Any]] = {
    "ce": {"loss": "softmax"},
    "sampled": {"loss": "sampled_softmax", "n_negatives": OWN},
    "bce": {"loss": "BCE", "n_negatives": 1},
}


def train(data: Data, plan: Plan, watch: Watch) -> None:
    import pandas as pd
    from pytorch_lightning import Callback, Trainer
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import BERT4RecModel, SASRecModel

    judge = watching(watch, Callback, lambda module: module.torch_model, lambda module: scoring(module, data.n_items))
    users, items, places = data.rows()
    frame = pd.DataFrame({Columns.User: users, Columns.Item: items, Columns.Weight: 1.0})
    frame[Columns.Datetime] = pd.to_datetime(places, unit="D")
    masked = plan.backbone == "bert4rec"
    (BERT4RecModel if masked else SASRecModel)(
        n_factors=FACTORS,
        n_blocks=BLOCKS,
        n_heads=HEADS,
        session_max_len=LENGTH,
        batch_size=BATCH,
        dropout_rate=DROPOUT,
        lr=RATE,
        train_min_user_interactions=2,
        get_trainer_func=lambda: Trainer(max_epochs=-1, accelerator="cpu", callbacks=[judge], **QUIET),
        **LOSSES[plan.loss],
        **({"mask_prob": MASKED} if masked else {}),
    ).fit(Dataset.construct(frame))


def scoring(module: Any, n_items: int) -> Score:
    """With the module of Lightning as it stands; a model that was trained to fill masks reads one after the history."""
    net, known = module.torch_model, module.data_preparator
    ids = known.item_id_map.to_internal
    internal = np.zeros(n_items + 1, np.int64)
    real = [item for item in ids.index if not isinstance(item, str)]
    internal[np.array(real, np.int64)] = ids[real].to_numpy()
    mask = known.extra_token_ids.get("MASK")
    items = net.item_model.get_all_embeddings()

    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        read = internal[padded(histories, left=True, length=LENGTH if mask is None else LENGTH - 1)]
        if mask is not None:
            read = np.pad(read, ((0, 0), (0, 1)), constant_values=mask)
        state = net.encode_sessions({"x": torch.from_numpy(read)}, items)[:, -1]
        found: np.ndarray = known_only(state @ items.T, internal)
        return found

    return score


if __name__ == "__main__":
    carry_out(train)
