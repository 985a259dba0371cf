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
from llmesr.evaluation.negatives import uniform_negatives
from llmesr.evaluation.ranks import PROTOCOLS
from llmesr.ids import PAD
from llmesr.progress import Progress, silent
from llmesr.serving.policy import Ground, ScoringPolicy, view_scores

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
    target: Tensor  # (B,)
    excluded: Tensor  # (B, H) items of the input history, padded with 0; none where the target repeats one
    negatives: Tensor  # (B, 100) of uni100, padded with 0


def blocks(
    scorer: Any,
    dataset: Dataset,
    ground: Ground,
    users: np.ndarray,
    part: Part,
    *,
    whitenings: Collection[float],
    max_length: int,
    device: torch.device | str = "cpu",
) -> Iterator[Block]:
    """The parts for ``users``, sorted by history length, in blocks that bound the memory.

    Contents are made for each of ``whitenings``.
    """
    sequences = Sequences(dataset, device)
    given = torch.from_numpy(dataset.split.input_lengths(part).astype(np.int64)).to(device)
    whole = torch.from_numpy(dataset.lengths.astype(np.int64)).to(device)
    longest = int(dataset.lengths.max(initial=1))
    for batch in in_order(users, dataset.lengths, max(1, min(1024, BLOCK // (dataset.n_items + 1)))):
        who = torch.from_numpy(batch).to(device)
        inputs, _ = sequences.padded(who, given[who], max_length)
        history, _ = sequences.padded(who, whole[who], longest)
        target = sequences.items[sequences.starts[who] + given[who]]
        seen = history.masked_fill(torch.arange(history.shape[1], device=who.device) >= given[who][:, None], PAD)
        collaborative, semantic = view_scores(scorer, inputs, who)
        yield Block(
            users=batch,
            collaborative=collaborative.float(),
            semantic=semantic.float(),
            content={w: ground.content(w).score(inputs) for w in whitenings},
            target=target,
            excluded=seen.masked_fill((seen == target[:, None]).any(1, keepdim=True), PAD),
            negatives=uniform_negatives(who, history, dataset.n_items, seed=dataset.seed, part=part),
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
    needed = {p.whitening for p in policies if p.gamma}
    parts = blocks(scorer, dataset, ground, users, part, whitenings=needed, max_length=max_length, device=device)
    with torch.inference_mode():
        for block in parts:
            at = place[block.users]
            full, sampled = _block_ranks(block, ground, policies)
            ranks["full"][:, at] = full.cpu().numpy()
            ranks["uni100"][:, at] = sampled.cpu().numpy()
            done += len(block.users)
            progress("trying policies", done, len(users))
    return ranks


def _block_ranks(block: Block, ground: Ground, policies: Sequence[ScoringPolicy]) -> tuple[Tensor, Tensor]:
    """(policies, B) ranks under full and under uni100."""
    bases: dict[tuple[int, float, float], list[int]] = {}  # policies that differ in the content term alone
    for i, policy in enumerate(policies):
        route = (policy.route_threshold, policy.route_weight) if policy.routes else (0, 1.0)
        bases.setdefault((*route, policy.popularity), []).append(i)
    size, width = block.semantic.shape
    full = torch.zeros(len(policies), size, dtype=torch.int32, device=block.semantic.device)
    sampled = torch.zeros_like(full)
    rows = size if block.semantic.is_cuda else max(1, SLICE // width)
    for start in range(0, size, rows):
        cut = slice(start, start + rows)
        target, negatives = block.target[cut, None], block.negatives[cut]
        contents = {w: c[cut] - c[cut].gather(1, target) for w, c in block.content.items()}  # (b, N + 1)
        for (threshold, weight, popularity), members in bases.items():
            share = torch.where(ground.item_counts < threshold, weight, 1.0)
            margin = torch.addcmul(block.semantic[cut], block.collaborative[cut], share)
            margin += popularity * ground.log_counts
            margin -= margin.gather(1, target)
            near = margin.gather(1, negatives).masked_fill_(negatives == PAD, -torch.inf)
            margin[:, PAD] = -torch.inf
            margin.scatter_(1, block.excluded[cut], -torch.inf)
            work = torch.empty_like(margin)
            for i in members:
                gamma, content = policies[i].gamma, contents.get(policies[i].whitening)
                if not gamma or content is None:
                    full[i, cut], sampled[i, cut] = _rank(margin.sign(), width - 1), _rank(near.sign(), near.shape[1])
                    continue
                torch.add(margin, content, alpha=gamma, out=work)
                few = torch.add(near, content.gather(1, negatives), alpha=gamma)
                full[i, cut], sampled[i, cut] = _rank(work.sign_(), width - 1), _rank(few.sign_(), near.shape[1])
    return full, sampled


def _rank(signs: Tensor, others: int) -> Tensor:
    """Rank of a target from the signs of the candidates' margins over it: 1 + higher + ceil(equal / 2).

    With s the sum of signs, s = higher - lower and higher + equal + lower = others, which makes the rank
    1 + ceil((others + s) / 2). The target's own sign, when it is among them, is 0; -inf counts as lower.
    """
    return 1 + torch.ceil((others + signs.sum(1)) / 2).to(torch.int32)
