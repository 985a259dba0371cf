"""A new product: who would get it, at what rank, why, and beside what it stands."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from llmesr.config import LabConfig
from llmesr.data.batches import Sequences
from llmesr.errors import UserError
from llmesr.lab.audience import Audience, everyone, owners, ranks_of, reached
from llmesr.lab.change import Change, Row, with_products
from llmesr.lab.rewritten import changed, check
from llmesr.maps.make import Map, find_map, load_map
from llmesr.progress import Progress, silent
from llmesr.prose import counted
from llmesr.scoring.explanation import explain, sentence
from llmesr.scoring.nearest import similar_items
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun

log = logging.getLogger(__name__)
SHOWN = 20
"""Users named, those who would see the product first."""
EXPLAINED = 200
"""Users of whose scores the parts are averaged, those who would see the product first."""
BESIDE = 5
"""Nearest items among which a new one is placed on a map."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A place on a map that was drawn without the item: between its nearest items in the original space, weighed by
    their cosines."""

    map_id: str
    method: str
    x: float
    y: float
    beside: tuple[int, ...]
    """Those items."""
    spread: float
    """How far apart they stand on the map, as a share of its width: near 0 the place means something."""


@dataclass(frozen=True, eq=False)
class Launched:
    """What one new product would do. ``ranks`` (U,) among all items, of the users of ``audience``."""

    item_id: str
    title: str
    text: str
    k: int
    audience: Audience
    """Those to whom it would be new."""
    owners: int
    """How many were left out: they have an item of the very same text already."""
    ranks: np.ndarray
    users: pd.DataFrame
    """Who would see it first: user_id, rank, history_length, why."""
    parts: dict[str, float]
    """What each term adds to its score, on average over the users it ranks highest for."""
    nearest: pd.DataFrame
    """By text: item_id, title, cosine, count."""
    place: Placed | None

    @property
    def reach(self) -> int:
        """Users whose list it would enter."""
        return int(reached(self.ranks, self.k).sum())

    @property
    def left_out(self) -> str:
        """Who was not asked, in a sentence; empty where everybody was."""
        if not self.owners:
            return ""
        have, are = ("has", "is") if self.owners == 1 else ("have", "are")
        return f"{counted(self.owners, 'user')} {have} an item of this very text already and {are} left out."

    @property
    def share(self) -> float:
        return self.reach / max(len(self.audience), 1)

    @property
    def median_rank(self) -> float:
        return float(np.median(self.ranks)) if len(self.ranks) else float("nan")


def launch(
    scored: ScoredRun, rows: Sequence[Row], config: LabConfig | None = None, progress: Progress = silent
) -> list[Launched]:
    """New products (attribute -> text each) as a run would treat them beside its catalogue; several are there at once.

    UserError for a run that scores no item by its text, for vectors that came from a file, and for products without
    text or with unknown attributes.
    """
    config = config or LabConfig()
    check(scored.store, scored.run)
    change = with_products(scored.dataset, rows, progress)
    after = changed(scored, change)
    audience = everyone(scored.dataset, config.users, config.seed)
    ranks = ranks_of(after, change.items, audience, progress)
    asked = Recommender(after)
    embedding = scored.embedding
    texts = [""] * len(rows) if embedding is None else change.texts(embedding, scored.store)
    drawn = drawn_map(scored)
    made = []
    for column, (item, text) in enumerate(zip(change.items.tolist(), texts, strict=True)):
        new = new_to(change, item, audience)
        whom, theirs = Audience(audience.users[new], audience.lengths[new], audience.described), ranks[new, column]
        one = Launched(
            item_id=str(asked.item_ids[item - 1]),
            title=str(asked.titles[item - 1]),
            text=text,
            k=config.k,
            audience=whom,
            owners=len(audience) - len(whom),
            ranks=theirs,
            users=first_users(asked, item, whom, theirs),
            parts=parts_of(after, item, whom, theirs),
            nearest=nearest_to(asked, item, config.nearest, among=scored.dataset.n_items),
            place=None if drawn is None else placed(asked, item, drawn),
        )
        made.append(one)
    return made


def new_to(change: Change, item: int, audience: Audience) -> np.ndarray:
    """(U,) bool: to whom ``item`` is new. A model gives its very text first to those who have it already, whom nobody
    would show it. UserError where it is new to nobody."""
    new = ~owners(change.dataset, change.alike(item))[audience.users]
    if len(new) and not new.any():
        raise UserError("Everybody who is asked has an item of this very text already: it would be new to nobody.")
    return np.asarray(new)


def first_users(asked: Recommender, item: int, audience: Audience, ranks: np.ndarray) -> pd.DataFrame:
    """The users who would see ``item`` first, and why: user_id, rank, history_length, why."""
    dataset, rows = asked.dataset, []
    titles = asked.titles.tolist()
    for row in _best(ranks, SHOWN):
        user, length = int(audience.users[row]), int(audience.lengths[row])
        why = explain(asked.scored, dataset.history(user)[:length].tolist(), [item], user=user)[0]
        rows.append((str(dataset.user_ids[user]), int(ranks[row]), length, sentence(why, titles)))
    return pd.DataFrame(rows, columns=["user_id", "rank", "history_length", "why"])


@torch.inference_mode()
def parts_of(scored: ScoredRun, item: int, audience: Audience, ranks: np.ndarray) -> dict[str, float]:
    """What each term adds to the score of ``item``, averaged over the users it ranks highest for."""
    best = _best(ranks, EXPLAINED)
    if not len(best):
        return {}
    who, known = (
        torch.from_numpy(a[best].astype(np.int64)).to(scored.device) for a in (audience.users, audience.lengths)
    )
    sequences, _ = Sequences(scored.dataset, scored.device).padded(who, known, scored.max_length)
    items = torch.full((len(best), 1), item, device=scored.device)
    return {name: float(part.mean()) for name, part in scored.under().split(sequences, who, items).items()}


def _best(ranks: np.ndarray, many: int) -> np.ndarray:
    """Rows of the ``many`` lowest ranks, without those that have none."""
    order = np.argsort(np.where(ranks > 0, ranks, np.iinfo(ranks.dtype).max), kind="stable")[:many]
    return np.asarray(order[ranks[order] > 0])


def nearest_to(asked: Recommender, item: int, k: int, among: int | None = None) -> pd.DataFrame:
    """The items nearest to ``item`` by text, of the first ``among``: item_id, title, cosine, count; or none."""
    columns = ["item_id", "title", "cosine", "count"]
    if not asked.ground.has_text or not asked.ground.content().text[item].any():
        return pd.DataFrame(columns=columns)
    most = asked.dataset.n_items if among is None else among
    items, cosines = similar_items(asked, item, k + asked.dataset.n_items - most)
    kept = np.flatnonzero(items <= most)[:k]
    items, cosines = items[kept], cosines[kept]
    counts = asked.dataset.item_counts[items]
    found = zip(asked.item_ids[items - 1], asked.titles[items - 1], cosines.tolist(), counts.tolist(), strict=True)
    return pd.DataFrame(list(found), columns=columns)


def drawn_map(scored: ScoredRun) -> Map | None:
    """The newest map of the items by the text that the run reads; None where there is none, or it is damaged."""
    if scored.embedding is None:
        return None
    made = [m for m in scored.store.list("maps") if m.info.get("of") == "items"]
    found = find_map(made, [f"embedding:{scored.embedding.id}"])
    try:
        return None if found is None else load_map(scored.store, found.id)
    except UserError as error:
        log.warning("A new product has no place: %s", error)
        return None


def placed(asked: Recommender, item: int, drawn: Map) -> Placed | None:
    """Where ``item`` would stand on a map that was drawn without it; None without text, or near nothing drawn."""
    embedding = asked.embedding
    if embedding is None or not asked.ground.content().text[item].any():
        return None
    method = drawn.methods[0]
    xy = drawn.xy(drawn.keys[f"embedding:{embedding.id}"], method)
    items, cosines = similar_items(asked, item, BESIDE + asked.dataset.n_items - len(xy))
    near = [(i, c) for i, c in zip(items.tolist(), cosines.tolist(), strict=True) if i <= len(xy) and c > 0]
    near = [(i, c) for i, c in near if np.isfinite(xy[i - 1]).all()][:BESIDE]
    if not near:
        return None
    points, weights = xy[[i - 1 for i, _ in near]], np.array([c for _, c in near])
    x, y = (float(v) for v in np.average(points, axis=0, weights=weights))
    width = float(np.nanmax(xy, axis=0).max() - np.nanmin(xy, axis=0).min()) or 1.0
    spread = float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean())) / width
    return Placed(drawn.id, method, x, y, tuple(i for i, _ in near), spread)


def read_products(frame: pd.DataFrame) -> list[dict[str, str]]:
    """The rows of a table as products; empty cells are left out. UserError for an empty table."""
    rows = [
        {str(name): str(value) for name, value in row.items() if pd.notna(value) and str(value).strip()}
        for row in frame.to_dict("records")
    ]
    if not rows:
        raise UserError("The table holds no product.")
    return rows
