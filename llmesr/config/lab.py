"""The lab: new products, other texts for items, and which texts to repair first."""

from __future__ import annotations

from pydantic import Field

from llmesr.config.base import Config, Seed


class LabConfig(Config):
    """Whom a new product or another text is tried on, and what counts as a flaw of a text."""

    k: int = Field(10, ge=1, le=1000, description="Length of a list: an item reaches whoever finds it in the first k.")
    users: int = Field(20_000, ge=1, description="Most users it is tried on; of more, so many drawn at random.")
    nearest: int = Field(10, ge=1, le=100, description="Items shown that are nearest by text.")
    short: float = Field(
        0.25, gt=0, lt=1, description="A text of at most this share of the median number of words is short."
    )
    examples: int = Field(
        300, ge=10, description="Items with a good text that are spoilt, for each flaw, to see what a good one brings."
    )
    seed: Seed = Field(42, description="Seed of what is drawn at random.")
