"""The ranks of held-out items under many scoring policies at once, from parts of the scores made once.

The collaborative, semantic and content parts of a block of users are computed a single time; a policy
is then a weighted sum of them and a count of the candidates above the target.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmesr.config import Protocol
from llmesr.data.batches import Sequences, in_order
from llmesr.data.dataset import Dataset
from llmesr.data.split import Part
from llmesr.evaluation.questions import Questions
from llmesr.evaluation.ranks import PROTOCOLS
from llmesr.ids import PAD
from llmesr.progress import Progress, silent
from llmesr.scoring.policy import Ground, ItemWeights, ScoringPolicy, view_scores

BLOCK = 2**24
"""Most scores of one part held at once (64 MB of float32)."""
SLICE = 2**18
"""Scores worked on at once on the CPU, so that the passes of all policies stay in its cache."""


@dataclass(frozen=True, eq=False)
class Block:
    """The parts of the scores of B users, and what ranks are counted against."""

    users: np.ndarray  # (B,)
    collaborative: Tensor  # (B, N + 1)
    semantic: Tensor  # (B, N + 1)
    content: dict[float, Tensor]  # whitening -> (B, N + 1)
    cooccurrence: Tensor | None  # (B, N + 1), if asked for
    target: Tensor  # (B,) the first of each user
    excluded: Tensor  # (B, H) items of the input history, padded with 0; none where the target repeats one
    negatives: Tensor  # (B, C) of uni100 and a user's further targets, padded with 0


def blocks(
    scorer: Any,
    dataset: Dataset,
    ground: Ground,
    users: np.ndarray,
    part: Part,
    *,
    whitenings: Collection[float],
    cooccurrence: bool = False,
    max_length: int,
    device: torch.device | str = "cpu",
) -> Iterator[Block]:
    """The parts for ``users``, sorted by history length, in blocks that bound the memory.

    Contents are made for each of ``whitenings``, the co-occurrence part if it is asked for.
    """
    asked = Questions(dataset, part, Sequences(dataset, device), max_length)
    for some in in_order(users, dataset.lengths, max(1, min(1024, BLOCK // (dataset.n_items + 1)))):
        batch = asked.batch(some)
        inputs = batch.inputs
        collaborative, semantic = view_scores(scorer, inputs, batch.users)
        yield Block(
            users=some,
            collaborative=collaborative.float(),
            semantic=semantic.float(),
            content={w: ground.content(w).score(inputs) for w in whitenings},
            cooccurrence=ground.cooccurrence().score(inputs) if cooccurrence else None,
            target=batch.targets[:, 0],
            excluded=batch.seen,
            negatives=torch.cat([asked.negatives(batch), batch.targets[:, 1:]], 1),
        )


def rank_grid(
    scorer: Any,
    dataset: Dataset,
    ground: Ground,
    policies: Sequence[ScoringPolicy],
    users: np.ndarray,
    *,
    part: Part = "valid",
    max_length: int = 50,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> dict[Protocol, np.ndarray]:
    """Ranks (policies, users) under each protocol, with the tie rule of ``evaluation.ranks.evaluate``.

    ``tail_users_only`` is not looked at: a head user's rank under it is the rank without a policy.
    """
    ranks = {p: np.zeros((len(policies), len(users)), np.int32) for p in PROTOCOLS}
    place = np.zeros(dataset.n_users, np.int64)
    place[users] = np.arange(len(users))
    done = 0
    parts = blocks(
        scorer,
        dataset,
        ground,
        users,
        part,
        whitenings={p.whitening for p in policies if p.gamma},
        cooccurrence=any(p.cooccurrence for p in policies),
        max_length=max_length,
        device=device,
    )
    alike = _alike(policies, ground)
    with torch.inference_mode():
        for block in parts:
            at = place[block.users]
            full, sampled = _block_ranks(block, policies, alike)
            ranks["full"][:, at] = full.cpu().numpy()
            ranks["uni100"][:, at] = sampled.cpu().numpy()
            done += len(block.users)
            progress("trying policies", done, len(users))
    return ranks


def _alike(policies: Sequence[ScoringPolicy], ground: Ground) -> list[tuple[list[int], ItemWeights]]:
    """Policies that differ in nothing but gamma and whitening, together, with their weights."""
    groups: dict[ScoringPolicy, list[int]] = {}
    for i, policy in enumerate(policies):
        groups.setdefault(policy.but(gamma=0.0, whitening=0.0, tail_users_only=False), []).append(i)
    return [(members, ItemWeights.of(base, ground)) for base, members in groups.items()]


def _block_ranks(
    block: Block, policies: Sequence[ScoringPolicy], alike: list[tuple[list[int], ItemWeights]]
) -> tuple[Tensor, Tensor]:
    """(policies, B) ranks under full and under uni100."""
    size, width = block.semantic.shape
    full = torch.zeros(len(policies), size, dtype=torch.int32, device=block.semantic.device)
    sampled = torch.zeros_like(full)
    rows = size if block.semantic.is_cuda else max(1, SLICE // width)
    for start in range(0, size, rows):
        cut = slice(start, start + rows)
        target, negatives = block.target[cut, None], block.negatives[cut]
        for members, weights in alike:
            margin = _base(block, cut, policies[members[0]], weights)
            margin -= margin.gather(1, target)
            margin[:, PAD] = -torch.inf
            work = torch.empty_like(margin)
            for i in members:
                content = block.content.get(policies[i].whitening) if policies[i].gamma else None
                if content is not None:
                    one = torch.ones((), device=margin.device) if weights.content is None else weights.content
                    torch.addcmul(margin, content[cut], one, value=policies[i].gamma, out=work)
                    work -= work.gather(1, target)
                else:
                    work.copy_(margin)
                near = work.gather(1, negatives)  # padding is -inf, as it should be
                work.scatter_(1, block.excluded[cut], -torch.inf)
                full[i, cut], sampled[i, cut] = _rank(work.sign_(), width - 1), _rank(near.sign_(), near.shape[1])
    return full, sampled


def _base(block: Block, cut: slice, policy: ScoringPolicy, weights: ItemWeights) -> Tensor:
    """The scores of some users without the content term, (b, N + 1)."""
    one = torch.ones((), device=block.semantic.device)
    made = block.semantic[cut] * (one if weights.semantic is None else weights.semantic)
    made.addcmul_(block.collaborative[cut], one if weights.collaborative is None else weights.collaborative)
    if policy.cooccurrence and block.cooccurrence is not None:
        weight = one if weights.cooccurrence is None else weights.cooccurrence
        made.addcmul_(block.cooccurrence[cut], weight, value=policy.cooccurrence)
    return made if weights.bias is None else made.add_(weights.bias)


def _rank(signs: Tensor, others: int) -> Tensor:
    """Rank of a target from the signs of the candidates' margins over it: 1 + higher + ceil(equal / 2).

    With s the sum of signs, s = higher - lower and higher + equal + lower = others, which makes the rank
    1 + ceil((others + s) / 2). The target's own sign, when it is among them, is 0; -inf counts as lower.
    """
    return 1 + torch.ceil((others + signs.sum(1)) / 2).to(torch.int32)
