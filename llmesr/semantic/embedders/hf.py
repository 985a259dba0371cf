"""Any Hugging Face model, encoder or decoder, by id or from a folder: ``hf:BAAI/bge-small-en-v1.5``, ``hf:./model``."""

from __future__ import annotations

from llmesr.config import EmbedConfig
from llmesr.semantic.embedders.backbone import locate
from llmesr.semantic.embedders.transformer import Adapter, TransformerEmbedder


def build(config: EmbedConfig, adapter: Adapter | None = None) -> TransformerEmbedder:
    return TransformerEmbedder(locate(config.embedder), config, adapter=adapter)
