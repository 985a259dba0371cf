"""Embedding by a transformer on this machine: MiniLM, a Hugging Face model or a GGUF file, adapted or as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from operator import index
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmesr.config import EmbedConfig
from llmesr.data.unit_rows import unit_rows
from llmesr.semantic.embedders.backbone import (
    Source,
    choose_pooling,
    load_config,
    load_model,
    load_tokenizer,
    reading,
    sampled_digest,
    weights_digest,
)
from llmesr.semantic.embedders.contract import Embedder
from llmesr.semantic.embedders.modules import after_pooling, modules_digest
from llmesr.semantic.embedders.pooling import Pooling, pool
from llmesr.store import config_digest

_POOL_OF_BATCHES = 64
_MEASURED = 4096
"""Texts whose tokens are in memory together while they are counted."""
CPU_TOKENS = 1536
"""Tokens in a forward pass on a processor: more fall out of its caches (`benchmarks/text.py` measures this)."""


class Adapter:
    """A fine-tuned peft adapter: its ``folder``, a ``digest`` of its weights and how its states are pooled."""

    def __init__(self, folder: str, digest: str, pooling: str | None) -> None:
        self.folder = folder
        self.digest = digest
        self.pooling = pooling


class TransformerEmbedder(Embedder):
    """The pooled, unit-length last hidden states of ``source``."""

    unit = "tokens"

    def __init__(
        self, source: Source, config: EmbedConfig, *, adapter: Adapter | None = None, device: str | None = None
    ) -> None:
        self.name = source.ref
        self.source = source
        self.adapter = adapter
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.batch_size = config.batch_size
        self._config = config

    @cached_property
    def reach(self) -> int:
        """Tokens of a text that are read, special ones among them: the longest the model takes."""
        with self._tokenizing():
            return index(min(self._config.max_tokens, self._tokenizer.model_max_length, self._positions()))

    @cached_property
    def _model_config(self) -> Any:
        return load_config(self.source)

    @cached_property
    def pooling(self) -> Pooling:
        """The pooling in force: the config's, else the adapter's, else the model's own."""
        if self._config.pooling != "auto":
            return self._config.pooling
        if self.adapter and self.adapter.pooling in ("mean", "last", "cls"):
            return self.adapter.pooling  # type: ignore[return-value]
        return choose_pooling(self.source, self._model_config)

    @cached_property
    def dtype(self) -> torch.dtype:
        if self._config.precision == "auto":
            return torch.bfloat16 if self.device.type == "cuda" else torch.float32
        return torch.bfloat16 if self._config.precision == "bfloat16" else torch.float32

    @property
    def dimension(self) -> int:
        dense = [layer.out_features for layer in self.after if isinstance(layer, torch.nn.Linear)]
        return dense[-1] if dense else self._width

    @cached_property
    def after(self) -> torch.nn.Sequential:
        """What the model's folder does with pooled states (B, width), before they are scaled."""
        return after_pooling(self.source, self._width).to(self.device)

    @property
    def _width(self) -> int:
        text = self._model_config.get_text_config() if hasattr(self._model_config, "get_text_config") else None
        return int((text or self._model_config).hidden_size)

    @cached_property
    def fingerprint(self) -> str:
        return self._of(weights_digest(self.source))

    @cached_property
    def earlier_fingerprint(self) -> str:  # type: ignore[override]
        return self._of(sampled_digest(self.source))

    def _of(self, weights: str) -> str:
        parts = [weights, self.pooling, self._config.max_tokens, str(self.dtype), *modules_digest(self.source)]
        return config_digest("transformer", *parts, self.adapter.digest if self.adapter else None)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.source)

    @cached_property
    def _model(self) -> Any:
        model = load_model(self.source, self.dtype)
        if self.adapter:
            from llmesr.semantic.lora import merge_adapter

            model = merge_adapter(model, self.adapter.folder)
        return model.to(self.device).eval()

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text with the model's special tokens, cut to the longest the model takes; never empty."""
        return [row or [self._filler] for row in self._ids(texts, self.reach)]

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) how many tokens each text has, special ones among them; of a text too long, one too many."""
        parts = (texts[i : i + _MEASURED] for i in range(0, len(texts), _MEASURED))
        return np.array([len(row) for part in parts for row in self._ids(part, self.reach + 1)], np.int64)

    def _ids(self, texts: Sequence[str], most: int) -> list[list[int]]:
        with self._tokenizing():
            ids = self._tokenizer(list(texts), truncation=True, max_length=most, return_attention_mask=False)
            return list(ids["input_ids"])

    def _tokenizing(self) -> AbstractContextManager[None]:
        return reading(f"The tokenizer of {self.source.ref!r} cannot be used")

    def _positions(self) -> int:
        most = getattr(self._model_config, "max_position_embeddings", None) or 1 << 30
        # RoBERTa numbers positions from pad_token_id + 1
        offset = 2 if self._model_config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet") else 0
        return int(most) - offset

    @property
    def _filler(self) -> int:
        known = (self._tokenizer.pad_token_id, self._tokenizer.eos_token_id, 0)
        return next(i for i in known if i is not None)

    def stream(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Longest texts first, so that memory is short at once or never; batches hold texts of about one length."""
        order = np.argsort([-len(t) for t in texts], kind="stable")
        pool_size = self.batch_size * _POOL_OF_BATCHES
        for start in range(0, len(order), pool_size):
            rows = order[start : start + pool_size]
            ids = self.tokens([texts[i] for i in rows])
            by_length = np.argsort([-len(i) for i in ids], kind="stable")
            first = 0
            while first < len(rows):
                chosen = by_length[first : first + self._fitting(len(ids[by_length[first]]))]
                yield rows[chosen], self.forward([ids[i] for i in chosen]).cpu().numpy()
                first += len(chosen)

    def _fitting(self, longest: int) -> int:
        """Texts in a forward pass when the longest has so many tokens."""
        if self.device.type != "cpu":
            return self.batch_size
        return max(1, min(self.batch_size, CPU_TOKENS // longest))

    def batch(self, ids: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Token rows as ids (B, L) and mask (B, L), 1 at real tokens. Padded on the right, so that positions count
        from the first token and no real token of a decoder sees padding, whatever side the tokenizer prefers."""
        width = max(map(len, ids))
        padded = np.full((len(ids), width), self._filler, np.int64)
        mask = np.zeros((len(ids), width), np.int64)
        for row, tokens in enumerate(ids):
            padded[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return torch.from_numpy(padded).to(self.device), torch.from_numpy(mask).to(self.device)

    @torch.inference_mode()
    def forward(self, ids: list[list[int]]) -> Tensor:
        """(B, E) float32 unit vectors of token rows."""
        inputs, mask = self.batch(ids)
        with reading(f"{self.source.ref!r} cannot read what its tokenizer makes of these texts"):
            states = self._model(input_ids=inputs, attention_mask=mask).last_hidden_state  # (B, L, E)
        vectors: Tensor = self.after(pool(states, mask, self.pooling))
        return unit_rows(vectors)
