"""What tests of fine-tuning share: one that was stopped and went on beside one that was not, another catalogue."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from interruption import StopAfter
from safetensors.torch import load_file
from tiny_models import write_decoder
from torch import Tensor

from llmesr.config import FinetuneConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.frame import ITEMS
from llmesr.runs.finetune import Finetune, find_finetune
from llmesr.store import Store
from llmesr.training import finetune as training
from llmesr.training.finetune import finetune, resume_finetune
from llmesr.training.stopping import Stopped

WEIGHTS = "adapter/adapter_model.safetensors"


def small_tuning(dataset: Dataset, folder: Path) -> FinetuneConfig:
    """Settings that tune a tiny decoder, written to ``folder``, in a moment."""
    texts = dataset.catalogue[dataset.text_columns].to_numpy().ravel().tolist()
    base = f"hf:{write_decoder(folder / 'llama', texts)}"
    return FinetuneConfig(
        base=base, steps=4, evaluate_every=2, batch_size=6, chunk_size=7, accumulation=2, max_tokens=32,
        learning_rate=1e-2, normalise=True, targets="hard", temperature=0.1, learn_temperature=True, lora_rank=4,
    )  # fmt: skip


def whole_and_resumed(
    data: Dataset, config: FinetuneConfig, store: Store, monkeypatch: pytest.MonkeyPatch
) -> tuple[Finetune, dict[str, Tensor], dict[str, Tensor]]:
    """The one that ran through, its weights, and those of the one that was stopped after four steps."""
    whole = finetune(data, config, store, run_id="whole")
    with monkeypatch.context() as patched:
        patched.setattr(training, "terminate", StopAfter(4))
        with pytest.raises(Stopped):
            finetune(data, config, store, run_id="broken")
    broken = resume_finetune(find_finetune(store, "broken"))
    return whole, load_file(whole.folder / WEIGHTS), load_file(broken.folder / WEIGHTS)


def numbers(run: Finetune) -> pd.DataFrame:
    return run.events().drop(columns=["time", "seconds", "evaluation_seconds"])


def with_catalogue(store: Store, dataset: Dataset, catalogue: pd.DataFrame) -> Dataset:
    catalogue.to_parquet(store.path("datasets", dataset.id) / ITEMS, index=False)
    return load_dataset(store, dataset.id)
