"""What is wrong or right with a set of item vectors, in numbers: spread, neighbours, rank.

All measures look at directions (unit vectors), because neighbours are found by cosine. Items without text (zero
rows) are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmesr.data.unit_rows import unit_rows
from llmesr.errors import UserError

BLOCK = 1024
PAIR_ITEMS = 4_000
"""Items whose pairs are measured: all pairs up to here, a seeded sample of items above."""
QUERY_ITEMS = 5_000
"""Items whose neighbours are looked up (among all items)."""
POSITIVE_PAIRS = 50_000
COLUMNS = ["measure", "attribute", "value", "chance", "ceiling", "items", "better"]


@dataclass(frozen=True)
class Groups:
    """Items by the value of one attribute: ``codes`` (n,) int, -1 where the value is empty or nobody shares it."""

    attribute: str
    codes: np.ndarray
    sizes: np.ndarray  # (groups,) items per value

    @property
    def members(self) -> np.ndarray:
        return np.flatnonzero(self.codes >= 0)


def diagnose(
    vectors: np.ndarray,
    catalogue: pd.DataFrame,
    *,
    attributes: Sequence[str] | None = None,
    k: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Judge item ``vectors`` (N, E), row i for row i of ``catalogue``.

    Returns one row per measure, with columns measure, attribute ("" when it concerns none), value, chance (the value
    for random neighbours), ceiling (the best possible value), items (how many were looked at), better ("lower",
    "higher" or ""). Measures:

    - mean pairwise cosine: 0 when directions are spread evenly, near 1 when all items look alike (anisotropy);
    - uniformity: log of the mean of exp(-2 d^2) over pairs (Wang and Isola 2020); -4 is the limit;
    - effective rank: exp of the entropy of the normalised singular values of the centred vectors (Roy and Vetterli
      2007), how many directions are in use, at most E;
    - alignment: mean d^2 over pairs of items that share an attribute's value (Wang and Isola's positives);
    - precision@k: the share of an item's ``k`` nearest that share its value, over items somebody shares it with.

    ``attributes`` are columns of the catalogue; those whose values are shared by many items when None.
    UserError on an unknown attribute or when fewer than 3 items have vectors.
    """
    vectors = np.asarray(vectors, np.float32)
    if len(vectors) != len(catalogue):
        raise ValueError(f"{len(vectors)} vectors for {len(catalogue)} items")
    known = vectors.any(axis=1)
    if known.sum() < 3:
        raise UserError(f"Only {int(known.sum())} items have a vector; at least 3 are needed to compare them.")
    unit = unit_rows(vectors[known])
    kept = catalogue.loc[known]
    rng = np.random.default_rng(seed)
    n = len(unit)
    sample = unit[np.sort(rng.choice(n, PAIR_ITEMS, replace=False))] if n > PAIR_ITEMS else unit
    rows: list[tuple[object, ...]] = [
        ("mean pairwise cosine", "", mean_cosine(unit), np.nan, np.nan, n, "lower"),
        ("uniformity", "", uniformity(sample), np.nan, -4.0, len(sample), "lower"),
        ("effective rank", "", effective_rank(unit), np.nan, float(min(n - 1, unit.shape[1])), n, "higher"),
    ]
    groups = [group_items(kept, a) for a in shared_attributes(kept, attributes)]
    groups = [g for g in groups if len(g.members)]
    if groups:
        queries = np.unique(np.concatenate([g.members for g in groups]))
        if len(queries) > QUERY_ITEMS:
            queries = np.sort(rng.choice(queries, QUERY_ITEMS, replace=False))
        near = nearest_items(unit, queries, min(k, n - 1))
        for group in groups:
            rows.append((f"precision@{k}", group.attribute, *precision(group, queries, near, n), "higher"))
            closeness, pairs = alignment(unit, group, rng)
            rows.append(("alignment", group.attribute, closeness, 2 - 2 * mean_cosine(unit), 0.0, pairs, "lower"))
    return pd.DataFrame(rows, columns=COLUMNS)


def compare(
    embeddings: Mapping[str, np.ndarray],
    catalogue: pd.DataFrame,
    *,
    attributes: Sequence[str] | None = None,
    k: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """`diagnose` side by side: measure, attribute, better, then one column per named (N, E) matrix."""
    if not embeddings:
        raise ValueError("nothing to compare")
    frames = {n: diagnose(v, catalogue, attributes=attributes, k=k, seed=seed) for n, v in embeddings.items()}
    keys = ["measure", "attribute", "better"]
    values = [frame.set_index(keys)["value"].rename(name) for name, frame in frames.items()]
    return pd.concat(values, axis=1).reset_index()


def mean_cosine(unit: np.ndarray) -> float:
    """Mean cosine over all pairs of different rows of ``unit`` (n, E); exact, in one pass over the rows."""
    n = len(unit)
    total = unit.sum(axis=0, dtype=np.float64)
    own = np.einsum("ij,ij->", unit, unit, dtype=np.float64)
    return float((total @ total - own) / (n * (n - 1)))


def uniformity(unit: np.ndarray) -> float:
    """``log mean exp(-2 |a - b|^2)`` over pairs of different rows (n, E) of unit length."""
    n, total = len(unit), 0.0
    for start in range(0, n, BLOCK):
        cosine = unit[start : start + BLOCK] @ unit.T  # (b, n)
        total += float(np.exp(4 * cosine.astype(np.float64) - 4).sum())
    return float(np.log((total - n) / (n * (n - 1))))


def effective_rank(unit: np.ndarray) -> float:
    """exp of the entropy of the singular values (as shares of their sum) of the centred rows (n, E)."""
    centred = unit - unit.mean(axis=0, dtype=np.float64)
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(centred.T @ centred), 0, None))
    if singular.sum() <= 1e-9:
        return 1.0
    shares = singular[singular > 1e-9 * singular.max()] / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def shared_attributes(catalogue: pd.DataFrame, attributes: Sequence[str] | None = None) -> list[str]:
    """``attributes`` if given, else the columns that group items: short values that mostly occur more than once."""
    columns = [c for c in catalogue.columns if c not in ("item_id", "title")]
    if attributes is not None:
        unknown = [a for a in attributes if a not in catalogue.columns]
        if unknown:
            raise UserError(
                f"The items have no attribute {unknown[0]!r}. Known: {', '.join(columns) or 'only item_id and title'}."
            )
        return list(attributes)
    found = []
    for column in columns:
        values = catalogue[column].astype(str).str.strip()
        values = values[values != ""]
        if not len(values):
            continue
        shared = values.duplicated(keep=False).mean()
        if shared >= 0.3 and values.str.len().median() <= 60 and values.nunique() > 1:
            found.append(column)
    return found


def group_items(catalogue: pd.DataFrame, attribute: str) -> Groups:
    """Items by value, ignoring case and outer blanks; values that only one item has form no group."""
    values = catalogue[attribute].astype(str).str.strip().str.casefold()
    codes, _ = pd.factorize(values.where(values != ""), use_na_sentinel=True)
    sizes = np.bincount(codes[codes >= 0], minlength=1)
    shared = (codes >= 0) & (sizes[codes] > 1)
    codes = np.where(shared, codes, -1)
    return Groups(attribute, codes, sizes)


def nearest_items(unit: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """(len(queries), k) rows nearest by cosine to each queried row, itself excluded, in blocks; never n x n."""
    result = np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), BLOCK):
        rows = queries[start : start + BLOCK]
        cosine = unit[rows] @ unit.T  # (b, n)
        cosine[np.arange(len(rows)), rows] = -np.inf
        result[start : start + BLOCK] = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    return result


def precision(group: Groups, queries: np.ndarray, near: np.ndarray, n: int) -> tuple[float, float, float, int]:
    """Mean share of neighbours with the item's own value, that of random neighbours, the best possible, and items."""
    asked = group.codes[queries] >= 0
    own = group.codes[queries[asked]]  # (q,)
    same = group.codes[near[asked]] == own[:, None]  # (q, k)
    others = group.sizes[own] - 1
    k = near.shape[1]
    return (
        float(same.mean()),
        float((others / (n - 1)).mean()),
        float((np.minimum(others, k) / k).mean()),
        int(asked.sum()),
    )


def alignment(unit: np.ndarray, group: Groups, rng: np.random.Generator) -> tuple[float, int]:
    """Mean squared distance between items and a random other one of the same value, and how many pairs."""
    members = group.members
    order = members[np.argsort(group.codes[members], kind="stable")]
    codes = group.codes[order]
    first = np.searchsorted(codes, codes, side="left")
    size = np.searchsorted(codes, codes, side="right") - first
    chosen = rng.integers(len(order), size=POSITIVE_PAIRS) if len(order) > POSITIVE_PAIRS else np.arange(len(order))
    step = rng.integers(1, np.maximum(size[chosen], 2))  # another member of the same group, never itself
    partner = first[chosen] + (chosen - first[chosen] + step) % size[chosen]
    cosine = np.einsum("ij,ij->i", unit[order[chosen]], unit[order[partner]])
    return float((2 - 2 * cosine).mean()), len(order)
