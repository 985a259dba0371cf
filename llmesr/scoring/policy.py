"""What may be added to a trained model's scores without training it again.

    score(u, i) = w_i * collaborative(u, i) + semantic(u, i) + gamma * max over h in history of cos(text_h, text_i)
                  + cooccurrence * co-occurrence(u, i) + popularity * log(1 + n_i)

The *content term* compares the candidate with the user's own past in the full text space, where a
rare item is as well described as a popular one. *Routing* lowers the weight ``w_i`` of the
collaborative part for items too rare to have earned a good id embedding. The *co-occurrence term*
remembers which items the same users chose. The *popularity term*, of the ``n_i`` training interactions,
moves the balance between tail and head (the logit adjustment of Menon et al. 2021, "Long-tail learning
via logit adjustment", with a sign and a weight found on validation).

*Popularity weights*, when a policy has them, multiply every part by a weight that follows the item's
popularity, and add a bias that does: for a rare item the text may count more than for a popular one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from llmesr.config import Config
from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.ids import PAD
from llmesr.models.scorers import SemanticKnnScorer
from llmesr.scoring.content import ContentTerm, whitened
from llmesr.scoring.cooccurrence import CooccurrenceTerm
from llmesr.scoring.weights import PARTS, PopularityWeights


class Unavailable(UserError):
    """What was asked for needs something this run was made without."""


class Scorer(Protocol):
    """What every model offers: ``score`` of right-padded ``sequences`` (B, L) is (B, N + 1).

    Models that score by a dot product also have ``represent(sequences) -> (B, D)``,
    ``item_matrix() -> (N + 1, D)`` and ``views``, the slices of D that belong to each view.
    """

    n_items: int

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor: ...


class ScoringPolicy(Config):
    """How scores are changed at scoring time. The default changes nothing."""

    gamma: float = Field(
        0.0, ge=0, le=1e6, description="Weight of the content term; the scale is that of the model's scores."
    )
    whitening: float = Field(
        0.0, ge=0, le=1, description="How far the directions of text space are evened out before cosines; 0 not at all."
    )
    route_threshold: int = Field(
        0, ge=0, le=10**9, description="Items with fewer training interactions are routed; 0 is off."
    )
    route_weight: float = Field(
        0.0, ge=0, le=1, description="Weight of the collaborative part of routed items; 1 is off."
    )
    popularity: float = Field(
        0.0,
        ge=-1e6,
        le=1e6,
        description="Weight of log(1 + training interactions): above 0 popular items gain, below 0 rare ones.",
    )
    cooccurrence: float = Field(
        0.0, ge=0, le=1e6, description="Weight of the co-occurrence term: what was chosen by the same users."
    )
    weights: PopularityWeights | None = Field(
        None, description="Weights of all parts that follow an item's popularity, as `llmesr tune` fits them."
    )
    tail_users_only: bool = Field(False, description="Leave head users' scores exactly as they were.")

    @property
    def routes(self) -> bool:
        return self.route_threshold > 0 and self.route_weight < 1

    @property
    def inert(self) -> bool:
        """True when the scores stay as the model made them."""
        added = self.gamma or self.popularity or self.cooccurrence
        return not added and not self.routes and self.weights is None

    def describe(self) -> str:
        """The policy in a few words, for tables and captions."""
        if self.inert:
            return "no policy"
        parts = []
        if self.weights is not None:
            emphasis = f" (tail x{1 + self.weights.tail_emphasis:g})" if self.weights.tail_emphasis else ""
            parts.append(f"every part weighed by popularity{emphasis}")
        if self.gamma and self.weights is None:  # else it is one of the parts
            evened = f" (whitened {self.whitening:g})" if self.whitening else ""
            parts.append(f"content weight {self.gamma:g}{evened}")
        if self.cooccurrence and self.weights is None:
            parts.append(f"co-occurrence weight {self.cooccurrence:g}")
        if self.routes:
            parts.append(f"collaborative part x{self.route_weight:g} below {self.route_threshold} interactions")
        if self.popularity:
            parts.append(f"popularity weight {self.popularity:+g}")
        return ", ".join(parts) + (", tail users only" if self.tail_users_only else "")


class Ground:
    """What a policy needs to know of a dataset: popularity, who is a tail user, the text, and who chose what."""

    def __init__(
        self,
        *,
        item_counts: Tensor,
        train_lengths: Tensor,
        thresholds: Thresholds,
        text: np.ndarray | Tensor | None = None,
        cooccurrence: Callable[[], CooccurrenceTerm] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """``item_counts`` (N + 1,) and ``train_lengths`` (U,) are training interactions; ``text`` (N + 1, E).

        ``cooccurrence`` makes that term when it is first asked for.
        """
        self.item_counts = item_counts.to(device)
        self.log_counts = torch.log1p(self.item_counts.float())  # (N + 1,)
        self.train_lengths = train_lengths.to(device)
        self.thresholds = thresholds
        self.has_text = text is not None
        self._text = text
        self._device = device
        self._terms: dict[float, ContentTerm] = {}
        self._make_cooccurrence = cooccurrence
        self._cooccurrence: CooccurrenceTerm | None = None

    @classmethod
    def of(cls, dataset: Dataset, text: np.ndarray | None, device: torch.device | str = "cpu") -> Self:
        """From a dataset and its padded (N + 1, E) item vectors, if there are any."""
        if text is not None and len(text) != dataset.n_items + 1:
            raise UserError(
                f"The text vectors have {len(text) - 1} items and dataset {dataset.name!r} has {dataset.n_items}. "
                f"Embed this dataset: `llmesr embed {dataset.name}`."
            )
        return cls(
            item_counts=torch.from_numpy(np.asarray(dataset.item_counts)),
            train_lengths=torch.from_numpy(np.asarray(dataset.split.train_lengths)),
            thresholds=dataset.thresholds,
            text=text,
            cooccurrence=lambda: CooccurrenceTerm.from_dataset(dataset, device),
            device=device,
        )

    def cooccurrence(self) -> CooccurrenceTerm:
        """The co-occurrence term. Unavailable when the ground was made without interactions."""
        if self._cooccurrence is None:
            if self._make_cooccurrence is None:
                raise Unavailable("The co-occurrence term needs the training interactions of the dataset.")
            self._cooccurrence = self._make_cooccurrence()
        return self._cooccurrence

    def content(self, whitening: float = 0.0) -> ContentTerm:
        """The content term in the text space evened out by ``whitening``. Unavailable without text."""
        if self._text is None:
            raise Unavailable("This needs text vectors of the dataset: run `llmesr embed` on it first.")
        if whitening not in self._terms:
            self._terms[whitening] = ContentTerm(whitened(self._text, whitening), self._device)
        return self._terms[whitening]

    def tail_users(self, sequences: Tensor, users: Tensor | None) -> Tensor:
        """(B,) bool. Known users by their training history; unknown ones (-1, or no ``users`` at all) by the
        history they come with."""
        by_history = self.thresholds.tail_users((sequences != PAD).sum(1))
        if users is None:
            return by_history
        return torch.where(users < 0, by_history, self.thresholds.tail_users(self.train_lengths[users]))


def views(scorer: Any) -> dict[str, slice]:
    """The slices of a dot-product model that belong to each view; empty for other models."""
    return getattr(scorer, "views", None) or {}


def view_scores(scorer: Any, sequences: Tensor, users: Tensor | None) -> tuple[Tensor, Tensor]:
    """The collaborative and the semantic part of the scores, each (B, N + 1), summing to ``score``.

    Every view made of frozen item vectors (text, images, sound) is semantic. A part a model does not have
    is zero. A model that is no dot product is wholly one part: semantic-knn semantic, popularity collaborative.
    """
    if not views(scorer):
        whole = scorer.score(sequences, users)
        nothing = torch.zeros_like(whole)
        return (nothing, whole) if is_semantic(scorer) else (whole, nothing)
    users_side, items_side = scorer.represent(sequences), scorer.item_matrix()
    parts = {name: users_side[:, part] @ items_side[:, part].T for name, part in views(scorer).items()}
    nothing = torch.zeros((), device=users_side.device).expand(len(users_side), len(items_side))
    return in_two(parts, nothing)


def in_two(parts: Mapping[str, Tensor], nothing: Tensor) -> tuple[Tensor, Tensor]:
    """The scores of each view by name -> collaborative, and all others together (``nothing`` where there are none)."""
    others = [part for name, part in parts.items() if name != "collaborative"]
    return parts.get("collaborative", nothing), sum(others[1:], start=others[0]) if others else nothing


def is_semantic(scorer: Any) -> bool:
    """True for a model whose scores come from frozen item vectors alone."""
    return isinstance(scorer, SemanticKnnScorer) or (bool(views(scorer)) and "collaborative" not in views(scorer))


@dataclass(frozen=True, eq=False)
class ItemWeights:
    """A policy worked out for every item: the weight (N + 1,) of each part of its score, and what is added.

    ``None`` stands for 1 throughout (for nothing added).
    """

    collaborative: Tensor | None
    semantic: Tensor | None
    content: Tensor | None  # multiplies gamma
    cooccurrence: Tensor | None  # multiplies the weight of that term
    bias: Tensor | None

    @classmethod
    def of(cls, policy: ScoringPolicy, ground: Ground) -> Self:
        fitted = policy.weights
        made = {name: None if fitted is None else fitted.at(name, ground.log_counts) for name in (*PARTS, "bias")}
        if policy.routes:
            share = torch.where(ground.item_counts < policy.route_threshold, policy.route_weight, 1.0)
            made["collaborative"] = times(share, made["collaborative"])
        if policy.popularity:
            pulled = policy.popularity * ground.log_counts
            made["bias"] = pulled if made["bias"] is None else pulled + made["bias"]
        return cls(**made)


def times(part: Tensor, weights: Tensor | None) -> Tensor:
    """(..., N + 1) by (N + 1,); unchanged where there are no weights."""
    return part if weights is None else part * weights


class PolicyScorer:
    """A scorer whose scores follow a policy; it keeps the contract of the scorer inside.

    Raises Unavailable when the policy has a content term and the ground has no text.
    """

    def __init__(self, inner: Scorer, policy: ScoringPolicy, ground: Ground) -> None:
        self.content = ground.content(policy.whitening) if policy.gamma else None
        self.cooccurrence = ground.cooccurrence() if policy.cooccurrence else None
        self.inner = inner
        self.policy = policy
        self.ground = ground
        self.n_items = inner.n_items
        self.max_length = getattr(inner, "max_length", None)
        self.weights = ItemWeights.of(policy, ground)
        self._items: Tensor | None = None

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) -> (B, N + 1). Head users' rows are bit for bit those of ``inner`` under ``tail_users_only``."""
        if self.policy.inert:
            return self.inner.score(sequences, users)
        scores = self._weighted(sequences, users)
        if self.content is not None:
            scores = scores + self.policy.gamma * times(self.content.score(sequences), self.weights.content)
        if self.cooccurrence is not None:
            together = times(self.cooccurrence.score(sequences), self.weights.cooccurrence)
            scores = scores + self.policy.cooccurrence * together
        if self.weights.bias is not None:
            scores = scores + self.weights.bias
        if self.policy.tail_users_only:
            tail = self.ground.tail_users(sequences, users)
            # The whole batch again: matrix products of other shapes round otherwise.
            scores = torch.where(tail[:, None], scores, self.inner.score(sequences, users))
        return scores

    def _weighted(self, sequences: Tensor, users: Tensor | None) -> Tensor:
        """The model's own parts, each by its weight."""
        weights = {"collaborative": self.weights.collaborative, "semantic": self.weights.semantic}
        slices = views(self.inner)
        if not slices:
            own = weights["semantic" if is_semantic(self.inner) else "collaborative"]
            return times(self.inner.score(sequences, users), own)
        weighing = {name: weights["collaborative" if name == "collaborative" else "semantic"] for name in slices}
        if all(w is None for w in weighing.values()):
            return self.inner.score(sequences, users)
        if self._items is None:
            items = self.inner.item_matrix().clone()  # type: ignore[attr-defined]
            for name, weight in weighing.items():
                if weight is not None:
                    items[:, slices[name]] *= weight[:, None]
            self._items = items
        return self.inner.represent(sequences) @ self._items.T  # type: ignore[attr-defined]
