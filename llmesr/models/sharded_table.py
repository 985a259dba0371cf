"""A table of item vectors that no process holds whole: its rows are spread over the processes that train together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmesr.ids import PAD
from llmesr.processes import Processes

AT_ONCE = 4_096
"""Rows that are drawn at once."""


@dataclass(frozen=True)
class _Borrowed:
    """The rows of a batch: ``asked`` (n,) items in rising order, ``rows`` (n + 1, D) their vectors behind that of the
    padding. ``order`` (n,) sorts them by owner; ``give[k]`` of them are of process k. ``lent`` are the rows of this
    process that the others have, ``take[k]`` of them process k."""

    asked: Tensor
    rows: Tensor
    order: Tensor
    give: list[int]
    lent: Tensor
    take: list[int]


class ShardedTable(nn.Module):
    """A trainable vector per item, of which process r of P keeps those of items r, r + P, r + 2P, ... and what the
    optimiser knows of them. Every P-th, and not a block: the order of a catalogue often follows popularity.

    :meth:`borrow` brings the rows of a batch from their owners, :meth:`forward` looks items up among them and
    :meth:`give_back` takes their gradients to the owners, where they add up. All processes call both alike.
    """

    def __init__(
        self,
        n_items: int,
        embedding_size: int,
        processes: Processes,
        *,
        start: Tensor | None = None,
        scale: float = 0.02,
    ) -> None:
        """Starts as the same rows of an :class:`~llmesr.models.tables.IdTable` would; ``start`` (N, D) as there."""
        super().__init__()
        self.n_items, self.processes = n_items, processes
        kept = torch.arange(processes.rank, n_items + 2, processes.size)
        rows = drawn_rows(n_items + 2, embedding_size, processes.rank, processes.size).mul_(scale)
        real = (kept > PAD) & (kept <= n_items)
        if start is not None:
            rows[real] = start[kept[real] - 1]
        rows[kept == PAD] = 0
        self.vectors = nn.Parameter(rows)
        self.borrowed: _Borrowed | None = None

    @property
    def elsewhere(self) -> int:
        """How many numbers of the table the other processes keep."""
        return (self.n_items + 2) * self.vectors.shape[1] - self.vectors.numel()

    def weight(self) -> NoReturn:
        """No process can give all rows."""
        raise RuntimeError("a sharded table is nowhere whole: ask for rows")

    def kept(self, items: Tensor) -> Tensor:
        """(S,) items of this process -> (S, D)."""
        return self.vectors[items // self.processes.size]

    @torch.no_grad()
    def borrow(self, items: Tensor) -> None:
        """Bring the vectors of ``items`` (...) here, each once: their numbers in one message, the rows in another."""
        asked = torch.unique(items)
        asked = asked[asked != PAD]
        size = self.processes.size
        order = (asked % size).argsort(stable=True)
        give = torch.bincount(asked % size, minlength=size).tolist()
        take = self.processes.told(give)
        lent = self.processes.exchange(asked[order] // size, give, take)
        came = self.processes.exchange(self.vectors[lent], take, give)
        rows = came.new_zeros(len(asked) + 1, came.shape[1])
        rows[1 + order] = came
        self.borrowed = _Borrowed(asked, rows, order, give, lent, take)
        rows.requires_grad_(self.vectors.requires_grad)

    def forward(self, items: Tensor) -> Tensor:
        """RuntimeError for an item that was not borrowed."""
        if self.borrowed is None:
            raise RuntimeError("borrow() must be called before rows are read")
        asked, rows = self.borrowed.asked, self.borrowed.rows
        place = torch.searchsorted(asked, items.contiguous()).clamp(max=max(len(asked) - 1, 0))
        if not bool(((items == PAD) | (asked[place] == items if len(asked) else False)).all()):
            raise RuntimeError("an item was read that was not borrowed")
        return F.embedding(torch.where(items == PAD, 0, place + 1), rows, padding_idx=0)

    @torch.no_grad()
    def give_back(self) -> None:
        """Take the gradients of the borrowed rows to their owners, in one message."""
        if self.borrowed is None or not self.vectors.requires_grad:
            return
        found, borrowed = self.borrowed.rows.grad, self.borrowed
        gradient = torch.zeros_like(borrowed.rows) if found is None else found
        came = self.processes.exchange(gradient[1 + borrowed.order], borrowed.give, borrowed.take)
        where, shape = borrowed.lent[None], self.vectors.shape
        self.vectors.grad = torch.sparse_coo_tensor(where, came, shape, check_invariants=False).coalesce()
        self.borrowed = None


def drawn_rows(rows: int, size: int, first: int, every: int) -> Tensor:
    """Rows ``first``, ``first + every``, ... of ``torch.randn(rows, size)``, number by number, without ever holding it
    whole: the generator gives blocks of 16 numbers the same way, be they drawn at once or not."""
    ends = [*range(AT_ONCE, rows - AT_ONCE, AT_ONCE), rows]  # the last block takes up what would be a small one
    kept = torch.empty(len(range(first, rows, every)), size)
    begun = done = 0
    for end in ends:
        some = torch.randn(end - begun, size)[(first - begun) % every :: every]
        kept[done : done + len(some)] = some
        begun, done = end, done + len(some)
    return kept
