"""Weak users handed to a second ranker: who is weak, what is re-ranked, and how a language model is asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from llmesr.config.base import Config, Endpoint, Seed

WeakFeature = Literal["length", "popularity", "spread"]
SYSTEM = "You rank items for a user by what the user chose before."
PROMPT = """The user chose these items, the oldest first:
{history}

Which of these {count} candidates does the user choose next?
{candidates}

Answer with the numbers of all candidates, the most likely first, with commas between, and nothing else."""


class AllocationConfig(Config):
    """Who is handed to the second ranker, and how a language model is asked."""

    candidates: int = Field(20, ge=2, le=1000, description="The run's best items that the second ranker re-orders.")
    features: list[WeakFeature] = Field(
        ["length", "popularity", "spread"],
        min_length=1,
        description="What makes a user weak, counted on training alone: a short history, an unpopular one, scores of "
        "the run that spread little. A user's weakness is the mean of the places among all users.",
    )
    share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the users that are weak, the weakest first; empty: validation chooses.",
    )
    sample: int | None = Field(
        None,
        ge=10,
        description="Most users of validation that the share is chosen on; empty: all, 100 where a language "
        "model is asked.",
    )
    seed: Seed = Field(0, description="Seed of the sample and of the random controls.")
    # language models
    system: str = Field(SYSTEM, description="The system message of a language model.")
    prompt: str = Field(PROMPT, description="The message: {history}, {candidates} and {count} are filled in.")
    titles: int = Field(20, ge=1, description="How many of the newest items of the history a message shows.")
    endpoint: Endpoint = Field(None, description="chat: base URL of the OpenAI-compatible service.")
    temperature: float | None = Field(0.0, ge=0, le=2, description="0: the likeliest answer; empty: not sent.")
    answer_tokens: int | None = Field(
        None,
        ge=16,
        description="Most tokens of an answer; empty: what the service allows, on this machine six a candidate.",
    )
    concurrency: int = Field(4, ge=1, le=64, description="chat: requests in flight.")
    timeout: float = Field(
        120.0,
        gt=0,
        description="Seconds to wait for an answer; on this machine what was said until then counts.",
    )
    tries: int = Field(3, ge=1, le=10, description="chat: how often a request is tried before its user is left as is.")
    max_calls: int = Field(500, ge=1, description="Most requests in all; the weakest users come first.")
    price: float | None = Field(None, ge=0, description="chat: price per million tokens sent, to say the cost first.")
    answer_price: float | None = Field(None, ge=0, description="chat: price per million tokens of answers.")

    @field_validator("prompt")
    @classmethod
    def _complete(cls, prompt: str) -> str:
        if missing := [name for name in ("{history}", "{candidates}") if name not in prompt]:
            raise ValueError(f"the prompt lacks {' and '.join(missing)}")
        return prompt
