"""Scorers: what evaluation and serving need of a model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.data.fading import fading
from llmesr.data.unit_rows import unit_rows
from llmesr.ids import PAD
from llmesr.models.code_tree import CodeDecoder
from llmesr.models.sequence_model import SequenceModel

MANY = 1024
"""Positions of a batch from which on histories are read by length."""
SHORT = 8
"""Histories up to this length are read together."""
ITEMS_AT_ONCE = 65_536
"""Items whose text is read at once for a table that is spread over processes."""
BEHIND = 1.0
"""By how much the items that a search of beams did not find stand behind the last that it found."""


class Scorer(Protocol):
    """What every model offers: scores of all items, column = item number.

    ``score``: right-padded ``sequences`` (B, L) of item numbers, and the ``users`` (B,) they belong to where they are
    known, -> (B, N + 1).
    """

    @property
    def n_items(self) -> int: ...

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class DotScorer(Scorer, Protocol):
    """A model whose score is the dot product of a user and an item vector, made of one or more views.

    ``view_slices``: the columns of the vectors that belong to each view, in order.
    ``represent``: (B, L) -> (B, D); ``item_matrix``: (N + 1, D), row 0 zero.
    """

    @property
    def view_slices(self) -> dict[str, slice]: ...

    def represent(self, sequences: Tensor) -> Tensor: ...

    def item_matrix(self) -> Tensor: ...


class PopularityScorer:
    """Every user gets the items chosen most often in training."""

    def __init__(self, item_counts: np.ndarray, device: torch.device | str = "cpu") -> None:
        """``item_counts`` (N + 1,) training counts."""
        self.n_items = len(item_counts) - 1
        self.counts = torch.from_numpy(item_counts).float().to(device)

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return self.counts.expand(len(sequences), -1)


class SemanticKnnScorer:
    """No training at all: a candidate's cosines to the items of the history, of which the highest counts, or the sum
    in which each item counts ``decay`` times what the next one does."""

    def __init__(self, vectors: Tensor, device: torch.device | str = "cpu", *, decay: float | None = None) -> None:
        """``vectors`` (N + 1, E) of what is compared, row 0 zero; ``decay``: of the sum, None for the highest."""
        self.n_items = len(vectors) - 1
        self.vectors = unit_rows(vectors.to(device))
        self.decay = decay

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        if self.decay is not None:
            faded = fading(sequences, self.decay)
            return F.embedding_bag(sequences, self.vectors, per_sample_weights=faded, mode="sum") @ self.vectors.T
        read, inverse = torch.unique(sequences, return_inverse=True)  # (R,), (B, L)
        similar = self.vectors[read] @ self.vectors.T  # (R, N + 1)
        similar[read == PAD] = -1.0
        best = similar[inverse[:, 0]].clone()
        for step in range(1, sequences.shape[1]):  # a running maximum: (B, L, N) never exists
            torch.maximum(best, similar[inverse[:, step]], out=best)
        return best


class WritingScorer:
    """A trained model that writes an item code by code: the score is the log-probability of all its codes, counted from
    chance (:attr:`zero`).

    In a small catalogue all items are scored exactly. In a large one a search of beams finds the best, and all that it
    did not find stand behind them, alike; so do items beyond those of the model, which have no codes.
    """

    def __init__(self, model: SequenceModel, decoder: CodeDecoder, device: torch.device | str = "cpu") -> None:
        self.model, self.decoder = model.to(device).eval(), decoder
        self.n_items, self.max_length = model.n_items, model.max_length
        self.exhaustive = model.n_items <= decoder.exhaustive_up_to
        self.zero = -math.log(model.n_items)
        """The log-probability that scores 0: that of an item drawn from all alike. What says nothing of an item is then
        0, as in other models; below 0 throughout, a weight that is lowered would raise what it is for."""

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        states = self.model.represent(sequences)
        if self.exhaustive:
            found = self.decoder.every(states)
            items = torch.arange(1, self.model.n_items + 1, device=states.device).expand_as(found)
        else:
            items, found = self.decoder.beams(states, self.decoder.beam)
        found = found - self.zero
        behind = found.masked_fill(~found.isfinite(), torch.inf).amin(1, keepdim=True) - BEHIND
        scores = behind.expand(-1, self.n_items + 1).clone()
        return scores.scatter_(1, items, torch.where(items > 0, found, behind))

    @torch.inference_mode()
    def recall(self, sequences: Tensor, k: int = 10) -> float:
        """How many of the ``k`` best items, scored exactly, the beams find: the mean share over (B, L) histories."""
        states = self.model.represent(sequences)
        exact = 1 + self.decoder.every(states).topk(min(k, self.model.n_items), dim=1).indices
        found, _ = self.decoder.beams(states, self.decoder.beam)
        return float((exact[:, :, None] == found[:, None]).any(2).float().mean())


class NeuralScorer:
    """A trained :class:`SequenceModel`, frozen, with its item matrix computed once."""

    def __init__(self, model: SequenceModel, device: torch.device | str = "cpu") -> None:
        self.model = model.to(device).eval()
        self.n_items = model.n_items
        self.max_length = model.max_length
        self.view_slices = model.view_slices
        self._items: Tensor | None = None

    @torch.inference_mode()
    def item_matrix(self) -> Tensor:
        """(N + 1, V * D), row 0 zero."""
        if self._items is None:
            self._items = self.model.candidates().detach()
        return self._items

    @torch.inference_mode()
    def represent(self, sequences: Tensor) -> Tensor:
        """(B, L) -> (B, V * D). Histories of similar length at a time: short ones are not padded to the longest."""
        if sequences.numel() < MANY:
            return self.model.represent(sequences, self.item_matrix())
        users: Tensor | None = None
        for rows, some in _by_length(sequences):
            found = self.model.represent(some, self.item_matrix())
            users = found.new_empty(len(sequences), found.shape[1]) if users is None else users
            users[rows] = found
        return users if users is not None else self.model.represent(sequences, self.item_matrix())

    @property
    def leaves_one_out(self) -> bool:
        """Whether :meth:`leave_one_out` may be asked for."""
        return self.model.leaves_one_out

    @torch.inference_mode()
    def leave_one_out(self, histories: Tensor, owner: Tensor, gap: Tensor) -> Tensor:
        """What :meth:`represent` makes of R rows, (R, V * D), each of which is one of (H, L) ``histories`` of at most
        ``max_length`` items, its ``owner`` (R,), or that without the item at place ``gap`` (R,), -1 where all of it is
        there."""
        users = torch.empty(len(owner), self.item_matrix().shape[1], device=histories.device)
        for of, some in _by_length(histories):
            number = torch.full((len(histories),), -1, device=histories.device)
            number[of] = torch.arange(len(of), device=histories.device)
            mine = (number[owner] >= 0).nonzero()[:, 0]
            users[mine] = self.model.leave_one_out(some, number[owner[mine]], gap[mine], self.item_matrix())
        return users

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return self.represent(sequences) @ self.item_matrix().T


def _by_length(sequences: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows (b,) of (B, L) ``sequences`` that are of similar length, in rising order, and these (b, l)."""
    lengths = (sequences != PAD).sum(1)
    group = torch.ceil(torch.log2(lengths.clamp(min=SHORT).float())).int()
    for one in torch.unique(group):
        rows = (group == one).nonzero()[:, 0]
        yield rows, sequences[rows, : int(lengths[rows].max().clamp(min=1))]


class ShardedScorer:
    """A model whose item table is spread over processes: each scores the items whose rows it keeps. Every method but
    :meth:`score_kept` must be called by all of them at once."""

    def __init__(self, model: SequenceModel, device: torch.device | str = "cpu") -> None:
        self.model = model.to(device).eval()
        self.n_items = model.n_items
        self.processes = next(iter(model.sharded.values())).processes
        self._items: Tensor | None = None

    @torch.no_grad()
    def represent(self, sequences: Tensor) -> Tensor:
        """(B, L), the same in every process -> (B, V * D); each reads its share of the rows."""
        mine = sequences[self.processes.rank :: self.processes.size]
        self.model.borrow(mine)
        width = max(columns.stop for columns in self.model.view_slices.values())
        states = torch.zeros(len(sequences), width, device=sequences.device)
        if len(mine):
            states[self.processes.rank :: self.processes.size] = self.model.represent(mine).float()
        return self.processes.total(states)

    @torch.no_grad()
    def score_kept(self, states: Tensor) -> Tensor:
        """(B, V * D) -> (B, n) scores of the items that this process keeps: r, r + P, ... but for the padding."""
        if self._items is None:
            first = self.processes.rank or self.processes.size
            kept = torch.arange(first, self.n_items + 1, self.processes.size, device=states.device)
            self._items = torch.cat([self.model.embed_kept(some).float() for some in kept.split(ITEMS_AT_ONCE)])
        return states @ self._items.T
