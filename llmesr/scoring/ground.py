"""What the terms of a score need to know of a dataset: popularity, who is a tail user, the text, who chose what."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.ids import PAD
from llmesr.scoring.content import ContentTerm
from llmesr.scoring.evened import evened
from llmesr.scoring.linear_term import READS_TEXT, LinearKind, LinearTerm, make

BUDGET = 2**31
"""Bytes that the terms kept ready may take together: text spaces, each with its rows of cosines, and linear weights."""
FEWEST = 3
"""Terms kept at the least: the text as it is, and the text space and the linear term of the policy in use."""


def stranger(length: int) -> int:
    """The number of a user whom the dataset does not know, and who comes with a history of ``length`` items: a model
    may read the newest of them alone."""
    return -1 - length


class Unavailable(UserError):
    """What was asked for needs something this run was made without."""


class Ground:
    """A dataset as scores see it. May be shared by threads."""

    def __init__(
        self,
        *,
        item_counts: Tensor,
        train_lengths: Tensor,
        thresholds: Thresholds,
        text: np.ndarray | Tensor | None = None,
        linear: Callable[[LinearKind], LinearTerm] | None = None,
        device: torch.device | str = "cpu",
        budget: int = BUDGET,
        text_folder: Path | None = None,
        evened_like: np.ndarray | Tensor | None = None,
    ) -> None:
        """``item_counts`` (N + 1,) and ``train_lengths`` (U,) are training interactions; ``text`` (N + 1, E).

        ``linear`` makes a linear term when it is first asked for; ``budget``: see :data:`BUDGET`. ``text_folder``:
        where the text lies, and what is worked out of it may be kept. ``evened_like``: the text whose directions are
        evened out, where some rows of ``text`` are others, so that the rest of it stays what it was.
        """
        self.item_counts = item_counts.to(device)
        self.log_counts = torch.log1p(self.item_counts.float())  # (N + 1,)
        self.train_lengths = train_lengths.to(device)
        self.thresholds = thresholds
        self.has_text = text is not None
        self._text, self._text_folder, self._evened_like = text, text_folder, evened_like
        self._device = device
        self.budget = budget
        # By whitening or kind, most recently used last.
        self._kept: OrderedDict[float | LinearKind, ContentTerm | LinearTerm] = OrderedDict()
        self._lock, self._solving = threading.Lock(), threading.Lock()
        self._make_linear = linear

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        text: np.ndarray | None,
        device: torch.device | str = "cpu",
        folder: Path | None = None,
        text_folder: Path | None = None,
        train_lengths: np.ndarray | None = None,
    ) -> Self:
        """From a dataset and its padded (N + 1, E) item vectors, if there are any; ``folder`` and ``text_folder`` are
        where they lie, and what takes long of them may be kept. ``train_lengths`` (U,): where those of ``dataset`` hold
        the validation part as well, by which users are not told apart."""
        lengths = dataset.split.train_lengths if train_lengths is None else train_lengths
        if text is not None and len(text) != dataset.n_items + 1:
            raise UserError(
                f"The text vectors have {len(text) - 1} items and dataset {dataset.name!r} has {dataset.n_items}. "
                f"Embed this dataset: `llmesr embed {dataset.id}`."
            )
        return cls(
            item_counts=torch.from_numpy(np.asarray(dataset.item_counts)),
            train_lengths=torch.from_numpy(np.asarray(lengths)),
            thresholds=dataset.thresholds,
            text=text,
            linear=lambda kind: make(kind, dataset, text, device, folder),
            device=device,
            text_folder=text_folder,
        )

    def linear(self, kind: LinearKind) -> LinearTerm:
        """The linear term of a kind, solved for when it is first asked for. Unavailable when the ground was made
        without interactions, or without the text that the kind reads. Do not keep it: see :meth:`content`."""
        if self._make_linear is None:
            raise Unavailable("The linear term needs the training interactions of the dataset.")
        if kind in READS_TEXT and not self.has_text:
            raise Unavailable(f"The linear term {kind} needs text vectors: run `llmesr embed` on the dataset first.")
        with self._solving:  # others go on meanwhile
            with self._lock:
                found = self._kept.get(kind)
            term = self._make_linear(kind) if found is None else found
        with self._lock:
            self._keep(kind, term)
        return cast(LinearTerm, term)

    def content(self, whitening: float = 0.0) -> ContentTerm:
        """The content term in the text space evened out by ``whitening``. Unavailable without text.

        The terms used last are kept, as many as the budget holds; do not keep one yourself.
        """
        if self._text is None:
            raise Unavailable("This needs text vectors of the dataset: run `llmesr embed` on it first.")
        with self._lock:
            term = self._kept.get(whitening) or self._text_space(self._text, whitening)
            self._keep(whitening, term)
        return cast(ContentTerm, term)

    def _text_space(self, text: np.ndarray | Tensor, whitening: float) -> ContentTerm:
        beside = self._text_folder
        rows = evened(text, whitening, beside, self._evened_like)
        return ContentTerm(rows, self._device, unit=True, beside=beside, space=repr(whitening))

    @cached_property
    def by_popularity(self) -> np.ndarray:
        """(N,) the items, most popular first."""
        return np.argsort(-self.item_counts.cpu().numpy()[1:], kind="stable") + 1

    def prepare_next(self) -> bool:
        """Work out some of what lists will need in the text spaces they are made in, for popular items first; whether
        there was anything left to do."""
        with self._lock:
            terms = [term for term in reversed(self._kept.values()) if isinstance(term, ContentTerm)]
        return any(term.prepare_next(self.by_popularity) for term in terms)

    def _keep(self, key: float | LinearKind, term: ContentTerm | LinearTerm) -> None:
        """As the one used last; those used longest ago go as far as the budget asks."""
        self._kept[key] = term
        self._kept.move_to_end(key)
        while len(self._kept) > FEWEST and self.kept_bytes > self.budget:
            self._kept.popitem(last=False)

    @property
    def kept_bytes(self) -> int:
        """What the terms kept ready take at the most."""
        return sum(term.nbytes for term in self._kept.values())

    def tail_users(self, sequences: Tensor, users: Tensor | None) -> Tensor:
        """(B,) bool. Known users by their training history; a :func:`stranger` by the length it tells of; others (-1,
        or no ``users`` at all) by the part of a history that the model reads."""
        lengths = (sequences != PAD).sum(1)
        if users is not None:
            lengths = torch.where(users < -1, -1 - users, lengths)
            lengths = torch.where(users < 0, lengths, self.train_lengths[users.clamp(min=0)])
        return self.thresholds.tail_users(lengths)
