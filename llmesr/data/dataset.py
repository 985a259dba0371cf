"""A dataset: time-ordered histories of users over a catalogue of items, in memory or, where it is large, mapped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sparse

from llmesr import cards
from llmesr.config import SplitConfig
from llmesr.data.cosines import item_cosines
from llmesr.data.frame import INTERACTIONS, ITEMS, USERS, read_frame
from llmesr.data.groups import Thresholds, default_thresholds
from llmesr.data.lookup import Lookup, lookup
from llmesr.data.split import Part, Split, leave_one_out, temporal
from llmesr.errors import UserError, is_full
from llmesr.store import Draft, Manifest, Store

USER_ATTRIBUTES = "user_attributes.parquet"


@dataclass(frozen=True, eq=False)
class Dataset:
    """U users, N items, their interactions in CSR form.

    User ``u`` (0..U-1) chose ``items[offsets[u]:offsets[u + 1]]``, oldest first; items are 1..N and
    item ``i`` is row ``i - 1`` of ``catalogue``.
    """

    manifest: Manifest
    offsets: np.ndarray  # (U + 1,) int64
    items: np.ndarray  # (interactions,) int32, 1..N
    timestamps: np.ndarray | None  # (interactions,) int64 seconds, or only an order
    user_ids: np.ndarray | pd.arrays.ArrowStringArray  # (U,) str
    catalogue: pd.DataFrame  # N rows: item_id, title, then one str column per text attribute
    user_attributes: pd.DataFrame | None = None  # U rows: user_id, then typed columns, null where nothing is known
    refitted: bool = False  # whether the validation part is for training as well: see training_for

    @property
    def id(self) -> str:
        return self.manifest.id

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rows = [
            ("users", self.n_users),
            ("items", self.n_items),
            ("interactions", len(self.items)),
            ("text", ", ".join(self.text_columns)),
            ("times", "real" if self.has_times else "only an order"),
            ("split", self.split_config.describe()),
        ]
        return cards.card(self.name, f"dataset {self.id}", cards.facts(rows))

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def n_users(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_items(self) -> int:
        return len(self.catalogue)

    @property
    def seed(self) -> int:
        """The seed of the uni100 negatives; part of the dataset so that runs are comparable."""
        return int(self.manifest.seed or 0)

    @cached_property
    def lengths(self) -> np.ndarray:
        """(U,) whole history lengths."""
        return np.diff(self.offsets)

    @cached_property
    def has_times(self) -> bool:
        """Whether timestamps are moments, not only an order."""
        return self.timestamps is not None and self.manifest.info.get("time") == "seconds"

    @cached_property
    def split_config(self) -> SplitConfig:
        return split_of(self.manifest)

    @cached_property
    def split(self) -> Split:
        if self.split_config.kind == "leave-one-out":
            made = leave_one_out(self.offsets, self.items)
        elif self.timestamps is None:
            raise UserError(f"Dataset {self.name!r} is damaged: it has a temporal split but no times. Ingest it again.")
        else:
            made = temporal(self.offsets, self.items, self.timestamps, self.split_config)
        return made.up_to("test") if self.refitted else made

    def tied(self, part: Part) -> float:
        """Of the users asked in ``part``, the share whose target has the time of the interaction before it, so that
        the order of the file decides which of the two it is. 0 where the split is in time or nothing is known of times.
        """
        users = self.split.users(part)
        if self.timestamps is None or self.split_config.kind != "leave-one-out" or not len(users):
            return 0.0
        if (told := self.manifest.info.get("tied_targets")) is not None:  # as precisely as times were read
            return int(told[part]) / len(users)
        at = self.offsets[users] + self.split.input_lengths(part)[users]
        return float((self.timestamps[at] == self.timestamps[at - 1]).mean())  # in whole seconds

    def training_for(self, part: Part) -> Dataset:
        """The dataset as the model that is asked ``part`` was trained on it.

        It is the dataset itself, but for the test of a split that refits: there the validation part is for training
        too. Head and tail stay what they are, so that groups are the same with and without it.
        """
        if part == "valid" or not self.split_config.refit:
            return self
        info = {**self.manifest.info, "thresholds": self.thresholds.model_dump()}
        return replace(self, manifest=self.manifest.model_copy(update={"info": info}), refitted=True)

    @cached_property
    def item_counts(self) -> np.ndarray:
        """(N + 1,) popularity in the TRAINING part only; row 0 (padding) is 0."""
        counts = np.zeros(self.n_items + 1, np.int64)
        for items in self.split.train_stretches():
            counts += np.bincount(items, minlength=self.n_items + 1)
        return counts

    @cached_property
    def item_cosines(self) -> sparse.csr_matrix:
        """(N + 1, N + 1) shrunk cosines of the items in the TRAINING part only; seconds at 10 million interactions."""
        return item_cosines(self.offsets, self.items, self.split.train_lengths, self.n_items)

    @cached_property
    def thresholds(self) -> Thresholds:
        """The saved head/tail definition, or 80/20 on training counts."""
        saved = self.manifest.info.get("thresholds")
        if saved:
            return Thresholds.model_validate(saved)
        return default_thresholds(self.item_counts[1:], self.split.train_lengths)

    def without(self, users: np.ndarray) -> Dataset:
        """The dataset whose training part lacks ``users``: what is made of it knows nothing of them."""
        lengths = np.asarray(self.split.train_lengths).copy()
        lengths[users] = 0
        made = replace(self)
        vars(made)["split"] = replace(self.split, train_lengths=lengths)  # in the place of the cached one
        return made

    @property
    def text_columns(self) -> list[str]:
        """Attribute columns that item prompts are made from, title first."""
        return [c for c in self.catalogue.columns if c != "item_id"]

    @cached_property
    def _user_index(self) -> Lookup:
        return lookup(self.user_ids)

    @cached_property
    def _item_index(self) -> dict[str, int]:
        return {u: i + 1 for i, u in enumerate(self.catalogue["item_id"].tolist())}

    def user(self, user_id: str) -> int:
        """The index of a user. UserError when unknown."""
        row = self._user_index.get(str(user_id))
        if row is None:
            raise UserError(f"User {str(user_id)!r} is not in dataset {self.name!r}.")
        return row

    def item(self, item_id: str) -> int:
        """The number (1..N) of an item. UserError when unknown."""
        try:
            return self._item_index[str(item_id)]
        except KeyError:
            raise UserError(f"Item {str(item_id)!r} is not in dataset {self.name!r}.") from None

    def history(self, user: int) -> np.ndarray:
        """All items of a user, oldest first."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def train_history(self, user: int) -> np.ndarray:
        """The items of a user that training may see, oldest first."""
        return self.history(user)[: self.split.train_lengths[user]]


def split_of(manifest: Manifest) -> SplitConfig:
    """What the manifest of a dataset says of its split; the cuts are dates."""
    return SplitConfig.model_validate(manifest.info.get("split", {}))


def write_dataset(
    draft: Draft,
    *,
    interactions: pd.DataFrame,
    user_ids: list[str] | np.ndarray,
    catalogue: pd.DataFrame,
) -> None:
    """Write the three files of a dataset artifact.

    ``interactions`` has int columns user (0..U-1), item (1..N) and optionally timestamp, weight, sorted by user
    and then by time. ``catalogue`` has item_id, title and text columns, row ``i - 1`` for item ``i``.
    """
    interactions.to_parquet(draft.path / INTERACTIONS, index=False)
    pd.DataFrame({"user_id": np.asarray(user_ids, dtype=object)}).to_parquet(draft.path / USERS, index=False)
    catalogue.to_parquet(draft.path / ITEMS, index=False)


def load_dataset(store: Store, ref: str) -> Dataset:
    """Load a dataset by id, id prefix or name. UserError when missing or damaged."""
    manifest = store.find("datasets", ref)
    return read_dataset(store.path("datasets", manifest.id), manifest)


def read_dataset(folder: Path, manifest: Manifest) -> Dataset:
    """The files of ``folder`` as the dataset of ``manifest``, mapped where they are large. UserError when damaged."""
    try:
        frame = read_frame(folder)
        described = (folder / USER_ATTRIBUTES).is_file()
        attributes = pd.read_parquet(folder / USER_ATTRIBUTES, dtype_backend="numpy_nullable") if described else None
    except (OSError, ValueError) as error:
        if is_full(error):
            raise
        raise UserError(f"Dataset {manifest.id!r} is damaged: {error}. Ingest it again.") from error
    return Dataset(manifest=manifest, **vars(frame), user_attributes=attributes)


def save_thresholds(store: Store, id: str, thresholds: Thresholds | None) -> None:
    """Keep a head/tail definition with a dataset; None goes back to 80/20. Ranks stay valid: nothing is evaluated."""
    with store.changing("datasets", id) as manifest:
        manifest.info.pop("thresholds", None)
        if thresholds is not None:
            manifest.info["thresholds"] = thresholds.model_dump()
