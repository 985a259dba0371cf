"""A fine-tuning that was stopped and went on, beside one that was not."""

from __future__ import annotations

import pytest
from interruption import StopAfter
from safetensors.torch import load_file
from torch import Tensor

from llmesr.config import FinetuneConfig
from llmesr.data.dataset import Dataset
from llmesr.runs.finetune import Finetune, find_finetune
from llmesr.store import Store
from llmesr.training import finetune as training
from llmesr.training.finetune import finetune, resume_finetune
from llmesr.training.stopping import Stopped

WEIGHTS = "adapter/adapter_model.safetensors"


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
