"""A text model as blocks over vectors, with a mask for each: what reads histories (:mod:`llmesr.encoders.language`)."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from llmesr.errors import UserError
from llmesr.semantic.embedders import LOCAL
from llmesr.semantic.embedders.backbone import Source, is_decoder, load_model, load_tokenizer, locate
from llmesr.semantic.lora import attach
from llmesr.text.prompts import attribute_lists

OFFSETS = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Models that number positions from the padding token's number + 1."""


class Trunk(nn.Module):
    """A frozen text model with LoRA updates (:class:`llmesr.encoders.language.TextModel`)."""

    def __init__(self, source: Source, lora_rank: int) -> None:
        """``lora_rank`` 0 leaves it as it is. UserError for a model that takes no vectors, or no mask per block."""
        super().__init__()
        model = load_model(source)
        known = inspect.signature(model.forward).parameters
        if not {"inputs_embeds", "position_ids"} <= set(known):
            raise UserError(
                f"A {type(model).__name__} cannot read a history of vectors; use a model like BERT or LLaMA, such as "
                "minilm."
            )
        text = model.config.get_text_config()
        self.decoder = is_decoder(model.config)
        self.width, self.blocks = int(text.hidden_size), int(text.num_hidden_layers)
        self._first = int(text.pad_token_id or 0) + 1 if text.model_type in OFFSETS else 0
        self.positions = int(getattr(text, "max_position_embeddings", None) or 1 << 30) - self._first
        model.requires_grad_(False)
        if lora_rank:
            model = attach(model, rank=lora_rank, alpha=2 * lora_rank, dropout=0.0).get_base_model()
        self.model = model
        self._seen: list[Tensor] = []
        stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == self.blocks]
        if not stacks:
            raise UserError(f"A {type(model).__name__} has no {self.blocks} blocks in a row, so it cannot be masked.")
        for number, block in enumerate(stacks[0]):
            block.register_forward_pre_hook(partial(self._masked, number), with_kwargs=True)

    @property
    def words(self) -> Tensor:
        """(vocabulary, E) the vectors of the tokens."""
        return cast(Tensor, self.model.get_input_embeddings().weight)

    def _masked(self, number: int, _: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The mask of block ``number``, by whichever way the model hands over its own."""
        mask = self._seen[number][:, None]  # (B, 1, T, T)
        if self.model.config._attn_implementation != "sdpa":  # others add the mask up
            mask = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.float32).min)
        if "attention_mask" in named or len(given) < 2:
            return given, {**named, "attention_mask": mask}
        return (given[0], mask, *given[2:]), named

    def forward(self, vectors: Tensor, seen: list[Tensor], places: Tensor) -> Tensor:
        self._seen = seen
        options = {"use_cache": False} if self.decoder else {}
        out = self.model(inputs_embeds=vectors, position_ids=places + self._first, **options)
        self._seen = []
        return cast(Tensor, out.last_hidden_state)


def reader(named: str, embedder: str) -> Source:
    """The text model that reads histories: the one ``named``, or with ``auto`` the one that read the item texts.
    UserError when that is no model on this machine."""
    if named != "auto":
        return locate(named)
    if embedder.partition(":")[0] not in LOCAL:
        raise UserError(
            f"The item texts were embedded by {embedder!r}, which is no model on this machine that could read "
            "histories: set language_model to one, such as minilm or hf:<id or folder>."
        )
    return locate(embedder)


def item_tokens(source: Source, catalogue: pd.DataFrame, count: int) -> np.ndarray:
    """(N + 1, W) the first ``count`` - 1 tokens of each item's attributes and a separator, -1 behind them; W is as wide
    as needed. Row 0, as an item without text, is the separator alone."""
    tokenizer = load_tokenizer(source)
    ends = (tokenizer.sep_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id, 0)
    end = next(token for token in ends if token is not None)
    texts = ["; ".join(part.partition(" is ")[2] for part in row) for row in attribute_lists(catalogue)]
    options = {"add_special_tokens": False, "return_attention_mask": False}
    ids = (
        tokenizer(texts, truncation=True, max_length=count - 1, **options)["input_ids"]
        if count > 1
        else [[]] * len(texts)
    )
    rows = [[end], *([*row, end] for row in ids)]
    made = np.full((len(rows), max(map(len, rows))), -1, np.int32)
    for row, tokens in zip(made, rows, strict=True):
        row[: len(tokens)] = tokens
    return made
