"""A folder of a language model may come from others: whatever its files say, the answer is a sentence, and no pickle is
read, no other folder and no code."""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_decoder, write_encoder

from llmesr.config import EmbedConfig
from llmesr.errors import UserError
from llmesr.semantic.embedders import open_embedder
from llmesr.semantic.embedders.backbone import PARTS
from llmesr.semantic.lora import merge_adapter
from llmesr.store import Store

POOLING = "1_Pooling/config.json"
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = write_encoder(tmp_path / "model", [])
    (made / "1_Pooling").mkdir()
    (made / POOLING).write_text('{"pooling_mode_mean_tokens": true}')
    return made


def embed(folder: Path, store: Store) -> int:
    """How many of two texts come back."""
    embedder = open_embedder(EmbedConfig(embedder=f"hf:{folder}", max_tokens=16), store)
    return sum(len(places) for places, _ in embedder.stream(["name is a", "b c d"]))


def say(folder: Path, file: str, **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_whole_folder_is_read(folder: Path, store: Store) -> None:
    assert embed(folder, store) == 2


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"add_cross_attention": None}),
        ("config.json", {"dtype": float("nan")}),
        ("config.json", {"dtype": ""}),
        ("config.json", {"hidden_size": 0}),
        ("config.json", {"hidden_size": 10**12}),
        ("config.json", {"max_position_embeddings": -1}),
        ("config.json", {"num_hidden_layers": 10**12}),
        ("config.json", {"num_hidden_layers": -1}),
        ("config.json", {"pad_token_id": 10**12}),
        ("config.json", {"vocab_size": 0}),
        ("config.json", {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}}),
        ("tokenizer_config.json", {"model_max_length": "long"}),
        ("tokenizer_config.json", {"model_max_length": 2.5}),
        ("tokenizer.json", {"version": None}),
        ("tokenizer.json", {"model": {"type": "WordLevel", "vocab": {}, "unk_token": "[UNK]"}}),
        (POOLING, {"pooling_mode_mean_tokens": False}),
    ],
    ids=str,
)
def test_what_a_file_says_is_a_sentence(file: str, values: dict[str, Any], folder: Path, store: Store) -> None:
    (folder / "evil.py").write_text(f"open({str(folder / 'owned')!r}, 'w')")
    say(folder, file, **values)
    with pytest.raises(UserError):
        embed(folder, store)
    assert not (folder / "owned").exists()


def test_an_architecture_that_is_no_name_is_none(folder: Path, store: Store) -> None:
    say(folder, "config.json", architectures=[2**63])
    assert embed(folder, store) == 2


def test_a_token_that_the_model_does_not_know_is_a_sentence(folder: Path, store: Store) -> None:
    say(folder, "tokenizer_config.json", pad_token="[NEW]")
    embedder = open_embedder(EmbedConfig(embedder=f"hf:{folder}", max_tokens=16), store)
    with pytest.raises(UserError, match="cannot read what its tokenizer makes of these texts"):
        list(embedder.stream(["a", "name is a b c d"]))


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", POOLING])
@pytest.mark.parametrize("content", ["", "{", "null", "[]", '"x"', "[" * 100_000], ids=lambda c: c[:4])
def test_a_file_that_is_something_else_is_a_sentence(file: str, content: str, folder: Path, store: Store) -> None:
    (folder / file).write_text(content)
    with pytest.raises(UserError):
        embed(folder, store)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"",
        lambda whole: whole[:5],
        lambda whole: whole[:-9],
        lambda whole: struct.pack("<Q", 2**40) + whole[8:],
        lambda whole: struct.pack("<Q", 2) + b"{}",
    ],
)
def test_weights_that_lie_are_a_sentence(spoil: Callable[[bytes], bytes], folder: Path, store: Store) -> None:
    path = folder / WEIGHTS
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match="weights"):
        embed(folder, store)


class Evil:
    """Unpickled, it would make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("part", ["pytorch_model.bin", "../other/model.safetensors", "/tmp/model.safetensors", 7, None])
def test_parts_of_the_weights_lie_in_the_folder_and_are_no_pickles(part: object, folder: Path, store: Store) -> None:
    mark = folder / "owned"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(mark)))
    (folder / WEIGHTS).unlink()
    (folder / PARTS).write_text(json.dumps({"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": part}}))
    with pytest.raises(UserError, match="not in its folder, or no safetensors"):
        embed(folder, store)
    (folder / PARTS).unlink()
    with pytest.raises(UserError):
        embed(folder, store)
    assert not mark.exists()


def test_a_pickled_adapter_is_not_read(folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Evil(tmp_path / "owned")))
    with pytest.raises(UserError, match="is missing"):
        merge_adapter(object(), adapter)
    assert not (tmp_path / "owned").exists()


def test_a_decoder_is_read_too(tmp_path: Path, store: Store) -> None:
    folder = write_decoder(tmp_path / "decoder", [])
    embed(folder, store)
    say(folder, "config.json", rope_parameters={"rope_theta": None, "rope_type": "default"})
    with pytest.raises(UserError):
        embed(folder, store)
