"""Recommend with a trained run: the items, and what made each of them rank where it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from llmesr.data.batches import pad_histories
from llmesr.errors import UserError
from llmesr.ids import PAD
from llmesr.models.scorers import DotScorer
from llmesr.scoring.explanation import Asked, Explanation, explain_many, is_exact, left_out
from llmesr.scoring.ground import Unavailable, stranger
from llmesr.scoring.left_out import Reading, lost
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.policy_scorer import PolicyScorer, text_terms
from llmesr.scoring.rerankers import CLASSES, Candidates, RerankConfig, popularity_classes, rerank
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.terms import COLUMNS, TERMS

POLICIES_KEPT = 8
"""Policies kept ready, each with an item matrix of its own where it weighs the model's parts."""
UNKNOWN = -1


@dataclass(frozen=True)
class Request:
    """One list to make. ``history`` is item numbers, oldest first; ``user`` is known, or a
    :func:`~llmesr.scoring.ground.stranger`."""

    history: tuple[int, ...]
    user: int = UNKNOWN
    k: int = 10
    policy: ScoringPolicy = field(default_factory=ScoringPolicy)
    reranker: RerankConfig = field(default_factory=RerankConfig)
    exclude_seen: bool = True
    explain: bool = False


@dataclass(frozen=True, eq=False)
class Answer:
    """The list made, best first. ``parts``: what each term, by name, adds to the scores; their sum is the score.
    ``reasons``: of each item, where the request asked for them."""

    items: np.ndarray  # (k,) item numbers
    scores: np.ndarray  # (k,)
    parts: Mapping[str, np.ndarray]  # each (k,), in the order of the table of terms
    reasons: Sequence[Explanation] = ()

    def columns(self) -> dict[str, np.ndarray]:
        """The parts added up to the columns that lists show, (k,) each. Further views of items (images, sound) count
        as semantic, what was chosen together and popularity as collaborative."""
        made: dict[str, np.ndarray] = {column: np.zeros(len(self.items), np.float32) for column in COLUMNS}
        for name, part in self.parts.items():
            made[TERMS[name].column] += part
        return made


class Recommender:
    """A run ready to recommend. Nothing is computed by a language model here.

    ``policy`` is what applies when none is asked for: nothing, or the policy of a run made by tuning.
    """

    def __init__(self, scored: ScoredRun) -> None:
        """Loads what it needs: UserError when the run has no model or a parent is gone."""
        self.scored = scored
        self.run = scored.run
        self.device = scored.device
        self.max_length = scored.max_length
        self.policy = scored.policy
        self.dataset = scored.dataset
        self.embedding = scored.embedding
        self.scorer = scored.scorer
        self.ground = scored.ground
        counts = np.asarray(self.dataset.item_counts)
        self.tail = self.dataset.thresholds.tail_items(counts)  # (N + 1,)
        self._counts = counts
        self._classes = popularity_classes(counts)  # (N + 1,)
        catalogue = self.dataset.catalogue
        self.item_ids = catalogue["item_id"].to_numpy(object)
        self.titles = catalogue.get("title", catalogue["item_id"]).to_numpy(object)
        self._policed = lru_cache(maxsize=POLICIES_KEPT)(scored.under)

    def prepare(self, policy: ScoringPolicy) -> None:
        """Work out what a policy needs (text spaces, linear weights) before the first request asks for it."""
        self._policed(policy).expect_lists()

    @property
    def policies_kept(self) -> int:
        """How many policies are ready, :data:`POLICIES_KEPT` at the most."""
        return self._policed.cache_info().currsize

    def recommend(
        self,
        history: Sequence[int] | int,
        k: int = 10,
        policy: ScoringPolicy | None = None,
        reranker: RerankConfig | None = None,
        exclude_seen: bool = True,
    ) -> pd.DataFrame:
        """The best ``k`` items after a history of item numbers, oldest first, or after all a user (an int) chose.

        Columns item_id, title, score, rank (1 is first), tail, and the parts that sum to the score: collaborative
        (as weighted by the policy, its linear term and popularity included), semantic, content. UserError for an
        unknown item or user.
        """
        return self.frame(self.answer([self.request(history, k, policy, reranker, exclude_seen)])[0])

    def request(
        self,
        history: Sequence[int] | int,
        k: int = 10,
        policy: ScoringPolicy | None = None,
        reranker: RerankConfig | None = None,
        exclude_seen: bool = True,
        explain: bool = False,
    ) -> Request:
        """A checked :class:`Request`."""
        if isinstance(history, int | np.integer):
            user = int(history)
            if not 0 <= user < self.dataset.n_users:
                raise UserError(
                    f"There is no user {user}; {self.dataset.name!r} has users 0..{self.dataset.n_users - 1}."
                )
            items = tuple(self.dataset.history(user).tolist())
        else:
            items = tuple(int(i) for i in history)
            user = stranger(len(items))
        if not items:
            raise UserError("The history is empty; give at least one item, or a user.")
        last = self.dataset.n_items
        if bad := [i for i in items if not PAD < i <= last]:
            raise UserError(f"There is no item {bad[0]}; {self.dataset.name!r} has items 1..{last}.")
        if k < 1:
            raise UserError(f"k must be at least 1, not {k}.")
        policy = self.policy if policy is None else policy
        if not self.ground.has_text and (lacking := text_terms(policy)):
            title = lacking[0].title
            raise Unavailable(f"The {title} term needs text vectors: run `llmesr embed {self.dataset.id}` first.")
        reranker = reranker or RerankConfig()
        if reranker.compares and not self.has_vectors:
            raise Unavailable(
                f"{reranker.name} compares items by their vectors, and {self.run.id!r} has none: "
                f"run `llmesr embed {self.dataset.id}` first."
            )
        return Request(items, user, k, policy, reranker, exclude_seen, explain)

    @property
    def has_vectors(self) -> bool:
        """Whether there is something to compare items by: their text, or vectors of the model."""
        return self.ground.has_text or isinstance(self.scorer, DotScorer)

    @torch.inference_mode()
    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer many requests at once: those of one policy are one batch on the device."""
        answers: dict[int, Answer] = {}
        for policy in dict.fromkeys(r.policy for r in requests):
            rows = [i for i, r in enumerate(requests) if r.policy == policy]
            group = [requests[i] for i in rows]
            answers.update(zip(rows, self._answer(group, policy), strict=True))
        return [answers[i] for i in range(len(requests))]

    def _answer(self, requests: list[Request], policy: ScoringPolicy) -> list[Answer]:
        policed, users = self._policed(policy), self._users(requests)
        sequences = pad_histories([list(r.history) for r in requests], self.max_length, self.device)
        reading = self._reading(requests, policed, sequences)
        pool = max(r.k if r.reranker.name == "none" else max(r.k, r.reranker.candidates) for r in requests)
        found = policed.best(sequences, users, self._barred(requests), min(pool, self.dataset.n_items))
        value, item = (t.cpu().numpy() for t in found)  # (B, pool)
        lists, scores = [], []
        for row, request in enumerate(requests):
            real = int(np.isfinite(value[row]).sum())
            order = self._order(request, item[row, :real], value[row, :real])
            lists.append(item[row, order])
            scores.append(value[row, order])
        told = self._told(requests, policed, sequences, users, lists, reading)
        return [Answer(items, own, *more) for items, own, more in zip(lists, scores, told, strict=True)]

    def _told(
        self,
        requests: list[Request],
        policed: PolicyScorer,
        sequences: Tensor,
        users: Tensor,
        lists: list[np.ndarray],
        reading: Reading | None,
    ) -> list[tuple[dict[str, np.ndarray], Sequence[Explanation]]]:
        """Of each list what the terms add to its scores, and its reasons where they are asked for."""
        if reading is not None:
            listed = [items.tolist() for items in lists]
            losses = lost(policed, reading, listed, users.tolist())
            return [
                ({name: part[row, : len(items)] for name, part in losses.parts.items()}, reasons)
                for row, (items, reasons) in enumerate(zip(lists, left_out(losses, listed), strict=True))
            ]
        chosen = pad_histories([items.tolist() for items in lists], max(r.k for r in requests), self.device)
        split = policed.split(sequences, users, chosen)
        parts = {name: part.float().cpu().numpy() for name, part in split.items()}  # (B, k)
        reasons = self._reasons(requests, lists, policed)
        return [
            ({name: part[row, : len(items)] for name, part in parts.items()}, reasons[row])
            for row, items in enumerate(lists)
        ]

    def _reading(self, requests: list[Request], policed: PolicyScorer, sequences: Tensor) -> Reading | None:
        """Where all requests ask for reasons: their histories, and what is left of these without each of their items,
        read by the model at once. The list, and what its terms add, are then made of the same pass."""
        if is_exact(self.scorer) or not policed.scores_few or not all(request.explain for request in requests):
            return None
        reading = Reading.of(policed, [list(r.history)[-self.max_length :] for r in requests])
        reading.know(policed, sequences)
        return reading

    def _reasons(
        self, requests: list[Request], lists: list[np.ndarray], policed: PolicyScorer
    ) -> list[Sequence[Explanation]]:
        """For each request those of its list, where it asks for them; of all requests at once."""
        rows = [row for row, request in enumerate(requests) if request.explain]
        asked = [Asked(requests[r].history, lists[r].tolist(), requests[r].user) for r in rows]
        found = dict(zip(rows, explain_many(self.scored, asked, policed), strict=True))
        return [found.get(row, ()) for row in range(len(requests))]

    def warm(self) -> bool:
        """Work out some of what the next requests will need, for popular items first; whether anything was left to do.

        Of the policies that are prepared and those that came with requests.
        """
        return self.ground.prepare_next()

    def _barred(self, requests: list[Request]) -> Tensor:
        """(S, 2) rows of ``requests`` and the items they must not be shown."""
        seen = [(row, i) for row, r in enumerate(requests) if r.exclude_seen for i in set(r.history)]
        return torch.tensor(seen, dtype=torch.int64, device=self.device).view(-1, 2)

    def _users(self, requests: list[Request]) -> Tensor:
        """(B,)"""
        return torch.tensor([r.user for r in requests], device=self.device)

    def _order(self, request: Request, items: np.ndarray, scores: np.ndarray) -> np.ndarray:
        if request.reranker.name == "none" or request.reranker.strength == 0:
            return np.arange(min(request.k, len(items)))
        pool = slice(0, max(request.k, request.reranker.candidates))
        return rerank(request.reranker, self.candidates(items[pool], scores[pool], request.history), request.k)

    def candidates(self, items: np.ndarray, scores: np.ndarray, history: Sequence[int]) -> Candidates:
        """What a re-ranker sees of ``items`` (C,), best first."""
        table = self.scorer.item_matrix() if isinstance(self.scorer, DotScorer) else None
        if self.ground.has_text:
            table = self.ground.content().text
        at = torch.from_numpy(items.astype(np.int64))
        vectors = np.zeros((len(items), 1)) if table is None else table[at.to(table.device)].float().cpu().numpy()
        past = np.bincount(self._classes[list(history)], minlength=CLASSES)
        return Candidates(scores, vectors, self._counts[items], self._classes[items], past)

    def rank_of(self, history: Sequence[int] | int, item: int, policy: ScoringPolicy | None = None) -> int:
        """Where ``item`` stands among the items not in the history (among all, if it is itself in the history);
        ties share the middle."""
        return self.ranks_of(history, item, [policy])[0]

    @torch.inference_mode()
    def ranks_of(self, history: Sequence[int] | int, item: int, policies: Sequence[ScoringPolicy | None]) -> list[int]:
        """The same under each of several policies; the history is read by the model once."""
        asked = [self.request(history, policy=policy) for policy in policies]
        seen, user = list(asked[0].history), torch.tensor([asked[0].user], device=self.device)
        sequences = pad_histories([seen], self.max_length, self.device)
        candidate = torch.ones(self.dataset.n_items + 1, dtype=torch.bool, device=self.device)
        candidate[[PAD, item]] = False
        if item not in seen:
            candidate[seen] = False
        ranks = []
        for request in asked:
            scores = self._policed(request.policy).score(sequences, user)[0]
            higher = int((scores[candidate] > scores[item]).sum())
            equal = int((scores[candidate] == scores[item]).sum())
            ranks.append(1 + higher + (equal + 1) // 2)
        return ranks

    def frame(self, answer: Answer) -> pd.DataFrame:
        """An answer as the frame :meth:`recommend` returns."""
        frame = self.frame_of(answer.items)
        frame.insert(2, "score", answer.scores)
        frame.insert(3, "rank", np.arange(1, len(frame) + 1))
        return frame.assign(**answer.columns())

    def frame_of(self, items: np.ndarray) -> pd.DataFrame:
        """item_id, title and tail of item numbers."""
        columns = {"item_id": self.item_ids[items - 1], "title": self.titles[items - 1], "tail": self.tail[items]}
        return pd.DataFrame(columns)
