"""An existing item under another text: which places in lists it gains and loses, and beside what it then stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from llmesr.config import LabConfig
from llmesr.data.dataset import Dataset
from llmesr.lab.audience import Audience, asked, everyone, ranks_of, reached
from llmesr.lab.change import Row, with_texts
from llmesr.lab.launch import nearest_to
from llmesr.lab.rewritten import changed, check
from llmesr.progress import Progress, silent
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun

When = Literal["before", "after"]


@dataclass(frozen=True, eq=False)
class Moved:
    """The ranks (U,) of one item for the same users before and after; 0 for whoever has it already."""

    audience: Audience
    before: np.ndarray
    after: np.ndarray
    k: int

    @property
    def gained(self) -> np.ndarray:
        """(U,) whether the item enters the list."""
        return np.asarray(reached(self.after, self.k) & ~reached(self.before, self.k))

    @property
    def lost(self) -> np.ndarray:
        """(U,) whether it leaves the list."""
        return np.asarray(reached(self.before, self.k) & ~reached(self.after, self.k))

    @property
    def candidates(self) -> np.ndarray:
        """(U,) whether the item can stand in the list at all."""
        return self.before > 0

    def ranks(self, when: When) -> np.ndarray:
        """The ranks of those who do not have the item yet."""
        return np.asarray((self.before if when == "before" else self.after)[self.candidates])

    def reach(self, when: When) -> int:
        """Users in whose list the item stands."""
        return int(reached(self.ranks(when), self.k).sum())

    def median(self, when: When) -> float:
        """The median rank; NaN when there is nobody."""
        ranks = self.ranks(when)
        return float(np.median(ranks)) if len(ranks) else float("nan")


@dataclass(frozen=True, eq=False)
class Edited:
    """``everyone``: all users now. ``targets``: those whose held-out validation item it is, as they were asked then."""

    item: int
    text_before: str
    text_after: str
    everyone: Moved
    targets: Moved
    nearest_before: pd.DataFrame
    nearest_after: pd.DataFrame

    def moved_users(self, dataset: Dataset) -> pd.DataFrame:
        """Who gained or lost the item in the list: user_id, before, after, change; the largest moves first."""
        moved = self.everyone
        rows = np.flatnonzero(moved.gained | moved.lost)
        frame = pd.DataFrame(
            {
                "user_id": np.asarray(dataset.user_ids[moved.audience.users[rows]], object),
                "before": moved.before[rows],
                "after": moved.after[rows],
                "change": np.where(moved.gained[rows], "gained", "lost"),
            }
        )
        order = np.argsort(-np.abs(frame["before"] - frame["after"]).to_numpy(), kind="stable")
        return frame.iloc[order].reset_index(drop=True)


def edit(
    scored: ScoredRun, item: int, row: Row, config: LabConfig | None = None, progress: Progress = silent
) -> Edited:
    """``item`` (a number) with the attributes that ``row`` names under other text; the rest of it stays.

    What the run learned of who chose the item stays, too. UserError for a run that scores no item by its text, for
    vectors that came from a file, and for an unknown attribute.
    """
    config = config or LabConfig()
    check(scored.store, scored.run)
    change = with_texts(scored.dataset, {item: row}, progress)
    after = changed(scored, change)
    now = everyone(scored.dataset, config.users, config.seed)
    judged = scored.of("valid")
    judged_after = after if judged is scored else changed(judged, change)
    users, targets = scored.dataset.split.pairs("valid")
    held_out = asked(scored.dataset, "valid", users[targets == item])
    embedding = scored.embedding
    same = with_texts(scored.dataset, {item: {}})
    texts = ["", ""] if embedding is None else [c.texts(embedding, scored.store)[0] for c in (same, change)]
    return Edited(
        item=item,
        text_before=texts[0],
        text_after=texts[1],
        everyone=_moved(scored, after, item, now, config.k, progress),
        targets=_moved(judged, judged_after, item, held_out, config.k),
        nearest_before=nearest_to(Recommender(scored), item, config.nearest),
        nearest_after=nearest_to(Recommender(after), item, config.nearest),
    )


def _moved(
    before: ScoredRun, after: ScoredRun, item: int, audience: Audience, k: int, progress: Progress = silent
) -> Moved:
    ranks = [
        ranks_of(scored, np.array([item]), audience, progress, f"asking users, text {when}")[:, 0]
        for scored, when in ((before, "before"), (after, "after"))
    ]
    return Moved(audience, ranks[0], ranks[1], k)


def whole_text(dataset: Dataset, text: str) -> dict[str, str]:
    """A row whose only text is ``text``, in place of all attributes."""
    return dict.fromkeys(dataset.text_columns, "") | {"title": text}
