"""What a score is made of: one ordered table of terms.

    score(u, i) = sum over the terms t of  weight_t * curve_t(n_i) * t(u, i)

Weights and curves (over the ``n_i`` training interactions of an item) are the policy's. Scorer, parts shown, grid,
fit and units iterate over :data:`TERMS`: a new term is one entry.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.linear.scorer import LinearScorer
from llmesr.models.blend import BlendScorer
from llmesr.models.folded import Folded
from llmesr.models.scorers import DotScorer, NeuralScorer, Scorer, SemanticKnnScorer
from llmesr.scoring.ground import Ground
from llmesr.scoring.linear_term import PLAINEST, READS_TEXT, LinearKind
from llmesr.scoring.without import Without

Variant = float | str | None
"""What a term's scores depend on besides the run, such as the whitening of the text."""
Key = tuple[str, Variant]
"""A term by name, in one of its variants."""
Column = Literal["collaborative", "semantic", "content"]
COLUMNS: tuple[Column, ...] = ("collaborative", "semantic", "content")
"""The columns that lists of items show, which together are the score."""


class TermScorer(Protocol):
    """A term of one run, ready to score."""

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) right-padded histories -> (B, N + 1)."""
        ...

    def of(self, sequences: Tensor, items: Tensor, users: Tensor | None = None) -> Tensor:
        """The same for few items: (B, L) and (B, C), or (C,) for all users the same, -> (B, C)."""
        ...


@dataclass(frozen=True)
class Term:
    """An entry of the table. ``make`` gives the term of a run, None where its model has no such part."""

    name: str
    """Of the term, and of its curve."""
    title: str
    """In sentences: "<title> weight 0.3"."""
    make: Callable[[Scorer, Ground, Variant], TermScorer | None]
    setting: str | None = None
    """The setting of the policy that holds its weight; 0 leaves the term out. None: there is none (see ``own``)."""
    variant: str | None = None
    """The setting of the policy that names the variant."""
    variant_title: str = ""
    """In sentences: "(<variant_title> 0.5)"."""
    own: bool = False
    """Part of the model's own scores: its weight is 1. A term with neither setting nor ``own`` is all in its curve."""
    signed: bool = False
    """Whether it may count against an item."""
    curved: bool = True
    """Whether its weight may follow popularity."""
    routed: bool = False
    """Whether routing lowers its weight for rare items."""
    reads_text: Callable[[Variant], bool] = lambda variant: False
    """Whether a variant needs text vectors of the items."""
    column: Column = "collaborative"
    """Where it is counted in lists of items."""


class Remembered:
    """A dot-product model that keeps the users it represented last: its parts are asked about the same ones in a row,
    and a pass through the encoder costs more than all else."""

    def __init__(self, model: DotScorer) -> None:
        self.model = model
        self.n_items = model.n_items
        self.view_slices = model.view_slices
        self._last = threading.local()  # a server and an app score from several threads

    def represent(self, sequences: Tensor) -> Tensor:
        """(B, L) -> (B, D)."""
        if getattr(self._last, "sequences", None) is not sequences:
            self.know(sequences, self.model.represent(sequences))
        users: Tensor = self._last.users
        return users

    def leave_one_out(self, rows: Without) -> Tensor:
        """What the model makes of histories without each of their items, (R, D), which it reads at once if it can."""
        if not isinstance(self.model, NeuralScorer) or not self.model.leaves_one_out:
            return self.model.represent(rows.sequences)
        gap = rows.gap
        several = (gap < -1).nonzero()[:, 0]
        if not len(several):
            return self.model.leave_one_out(rows.histories, rows.owner, gap)
        one = (gap >= -1).nonzero()[:, 0]
        read = self.model.leave_one_out(rows.histories, rows.owner[one], gap[one])
        users = read.new_empty(len(gap), read.shape[1])
        users[one], users[several] = read, self.model.represent(rows.sequences[several])
        return users

    def know(self, sequences: Tensor, users: Tensor) -> None:
        """Remember that the model makes ``users`` (B, D) of ``sequences`` (B, L)."""
        self._last.users, self._last.sequences = users, sequences

    def item_matrix(self) -> Tensor:
        """(N + 1, D)."""
        return self.model.item_matrix()

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) -> (B, N + 1)."""
        return self.represent(sequences) @ self.item_matrix().T


def remembered(scorer: Scorer) -> Scorer:
    """``scorer``, as one that remembers where that saves anything."""
    return Remembered(scorer) if isinstance(scorer, DotScorer) and not isinstance(scorer, Remembered) else scorer


class Views:
    """Some views of a dot-product model: what they add to its scores."""

    def __init__(self, model: DotScorer, slices: Sequence[slice]) -> None:
        self.model = model
        self.slices = slices

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        read, items = self.model.represent(sequences), self.model.item_matrix()
        first, *others = (read[:, s] @ items[:, s].T for s in self.slices)
        return sum(others, start=first)

    def of(self, sequences: Tensor, items: Tensor, users: Tensor | None = None) -> Tensor:
        read, rows = self.model.represent(sequences), F.embedding(items, self.model.item_matrix())  # (B, D), (B, C, D)
        product = "bd,cd->bc" if items.dim() == 1 else "bd,bcd->bc"
        first, *others = (torch.einsum(product, read[:, s], rows[..., s]) for s in self.slices)
        return sum(others, start=first)


class Whole:
    """A model that is no dot product, as one part."""

    def __init__(self, model: Scorer) -> None:
        self.model = model

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return self.model.score(sequences, users)

    def of(self, sequences: Tensor, items: Tensor, users: Tensor | None = None) -> Tensor:
        return picked(self.model.score(sequences, users), items)


def picked(scores: Tensor, items: Tensor) -> Tensor:
    """(B, N + 1) scores of ``items`` (B, C), or (C,) for all users the same, -> (B, C)."""
    return scores[:, items] if items.dim() == 1 else scores.gather(1, items)


class Blended:
    """What the members of a blend have of one part, by their weights (N + 1,), and the ``bias`` (N + 1,)."""

    def __init__(self, parts: Sequence[tuple[TermScorer, Tensor]], bias: Tensor) -> None:
        self.parts, self.bias = parts, bias

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        added = (term.score(sequences, users) * weight for term, weight in self.parts)
        return sum(added, start=self.bias.expand(len(sequences), -1))

    def of(self, sequences: Tensor, items: Tensor, users: Tensor | None = None) -> Tensor:
        added = (term.of(sequences, items, users) * weight[items] for term, weight in self.parts)
        return sum(added, start=self.bias[items])


class OfFolds:
    """One part of a model that has several for its users: of each the part of the one that scores the user."""

    def __init__(self, model: Folded, parts: Sequence[TermScorer]) -> None:
        self.model, self.parts = model, parts

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        total = torch.zeros(len(sequences), self.model.n_items + 1, device=sequences.device)
        for number, rows, who in self.model.rows_of(users):
            total[rows] = self.parts[number].score(sequences[rows], who).float()
        return total

    def of(self, sequences: Tensor, items: Tensor, users: Tensor | None = None) -> Tensor:
        total = torch.zeros(len(sequences), items.shape[-1], device=sequences.device)
        for number, rows, who in self.model.rows_of(users):
            some = items if items.dim() == 1 else items[rows]
            total[rows] = self.parts[number].of(sequences[rows], some, who).float()
        return total


class PerItem:
    """The same for every user: ``values`` (N + 1,)."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return self.values.expand(len(sequences), -1)

    def of(self, sequences: Tensor, items: Tensor, users: Tensor | None = None) -> Tensor:
        return self.values[items].expand(len(sequences), -1)


class Separable(TermScorer, Protocol):
    """A term that looks at the items of a history one by one."""

    def without(self, rows: Without, items: Tensor, drawn: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """``of`` the rows of histories without each of their items, which are read once: of ``items`` (H, C) of every
        history, (R, C), and the sum over items ``drawn`` (S,), the same for all, by their ``weights`` (S,): (R,)."""
        ...


class Kept:
    """A term that its ground keeps: asked for again each time, so that what is kept stays within its budget."""

    def __init__(self, get: Callable[[], Separable]) -> None:
        """``get`` raises Unavailable when the ground cannot have the term."""
        get()
        self.get = get

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return self.get().score(sequences, users)

    def of(self, sequences: Tensor, items: Tensor, users: Tensor | None = None) -> Tensor:
        return self.get().of(sequences, items, users)

    def without(self, rows: Without, items: Tensor, drawn: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        return self.get().without(rows, items, drawn, weights)


def term_of_view(view: str) -> str:
    """Which of the model's own terms a view belongs to: every view of frozen item vectors is semantic."""
    return "collaborative" if view == "collaborative" else "semantic"


def own_term(scorer: Scorer) -> str:
    """The one term that a model without views is."""
    return "semantic" if isinstance(scorer, SemanticKnnScorer) else "collaborative"


def _own(name: str) -> Callable[[Scorer, Ground, Variant], TermScorer | None]:
    """The part of a model's own scores that term ``name`` stands for."""

    def make(scorer: Scorer, ground: Ground, variant: Variant) -> TermScorer | None:
        if isinstance(scorer, DotScorer):
            slices = [s for view, s in scorer.view_slices.items() if term_of_view(view) == name]
            return Views(scorer, slices) if slices else None
        if isinstance(scorer, LinearScorer):
            return scorer.parts.get(name)
        if isinstance(scorer, Folded):
            parts = [make(one, ground, variant) for one in scorer.scorers]  # models of one kind: all have it, or none
            return None if None in parts else OfFolds(scorer, cast(list[TermScorer], parts))
        if isinstance(scorer, BlendScorer):
            made = (
                (make(remembered(m), ground, variant), w) for m, w in zip(scorer.members, scorer.weights, strict=True)
            )
            weighed = [(term, weight) for term, weight in made if term is not None]
            return Blended(weighed, scorer.bias if name == "collaborative" else torch.zeros_like(scorer.bias))
        return Whole(scorer) if own_term(scorer) == name else None

    return make


def _always(variant: Variant) -> bool:
    return True


def _content(scorer: Scorer, ground: Ground, variant: Variant) -> TermScorer:
    return Kept(lambda: ground.content(float(variant or 0.0)))


def _linear(scorer: Scorer, ground: Ground, variant: Variant) -> TermScorer:
    kind = cast(LinearKind, variant or PLAINEST)
    return Kept(lambda: ground.linear(kind))


def _reads_text(variant: Variant) -> bool:
    return variant in READS_TEXT


def _popularity(scorer: Scorer, ground: Ground, variant: Variant) -> TermScorer:
    return PerItem(ground.log_counts)


def _bias(scorer: Scorer, ground: Ground, variant: Variant) -> TermScorer:
    return PerItem(torch.ones_like(ground.log_counts))


# What was chosen together, and how popular an item is are knowledge of who chose what, too: hence their column.
TERMS: dict[str, Term] = {
    term.name: term
    for term in (
        Term("collaborative", "collaborative", _own("collaborative"), own=True, routed=True),
        Term("semantic", "semantic", _own("semantic"), own=True, column="semantic"),
        Term("content", "content", _content, "gamma", "whitening", "whitened", reads_text=_always, column="content"),
        Term("linear", "linear", _linear, "linear", "linear_kind", reads_text=_reads_text),
        Term("popularity", "popularity", _popularity, "popularity", signed=True, curved=False),
        Term("bias", "popularity", _bias, signed=True),
    )
}
"""Every term by name, in the order in which scores are summed and parts are shown."""


def open_terms(scorer: Scorer, ground: Ground, keys: Sequence[Key]) -> dict[Key, TermScorer]:
    """The terms of a run that ``keys`` name, without those its model does not have. Unavailable: see ``Ground``."""
    model = remembered(scorer)
    made = {key: TERMS[key[0]].make(model, ground, key[1]) for key in dict.fromkeys(keys)}
    return {key: term for key, term in made.items() if term is not None}
