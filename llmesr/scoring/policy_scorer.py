"""A model under a scoring policy: its scores, and what each term adds to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from llmesr.ids import PAD
from llmesr.linear.rows import Rows
from llmesr.models.scorers import DotScorer, Scorer
from llmesr.scoring import coarse
from llmesr.scoring.content import ContentTerm
from llmesr.scoring.greatest import best
from llmesr.scoring.ground import Ground
from llmesr.scoring.linear_term import LinearTerm
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.product import Content, Linear, Product
from llmesr.scoring.shortlist import best_with_content
from llmesr.scoring.terms import (
    TERMS,
    Kept,
    Key,
    PerItem,
    Remembered,
    Term,
    TermScorer,
    open_terms,
    remembered,
    term_of_view,
)
from llmesr.scoring.without import Without


@dataclass(frozen=True, eq=False)
class Share:
    """What a policy makes of a term: it adds ``weight * curve * term`` to the score."""

    term: Term
    key: Key
    weight: float
    curve: Tensor | None  # (N + 1,); None stands for 1 throughout

    def alone(self, part: Tensor) -> Tensor:
        """The share of the term's own scores ``part`` (B, N + 1); a new tensor."""
        return part * self.weight if self.curve is None else part * (self.curve * self.weight)

    def add_to(self, scores: Tensor, part: Tensor, out: Tensor | None = None) -> Tensor:
        """``scores`` with the share of the term's own scores ``part``, (B, N + 1) each; ``out`` may be ``scores``."""
        if self.curve is None:
            return torch.add(scores, part, alpha=self.weight, out=out)
        return torch.addcmul(scores, part, self.curve, value=self.weight, out=out)

    def of(self, part: Tensor, items: Tensor, applies: Tensor) -> Tensor:
        """The share of the term's own scores ``part`` (B, C) of ``items`` (B, C) or (C,).

        ``applies`` (B, 1) is 1 for users whom the policy is for, 0 for those who keep the model's own scores.
        """
        weight = self.weights(items)
        return part * (1 + applies * (weight - 1)) if self.term.own else part * (applies * weight)

    def weights(self, items: Tensor) -> Tensor:
        """How much the term counts of ``items``, in their shape."""
        if self.curve is None:
            return torch.full(items.shape, self.weight, device=items.device)
        return self.curve[items] * self.weight


def shares(policy: ScoringPolicy, ground: Ground) -> list[Share]:
    """What a policy makes of every term that has a weight, in the order of the table."""
    weighed = [(term, policy.weight(term)) for term in TERMS.values()]
    return [Share(term, policy.key(term), w, curve(policy, term, ground)) for term, w in weighed if w]


def curve(policy: ScoringPolicy, term: Term, ground: Ground) -> Tensor | None:
    """The weight (N + 1,) of a term that follows popularity: as fitted, and lowered for routed items."""
    fitted = None if policy.weights is None else policy.weights.at(term.name, ground.log_counts)
    if not (term.routed and policy.routes):
        return fitted
    routed = torch.where(ground.item_counts < policy.route_threshold, policy.route_weight, 1.0)
    return routed if fitted is None else routed * fitted


def text_terms(policy: ScoringPolicy) -> list[Term]:
    """The terms that the policy weighs and that need text vectors of the items."""
    return [term for term in TERMS.values() if policy.weight(term) and term.reads_text(policy.key(term)[1])]


def text_space(policy: ScoringPolicy) -> float | None:
    """The whitening of the text in which lists under a policy seek what is nearest; None where they seek nothing."""
    return policy.whitening if policy.weight(TERMS["content"]) and not policy.tail_users_only else None


def _product_of(
    model: DotScorer, items: Tensor, shares: Sequence[Share], terms: Mapping[Key, TermScorer]
) -> Product | Literal[False]:
    """The terms of a policy as one product with ``items`` (N + 1, D); False where one of them has scores of its own for
    all items, or all of them are at hand anyway."""
    fixed, linear, content = torch.zeros(len(items), device=items.device), None, None
    for share in shares:
        term, slope = terms[share.key], share.alone(torch.ones_like(fixed))
        if isinstance(term, PerItem):
            fixed += slope * term.values
        elif isinstance(term, Kept):
            held = term.get()
            if isinstance(held, LinearTerm) and isinstance(held.rows, Rows) and linear is None:
                linear = Linear(cast(Callable[[], LinearTerm], term.get), slope)
            elif isinstance(held, ContentTerm) and not held.keeps_all and content is None:
                content = Content(cast(Callable[[], ContentTerm], term.get), slope)
            else:
                return False
        elif not share.term.own:
            return False
    return Product(items, fixed, linear, content)


class PolicyScorer:
    """A scorer whose scores follow a policy; it keeps the contract of the scorer inside.

    Raises Unavailable when the policy has a content term and the ground has no text.
    """

    def __init__(self, inner: Scorer, policy: ScoringPolicy, ground: Ground) -> None:
        self.policy = policy
        self.ground = ground
        self.n_items = inner.n_items
        self._inner = remembered(inner)
        self._dot = self._inner if isinstance(self._inner, Remembered) else None
        asked = shares(policy, ground)
        self._terms = open_terms(self._inner, ground, [share.key for share in asked])
        self.shares = [share for share in asked if share.key in self._terms]
        self._curves = {share.term.name: share.curve for share in self.shares if share.term.own}
        self._items: Tensor | None = None
        self._made: Product | Literal[False] | None = None
        self._making = threading.Lock()
        self._centres: tuple[Tensor, Tensor] | None = None

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) -> (B, N + 1). Head users' rows are bit for bit those of ``inner`` under ``tail_users_only``."""
        if self.policy.inert:
            return self._inner.score(sequences, users)
        scores = self._sum(sequences, users, self.shares)
        if self.policy.tail_users_only:
            tail = self.ground.tail_users(sequences, users)
            # The whole batch again: matrix products of other shapes round otherwise.
            scores = torch.where(tail[:, None], scores, self._inner.score(sequences, users))
        return scores

    @torch.inference_mode()
    def best(self, sequences: Tensor, users: Tensor | None, barred: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The ``k`` items with the highest scores, best first: scores and items, (B, k) each.

        ``barred`` (S, 2): rows and items that must not be shown, nor is padding; they come last, with -inf. The lists
        are those of :meth:`score`; the content term of a large catalogue is worked out for candidates alone.
        """
        if (product := self._product()) is not None and self._dot is not None:
            read = self._dot.represent(sequences)

            def whole(rows: Tensor) -> Tensor:
                return self.score(sequences[rows], None if users is None else users[rows])

            return product.best(read, sequences, barred, k, whole)
        content = next((share for share in self.shares if share.term.name == "content"), None)
        if content is None or self.policy.tail_users_only or self.ground.content(self.policy.whitening).keeps_all:
            scores, content = self.score(sequences, users), None
        else:
            scores = self._sum(sequences, users, [share for share in self.shares if share is not content])
        if self._dot is None:
            scores = scores.clone()  # a scorer that is no dot product may hand out what it keeps
        scores[:, PAD] = -torch.inf
        scores[barred[:, 0], barred[:, 1]] = -torch.inf
        if content is None:
            return best(scores, k)
        slope = content.alone(torch.ones_like(self.ground.log_counts))
        return best_with_content(scores, slope, self.ground.content(self.policy.whitening), sequences, k)

    def _product(self) -> Product | None:
        """All of the policy in one product, where each of its terms is of a kind that allows it."""
        if self.policy.tail_users_only or self._dot is None:
            return None
        if self.policy.inert and not coarse.pays(self.ground.log_counts.device):  # it would be a copy of the vectors
            return None
        with self._making:
            if self._made is None:
                self._made = _product_of(self._dot, self._weighed(self._dot), self.shares, self._terms)
                self._items = self._items if self._made is False else None  # the product has them
        return self._made or None

    @property
    def scores_few(self) -> bool:
        """Whether the scores of few items cost less than those of all."""
        return self._dot is not None

    def expect_lists(self) -> None:
        """Have what :meth:`best` needs of items worked out while nobody asks (:meth:`Ground.prepare_next`)."""
        if (space := text_space(self.policy)) is not None:
            self.ground.content(space).expect_lists()

    def represent(self, sequences: Tensor) -> Tensor:
        """What the model makes of (B, L) histories, (B, D); only where it :attr:`scores_few`."""
        return cast(Remembered, self._dot).represent(sequences)

    def leave_one_out(self, rows: Without) -> Tensor:
        """The same of histories without each of their items, (R, D)."""
        return cast(Remembered, self._dot).leave_one_out(rows)

    def know(self, sequences: Tensor, read: Tensor) -> None:
        """``read`` (B, D) is what the model makes of ``sequences``: it is not asked again. As :meth:`represent`."""
        cast(Remembered, self._dot).know(sequences, read)

    def _sum(self, sequences: Tensor, users: Tensor | None, shares: Sequence[Share]) -> Tensor:
        scores = self._own(sequences, users)
        for share in shares:
            if not share.term.own:
                scores = share.add_to(scores, self._terms[share.key].score(sequences, users))
        return scores

    def _own(self, sequences: Tensor, users: Tensor | None) -> Tensor:
        """The model's own terms, each by its curve, in one product: the curves are worked into the item vectors."""
        if self._dot is None:
            if all(weights is None for weights in self._curves.values()):
                return self._inner.score(sequences, users)
            parts = [s.alone(self._terms[s.key].score(sequences, users)) for s in self.shares if s.term.own]
            return sum(parts[1:], start=parts[0])
        return self._dot.represent(sequences) @ self._weighed(self._dot).T

    def _weighed(self, model: DotScorer) -> Tensor:
        """(N + 1, D) the item vectors with the curves worked into them."""
        weighed = [(s, self._curves[term_of_view(view)]) for view, s in model.view_slices.items()]
        if all(weights is None for _, weights in weighed):
            return model.item_matrix()
        if self._items is None:
            items = model.item_matrix().clone()
            for columns, weights in weighed:
                if weights is not None:
                    items[:, columns] *= weights[:, None]
            self._items = items
        return self._items

    @torch.inference_mode()
    def split(self, sequences: Tensor, users: Tensor | None, items: Tensor) -> dict[str, Tensor]:
        """What each term adds to the scores of ``items`` (B, C), or (C,) for all users the same: (B, C) by name, which
        sum to the score."""
        applies = self._applies(sequences, users)
        terms = ((share, self._terms[share.key].of(sequences, items, users)) for share in self.shares)
        return {share.term.name: share.of(part, items, applies) for share, part in terms}

    @torch.inference_mode()
    def without(self, rows: Without, users: Tensor, items: Tensor, drawn: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """:meth:`split` of histories without each of their items: ``users`` (R,), ``items`` (H, C) of every history ->
        (R, C) by name; and the mean score of the catalogue after them, (R,) float64. Only where it :attr:`scores_few`.

        What the model and popularity add to the mean is that of all items, which is the score of a mean item; what
        other terms add to it is that of the items ``drawn`` (S,).
        """
        applies, asked, read = self._applies(rows.sequences, users), items[rows.owner], self.represent(rows.sequences)
        plain, weighed = (read @ centre[:-1] + centre[-1] for centre in self._mean_items())
        found, mean = {}, torch.lerp(plain, weighed, applies[:, 0])
        for share in self.shares:
            term = self._terms[share.key]
            if isinstance(term, Kept):
                part, total = term.without(rows, items, drawn, share.weights(drawn) / len(drawn))
                mean += applies[:, 0] * total
            else:
                part = term.of(rows.sequences, asked, users)
            found[share.term.name] = share.of(part, asked, applies)
        return found, mean.double()

    def _mean_items(self) -> tuple[Tensor, Tensor]:
        """Those of the model, and of the policy: see :meth:`_centre`."""
        if self._centres is None:
            model = cast(Remembered, self._dot)
            self._centres = self._centre(model, weighed=False), self._centre(model, weighed=True)
        return self._centres

    def _centre(self, model: DotScorer, weighed: bool) -> Tensor:
        """(D + 1,) the mean of the item vectors, and of what is added for all users alike: by the policy if
        ``weighed``, else as the model has it."""
        items = model.item_matrix()[1:]
        centre = items.new_zeros(items.shape[1] + 1)
        for view, columns in model.view_slices.items():
            weights = self._curves[term_of_view(view)] if weighed else None
            view_of = items[:, columns]
            centre[columns] = view_of.mean(0) if weights is None else weights[1:] @ view_of / len(items)
        for share in self.shares:
            if weighed and isinstance(term := self._terms[share.key], PerItem):
                centre[-1] += share.alone(term.values)[1:].mean()
        return centre

    def _applies(self, sequences: Tensor, users: Tensor | None) -> Tensor:
        """(B, 1) 1 for users whom the policy is for, else 0."""
        if self.policy.tail_users_only:
            return self.ground.tail_users(sequences, users).float()[:, None]
        return torch.ones(len(sequences), 1, device=sequences.device)
