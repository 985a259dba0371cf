"""The best items of a dot-product model under a policy, from one product.

What a policy adds for all users alike is a column of the item vectors, and so is what bounds the content term from
above: one product gives a bound of every score. The linear term says something of few items only; it is added where it
does. Nothing else passes over the catalogue. On a processor that multiplies bfloat16 the bounds are made of that, wider
by what rounding can amount to; the scores are always those of float32.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.ids import PAD
from llmesr.scoring import coarse
from llmesr.scoring.content import ContentTerm
from llmesr.scoring.greatest import best
from llmesr.scoring.linear_term import LinearTerm, damped
from llmesr.scoring.shortlist import narrowed

Slope = Tensor
"""(N + 1,) weight times curve of a term."""
AT_ONCE = 2**25
"""Scores that exist at once in a thread; of a batch that has more, some rows at a time."""


@dataclass(frozen=True, eq=False)
class Content:
    """The content term of a catalogue that is too large for all its cosines, and its slope."""

    get: Callable[[], ContentTerm]
    slope: Slope


@dataclass(frozen=True, eq=False)
class Linear:
    """A sparse linear term, and its slope."""

    get: Callable[[], LinearTerm]
    slope: Slope


class _Tables(threading.local):
    """What a thread makes of every batch again, in the same memory: new memory costs more than the product does."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def get(self, name: str, rows: int, columns: int, like: Tensor) -> Tensor:
        """(rows, columns) as it was left; zero where it is new. Of the type and on the device of ``like``."""
        key, size = (name, like.dtype, like.device), rows * columns
        if key not in self._kept or len(self._kept[key]) < size:
            self._kept[key] = torch.zeros(size, dtype=like.dtype, device=like.device)
        return self._kept[key][:size].view(rows, columns)


_TABLES = _Tables()


class Product:
    """Lists of the best items of ``score = read . item + fixed + linear + content``."""

    def __init__(self, items: Tensor, fixed: Tensor, linear: Linear | None, content: Content | None) -> None:
        """``items`` (N + 1, D) as they are weighed, ``fixed`` (N + 1,) what all users add to them."""
        self.linear, self.content = linear, content
        self._exact = torch.cat([items, fixed[:, None]], 1)
        columns = [self._exact]
        if content is not None:
            self._rise, fall = content.slope.clamp(min=0), (-content.slope).clamp(min=0)
            columns += [self._rise[:, None], fall[:, None]]  # a cosine is -1 at the least
        bounding = torch.cat(columns, 1)
        self._halves = coarse.pays(items.device)
        margin = bounding.norm(dim=1, keepdim=True) * (coarse.ROUNDED if self._halves else 0.0)
        self._bounding = torch.cat([bounding, margin], 1)
        if self._halves:
            self._bounding = self._bounding.bfloat16()

    @torch.inference_mode()
    def best(
        self, read: Tensor, sequences: Tensor, barred: Tensor, k: int, whole: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The ``k`` items with the highest scores of every row, best first: scores and items, (B, k) each.

        ``read`` (B, D) are users, ``sequences`` (B, L) their histories, ``barred`` (S, 2) rows and items that come
        last, with -inf, as padding does. ``whole`` gives all scores (b, N + 1) of some rows (b,), without regard to
        what is barred.
        """
        step = max(1, AT_ONCE // len(self._exact))

        def part(first: int) -> tuple[Tensor, Tensor]:
            some = slice(first, first + step)
            mine = barred[(barred[:, 0] >= first) & (barred[:, 0] < first + step)] - barred.new_tensor([first, 0])
            return self._best(read[some], sequences[some], mine, k, lambda rows: whole(rows + first))

        values, items = zip(*(part(first) for first in range(0, len(read), step)), strict=True)
        return torch.cat(values), torch.cat(items)

    def _best(
        self, read: Tensor, sequences: Tensor, barred: Tensor, k: int, whole: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`best`."""
        listed = None if self.content is None else self.content.get().listed(sequences)
        one = read.new_ones(len(read), 1)
        users = torch.cat([read, one], 1)
        upper = self._upper(users if listed is None else torch.cat([users, listed[0][:, None], one], 1))
        sums, added = self._add_linear(upper, sequences)
        try:
            if listed is not None:
                self._raise(upper, *listed)
            upper[:, PAD] = -torch.inf
            upper[barred[:, 0], barred[:, 1]] = -torch.inf
            if self.content is None and not self._halves:
                return best(upper, k)
            return self._narrowed(upper, users, sums, sequences, k, whole)
        finally:
            if sums is not None:
                sums.view(-1).scatter_(0, added, sums.new_zeros(len(added)))

    def _upper(self, wide: Tensor) -> Tensor:
        """(B, N + 1) the product of users with what bounds their scores; in memory that the next batch overwrites."""
        wide = torch.cat([wide, wide.norm(dim=1, keepdim=True)], 1)
        upper = _TABLES.get("upper", len(wide), len(self._bounding), wide)
        if not self._halves:
            return torch.mm(wide, self._bounding.T, out=upper)
        rough = _TABLES.get("rough", len(wide), len(self._bounding), self._bounding)
        return upper.copy_(torch.mm(wide.bfloat16(), self._bounding.T, out=rough))

    def _add_linear(self, upper: Tensor, sequences: Tensor) -> tuple[Tensor | None, Tensor]:
        """Add the linear term in place. Returns its sums (B, N + 1), which stand in a table that is zero everywhere
        else and must be again, and where they are in it flattened."""
        if self.linear is None:
            return None, upper.new_empty(0, dtype=torch.int64)
        table = _TABLES.get("sums", len(upper), upper.shape[1], upper)
        owner, item, value = self.linear.get().entries(sequences)
        place, sums, flat = owner * upper.shape[1] + item, table.view(-1), upper.view(-1)
        sums.scatter_add_(0, place, value)  # and below: half of what index_add_ and index_copy_ take
        more = self.linear.slope.index_select(0, item) * damped(sums.index_select(0, place))
        flat.scatter_(0, place, flat.index_select(0, place) + more)  # who stands there twice gets the same twice
        return table, place

    def _raise(self, upper: Tensor, bound: Tensor, owner: Tensor, item: Tensor, cosine: Tensor) -> None:
        """From the bound of everybody to the cosine that an item comes with, where that is higher; in place."""
        more = cosine - bound.index_select(0, owner)
        closer = (more > 0).nonzero()[:, 0]
        owner, item, more = (t.index_select(0, closer) for t in (owner, item, more))
        place, flat = owner * upper.shape[1] + item, upper.view(-1)
        raised = flat.index_select(0, place) + self._rise.index_select(0, item) * more
        flat.scatter_reduce_(0, place, raised, "amax")

    def _narrowed(
        self,
        upper: Tensor,
        users: Tensor,
        sums: Tensor | None,
        sequences: Tensor,
        k: int,
        whole: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Few candidates scored in full precision, until no bound that is left can hold a better one."""

        def scored(rows: Tensor, candidates: Tensor) -> Tensor:
            """(b,) rows and (b, C) candidates -> (b, C) scores; -inf for what is barred."""
            own = (F.embedding(candidates, self._exact) @ users.index_select(0, rows)[:, :, None])[:, :, 0]
            if self.linear is not None and sums is not None:
                own = torch.addcmul(own, self.linear.slope[candidates], damped(_few(sums, rows, candidates)))
            if self.content is not None:
                content = self.content.get().of(sequences.index_select(0, rows), candidates)
                own = torch.addcmul(own, self.content.slope[candidates], content)
            return own.masked_fill_(_few(upper, rows, candidates) == -torch.inf, -torch.inf)

        def all_of(rows: Tensor) -> Tensor:
            return whole(rows).masked_fill(upper.index_select(0, rows) == -torch.inf, -torch.inf)

        return narrowed(upper, scored, all_of, k)


def _few(table: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Of (B, N + 1) some rows (b,) and of each some columns (b, C), -> (b, C), without a copy of the rows."""
    place = rows[:, None] * table.shape[1] + columns
    return table.view(-1).index_select(0, place.view(-1)).view_as(columns)
