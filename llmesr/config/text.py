"""From item text to vectors, fine-tuning a language model on it, and similar users."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from llmesr.config.base import Config, Endpoint, Seed


class EmbedConfig(Config):
    """From item text to vectors."""

    embedder: str = Field(
        "minilm",
        description="minilm (bundled), hf:<id or folder>, gguf:<file>, openai:<model>, file:<precomputed vectors>.",
    )
    pooling: Literal["auto", "mean", "last", "cls"] = Field("auto", description="How token states become one vector.")
    max_tokens: int = Field(256, ge=8, description="Longer texts are cut to this many tokens.")
    batch_size: int = Field(64, ge=1, description="Texts per forward pass or request.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on cuda, float32 elsewhere."
    )
    template: str = Field("default", description="Item prompt template: a known domain or your own with {attributes}.")
    attributes: list[str] | None = Field(None, description="Item columns to use, in order; all when empty.")
    max_chars: int | None = Field(None, ge=1, description="Cut each attribute value to about this many characters.")
    reviews: int = Field(
        0, ge=0, description="Characters of review text (training part only) added to each item prompt."
    )
    users: Literal["mean", "prompt"] = Field(
        "mean", description="User vectors: mean of the training items' vectors, or an embedded history prompt (paper)."
    )
    dimension: int | None = Field(None, ge=2, description="Reduce item vectors to this size by PCA.")
    storage: Literal["auto", "float32", "float16", "int8"] = Field(
        "auto",
        description="How vectors are kept. int8: those of items in 8 bits a number with a scale for each row, on the "
        "disk and in models that leave text as it is; those of users in float16. auto: float16 from a million items "
        "and users together on, else float32.",
    )
    adapter: str | None = Field(None, description="A fine-tuned adapter (from `llmesr finetune`) on top of the model.")
    endpoint: Endpoint = Field(None, description="Base URL of an OpenAI-compatible embeddings service.")
    concurrency: int = Field(4, ge=1, le=64, description="Requests in flight to an endpoint.")
    price: float | None = Field(
        None, ge=0, description="Price per million tokens of the endpoint, to show the cost first."
    )
    ids: str | None = Field(None, description="file: the item ids of its rows, one per line, when not in the file.")
    row_order: bool = Field(
        False, description="file: trust that a file without ids has the catalogue's items in the catalogue's order."
    )
    missing: Literal["refuse", "allow"] = Field(
        "refuse",
        description="file: allow that items have no vector, as for images or sound. Such an embedding is a further "
        "view (`train --views`), and never taken for the text unless it is named.",
    )


class FinetuneConfig(Config):
    """Fine-tuning of a language model on a dataset's item attributes (SCFT of LLMEmb), or on what is chosen."""

    objective: Literal["attributes", "co_chosen", "preferences"] = Field(
        "attributes",
        description="What is learned: two copies of an item's attributes are drawn together (SCFT), or items that the "
        "same users chose within a window of the training part (then targets=hard, normalise=true, temperature=0.05), "
        "or the text of a history tells which categories of items its user prefers.",
    )
    window: int = Field(3, ge=1, description="co_chosen: steps of a history within which two items belong together.")
    categories: int = Field(64, ge=2, description="preferences: latent categories, groups of item vectors.")
    categories_of: str | None = Field(
        None, description="preferences: the run whose item vectors are grouped; empty: those of EASE."
    )
    users: Literal["prompt", "mean"] = Field(
        "prompt",
        description="preferences: a user is read as a history prompt of titles (paper), or as the mean of four of the "
        "history's items, which are what is embedded later.",
    )
    base: str = Field("minilm", description="The model to fine-tune: minilm, hf:<id or folder> or gguf:<file>.")
    template: str = Field("default", description="Item prompt template: a known domain or your own with {attributes}.")
    attributes: list[str] | None = Field(None, description="Item columns to use; all when empty.")
    max_characters: int = Field(
        100, ge=10, description="Longer attribute values are cut to about this many characters."
    )
    drop_ratio: float = Field(0.4, ge=0, lt=1, description="Share of the attributes dropped from each copy.")
    pooling: Literal["auto", "mean", "last", "cls"] = Field("auto", description="How token states become one vector.")
    max_tokens: int = Field(256, ge=8, description="Longer prompts are cut to this many tokens (the paper: 1,024).")
    lora_rank: int = Field(8, ge=1, description="Rank of the low-rank update of each projection.")
    lora_alpha: int = Field(32, ge=1, description="Scale of the update: alpha / rank.")
    lora_dropout: float = Field(0.1, ge=0, lt=1, description="Dropout in front of the update.")
    normalise: bool = Field(False, description="Compare directions only (cosine), not raw inner products (paper).")
    targets: Literal["soft", "hard"] = Field(
        "soft", description="Soft: similar items are not pushed apart (paper). Hard: every other item is a negative."
    )
    temperature: float = Field(3.0, gt=0, description="tau of the contrastive loss; use about 0.05 with normalise.")
    learn_temperature: bool = Field(False, description="Learn tau, starting from temperature.")
    steps: int = Field(300, ge=1, description="Most optimiser steps (the paper: 4,000).")
    batch_size: int = Field(32, ge=2, description="Items per batch; the others in it are an item's negatives.")
    accumulation: int = Field(1, ge=1, description="Batches per optimiser step; negatives stay within a batch.")
    chunk_size: int | None = Field(
        None, ge=1, description="Cached gradients: prompts per forward pass, so that memory does not bound batch_size."
    )
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory, about a third slower.")
    learning_rate: float = Field(2e-4, gt=0, description="AdamW learning rate after warm-up, decayed linearly to 0.")
    warmup: float = Field(0.05, ge=0, lt=1, description="Share of the steps over which the learning rate rises.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay of the update.")
    clip_norm: float = Field(1.0, gt=0, description="Gradients longer than this are scaled down to it.")
    held_out: float = Field(0.1, gt=0, lt=1, description="Share of the items kept aside to judge by.")
    evaluate_every: int = Field(50, ge=1, description="Steps between evaluations, each with a checkpoint.")
    patience: int = Field(5, ge=1, description="Evaluations without a better held-out accuracy before stopping.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on cuda, float32 elsewhere."
    )
    seed: Seed = Field(42, description="Seed of everything random in the fine-tuning.")

    @model_validator(mode="after")
    def _hard(self) -> Self:
        if self.objective == "co_chosen" and self.targets == "soft":
            raise ValueError(
                "soft targets come from the texts alone, which co_chosen shall change: use targets=hard with "
                "normalise=true and temperature=0.05"
            )
        return self


class NeighbourConfig(Config):
    """Similar users by their vectors."""

    neighbours: int = Field(100, ge=1, description="Similar users kept per user (the paper stores 100).")
    metric: Literal["cosine", "dot", "euclidean"] = Field("cosine", description="Similarity between user vectors.")
    exact_up_to: int = Field(50_000, ge=1, description="Search exactly up to this many users, approximately above.")
    quantised_from: int = Field(
        1_000_000, ge=1, description="cosine: users from which their vectors are searched by short codes, re-scored."
    )
    recall: float = Field(0.95, gt=0, le=1, description="Share of the true neighbours an approximate search must find.")
    seed: Seed = Field(42, description="Seed of the approximate search.")
