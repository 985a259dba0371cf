"""The ranks of held-out items under many scoring policies at once, from terms of the scores made once.

The terms of the scores of a block of users are computed a single time; a policy is then a weighted sum of them and a
count of the candidates above the target.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmesr.config import Protocol
from llmesr.data.batches import Sequences, in_order
from llmesr.data.split import Part
from llmesr.evaluation.questions import Questions
from llmesr.evaluation.ranks import PROTOCOLS
from llmesr.ids import PAD
from llmesr.progress import Progress, silent
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.policy_scorer import Share, shares
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.terms import TERMS, Key, open_terms

BLOCK = 2**24
"""Most scores of one part held at once (64 MB of float32)."""
SLICE = 2**18
"""Scores worked on at once on the CPU, so that the passes of all policies stay in its cache."""


VARIED = "content"
"""The term whose weights are tried most: policies that differ in it alone share the sum of the others."""


@dataclass(frozen=True, eq=False)
class Block:
    """The terms of the scores of B users, and what ranks are counted against."""

    users: np.ndarray  # (B,)
    terms: dict[Key, Tensor]  # each (B, N + 1)
    target: Tensor  # (B,) the first of each user
    excluded: Tensor  # (B, H) items of the input history, padded with 0; none where the target repeats one
    negatives: Tensor  # (B, C) of uni100 and a user's further targets, padded with 0

    def own(self) -> Tensor:
        """(B, N + 1) the scores of the model itself."""
        first, *others = (part for (name, _), part in self.terms.items() if TERMS[name].own)
        return sum(others, start=first)


def blocks(scored: ScoredRun, users: np.ndarray, part: Part, keys: Collection[Key]) -> Iterator[Block]:
    """The terms ``keys`` of the scores of ``users``, sorted by history length, in blocks that bound the memory."""
    dataset, device = scored.dataset, scored.device
    opened = open_terms(scored.scorer, scored.ground, sorted(keys, key=lambda key: list(TERMS).index(key[0])))
    asked = Questions(dataset, part, Sequences(dataset, device), scored.max_length)
    for some in in_order(
        users, dataset.split.input_lengths("valid"), max(1, min(1024, BLOCK // (dataset.n_items + 1)))
    ):
        batch = asked.batch(some)
        yield Block(
            users=some,
            terms={key: term.score(batch.inputs, batch.users).float() for key, term in opened.items()},
            target=batch.targets[:, 0],
            excluded=batch.seen,
            negatives=torch.cat([asked.negatives(batch), batch.targets[:, 1:]], 1),
        )


def rank_grid(
    scored: ScoredRun,
    policies: Sequence[ScoringPolicy],
    users: np.ndarray,
    *,
    part: Part = "valid",
    progress: Progress = silent,
) -> dict[Protocol, np.ndarray]:
    """Ranks (policies, users) under each protocol, with the tie rule of ``evaluation.ranks.evaluate``.

    ``tail_users_only`` is not looked at: a head user's rank under it is the rank without a policy.
    """
    ranks = {p: np.zeros((len(policies), len(users)), np.int32) for p in PROTOCOLS}
    place = np.zeros(scored.dataset.n_users, np.int64)
    place[users] = np.arange(len(users))
    done = 0
    groups = _alike(policies, scored)
    keys = {share.key for group in groups for share in [*group.base, *group.varied.values()]}
    with torch.inference_mode():
        for block in blocks(scored, users, part, keys):
            at = place[block.users]
            full, sampled = _block_ranks(block, len(policies), groups)
            ranks["full"][:, at] = full.cpu().numpy()
            ranks["uni100"][:, at] = sampled.cpu().numpy()
            done += len(block.users)
            progress("trying policies", done, len(users))
    return ranks


@dataclass(frozen=True, eq=False)
class _Alike:
    """Policies (by their places) that differ in nothing but the varied term, which some of them have."""

    members: list[int]
    base: list[Share]
    varied: dict[int, Share]


def _alike(policies: Sequence[ScoringPolicy], scored: ScoredRun) -> list[_Alike]:
    varied = TERMS[VARIED]
    off = {s: ScoringPolicy.model_fields[s].default for s in (varied.setting, varied.variant) if s}
    groups: dict[ScoringPolicy, list[int]] = {}
    for i, policy in enumerate(policies):
        groups.setdefault(policy.but(**off, tail_users_only=False), []).append(i)
    made = []
    for base, members in groups.items():
        own = {i: share for i in members for share in shares(policies[i], scored.ground) if share.term is varied}
        made.append(_Alike(members, shares(base, scored.ground), own))
    return made


def _block_ranks(block: Block, policies: int, groups: list[_Alike]) -> tuple[Tensor, Tensor]:
    """(policies, B) ranks under full and under uni100."""
    size, width = next(iter(block.terms.values())).shape
    full = torch.zeros(policies, size, dtype=torch.int32, device=block.target.device)
    sampled = torch.zeros_like(full)
    rows = size if full.is_cuda else max(1, SLICE // width)
    for start in range(0, size, rows):
        cut = slice(start, start + rows)
        target, negatives = block.target[cut, None], block.negatives[cut]
        for group in groups:
            margin = _summed(block, cut, group.base)
            margin -= margin.gather(1, target)
            margin[:, PAD] = -torch.inf
            work = torch.empty_like(margin)
            for i in group.members:
                if (share := group.varied.get(i)) is not None:
                    share.add_to(margin, block.terms[share.key][cut], out=work)
                    work -= work.gather(1, target)
                else:
                    work.copy_(margin)
                near = work.gather(1, negatives)  # padding is -inf, as it should be
                work.scatter_(1, block.excluded[cut], -torch.inf)
                full[i, cut], sampled[i, cut] = _rank(work.sign_(), width - 1), _rank(near.sign_(), near.shape[1])
    return full, sampled


def _summed(block: Block, cut: slice, of: list[Share]) -> Tensor:
    """The scores of some users that these shares add up to, (b, N + 1); a tensor of its own."""
    first, *others = [share for share in of if share.key in block.terms]  # a model may have no part of that kind
    made = first.alone(block.terms[first.key][cut])
    for share in others:
        share.add_to(made, block.terms[share.key][cut], out=made)
    return made


def _rank(signs: Tensor, others: int) -> Tensor:
    """Rank of a target from the signs of the candidates' margins over it: 1 + higher + ceil(equal / 2).

    With s the sum of signs, s = higher - lower and higher + equal + lower = others, which makes the rank
    1 + ceil((others + s) / 2). The target's own sign, when it is among them, is 0; -inf counts as lower.
    """
    return 1 + torch.ceil((others + signs.sum(1)) / 2).to(torch.int32)
