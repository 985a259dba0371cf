"""A study of prompts, encoders and similarities: what is varied, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llmesr.config.base import Config, Endpoint, Seed

Similarity = Literal["cosine", "dot", "euclidean", "centred", "whitened"]
ALL, REVERSED = "all", "reversed"


class StudyConfig(Config):
    """What is varied; the first value of each list is the default that all others are compared with."""

    prompts: list[str] = Field(
        ["default"], min_length=1, description="Item prompt templates: a known domain or your own with {attributes}."
    )
    attributes: list[str] = Field(
        [ALL],
        min_length=1,
        description="Attributes that a prompt reads, in order: all, reversed (the order alone), title (nothing else), "
        "or names with + between, such as title+brand.",
    )
    reviews: list[int] = Field([0], min_length=1, description="Characters of review text added to a prompt.")
    embedders: list[str] = Field(
        ["minilm"],
        min_length=1,
        description="Encoders as in `llmesr embed`, or adapter:<id> for one that was fine-tuned here.",
    )
    poolings: list[Literal["auto", "mean", "last", "cls"]] = Field(
        ["auto"], min_length=1, description="How token states become one vector."
    )
    similarities: list[Similarity] = Field(
        ["cosine"],
        min_length=1,
        description="How alike two vectors are: cosine, dot, euclidean; or the cosine after the mean is taken off "
        "(centred), or the principal directions are evened out by half as well (whitened).",
    )
    users: list[Literal["mean", "prompt"]] = Field(
        ["mean"], min_length=1, description="User vectors: the mean of the items', or an embedded history prompt."
    )
    design: Literal["one", "grid"] = Field(
        "grid", description="grid: every combination; one: one thing is changed at a time."
    )
    max_tokens: int = Field(256, ge=8, description="Longer texts are cut to this many tokens.")
    max_chars: int | None = Field(None, ge=1, description="Cut each attribute value to about this many characters.")
    batch_size: int = Field(64, ge=1, description="Texts per forward pass or request.")
    endpoint: Endpoint = Field(None, description="Base URL of an OpenAI-compatible embeddings service.")
    price: float | None = Field(None, ge=0, description="Price per million tokens of the endpoint.")
    neighbours: int = Field(100, ge=1, description="similar-users: how many are asked.")
    run: str | None = Field(None, description="A run that is judged with the content term added; empty: none is.")
    finalists: int = Field(
        0,
        ge=0,
        description="Texts that text-ease ranks best, on which a sequence model is trained beside the default; llm-esr "
        "also with the other user vectors, since it learns from similar users.",
    )
    method: Literal["llm-esr", "llm-init", "adapter", "llmemb"] = Field(
        "llm-esr", description="The sequence model of the finalists."
    )
    epochs: int = Field(100, ge=1, description="Most epochs of a finalist.")
    max_length: int = Field(50, ge=2, description="Number of most recent interactions that are read.")
    seed: Seed = Field(42, description="Random seed of the finalists.")
