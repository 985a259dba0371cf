"""A language model in one GGUF file, unpacked to full precision in memory: ``gguf:./gemma-3-270m.gguf``."""

from __future__ import annotations

from llmesr.config import EmbedConfig
from llmesr.semantic.embedders.backbone import locate
from llmesr.semantic.embedders.transformer import Adapter, TransformerEmbedder


def build(config: EmbedConfig, adapter: Adapter | None = None) -> TransformerEmbedder:
    return TransformerEmbedder(locate(config.embedder), config, adapter=adapter)
