"""From files of interactions and items to a dataset."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llmesr.config.base import Config


class IngestConfig(Config):
    """From files of interactions and items to a dataset."""

    name: str = Field(min_length=1, description="Name of the dataset.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Field -> column: user_id, item_id, timestamp, weight (interactions); guessed when absent.",
    )
    item_columns: dict[str, str] = Field(
        default_factory=dict, description="item_id and title of the item file; other columns are attributes."
    )
    k_core: int = Field(
        2, ge=1, description="Keep users and items with at least this many interactions, repeated until stable."
    )
    min_weight: float | None = Field(None, description="Ignore interactions with a weight (rating) below this.")
    repeats: Literal["first", "last", "keep"] = Field(
        "first",
        description="A user choosing the same item again later: keep the first choice (recommend what is new to them), "
        "the last, or all of them.",
    )
    cold_items: bool = Field(False, description="Keep catalogue items without interactions as candidates.")
    max_rejected: float = Field(
        0.05, ge=0, le=1, description="Refuse the file when more than this share of its lines is unreadable."
    )
    seed: int = Field(42, description="Seed of the uni100 negatives, fixed for the dataset.")
