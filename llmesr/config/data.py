"""From files of interactions and items to a dataset."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llmesr.config.base import Config, Seed


class IngestConfig(Config):
    """From files of interactions and items to a dataset."""

    name: str = Field(min_length=1, max_length=200, description="Name of the dataset.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Field -> column: user_id, item_id, timestamp, weight (interactions); guessed when absent.",
    )
    item_columns: dict[str, str] = Field(
        default_factory=dict,
        description="item_id and title of the item file, and attributes by name: brand=manufacturer takes a column in "
        "that would be left out, brand= leaves one out.",
    )
    time_format: str | None = Field(
        None,
        description="How times are written: s, ms, us or ns (unix time), excel, order, iso, or a pattern such as "
        "%d.%m.%Y %H:%M; guessed when empty.",
    )
    encoding: str | None = Field(
        None, description="Encoding of text files, such as cp1251 or gbk; UTF-8 or UTF-16 when empty."
    )
    delimiter: str | None = Field(
        None, description="What separates the columns: a character, or tab, space, comma; guessed when empty."
    )
    quote: str | None = Field(
        None, description="The quotation mark around cells, or none where quotes are only text; guessed when empty."
    )
    header: bool | None = Field(None, description="Whether the first line names the columns; guessed when empty.")
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
    seed: Seed = Field(42, description="Seed of the uni100 negatives, fixed for the dataset.")
