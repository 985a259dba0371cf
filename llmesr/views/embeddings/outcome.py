"""What became of the held-out items of a map: who found them, the best recommender without text or the best with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmesr.evaluation.statistics import FEW_USERS
from llmesr.maps.points import Points
from llmesr.prose import listed
from llmesr.store import Store
from llmesr.views.cache import evidence
from llmesr.views.cache.protagonists import protagonists
from llmesr.views.embeddings.colouring import UNKNOWN, Colouring
from llmesr.views.shared import theme
from llmesr.views.shared.marks import plain
from llmesr.views.shared.theme import Mode
from llmesr.views.shared.words import as_text

METRIC, PROTOCOL = "HR@10", "full"
FOUND = 0.5
"""An item or a user counts as found from this share of hits on: of its users, and of the seeds."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Hits of one or two recommenders, by user; ``row`` is the point that a user's hit belongs to."""

    table: pd.DataFrame  # row, and a column per recommender
    labels: tuple[str, ...]

    def of(self, rows: np.ndarray) -> pd.DataFrame:
        return self.table[self.table["row"].isin(rows)]


Lineup = dict[str, tuple[str, ...]]
"""The runs of two recommenders by their labels; empty where there are not two."""


def pair(root: Store, dataset_id: str) -> Lineup:
    """The pair that the Overview is about; empty without two evaluated recommenders."""
    lineup = {c.label: c.ids for c in protagonists(root, dataset_id) if c is not None}
    return lineup if len(lineup) == 2 else {}


def outcome(root: Store, lineup: Lineup, points: Points) -> Outcome:
    """What became of the held-out items under a pair."""
    found = evidence.outcomes(root, lineup, METRIC, PROTOCOL)
    row = found["target"] - 1 if points.of == "items" else found["user"]
    return Outcome(found.assign(row=row), tuple(lineup))


def sentence(outcome: Outcome, points: Points, rows: np.ndarray) -> str:
    """What the users behind a selection get, in a sentence."""
    users = outcome.of(rows)
    whose = "users whose held-out item is among these" if points.of == "items" else "of these users"
    if users.empty:
        return "Nobody's held-out item is among these." if points.of == "items" else "None of these users is evaluated."
    said = listed([f"{as_text(label)} finds **{theme.percent(users[label].mean(), 1)}**" for label in outcome.labels])
    every = listed([theme.percent(outcome.table[label].mean(), 1) for label in outcome.labels])
    few = "" if len(users) >= FEW_USERS else " Too few users to compare the two."
    return f"Of {len(users):,} {whose}, {said} (all: {every}; {METRIC}, test part, {PROTOCOL} ranking).{few}"


def colouring(outcome: Outcome, points: Points, mode: Mode) -> Colouring:
    """Points by who found what was held out there."""
    first, second = outcome.labels
    by_row = outcome.table.groupby("row")[list(outcome.labels)].mean() >= FOUND
    codes = np.zeros(len(points), int)
    codes[by_row.index.to_numpy()] = 1 + by_row[first].to_numpy() + 2 * by_row[second].to_numpy()
    alone = [f"by {plain(label, 30)} alone" for label in outcome.labels]
    own = [theme.method_color(label, mode) for label in outcome.labels]
    unknown = theme.translucent(theme.SURFACE[mode]["muted"], 0.45)
    return Colouring(
        "Outcome",
        codes=codes,
        names=(UNKNOWN[points.of == "users"], "found by neither", *alone, "by both"),
        colours=(unknown, theme.SEMANTIC[mode]["bad"], *own, theme.SEMANTIC[mode]["good"]),
        symbols=("circle", "x", "square", "diamond", "circle"),
    )
