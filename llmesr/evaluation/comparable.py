"""Runs are compared only when they were asked the same questions; otherwise a sentence says what differs."""

from __future__ import annotations

from llmesr.data.dataset import split_of
from llmesr.errors import UserError
from llmesr.store import Manifest, Store


def check_comparable(store: Store, runs: list[Manifest]) -> None:
    """UserError unless all ``runs`` (manifests) were evaluated on the same dataset.

    The split and the uni100 negatives belong to the dataset, so another dataset means other questions; the message
    says whether the split, the data or the seed of the negatives differ. Held-out items and negatives of
    the evaluations themselves are compared in :func:`evaluation.values.per_user`.
    """
    first = runs[0]
    for other in runs[1:]:
        a, b = first.parent("datasets"), other.parent("datasets")
        if a == b:
            continue
        what = "; ".join(dataset_differences(_dataset(store, a), _dataset(store, b)))
        raise UserError(
            f"Runs {first.id!r} and {other.id!r} cannot be compared: they were evaluated on different datasets, "
            f"{a!r} and {b!r} ({what}). Choose runs of one dataset."
        )


def dataset_differences(a: Manifest | None, b: Manifest | None) -> list[str]:
    """What sets two datasets apart, in words, most telling first."""
    if a is None or b is None:
        return ["one of which is gone"]
    first, second = split_of(a), split_of(b)
    if first != second:
        return [f"split: {first.describe()} {second.describe()}"]
    found = []
    if a.name != b.name:
        found.append(f"name: {a.name!r} and {b.name!r}")
    if a.seed != b.seed:
        found.append(f"seed of the uni100 negatives: {a.seed} and {b.seed}")
    settings = sorted(set(a.config) | set(b.config), key=lambda k: k not in ("k_core", "repeats", "min_weight"))
    for key in settings:
        if key not in ("name", "seed", "split") and a.config.get(key) != b.config.get(key):
            found.append(f"{key}, and so the split: {a.config.get(key)} and {b.config.get(key)}")
    return found or ["their data, and so the split, were read at different times"]


def _dataset(store: Store, id: str | None) -> Manifest | None:
    return store.manifest("datasets", id) if id and store.exists("datasets", id) else None
