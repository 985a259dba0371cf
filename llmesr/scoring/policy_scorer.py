"""A model under a scoring policy: its scores, and what each term adds to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmesr.ids import PAD
from llmesr.models.scorers import DotScorer, Scorer
from llmesr.scoring.ground import Ground
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.shortlist import best, best_with_content
from llmesr.scoring.terms import TERMS, Key, Term, open_terms, remembered, term_of_view

AT_ONCE = 8
"""Items that are worked out in one go while nobody asks: a request that comes meanwhile waits for them."""


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
        weight = self.weight * (torch.ones_like(part) if self.curve is None else self.curve[items])
        return part * (1 + applies * (weight - 1)) if self.term.own else part * (applies * weight)


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


class PolicyScorer:
    """A scorer whose scores follow a policy; it keeps the contract of the scorer inside.

    Raises Unavailable when the policy has a content term and the ground has no text.
    """

    def __init__(self, inner: Scorer, policy: ScoringPolicy, ground: Ground) -> None:
        self.policy = policy
        self.ground = ground
        self.n_items = inner.n_items
        self._inner = remembered(inner)
        asked = shares(policy, ground)
        self._terms = open_terms(self._inner, ground, [share.key for share in asked])
        self.shares = [share for share in asked if share.key in self._terms]
        self._curves = {share.term.name: share.curve for share in self.shares if share.term.own}
        self._items: Tensor | None = None

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
        content = next((share for share in self.shares if share.term.name == "content"), None)
        if content is None or self.policy.tail_users_only or self.ground.content(self.policy.whitening).keeps_all:
            scores, content = self.score(sequences, users), None
        else:
            scores = self._sum(sequences, users, [share for share in self.shares if share is not content])
        if not isinstance(self._inner, DotScorer):
            scores = scores.clone()  # a scorer that is no dot product may hand out what it keeps
        scores[:, PAD] = -torch.inf
        scores[barred[:, 0], barred[:, 1]] = -torch.inf
        if content is None:
            return best(scores, k)
        slope = content.alone(torch.ones_like(self.ground.log_counts))
        return best_with_content(scores, slope, self.ground.content(self.policy.whitening), sequences, k)

    @property
    def scores_few(self) -> bool:
        """Whether the scores of few items cost less than those of all."""
        return isinstance(self._inner, DotScorer)

    def prepare(self, items: np.ndarray) -> bool:
        """Work out what :meth:`best` needs of some of ``items``; whether there was anything left to do."""
        if not any(share.term.name == "content" for share in self.shares):
            return False
        term = self.ground.content(self.policy.whitening)
        lacking = items[:0] if term.keeps_all else term.lacks(items)
        term.prepare(lacking[:AT_ONCE])
        return len(lacking) > 0

    def _sum(self, sequences: Tensor, users: Tensor | None, shares: Sequence[Share]) -> Tensor:
        scores = self._own(sequences, users)
        for share in shares:
            if not share.term.own:
                scores = share.add_to(scores, self._terms[share.key].score(sequences, users))
        return scores

    def _own(self, sequences: Tensor, users: Tensor | None) -> Tensor:
        """The model's own terms, each by its curve, in one product: the curves are worked into the item vectors."""
        if not isinstance(self._inner, DotScorer):
            if all(weights is None for weights in self._curves.values()):
                return self._inner.score(sequences, users)
            parts = [s.alone(self._terms[s.key].score(sequences, users)) for s in self.shares if s.term.own]
            return sum(parts[1:], start=parts[0])
        weighed = [(s, self._curves[term_of_view(view)]) for view, s in self._inner.view_slices.items()]
        if all(weights is None for _, weights in weighed):
            return self._inner.score(sequences, users)
        if self._items is None:
            items = self._inner.item_matrix().clone()
            for columns, weights in weighed:
                if weights is not None:
                    items[:, columns] *= weights[:, None]
            self._items = items
        return self._inner.represent(sequences) @ self._items.T

    @torch.inference_mode()
    def split(self, sequences: Tensor, users: Tensor | None, items: Tensor) -> dict[str, Tensor]:
        """What each term adds to the scores of ``items`` (B, C), or (C,) for all users the same: (B, C) by name, which
        sum to the score."""
        applies = torch.ones(len(sequences), 1, device=sequences.device)
        if self.policy.tail_users_only:
            applies = self.ground.tail_users(sequences, users).float()[:, None]
        return {s.term.name: s.of(self._terms[s.key].of(sequences, items), items, applies) for s in self.shares}
