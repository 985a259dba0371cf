"""Text embedders, one file per backend, behind one contract (``contract.Embedder``).

``BUILDERS`` maps the word before the colon of ``EmbedConfig.embedder`` to the backend's file; its ``build`` makes the
embedder. Backends are imported when asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from llmesr.config import EmbedConfig
from llmesr.errors import UserError
from llmesr.store import Store

if TYPE_CHECKING:
    from llmesr.semantic.embedders.contract import Embedder
    from llmesr.semantic.embedders.transformer import Adapter

BUILDERS = {"minilm": "minilm", "hf": "hf", "gguf": "gguf", "openai": "endpoint", "file": "precomputed"}
GIVEN = {
    "minilm": "minilm",
    "hf": "hf:<id or folder>",
    "gguf": "gguf:<file>",
    "openai": "openai:<model>",
    "file": "file:<precomputed vectors>",
}
"""How each is asked for."""
LOCAL = ("minilm", "hf", "gguf")
"""Models on this machine, which can be fine-tuned: their ``build(config, adapter)`` takes the adapter as well."""


def open_embedder(config: EmbedConfig, store: Store) -> Embedder:
    """The embedder that ``config`` names. Models are loaded when first used, not here."""
    scheme = config.embedder.partition(":")[0]
    if scheme not in BUILDERS:
        known = ", ".join(GIVEN.get(name, f"{name}:") for name in BUILDERS)
        raise UserError(f"Embedder {config.embedder!r} is not known. Use one of {known}.")
    if config.missing == "allow" and scheme != "file":
        raise UserError(f"missing=allow is for file: embedders; {config.embedder!r} reads the text of every item.")
    module = importlib.import_module(f"llmesr.semantic.embedders.{BUILDERS[scheme]}")
    if scheme in LOCAL:
        local: Embedder = module.build(config, _adapter(config, store))
        return local
    if config.adapter:
        raise UserError(f"An adapter needs a model on this machine; {config.embedder!r} is not one.")
    embedder: Embedder = module.build(config)
    return embedder


def _adapter(config: EmbedConfig, store: Store) -> Adapter | None:
    if config.adapter is None:
        return None
    from llmesr.semantic.embedders.backbone import locate, same_weights
    from llmesr.semantic.embedders.transformer import Adapter

    manifest = store.find("adapters", config.adapter)
    folder = store.path("adapters", manifest.id) / "adapter"
    if not manifest.files:
        raise UserError(
            f"Adapter {manifest.id!r} is not finished; wait, or run `llmesr finetune --resume {manifest.id}`."
        )
    if not folder.is_dir():
        raise UserError(f"Adapter {manifest.id!r} is damaged: {folder} is missing. Tune it again.")
    base, tuned_on = manifest.config.get("base"), str(manifest.info.get("base_digest"))
    if not same_weights(locate(config.embedder), tuned_on):
        raise UserError(
            f"{base!r} is another model now than adapter {manifest.id!r} was tuned on: bring its files back, "
            "or tune it again."
            if base == config.embedder
            else f"Adapter {manifest.id!r} was tuned on {base!r}, not {config.embedder!r}: add --embedder {base}"
        )
    weights = [digest for name, digest in sorted(manifest.files.items()) if name.startswith("adapter/")]
    return Adapter(str(folder), "+".join(weights), manifest.config.get("pooling"))
