"""The story of one user: who helped or hurt whom, similar users by text and by behaviour, and what they know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmesr.config import EXTERNAL
from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.runs.record import Run
from llmesr.views.shared.words import as_text

SOURCES = {"text": "by text", "behaviour": "by behaviour"}


def changes(before: pd.DataFrame, after: pd.DataFrame, protocol: str, thresholds: Thresholds | None) -> pd.DataFrame:
    """How the rank of the test item changed, one row per user: user, target, history_length, before, after, gain ...

    ``gain`` is the difference of 1 / log2(1 + rank): a step near the top counts more than one far down. With
    thresholds only tail users are kept. Sorted by gain, greatest first.
    """

    def ranks(frame: pd.DataFrame) -> pd.DataFrame:
        asked = frame[(frame["part"] == "test") & (frame["protocol"] == protocol)]
        return asked.drop_duplicates("user")  # the first target stands for a user who has several

    columns = ["user", "target", "target_popularity", "history_length", "rank"]
    both = ranks(before)[columns].merge(ranks(after)[["user", "rank"]], on="user", suffixes=("_before", "_after"))
    both = both.rename(columns={"rank_before": "before", "rank_after": "after"})
    if thresholds is not None:
        both = both[thresholds.tail_users(both["history_length"])]
    both["gain"] = 1 / np.log2(1.0 + both["after"]) - 1 / np.log2(1.0 + both["before"])
    return both.sort_values(["gain", "user"], ascending=[False, True], kind="stable").reset_index(drop=True)


def pick_users(changed: pd.DataFrame, need: str, count: int, seed: int = 0) -> pd.DataFrame:
    """``count`` users: the ``helped`` most, the ``hurt`` most, or ``random`` ones."""
    if need == "helped":
        return changed[changed["gain"] > 0].head(count)
    if need == "hurt":
        return changed[changed["gain"] < 0].iloc[::-1].head(count)
    rows = np.random.default_rng(seed).permutation(len(changed))[:count]
    return changed.iloc[rows]


@dataclass(frozen=True, eq=False)
class Case:
    """One user under the lens. Item numbers are 1..N; ``read`` is what a model may read before the held-out item."""

    user: int
    user_id: str
    read: np.ndarray  # oldest first
    target: int | None  # the held-out test item; None for a user with fewer than three interactions

    @classmethod
    def of(cls, dataset: Dataset, user: int) -> Case:
        history, given = dataset.history(user), int(dataset.split.input_lengths("test")[user])
        tested = user in dataset.split.users("test")
        return cls(user, str(dataset.user_ids[user]), history[:given], int(history[given]) if tested else None)


@dataclass(frozen=True, eq=False)
class Retrieved:
    """Similar users, most similar first: ``users`` (k,), ``similarity`` (k,) cosines; ``how`` says by what."""

    users: np.ndarray
    similarity: np.ndarray
    how: str


def nearest_users(units: np.ndarray, user: int, k: int, how: str) -> Retrieved:
    """The ``k`` users nearest to ``user`` among unit rows (U, E); zero rows are near to nobody."""
    if not units[user].any():
        return Retrieved(np.zeros(0, np.int64), np.zeros(0, np.float32), how)
    cosine = units @ units[user]
    cosine[user] = -np.inf
    cosine[~units.any(axis=1)] = -np.inf
    k = min(k, int(np.isfinite(cosine).sum()))
    best = np.argpartition(-cosine, k - 1)[:k] if k else np.zeros(0, np.int64)
    best = best[np.lexsort((best, -cosine[best]))]
    return Retrieved(best, cosine[best], how)


def neighbour_table(dataset: Dataset, case: Case, found: Retrieved) -> pd.DataFrame:
    """Similar users: user, user_id, similarity, length, shared (items in common), knows (chose the held-out item)."""
    own = set(case.read.tolist())
    rows = []
    for user, similarity in zip(found.users.tolist(), found.similarity.tolist(), strict=True):
        history = dataset.train_history(user).tolist()
        shared = len(own & set(history))
        knows = case.target is not None and case.target in history
        rows.append((user, str(dataset.user_ids[user]), similarity, len(history), shared, knows))
    return pd.DataFrame(rows, columns=["user", "user_id", "similarity", "length", "shared", "knows"])


def aligned(dataset: Dataset, case: Case, found: Retrieved, longest: int = 20) -> pd.DataFrame:
    """Histories side by side, newest at the right: row (0 is the user), user_id, step (0 newest, -1 before it ...;
    1 is the held-out item), item, title, kind.

    ``kind``: ``own``; ``next`` is the user's held-out item; of similar users ``shared`` (the user has it too),
    ``knows`` (it is the held-out item) or ``other``.
    """
    titles = dataset.catalogue.get("title", dataset.catalogue["item_id"]).to_numpy(object)
    own = set(case.read.tolist())
    rows: list[tuple[int, str, int, int, str]] = []

    def add(row: int, user_id: str, items: np.ndarray, kinds: list[str]) -> None:
        for step, (item, kind) in enumerate(zip(items[::-1][:longest], kinds[::-1][:longest], strict=True)):
            rows.append((row, user_id, -step, int(item), kind))

    add(0, case.user_id, case.read, ["own"] * len(case.read))
    if case.target is not None:
        rows.append((0, case.user_id, 1, case.target, "next"))
    for row, user in enumerate(found.users.tolist(), start=1):
        items = dataset.train_history(user)
        kinds = ["knows" if i == case.target else "shared" if i in own else "other" for i in items.tolist()]
        add(row, str(dataset.user_ids[user]), items, kinds)
    frame = pd.DataFrame(rows, columns=["row", "user_id", "step", "item", "kind"])
    frame["title"] = titles[frame["item"].to_numpy(int) - 1]
    return frame


def chosen_with(dataset: Dataset, case: Case, target: int) -> np.ndarray:
    """(L,) for each item of ``case.read``: how many other users chose it and ``target``, both in training."""
    lengths, items = dataset.split.train_lengths, dataset.split.train_items
    users = np.repeat(np.arange(len(lengths)), lengths)
    with_it = np.zeros(len(lengths), bool)
    with_it[users[items == target]] = True
    with_it[case.user] = False
    counts = np.bincount(items[with_it[users]], minlength=dataset.n_items + 1)
    return np.asarray(counts[case.read])


def contribution(tables: dict[str, pd.DataFrame], target_title: str) -> str:
    """How many of the similar users chose the held-out item, and shared items, in a sentence (Markdown)."""
    parts = []
    for source, table in tables.items():
        if len(table):
            parts.append(
                f"of the {len(table)} most similar {SOURCES[source]}, **{int(table['knows'].sum())}** chose the "
                f"held-out item and {int((table['shared'] > 0).sum())} share at least one item"
            )
    if not parts:
        return "Nobody is similar: this user has no vector in either space."
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}. (Held out: {as_text(target_title, 90)}.)"


def rank_table(runs: list[tuple[Run, pd.DataFrame]], user: int, protocol: str) -> pd.DataFrame:
    """Where each run ranked the user's test item: run, label, setting, rank, candidates; best first.

    ``setting`` says what sets the run apart: distillation, and the scoring policy it stands for.
    """
    rows = []
    for run, frame in runs:
        found = frame[(frame["user"] == user) & (frame["part"] == "test") & (frame["protocol"] == protocol)]
        if len(found):
            rank, candidates = (int(found[c].iloc[0]) for c in ("rank", "candidates"))
            rows.append((run.id, run.label, setting(run), run.manifest.seed, rank, candidates))
    frame = pd.DataFrame(rows, columns=["run", "label", "setting", "seed", "rank", "candidates"])
    return frame.sort_values(["rank", "label"], kind="stable").reset_index(drop=True)


def setting(run: Run) -> str:
    """What a run has that others may lack: distillation from similar users, a content term, routing; of lists that were
    made elsewhere, or put together from two runs, their name."""
    manifest = run.manifest
    parts = [manifest.name] if manifest.config["method"] == EXTERNAL else []
    if (policy := manifest.info.get("policy")) is not None:
        parts.append(str(policy.get("describe", "with a scoring policy")))
    if manifest.config.get("method") == "llm-esr":
        off = manifest.config.get("distillation") == "off" or manifest.config.get("distillation_weight") == 0
        parts.append("without similar users" if off else "taught by similar users")
    return ", ".join(parts)
