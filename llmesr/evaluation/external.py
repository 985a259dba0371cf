"""Rankings made elsewhere: a table of user, item and score, judged exactly as our own models are."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from llmesr.config import EXTERNAL
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation.results import evaluate_parts
from llmesr.progress import Progress, silent
from llmesr.runs.record import Run, Status
from llmesr.store import Store, config_digest, file_digest, slug

_SURE_SCORES = ("score", "prediction", "pred")
_NAMES = {
    "user": ("user_id", "user", "userid", "uid", "user_idx"),
    "item": ("item_id", "item", "itemid", "iid", "item_idx"),
    "score": ("score", "prediction", "pred", "rating", "value", "weight"),
    "rank": ("rank", "position"),
}


class RankingScorer:
    """Scores of a ranking: what a user's list does not name scores -inf, all of it tied at the end.

    ``offsets`` (U + 1,), ``items`` and ``scores`` (entries,) in CSR form.
    """

    def __init__(self, offsets: np.ndarray, items: np.ndarray, scores: np.ndarray, n_items: int) -> None:
        self.offsets, self.n_items = torch.from_numpy(offsets), n_items
        self.items, self.scores = torch.from_numpy(items), torch.from_numpy(scores)

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, N + 1) scores of ``users`` (B,); the sequences are not read."""
        if users is None:
            raise ValueError("a ranking made elsewhere scores the users it lists, not sequences")
        result = torch.full((len(users), self.n_items + 1), -torch.inf)
        start, length = self.offsets[users], self.offsets[users + 1] - self.offsets[users]
        row = torch.repeat_interleave(torch.arange(len(users)), length)
        entry = torch.arange(len(row)) - torch.repeat_interleave(length.cumsum(0) - length, length) + start[row]
        result[row, self.items[entry]] = self.scores[entry]
        return result


@dataclass(frozen=True)
class Ranking:
    """``scorer`` for :func:`evaluation.ranks.evaluate`; ``notes``: what was left out or is missing, in sentences."""

    scorer: RankingScorer
    notes: list[str]


def read_ranking(path: Path, dataset: Dataset) -> Ranking:
    """Read Parquet or delimited text (also .gz) with columns user, item and score (or rank, 1 the best).

    Ids are those of the dataset's files. Lines of users or items the dataset does not have are left out and
    counted in the notes. UserError names the file and the line of anything that cannot be used.
    """
    table, first_line = _read(Path(path))
    columns = _columns(table, path)
    user_ids, item_ids = (_ids(table, columns[c], c, path, first_line) for c in ("user", "item"))
    scores, used = _scores(table, columns, path, first_line)
    user = pd.Index(dataset.user_ids.astype(str)).get_indexer(pd.Index(user_ids))
    item = pd.Index(dataset.catalogue["item_id"].astype(str)).get_indexer(pd.Index(item_ids)) + 1
    notes = [used, *_unknown("user", user_ids, user < 0, path, dataset)]
    notes += _unknown("item", item_ids, item < 1, path, dataset)
    kept = np.flatnonzero((user >= 0) & (item >= 1))
    kept = kept[np.argsort(user[kept], kind="stable")]
    user, item, scores = user[kept], item[kept], scores[kept]
    pair = user * (dataset.n_items + 1) + item
    twice = pd.Series(pair).duplicated().to_numpy()
    if twice.any():
        at = kept[np.flatnonzero(twice)].min()
        raise UserError(
            f"{path}, line {at + first_line}: item {item_ids[at]!r} is listed twice for user {user_ids[at]!r}. "
            "Keep one score per user and item."
        )
    lengths = np.bincount(user, minlength=dataset.n_users)
    evaluated = dataset.split.users("test")
    empty = int((lengths[evaluated] == 0).sum())
    if empty:
        notes.append(
            f"{empty:,} of {len(evaluated):,} evaluated users have no list in {path.name}: all items are tied for them."
        )
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ranking(RankingScorer(offsets, item.astype(np.int64), _levels(user, scores), dataset.n_items), notes)


def register_ranking(
    store: Store, path: Path, dataset: Dataset, *, name: str | None = None, progress: Progress = silent
) -> Run:
    """Judge a ranking made elsewhere on the test part and keep it as a run of method ``external``, which is compared
    like any other; the same file under the same name again replaces it.

    ``name`` is that of the file when None. What was left out or is missing stands in ``manifest.info["notes"]``.
    UserError: see :func:`read_ranking`.
    """
    path = Path(path)
    ranking = read_ranking(path, dataset)
    label = name or path.name.split(".")[0]
    config = {"method": EXTERNAL, "backbone": None, "source": path.name, "sha256": file_digest(path)}
    id = f"{slug(f'{dataset.name} {label}')}-{config_digest(config, dataset.id)}"
    results = evaluate_parts(ranking.scorer, dataset, parts=("test",), progress=progress)
    with store.draft("runs", id, name=label, parents=[dataset.manifest], config=config) as draft:
        run = Run(store, id)
        run.folder = draft.path
        run.write_results(*results)
        run.set_status(Status(state="SUCCEEDED", message="A ranking made elsewhere."))
        draft.manifest.info["notes"] = ranking.notes
    return Run(store, id)


def _levels(user: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Each score as its place among the user's distinct scores: the same order and ties, exact in float32."""
    order = np.lexsort((scores, user))
    rises = np.diff(scores[order], prepend=-np.inf) != 0
    rises[1:] |= np.diff(user[order]) != 0
    level = np.empty(len(scores), np.float32)
    step = np.cumsum(rises)
    starts = np.searchsorted(user[order], user[order], side="left")  # where the own list begins
    level[order] = step - step[starts] + 1
    return level


def _read(path: Path) -> tuple[pd.DataFrame, int]:
    """The table as text where it was text, and the line number of its first row."""
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path), 1
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig") as handle:
            header = handle.readline()
        delimiter = max(",\t;|", key=header.count)
        table = pd.read_csv(path, sep=delimiter, dtype=str, encoding="utf-8-sig", keep_default_na=False)
        return table, 2
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read as a table: it is not UTF-8; save it as UTF-8.") from error
    except (OSError, EOFError, ValueError) as error:  # pandas' and arrow's parse errors are ValueErrors
        raise UserError(
            f"{path} cannot be read as a table: it is damaged, or its lines do not have the same number of cells."
        ) from error


def _columns(table: pd.DataFrame, path: Path) -> dict[str, str]:
    lowered = {_plain(str(c)): str(c) for c in table.columns}
    table.columns = [str(c) for c in table.columns]
    found = {what: lowered[name] for what, names in _NAMES.items() for name in reversed(names) if name in lowered}
    missing = [w for w in ("user", "item") if w not in found]
    missing += ["score"] if not found.keys() & {"score", "rank"} else []
    if missing:
        has = ", ".join(map(repr, table.columns)) or "no columns"
        raise UserError(f"{path} has no column for the {missing[0]}: name it {_NAMES[missing[0]][0]!r}. It has {has}.")
    if table.empty:
        raise UserError(f"{path} has a header but no rows.")
    return found


def _plain(column: str) -> str:
    return column.split(":")[0].strip().lower()


def _ids(table: pd.DataFrame, column: str, what: str, path: Path, first_line: int) -> np.ndarray:
    values = table[column]
    absent = (values.isna() | values.eq("")).to_numpy()
    if absent.any():
        raise UserError(f"{path}, line {int(absent.argmax()) + first_line}: the {what} ({column!r}) is missing.")
    return np.asarray(values.astype(str).to_numpy(object))


def _scores(table: pd.DataFrame, columns: dict[str, str], path: Path, first_line: int) -> tuple[np.ndarray, str]:
    """What entries are ordered by, higher first, and a sentence that says which column it is.

    A rank beside a score must give the same order; beside a rating, which may be anything, the rank is taken.
    """
    score, rank = columns.get("score"), columns.get("rank")
    scores = _numbers(table, score, path, first_line) if score else None
    ranks = _numbers(table, rank, path, first_line) if rank else None
    if ranks is None:
        assert scores is not None  # ``_columns`` has found one of them
        return scores, f"Lists are ordered by column {score!r}, the highest first."
    if scores is not None and _plain(str(score)) in _SURE_SCORES:
        users = table[columns["user"]].astype(str).to_numpy()
        if not _agree(users, scores, ranks):
            raise UserError(
                f"{path} has a score ({score!r}) and a rank ({rank!r}) that give different orders; keep one of them."
            )
        return scores, f"Lists are ordered by column {score!r}, the highest first."
    aside = f"; {score!r} is not read" if score else ""
    return -ranks, f"Lists are ordered by column {rank!r}, 1 the best{aside}."


def _agree(users: np.ndarray, scores: np.ndarray, ranks: np.ndarray) -> bool:
    """Whether no user's score rises where the rank falls behind."""
    code = pd.factorize(users)[0]
    order = np.lexsort((ranks, code))
    same = code[order][1:] == code[order][:-1]
    return not bool((same & (np.diff(scores[order]) > 0)).any())


def _numbers(table: pd.DataFrame, column: str, path: Path, first_line: int) -> np.ndarray:
    numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    bad = ~np.isfinite(numbers)
    if bad.any():
        at = int(bad.argmax())
        raise UserError(
            f"{path}, line {at + first_line}: the {column} {str(table[column].iloc[at])!r} is not a finite number."
        )
    return np.asarray(numbers)


def _unknown(what: str, ids: np.ndarray, unknown: np.ndarray, path: Path, dataset: Dataset) -> list[str]:
    if not unknown.any():
        return []
    example = ids[int(unknown.argmax())]
    if unknown.all():
        raise UserError(f"No {what} of {path} is in dataset {dataset.name!r} (the first is {example!r}).")
    return [
        f"{int(unknown.sum()):,} of {len(ids):,} lines name {what}s that dataset {dataset.name!r} does not have "
        f"(such as {example!r}) and were left out."
    ]
