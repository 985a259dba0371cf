"""Folders in sentence-transformers format: what comes after pooling is applied, or refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import write_encoder

from llmesr.config import EmbedConfig, FinetuneConfig
from llmesr.errors import UserError
from llmesr.semantic.embedders import open_embedder
from llmesr.semantic.embedders.backbone import locate
from llmesr.semantic.embedders.modules import MODULES
from llmesr.semantic.embedders.transformer import TransformerEmbedder
from llmesr.store import Store
from llmesr.training.finetune import open_encoder

TEXTS = ["name is a", "b c d", "x"]
WIDTH = 32
LAYER = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "model", TEXTS)


def say(folder: Path, *kinds: str, home: str = "sentence_transformers.models.") -> None:
    """``modules.json`` with ``kinds`` after the model and its pooling."""
    named = [("Transformer", ""), ("Pooling", "1_Pooling"), *((k, f"{n}_{k}") for n, k in enumerate(kinds, 2))]
    content = [{"idx": n, "name": str(n), "path": p, "type": home + k} for n, (k, p) in enumerate(named)]
    (folder / MODULES).write_text(json.dumps(content))


def dense(folder: Path, number: int, shape: tuple[int, int], activation: str, *, bias: bool = True) -> None:
    place = folder / f"{number}_Dense"
    place.mkdir(exist_ok=True)
    out, width = shape
    stated = {"in_features": width, "out_features": out, "bias": bias, "activation_function": f"torch.nn.{activation}"}
    (place / "config.json").write_text(json.dumps(stated))
    random = torch.Generator().manual_seed(number)
    tensors = {"linear.weight": torch.randn(out, width, generator=random)}
    if bias:
        tensors["linear.bias"] = torch.randn(out, generator=random)
    save_file(tensors, place / LAYER)


def embedder(folder: Path, store: Store) -> TransformerEmbedder:
    made = open_embedder(EmbedConfig(embedder=f"hf:{folder}"), store)
    assert isinstance(made, TransformerEmbedder)
    return made


def pooled(folder: Path, store: Store) -> torch.Tensor:
    """(3, 32) the states of the texts before anything is applied, as fine-tuning takes them."""
    plain = embedder(folder, store)
    model = open_encoder(locate(f"hf:{folder}"), FinetuneConfig(base=f"hf:{folder}"), torch.device("cpu"))
    assert plain.dimension == WIDTH
    with torch.no_grad():
        model.model.eval()
        return model(TEXTS)


def unit(vectors: torch.Tensor) -> np.ndarray:
    return np.asarray(vectors / vectors.norm(dim=1, keepdim=True))


def test_dense_layers_are_applied_in_their_order(folder: Path, store: Store) -> None:
    states = pooled(folder, store)
    say(folder, "Dense", "Normalize", "Dense", "Dropout", "Normalize")
    dense(folder, 2, (6, WIDTH), "modules.activation.Tanh")
    dense(folder, 4, (4, 6), "modules.linear.Identity", bias=False)
    first, second = (load_file(folder / f"{n}_Dense" / LAYER) for n in (2, 4))
    hidden = torch.tanh(states @ first["linear.weight"].T + first["linear.bias"])
    expected = torch.from_numpy(unit(hidden)) @ second["linear.weight"].T
    made = embedder(folder, store)
    assert made.dimension == 4
    np.testing.assert_allclose(made.embed(TEXTS), unit(expected), atol=1e-5)
    tuned = open_encoder(locate(f"hf:{folder}"), FinetuneConfig(base=f"hf:{folder}"), torch.device("cpu"))
    tuned.model.eval()
    torch.testing.assert_close(tuned(TEXTS), expected, atol=1e-5, rtol=1e-4)  # what is tuned is what is embedded


def test_scaling_at_the_end_changes_nothing(folder: Path, store: Store) -> None:
    plain, states = embedder(folder, store), pooled(folder, store)
    say(folder, "Normalize")
    assert embedder(folder, store).fingerprint == plain.fingerprint
    assert embedder(folder, store).dimension == WIDTH
    np.testing.assert_array_equal(embedder(folder, store).embed(TEXTS), plain.embed(TEXTS))
    torch.testing.assert_close(pooled(folder, store), states)


def test_other_layers_are_another_fingerprint(folder: Path, store: Store) -> None:
    found = [embedder(folder, store).fingerprint]
    say(folder, "Dense")
    for shape, activation in (((4, WIDTH), "Tanh"), ((4, WIDTH), "Identity"), ((5, WIDTH), "Tanh")):
        dense(folder, 2, shape, activation)
        found.append(embedder(folder, store).fingerprint)
    assert len(set(found)) == 4


@pytest.mark.parametrize("kind", ["LayerNorm", "CNN", "CLIPModel"])
def test_what_cannot_be_applied_is_refused(kind: str, folder: Path, store: Store) -> None:
    say(folder, kind)
    with pytest.raises(UserError, match=rf"has a module {kind}, which cannot be applied here.*file:<vectors>"):
        embedder(folder, store).embed(TEXTS)


def test_somebodys_own_dense_layer_may_do_anything(folder: Path, store: Store) -> None:
    say(folder, "Dense", home="late.models.")
    dense(folder, 2, (4, WIDTH), "Identity")
    with pytest.raises(UserError, match=r"module late\.models\.Dense"):
        embedder(folder, store).embed(TEXTS)


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"in_features": 5}, "does not fit"),
        ({"out_features": 10**12}, "does not fit"),
        ({"out_features": "many"}, "2_Dense .* cannot be read"),
        ({"bias": False}, "does not fit"),
        ({"activation_function": "torch.nn.GELU"}, "activation GELU"),
        ({"activation_function": "os.system"}, "activation system"),
        ({"module_input_name": "token_embeddings"}, "something else than pooled states"),
    ],
    ids=str,
)
def test_a_layer_that_does_not_fit_is_a_sentence(stated: dict[str, Any], says: str, folder: Path, store: Store) -> None:
    say(folder, "Dense")
    dense(folder, 2, (4, WIDTH), "Tanh")
    path = folder / "2_Dense" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | stated))
    with pytest.raises(UserError, match=says):
        embedder(folder, store).embed(TEXTS)


def test_no_pickle_and_no_other_folder_is_read(folder: Path, store: Store) -> None:
    say(folder, "Dense")
    dense(folder, 2, (4, WIDTH), "Tanh")
    (folder / "2_Dense" / LAYER).rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"without model\.safetensors"):
        embedder(folder, store).embed(TEXTS)
    content = (folder / MODULES).read_text()
    for elsewhere in ("../other", "/etc", ".", ""):
        (folder / MODULES).write_text(content.replace("2_Dense", elsewhere))
        with pytest.raises(UserError, match="names a folder that is not in it"):
            embedder(folder, store).embed(TEXTS)


@pytest.mark.parametrize(
    "content", ["", "{", "null", '"x"', "[1]", '[{"type": 1}]', "[" * 100_000], ids=lambda c: c[:4]
)
def test_modules_that_are_something_else_are_a_sentence(content: str, folder: Path, store: Store) -> None:
    (folder / MODULES).write_text(content)
    with pytest.raises(UserError, match=r"modules\.json"):
        embedder(folder, store).embed(TEXTS)
