"""What a text model is tuned on: the texts, who is trained on and who is held out, by objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sparse

from llmesr.config import EmbedConfig, FinetuneConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.linear.interactions import followed
from llmesr.semantic.co_chosen import CoChosen, with_partners
from llmesr.semantic.contrastive import Copies, Objective
from llmesr.semantic.embedders.backbone import locate
from llmesr.semantic.embedders.transformer import TransformerEmbedder
from llmesr.semantic.history_prompts import HistoryPrompts
from llmesr.semantic.preferences import NONE, Preferences
from llmesr.store import Store
from llmesr.text.prompts import attribute_lists, fill
from llmesr.training.categories import categories

HELD_OUT_MOST = 500
"""Held-out items are embedded at every evaluation; more than this tells nothing new."""


@dataclass(frozen=True)
class Material:
    """``objective`` and its rows (from 0) to train on, which are items or users, and to judge by, which are items."""

    objective: Objective
    train: np.ndarray
    held_out: np.ndarray
    skipped: int
    """Items that nothing is learned of."""
    rows: Literal["items", "users"] = "items"


def gather(dataset: Dataset, config: FinetuneConfig, store: Store) -> Material:
    """The items that can be told apart by their attributes, or that are chosen together, or the users whose items are
    known, split into training and held-out by the seed.

    An item with a single attribute has no two different copies and is skipped. UserError when too few are left.
    """
    lists = attribute_lists(dataset.catalogue, config.attributes, max_chars=config.max_characters)
    fill([], config.template)  # an unusable template is found now, not at the first step
    filled = np.array([len(row) for row in lists])
    used = ", ".join(config.attributes or dataset.text_columns) or "none"
    if not filled.any():
        raise UserError(
            f"None of the {dataset.n_items} items of {dataset.name!r} has text (columns: {used}), so there is nothing "
            "to tune on. Ingest it with an item file that has titles, brands, categories or descriptions."
        )
    copies = Copies(lists, config.drop_ratio, config.seed, config.template)
    if config.objective == "co_chosen":
        return _co_chosen(dataset, config, copies, filled > 0)
    if config.objective == "preferences":
        return _preferences(dataset, config, copies, filled > 0, store)
    usable = np.flatnonzero(filled >= 2)
    if not len(usable):
        raise UserError(
            f"No item of {dataset.name!r} has two attributes with text (columns: {used}), and fine-tuning needs two "
            "different copies of an item. Add a brand, category or description column to the item file."
        )
    if len(usable) < 4:
        raise UserError(
            f"Only {len(usable)} items of {dataset.name!r} have two attributes with text (columns: {used}); "
            "fine-tuning needs at least 4."
        )
    return Material(copies, *_parted(usable, config), len(lists) - len(usable))


def _co_chosen(dataset: Dataset, config: FinetuneConfig, copies: Copies, texts: np.ndarray) -> Material:
    """The items with text that somebody chose near another one in training. UserError when too few are left."""
    together = followed(dataset, config.window, 1.0)[1:, 1:].tocsr()
    together = with_partners(sparse.diags(texts.astype(float)) @ together, texts.astype(float))
    usable = np.flatnonzero(np.diff(together.indptr))
    if len(usable) < 4:
        raise UserError(
            f"Only {len(usable)} items of {dataset.name!r} have text and were chosen within {config.window} steps of "
            "another in training; tuning on what is chosen together needs at least 4. Use objective=attributes."
        )
    train, held_out = _parted(usable, config)
    kept = np.ones(dataset.n_items)
    kept[held_out] = 0
    left = np.diff(with_partners(together, kept).indptr) > 0
    if left[train].sum() < 2:
        raise UserError(
            f"Hardly any item of {dataset.name!r} was chosen together with one that is not held out: lower held_out "
            f"(now {config.held_out}) or raise window (now {config.window})."
        )
    pairs = CoChosen(copies, together, held_out)
    return Material(pairs, train[left[train]], held_out, dataset.n_items - len(usable))


def _preferences(dataset: Dataset, config: FinetuneConfig, copies: Copies, texts: np.ndarray, store: Store) -> Material:
    """Users and the categories of what they chose in training, held-out items left out. UserError when too few."""
    found = np.where(texts, categories(dataset, config, store), NONE)
    shared = (found >= 0) & (np.bincount(found[found >= 0], minlength=1)[found] > 1)
    usable = np.flatnonzero(shared)
    if len(usable) < 4 or len(np.unique(found[usable])) < 2:
        raise UserError(
            f"Only {len(usable)} items of {dataset.name!r} have text and a category of two items or more; tuning on "
            f"preferences needs at least 4 in two categories. Lower categories (now {config.categories}), or use "
            "objective=attributes."
        )
    _, held_out = _parted(usable, config)
    read = found >= 0
    read[held_out] = False
    ends = np.cumsum(dataset.split.train_lengths)
    own = np.split(np.asarray(dataset.split.train_items) - 1, ends[:-1])
    histories = [items[read[items]] for items in own]
    prompts = HistoryPrompts(dataset.catalogue, _reader(config)) if config.users == "prompt" else None
    users = np.flatnonzero([bool(prompts.said[items].any() if prompts else len(items)) for items in histories])
    if len(users) < 2:
        raise UserError(f"Hardly any user of {dataset.name!r} chose items with text in training: lower held_out.")
    objective = Preferences(copies, histories, found, prompts)
    return Material(objective, users, held_out, dataset.n_items - len(usable), "users")


def _reader(config: FinetuneConfig) -> TransformerEmbedder:
    """The base, as far as it says how long a text is."""
    return TransformerEmbedder(locate(config.base), EmbedConfig(embedder=config.base, max_tokens=config.max_tokens))


def _parted(usable: np.ndarray, config: FinetuneConfig) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows to judge by, by the seed."""
    shuffled = np.random.default_rng([config.seed, 0]).permutation(usable)
    kept_aside = min(max(2, round(config.held_out * len(usable))), HELD_OUT_MOST, len(usable) - 2)
    return np.sort(shuffled[kept_aside:]), np.sort(shuffled[:kept_aside])
