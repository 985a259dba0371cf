"""The groups a metric is counted in, the protocols and the metrics."""

from __future__ import annotations

from typing import Literal

GroupName = Literal["Overall", "Tail Item", "Head Item", "Tail User", "Head User", "Cold Item"]
GROUPS: tuple[str, ...] = ("Overall", "Tail Item", "Head Item", "Tail User", "Head User")
COLD = "Cold Item"
"""Targets without a training interaction: a group of its own beside the others wherever there are any."""
EVERY_GROUP = (*GROUPS, COLD)
SearchObjective = Literal["Overall", "Tail Item", "Head Item", "Tail User", "Head User", "Cold Item", "Balanced"]
Protocol = Literal["full", "uni100"]
RANK_METRIC = r"^(HR|NDCG|MRR)@\d+$"
