"""A causal language model on this machine that answers messages: a GGUF file or a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from llmesr.errors import UserError
from llmesr.semantic.embedders.backbone import (
    is_decoder,
    load_config,
    load_tokenizer,
    load_weights,
    locate,
    weights_digest,
)


class Generator:
    """``ref``: gguf:<file> or hf:<id or folder>. The model is loaded at the first answer. UserError for one that is not
    there or writes no text."""

    def __init__(self, ref: str, device: torch.device | str = "cpu") -> None:
        self.ref, self.source, self.device = ref, locate(ref), torch.device(device)
        if not is_decoder(load_config(self.source)):
            raise UserError(f"{ref!r} reads text but writes none; name a causal language model, such as a chat model.")

    @property
    def name(self) -> str:
        """The file or folder, without its path."""
        return self.source.gguf or self.source.folder.name

    @cached_property
    def fingerprint(self) -> str:
        """Changes with the weights."""
        return weights_digest(self.source)

    def load(self) -> None:
        """Have the model in memory now and not at the first answer; unpacking a GGUF file takes a minute."""
        _ = self._tokenizer, self._model

    def answer(
        self, messages: Sequence[dict[str, str]], *, tokens: int, temperature: float | None, seconds: float
    ) -> str | None:
        """At most ``tokens`` of text, or what was said after ``seconds``: the likeliest at temperature 0. None for
        messages longer than the model reads. By the model's own template where it has one, else as plain text."""
        ids = self._ids(messages)
        if ids.shape[1] + tokens > self._longest:
            return None
        drawn: dict[str, Any] = {"do_sample": bool(temperature)}
        drawn |= {"temperature": temperature} if temperature else {"top_p": None, "top_k": None, "temperature": None}
        with torch.inference_mode():
            torch.manual_seed(0)
            found = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                max_time=seconds,
                pad_token_id=self._filler,
                **drawn,
            )
        return str(self._tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True))

    def _ids(self, messages: Sequence[dict[str, str]]) -> torch.Tensor:
        if self._tokenizer.chat_template:
            try:
                text = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
            except Exception as error:  # a template is a program of the model's makers
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise UserError(f"The chat template of {self.ref!r} refuses these messages: {reason}") from error
            found = self._tokenizer(text, return_tensors="pt", add_special_tokens=False)
        else:
            text = "\n\n".join(message["content"] for message in messages) + "\n\n"
            found = self._tokenizer(text, return_tensors="pt")
        ids: torch.Tensor = found["input_ids"].to(self.device)
        return ids

    @property
    def _longest(self) -> int:
        return int(getattr(self._model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30)

    @property
    def _filler(self) -> int:
        known = (self._tokenizer.pad_token_id, self._tokenizer.eos_token_id, 0)
        found = next(i for i in known if i is not None)
        return int(found)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.source)

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForCausalLM

        half = self.device.type == "cuda"
        model: Any = load_weights(self.source, AutoModelForCausalLM, torch.bfloat16 if half else torch.float32)
        return model.to(self.device).eval()
