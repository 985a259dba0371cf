"""The bundled all-MiniLM-L6-v2: 384 dimensions, no network, the default."""

from __future__ import annotations

from llmesr.config import EmbedConfig
from llmesr.semantic.embedders.backbone import MINILM, locate
from llmesr.semantic.embedders.transformer import Adapter, TransformerEmbedder


def build(config: EmbedConfig, adapter: Adapter | None = None) -> TransformerEmbedder:
    return TransformerEmbedder(locate(MINILM), config, adapter=adapter)
