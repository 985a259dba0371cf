"""Random language models of a few thousand weights, with a tokenizer, made without network."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel, PreTrainedTokenizerFast

SENTENCE = "The item has the following attributes: name is a b c d e f g h; brand is x y z; category description . ,"


def write_tokenizer(folder: Path, texts: list[str], **special: str) -> int:
    """A word tokenizer over ``texts``; returns its vocabulary size."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["[UNK]", *special.values()], vocab_size=400)
    tokenizer.train_from_iterator([SENTENCE, *texts], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", **special).save_pretrained(folder)
    return tokenizer.get_vocab_size()


def write_decoder(folder: Path, texts: list[str], *, positions: int = 64) -> Path:
    """A two-block LLaMA; its tokenizer has no padding token, as LLaMA's own has none."""
    size = write_tokenizer(folder, texts)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        architectures=["LlamaForCausalLM"],
        pad_token_id=None,
    )
    LlamaModel(config).save_pretrained(folder)
    return folder


def write_encoder(folder: Path, texts: list[str], *, blocks: int = 1) -> Path:
    """A BERT, of one block unless more are asked for."""
    size = write_tokenizer(folder, texts, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=size, hidden_size=32, intermediate_size=48, num_hidden_layers=blocks, num_attention_heads=2
    )
    BertModel(config).save_pretrained(folder)
    return folder


@cache
def encoder_at_hand() -> str:
    """``hf:<folder>`` of a BERT of two blocks, made once in a session."""
    folder = tempfile.TemporaryDirectory(prefix="llmesr-tests-")
    _kept.append(folder)
    return f"hf:{write_encoder(Path(folder.name), [], blocks=2)}"


_kept: list[tempfile.TemporaryDirectory[str]] = []
