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
from llmesr.scoring.linear_term import LinearTerm, damped
from llmesr.scoring.shortlist import best, narrowed

Slope = Tensor
"""(N + 1,) weight times curve of a term."""


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
        self._room = threading.local()

    @torch.inference_mode()
    def best(
        self, read: Tensor, sequences: Tensor, barred: Tensor, k: int, whole: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The ``k`` items with the highest scores of every row, best first: scores and items, (B, k) each.

        ``read`` (B, D) are users, ``sequences`` (B, L) their histories, ``barred`` (S, 2) rows and items that come
        last, with -inf, as padding does. ``whole`` gives all scores (b, N + 1) of some rows (b,), without regard to
        what is barred.
        """
        listed = None if self.content is None else self.content.get().listed(sequences)
        one = read.new_ones(len(read), 1)
        users = torch.cat([read, one], 1)
        wide = users if listed is None else torch.cat([users, listed[0][:, None], one], 1)
        wide = torch.cat([wide, wide.norm(dim=1, keepdim=True)], 1)
        upper = (wide.to(self._bounding.dtype) @ self._bounding.T).float()  # (B, N + 1)
        added = self._add_linear(upper, sequences)
        if listed is not None:
            self._raise(upper, *listed)
        upper[:, PAD] = -torch.inf
        upper[barred[:, 0], barred[:, 1]] = -torch.inf
        if self.content is None and not self._halves:
            found = best(upper, k)
        else:
            found = self._narrowed(upper, users, sequences, k, whole)
        if added is not None:
            self._room.sums.view(-1).index_fill_(0, added, 0)
        return found

    def _add_linear(self, upper: Tensor, sequences: Tensor) -> Tensor | None:
        """Add the linear term in place. Returns where it has something to add, as places in ``upper`` flattened; the
        sums stand there in a table that is zero everywhere else."""
        if self.linear is None:
            return None
        if getattr(self._room, "sums", upper[:0]).shape[0] < len(upper):
            self._room.sums = torch.zeros_like(upper)
        owner, item, value = self.linear.get().entries(sequences)
        place, sums, flat = owner * upper.shape[1] + item, self._room.sums.view(-1), upper.view(-1)
        sums.index_add_(0, place, value)
        more = self.linear.slope.index_select(0, item) * damped(sums.index_select(0, place))
        flat.index_copy_(0, place, flat.index_select(0, place) + more)  # who stands there twice gets the same twice
        return place

    def _raise(self, upper: Tensor, bound: Tensor, owner: Tensor, item: Tensor, cosine: Tensor) -> None:
        """From the bound of everybody to the cosine that an item comes with, where that is higher; in place."""
        more = cosine - bound.index_select(0, owner)
        closer = (more > 0).nonzero()[:, 0]
        owner, item, more = (t.index_select(0, closer) for t in (owner, item, more))
        place, flat = owner * upper.shape[1] + item, upper.view(-1)
        raised = flat.index_select(0, place) + self._rise.index_select(0, item) * more
        flat.scatter_reduce_(0, place, raised, "amax")

    def _narrowed(
        self, upper: Tensor, users: Tensor, sequences: Tensor, k: int, whole: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Few candidates scored in full precision, until no bound that is left can hold a better one."""

        def scored(rows: Tensor, candidates: Tensor) -> Tensor:
            """(b,) rows and (b, C) candidates -> (b, C) scores; -inf for what is barred."""
            own = (F.embedding(candidates, self._exact) @ users.index_select(0, rows)[:, :, None])[:, :, 0]
            if self.linear is not None:
                sums = self._room.sums.index_select(0, rows).gather(1, candidates)
                own = torch.addcmul(own, self.linear.slope[candidates], damped(sums))
            if self.content is not None:
                content = self.content.get().of(sequences.index_select(0, rows), candidates)
                own = torch.addcmul(own, self.content.slope[candidates], content)
            barred = upper.index_select(0, rows).gather(1, candidates) == -torch.inf
            return own.masked_fill_(barred, -torch.inf)

        def all_of(rows: Tensor) -> Tensor:
            return whole(rows).masked_fill(upper.index_select(0, rows) == -torch.inf, -torch.inf)

        return narrowed(upper, scored, all_of, k)
