"""What goes wrong in a fine-tuning is told in a sentence, and leaves nothing half made."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from interruption import StopAfter
from resumed_tuning import numbers, small_tuning, with_catalogue
from safetensors.torch import save_file
from tiny_models import write_encoder

from llmesr.config import EmbedConfig, FinetuneConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.finetune import Finetune, find_finetune
from llmesr.semantic.embed import embed
from llmesr.store import Store
from llmesr.training import checkpoint
from llmesr.training import finetune as training
from llmesr.training.finetune import finetune, resume_finetune
from llmesr.training.material import gather
from llmesr.training.stopping import Stopped


@pytest.fixture
def config(tiny: Dataset, tmp_path: Path) -> FinetuneConfig:
    return small_tuning(tiny, tmp_path)


def test_an_adapter_is_refused_where_it_does_not_belong(
    store: Store, tiny: Dataset, config: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = finetune(tiny, config, store)
    other = f"hf:{write_encoder(tmp_path / 'bert', [])}"
    with pytest.raises(UserError, match="was tuned on"):
        embed(tiny, EmbedConfig(embedder=other, adapter=tuning.id), store)
    monkeypatch.setattr(training, "terminate", StopAfter(1))
    with pytest.raises(Stopped):
        finetune(tiny, config, store, run_id="half")
    with pytest.raises(UserError, match="is not finished"):
        embed(tiny, EmbedConfig(adapter="half"), store)


def test_too_little_text_is_said_in_one_sentence(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    catalogue = tiny.catalogue
    empty = catalogue.assign(**dict.fromkeys(tiny.text_columns, ""))
    with pytest.raises(UserError, match=r"None of the \d+ items of 'tiny' has text"):
        finetune(with_catalogue(store, tiny, empty), config, store)
    bare = catalogue[["item_id"]]
    with pytest.raises(UserError, match="columns: none"):
        finetune(with_catalogue(store, tiny, bare), config, store)
    with pytest.raises(UserError, match="No item of 'tiny' has two attributes"):
        finetune(with_catalogue(store, tiny, catalogue[["item_id", "title"]]), config, store)
    few = empty.copy()
    few.loc[:2, ["title", "brand"]] = "text"
    with pytest.raises(UserError, match="Only 3 items"):
        finetune(with_catalogue(store, tiny, few), config, store)
    some = catalogue.copy()
    some.loc[4:8, [c for c in tiny.text_columns if c != "title"]] = ""
    assert gather(with_catalogue(store, tiny, some), config, store).skipped == 5
    assert not (store.root / "adapters").exists()


def test_bad_settings_and_bases_leave_nothing_behind(
    store: Store, tiny: Dataset, config: FinetuneConfig, tmp_path: Path
) -> None:
    for change, message in (
        ({"base": f"hf:{tmp_path / 'nowhere'}"}, "nowhere"),
        ({"base": "gguf:/nowhere.gguf"}, "no GGUF file"),
        ({"base": "openai:text-embedding-3-small"}, "names no local language model"),
        ({"attributes": ["colour"]}, "no attribute 'colour'"),
        ({"template": "no placeholder"}, "Template"),
    ):
        with pytest.raises(UserError, match=message):
            finetune(tiny, config.but(**change), store)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be read as a language model"):
        finetune(tiny, config.but(base=f"hf:{tmp_path / 'empty'}"), store)
    assert not (store.root / "adapters").exists()


def test_a_loss_that_is_no_number_stops_with_the_reason(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    with pytest.raises(UserError, match="Lower learning_rate"):
        finetune(
            tiny, config.but(learning_rate=1e30, targets="soft", clip_norm=1e30, normalise=False), store, run_id="nan"
        )
    assert find_finetune(store, "nan").status().state == "FAILED"
    assert (store.path("adapters", "nan") / "checkpoints" / "last.safetensors").is_file()


def test_a_full_disk_keeps_the_checkpoint_before(
    store: Store, tiny: Dataset, config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def failing(*args: Any, **kwargs: Any) -> None:
        written.append(args[1])
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save_file(*args, **kwargs)

    whole = finetune(tiny, config, store, run_id="whole")
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_file", failing)
        with pytest.raises(UserError, match=r"No space left.*Free space"):
            finetune(tiny, config, store, run_id="full")
    full = find_finetune(store, "full")
    assert full.status().state == "FAILED"
    resume_finetune(full)
    pd.testing.assert_frame_equal(numbers(whole), numbers(full))


def test_a_full_disk_outside_checkpoints_is_told_too(
    store: Store, tiny: Dataset, config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def append_event(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Finetune, "append_event", append_event)
    with pytest.raises(UserError, match="is full"):
        finetune(tiny, config, store)
