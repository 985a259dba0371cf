"""What a folder in sentence-transformers format does after pooling (``modules.json``), from safetensors alone.

Dense layers are applied. A scaling to length 1 at the very end is left to those who want it: an embedder always does,
tuning compares vectors as they are.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from llmesr.data.unit_rows import unit_rows
from llmesr.errors import UserError
from llmesr.semantic.embedders.backbone import Source, reading
from llmesr.store import file_digest

MODULES = "modules.json"
ACTIVATIONS: dict[str, type[nn.Module]] = {"Identity": nn.Identity, "Tanh": nn.Tanh}
_BEFORE = ("Transformer", "Pooling")
_NOTHING = ("Dropout",)
"""What does nothing where vectors are made."""
_FOLDER = re.compile(r"\w[\w.-]*")
_WEIGHTS = "model.safetensors"
_POOLED = "sentence_embedding"
"""What sentence-transformers calls a pooled state."""


class Unit(nn.Module):
    """Rows scaled to length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        return unit_rows(vectors)


def after_pooling(source: Source, width: int) -> nn.Sequential:
    """(B, ``width``) pooled states -> (B, E), in float32 and without gradients of its own; nothing where the folder
    names nothing. UserError for a module that cannot be applied, rather than vectors without it."""
    layers: list[nn.Module] = []
    scaled = False
    for kind, folder in _named(source):
        if kind == "Dense":
            with reading(f"{folder.name} of {source.ref!r} cannot be read"):
                linear, activation = _dense(source, folder, width)
            layers += [*([Unit()] if scaled else []), linear, activation]
            width, scaled = linear.out_features, False
        elif kind == "Normalize":
            scaled = True
        elif kind not in _NOTHING:
            raise _unfit(source, f"has a module {kind:.60}, which cannot be applied here")
    return nn.Sequential(*layers).requires_grad_(False).eval()


def modules_digest(source: Source) -> list[str]:
    """Of what changes vectors after pooling; empty where nothing does."""
    dense = [folder for kind, folder in _named(source) if kind == "Dense"]
    files = [folder / name for folder in dense for name in ("config.json", _WEIGHTS)]
    return [file_digest(file) for file in files if file.is_file()]


def _named(source: Source) -> list[tuple[str, Path]]:
    """Kind and folder of each module after the model and its pooling."""
    path = source.folder / MODULES
    if source.gguf or not path.is_file():
        return []
    with reading(f"{MODULES} of {source.ref!r} cannot be read"):
        named = [(_kind(str(m["type"])), str(m["path"])) for m in json.loads(path.read_bytes())]
    named = [(kind, folder) for kind, folder in named if kind not in _BEFORE]
    if strange := [folder for _, folder in named if not _FOLDER.fullmatch(folder)]:
        raise UserError(f"{MODULES} of {source.ref!r} names a folder that is not in it: {strange[0]!r:.200}")
    return [(kind, source.folder / folder) for kind, folder in named]


def _kind(named: str) -> str:
    """The last part of a class's name; the whole name where it is somebody's own, which may do anything."""
    last = named.rpartition(".")[2]
    return last if last in _BEFORE or named.startswith("sentence_transformers.") else named


def _dense(source: Source, folder: Path, width: int) -> tuple[nn.Linear, nn.Module]:
    """A linear layer of what is ``width`` wide, and its activation."""
    stated: dict[str, Any] = dict(json.loads((folder / "config.json").read_bytes()))
    activation = str(stated.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in ACTIVATIONS:
        raise _unfit(source, f"has a dense layer with the activation {activation:.40}, which is not known here")
    if any(stated.get(f"module_{side}_name") not in (None, _POOLED) for side in ("input", "output")):
        raise _unfit(source, "has a dense layer over something else than pooled states")
    if not (folder / _WEIGHTS).is_file():
        raise _unfit(source, f"has a dense layer without {_WEIGHTS} (no pickles are read)")
    tensors = load_file(folder / _WEIGHTS)
    size, bias = int(stated["out_features"]), bool(stated.get("bias", True))
    expected = {"linear.weight": (size, width)} | ({"linear.bias": (size,)} if bias else {})
    if stated["in_features"] != width or {name: tuple(t.shape) for name, t in tensors.items()} != expected:
        raise _unfit(source, f"has a dense layer that does not fit what is before it ({width} numbers) or its settings")
    linear = nn.Linear(width, size, bias=bias)
    linear.load_state_dict({name.removeprefix("linear."): tensor.float() for name, tensor in tensors.items()})
    return linear, ACTIVATIONS[activation]()


def _unfit(source: Source, why: str) -> UserError:
    return UserError(
        f"{source.ref!r} {why}. Make its vectors with sentence-transformers and give them as file:<vectors>."
    )
