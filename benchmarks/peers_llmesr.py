"""Our side of benchmarks/peers.py: method ``id`` through the loop that every run is trained by."""

import math
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
    RATE,
    SHARED,
    Data,
    Plan,
    Score,
    Watch,
    carry_out,
    padded,
)

from llmesr.config import RunConfig
from llmesr.data.batches import Sequences
from llmesr.data.dataset import load_dataset
from llmesr.methods import build
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.training.inputs import prepare
from llmesr.training.loop import Loop
from llmesr.training.runtime import Runtime
from llmesr.training.shards import scorer_for

DEVICE = torch.device("cpu")
LASTING = 100_000
"""Epochs; the watch ends before."""


def settings(plan: Plan) -> dict[str, Any]:
    """The sizes of every side, but for what the plan sets; what is not named keeps its default."""
    negatives = {"negatives": SHARED} if plan.loss == "sampled" else {}
    return {
        "method": "id",
        "backbone": plan.backbone,
        "loss": plan.loss,
        "embedding_size": FACTORS,
        "layers": BLOCKS,
        "heads": HEADS,
        "max_length": LENGTH,
        "batch_size": BATCH,
        "dropout": DROPOUT,
        "learning_rate": RATE,
        "mask_ratio": MASKED,
        "epochs": LASTING,
        "patience": LASTING,
        "seed": plan.seed,
        **negatives,
        **plan.own,
    }


def train(data: Data, plan: Plan, watch: Watch) -> None:
    store, config = Store(), RunConfig.read(None, **settings(plan))
    dataset = load_dataset(store, plan.dataset)
    prepared = prepare(dataset, config, store)
    torch.manual_seed(config.seed)
    method = build(prepared.inputs, config)
    run = Run.create(store, config, prepared.parents, name=f"peers {plan.backbone}", device=str(DEVICE))

    def validate() -> dict[str, float]:
        watch.epoch()
        return {f"full/Overall/{config.monitor}": watch.best}

    def between() -> bool:
        """Asked before every step; the watch raises when it is over."""
        if loop.step:
            watch.step()
        return False

    loop = Loop(
        method=method,
        dataset=dataset,
        sequences=Sequences(dataset, DEVICE),
        config=config,
        run=run,
        validate=validate,
        runtime=Runtime(DEVICE, enough=between),
    )
    watch.start(method.model, lambda: scoring(method.model), math.ceil(len(loop.rows.users) / BATCH))
    loop.fit()


def scoring(model: Any) -> Score:
    scorer: Any = scorer_for(model, None, DEVICE)

    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        found: np.ndarray = scorer.score(torch.from_numpy(padded(histories, left=False))).numpy()
        return found

    return score


if __name__ == "__main__":
    carry_out(train)
