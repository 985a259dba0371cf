"""The k-core: users and items with at least k interactions each, counted among themselves."""

from __future__ import annotations

import numpy as np

CHUNK = 1 << 22


def k_core(
    user: np.ndarray, item: np.ndarray, n_users: int, n_items: int, k: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Repeat the two conditions until nothing changes.

    ``user`` and ``item`` (interactions,) are codes from 0, memory-mapped if need be: they are only
    read in chunks. Returns masks of the users and items kept (those without interactions are not)
    and the number of rounds.
    """
    users, items = np.ones(n_users, dtype=bool), np.ones(n_items, dtype=bool)
    rounds = 0
    while True:
        user_counts, item_counts = _counts(user, item, users, items)
        new_users, new_items = users & (user_counts >= max(k, 1)), items & (item_counts >= max(k, 1))
        if (new_users == users).all() and (new_items == items).all():
            return users, items, rounds
        users, items, rounds = new_users, new_items, rounds + 1


def _counts(user: np.ndarray, item: np.ndarray, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interactions per user and per item among those still in."""
    user_counts, item_counts = np.zeros(len(users), np.int64), np.zeros(len(items), np.int64)
    everyone = users.all() and items.all()
    for start in range(0, len(user), CHUNK):
        u, i = np.asarray(user[start : start + CHUNK]), np.asarray(item[start : start + CHUNK])
        if not everyone:
            keep = users[u] & items[i]
            u, i = u[keep], i[keep]
        user_counts += np.bincount(u, minlength=len(users))
        item_counts += np.bincount(i, minlength=len(items))
    return user_counts, item_counts
