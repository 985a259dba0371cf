"""Finding the best recommender of a dataset within a time."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llmesr.config.base import Config, Seed


class BestConfig(Config):
    """What the best recommender of a dataset is looked for with, and how it is judged."""

    minutes: float = Field(10.0, gt=0, description="Time for all of it, from embedding the texts to the last ranking.")
    objective: Literal["overall", "balanced"] = Field(
        "overall",
        description="Validation metric that candidates are judged by, each as a share of the best candidate's, then "
        "averaged. overall: NDCG@10 under both protocols; balanced: that of tail items as well.",
    )
    max_length: int = Field(50, ge=2, description="Number of most recent interactions every candidate reads.")
    seed: Seed = Field(42, description="Random seed of the trained candidates.")
