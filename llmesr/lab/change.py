"""Items with new text: products that are not there yet, and other words for those that are. Nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch

from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.semantic.embed import Embedding
from llmesr.semantic.further import further_vectors, prompts
from llmesr.semantic.matrix import pad
from llmesr.store import Store

Row = Mapping[str, str]
"""Attribute -> text."""


@dataclass(eq=False)
class Change:
    """Items whose text is new. ``catalogue`` has N' >= N rows: those beyond the dataset's own are new products.

    ``forgotten`` are items of the dataset that are scored as if nobody had seen them before: their text stays.
    """

    dataset: Dataset
    catalogue: pd.DataFrame
    items: np.ndarray  # (S,) rising
    forgotten: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    progress: Progress = silent
    _read: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def n_items(self) -> int:
        """N'."""
        return len(self.catalogue)

    @property
    def newcomers(self) -> np.ndarray:
        """Numbers of the items about whose choices nothing shall be known."""
        return np.union1d(self.forgotten, np.arange(self.dataset.n_items + 1, self.n_items + 1))

    @property
    def touched(self) -> np.ndarray:
        """Numbers of all items that are to be scored anew."""
        return np.union1d(self.items, self.newcomers)

    def texts(self, embedding: Embedding, store: Store) -> list[str]:
        """The prompts of :attr:`items` as ``embedding`` reads them."""
        return prompts(embedding, self.dataset, self.catalogue.iloc[self.items - 1], self.items, store)

    def alike(self, item: int) -> np.ndarray:
        """Numbers of the items of the dataset whose text is that of ``item``, but for upper case; none where it has
        none."""
        known, own = self.catalogue.iloc[: self.dataset.n_items], self.catalogue.iloc[item - 1]
        ids, rows = known["item_id"].to_numpy(object), np.arange(len(known))
        texts = {c: "" if c == "title" and own[c] == own["item_id"] else own[c] for c in self.dataset.text_columns}
        if not any(texts.values()):
            return rows[:0]
        for column, text in texts.items():
            cells, untitled = known[column].to_numpy(object), column == "title"
            read = ("" if untitled and cells[row] == ids[row] else cells[row] for row in rows)
            rows = rows[[cell.casefold() == text.casefold() for cell in read]]
        return np.asarray(rows + 1)

    def vectors(self, embedding: Embedding, store: Store) -> np.ndarray:
        """(N', E) all item vectors in the space of ``embedding``."""
        if embedding.id not in self._read:
            grown = np.zeros((self.n_items, embedding.dimension), np.float32)
            grown[: self.dataset.n_items] = embedding.item_vectors
            if len(self.items):
                texts = self.texts(embedding, store)
                grown[self.items - 1] = further_vectors(embedding, self.dataset, texts, store, self.progress)
            self._read[embedding.id] = grown
        return self._read[embedding.id]

    def padded(self, embedding: Embedding, store: Store) -> torch.Tensor:
        """The same with a row of zeros for padding, (N' + 1, E)."""
        return torch.from_numpy(pad(self.vectors(embedding, store)))

    def applied(self, dataset: Dataset) -> Dataset:
        """``dataset`` with the other catalogue. Who is head and who is tail stays as it was."""
        info = {**dataset.manifest.info, "thresholds": dataset.thresholds.model_dump()}
        return replace(dataset, catalogue=self.catalogue, manifest=dataset.manifest.model_copy(update={"info": info}))


def with_products(dataset: Dataset, rows: Sequence[Row], progress: Progress = silent) -> Change:
    """New products beside the items of a dataset. UserError for none, for one without text and for an attribute that
    the items of the dataset do not have."""
    if not rows:
        raise UserError("Give at least one product, with a title.")
    known = dataset.catalogue["item_id"].tolist()
    made = []
    for number, row in enumerate(rows, start=1):
        cells = _checked(dataset, row)
        if not any(cells.values()):
            raise UserError(
                f"Product {number} has no text: give it a title, or one of {', '.join(dataset.text_columns)}."
            )
        id = str(row.get("item_id") or f"new-{number}")
        if id in known:
            raise UserError(f"Item {id!r} is in dataset {dataset.name!r} already; `llmesr lab edit` changes its text.")
        known.append(id)
        blank = dict.fromkeys(dataset.text_columns, "")
        made.append({"item_id": id, **blank, **cells, "title": cells.get("title") or id})
    catalogue = pd.concat([dataset.catalogue, pd.DataFrame(made)], ignore_index=True)
    items = np.arange(dataset.n_items + 1, len(catalogue) + 1)
    return Change(dataset, catalogue, items, progress=progress)


def with_texts(dataset: Dataset, rows: Mapping[int, Row], progress: Progress = silent) -> Change:
    """Items of a dataset (numbers) under other text; attributes that a row does not name stay. UserError for an
    attribute that the items do not have."""
    catalogue = dataset.catalogue.copy()
    for item, row in rows.items():
        cells = _checked(dataset, row)
        if "title" in cells:  # an item without a title goes by its id
            cells["title"] = cells["title"] or str(catalogue["item_id"].iat[item - 1])
        catalogue.loc[item - 1, list(cells)] = list(cells.values())
    return Change(dataset, catalogue, np.array(sorted(rows), np.int64), progress=progress)


def as_new(dataset: Dataset, items: np.ndarray) -> Change:
    """Items of a dataset that nobody chose in training, scored as new products are: by their text alone.

    ValueError for an item that somebody chose: what a run learned of its neighbours would still be known.
    """
    if dataset.item_counts[items].any():
        raise ValueError("only an item that nobody chose in training can be scored as new")
    return Change(dataset, dataset.catalogue, np.zeros(0, np.int64), np.sort(items))


def _checked(dataset: Dataset, row: Row) -> dict[str, str]:
    """The cells of a row on one line each, without its id; octets that are no text become question marks."""
    unknown = [name for name in row if name != "item_id" and name not in dataset.text_columns]
    if unknown:
        raise UserError(
            f"The items of {dataset.name!r} have no attribute {unknown[0]!r}. Known: {', '.join(dataset.text_columns)}."
        )
    texts = {name: " ".join(str(value).split()) for name, value in row.items() if name != "item_id"}
    return {name: text.encode("utf-8", "replace").decode() for name, text in texts.items()}
