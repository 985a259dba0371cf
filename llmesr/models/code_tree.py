"""The prefix tree of the items' codes, and a small decoder that writes an item down its branches (TIGER's family).

Only items that exist can be written: at every node the decoder chooses among the codes that some item goes on with, so
that the probabilities of all items add up to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from llmesr.data.unit_rows import unit_rows
from llmesr.encoders.dropout import Dropout
from llmesr.models.tables import CodesTable

ROWS = 65_536
"""Items that are given to their nearest groups at once."""


@dataclass(frozen=True)
class Level:
    """One step down the tree, from ``nodes`` prefixes of t codes to those of t + 1."""

    node: Tensor  # (N + 1,) the prefix each item has here; row 0 unused
    child: Tensor  # (nodes, K + 1) the longer prefix by the code it goes on with, -1 where no item does
    path: Tensor  # (nodes, t) the codes of each prefix
    parent: Tensor  # (children,)
    code: Tensor  # (children,) the code each child adds


@dataclass(frozen=True)
class Tree:
    """``levels`` from the root down; ``item`` (leaves,): the item at the end of each whole sequence of codes."""

    levels: tuple[Level, ...]
    item: Tensor


def plant(codes: Tensor, size: int) -> Tree:
    """The tree of ``codes`` (N, C), one row for each item, from 0 to ``size``. ValueError when two items share all."""
    rows = codes.cpu().numpy().astype(np.int64)
    if len(np.unique(rows, axis=0)) < len(rows):
        raise ValueError("two items have the same codes")
    device, levels = codes.device, []
    paths, at = np.zeros((1, 0), np.int64), np.zeros(len(rows), np.int64)
    for step in range(rows.shape[1]):
        longer, below = np.unique(rows[:, : step + 1], axis=0, return_inverse=True)
        below = below.reshape(-1)
        parent = np.zeros(len(longer), np.int64)
        parent[below] = at
        child = np.full((len(paths), size + 1), -1, np.int32)
        child[parent, longer[:, -1]] = np.arange(len(longer))
        given = (np.concatenate([[0], at]), child, paths, parent, longer[:, -1])
        levels.append(Level(*(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in given)))
        paths, at = longer, below
    item = np.zeros(len(paths), np.int64)
    item[at] = np.arange(1, len(rows) + 1)
    return Tree(tuple(levels), torch.from_numpy(item).to(device))


def told_apart(codes: np.ndarray) -> np.ndarray:
    """``codes`` (N, C) with one more column, which numbers the items that share all others from 1 on: (N, C + 1)."""
    _, group = np.unique(codes, axis=0, return_inverse=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    ordered = group.reshape(-1)[order]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(order) else np.zeros(0, bool)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order)) - first + 1
    return np.column_stack([codes, number])


def quantised_again(vectors: Tensor, codes: Tensor, *, rounds: int = 5) -> Tensor:
    """Residual codes (N, C) of other ``vectors`` (N, E), 0 for a zero row: k-means that begins with the groups there
    are, so that a code goes on meaning what it meant. A group that loses all its items keeps its number, unused."""
    known = vectors.any(1)
    again, left = torch.zeros_like(codes), _alike(vectors)[known]
    size = int(codes.max()) + 1 if len(codes) else 1
    for column in range(codes.shape[1]):
        group = codes[known, column].long()
        for _ in range(rounds):
            times = torch.bincount(group, minlength=size)
            centres = left.new_zeros(size, left.shape[1]).index_add_(0, group, left) / times.clamp(min=1)[:, None]
            unused = times == 0
            unused[0] = True  # the number of items without text
            if not bool(unused.all()):
                group = torch.cat([_nearest(some, centres, unused) for some in left.split(ROWS)])
        again[known, column] = group.to(again.dtype)
        left = left - centres[group]
    return again


def _nearest(rows: Tensor, centres: Tensor, unused: Tensor) -> Tensor:
    distance = centres.square().sum(1) - 2 * rows @ centres.T
    return distance.masked_fill(unused, torch.inf).argmin(1)


def _alike(vectors: Tensor) -> Tensor:
    """(N, E) without the common mean, at length 1; zero rows stay."""
    known = vectors.any(1)
    return unit_rows((vectors - vectors[known].mean(0)) * known[:, None]) if bool(known.any()) else vectors


def _network(size: int, out: int, dropout: float) -> nn.Sequential:
    """One hidden layer; it begins near zero, so that a decoder begins with little but the user and the code vectors."""
    last = nn.Linear(2 * size, out)
    nn.init.normal_(last.weight, std=0.02)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 2 * size), nn.GELU(), Dropout(dropout), last)


class CodeDecoder(nn.Module):
    """p(code_t | user, codes before) = softmax over the codes that go on there of  (q_t(u) * g_t(s) + h_t(s)) . v,

    with s the sum of the vectors of the codes before, v the code vectors of the item table, and q_t, g_t, h_t small
    networks of each step. The user meets a prefix in products alone, so that the way down to an item is the same for
    everybody, and the probabilities of all items are one matrix product a step.
    """

    epochs: Tensor

    def __init__(
        self, table: CodesTable, embedding_size: int, *, dropout: float, beam: int, exhaustive_up_to: int
    ) -> None:
        """All items are scored up to ``exhaustive_up_to`` of them, beyond that those that ``beam`` beams find."""
        super().__init__()
        self.beam, self.exhaustive_up_to = beam, exhaustive_up_to
        self.register_buffer("epochs", torch.zeros((), dtype=torch.long))  # begun so far: a resumed run knows its place
        self.given = (table,)  # a part of the model already
        steps = range(table.codes.shape[1])
        self.asking = nn.ModuleList(_network(embedding_size, embedding_size, dropout) for _ in steps)
        self.turning = nn.ModuleList(_network(embedding_size, 2 * embedding_size, dropout) for _ in steps[1:])
        self._tree: tuple[Tensor, Tree] | None = None

    @torch.no_grad()
    def recode(self, *views: Tensor) -> None:
        """Codes from other vectors of the items, (N, E') each, zero where there is none: centred, at length 1, side by
        side. Where more items than a codebook numbers would share all codes, those that there are stay."""
        codes = self.table.codes
        seen = torch.cat([_alike(view.float()) for view in views], dim=1)
        again = told_apart(quantised_again(seen, codes[1:-1, :-1]).cpu().numpy())
        if again.max() < self.table.vectors.shape[1]:
            codes[1:-1] = torch.from_numpy(again).to(codes)

    @property
    def table(self) -> CodesTable:
        return self.given[0]

    def tree(self) -> Tree:
        """The tree of the codes as they stand, planted anew when they were changed."""
        codes = self.table.codes
        if self._tree is None or not torch.equal(self._tree[0], codes):
            self._tree = codes.clone(), plant(codes[1:-1], self.table.vectors.shape[1] - 1)
        return self._tree[1]

    def _users(self, step: int, states: Tensor) -> Tensor:
        """q_t: (..., D) -> (..., D)."""
        asked: Tensor = states + self.asking[step](states)
        return asked

    def _turned(self, step: int, prefix: Tensor) -> tuple[Tensor, Tensor]:
        """g_t and h_t: (..., D) -> (..., D) each; 1 and 0 at the first step, which has nothing before it."""
        if step == 0:
            return torch.ones_like(prefix), torch.zeros_like(prefix)
        gate, shift = self.turning[step - 1](prefix).chunk(2, dim=-1)
        return 1 + gate, shift

    def _prefixes(self, path: Tensor) -> Tensor:
        """(nodes, t) codes -> (nodes, D) the sum of their vectors."""
        total = self.table.vectors.new_zeros(len(path), self.table.vectors.shape[-1])
        for step in range(path.shape[1]):
            total = total + self.table.vectors[step][path[:, step]]
        return total

    def log_probability(self, users: Tensor, items: Tensor) -> Tensor:
        """(P, D) states and one item of each (P,) -> (P,)."""
        total, prefix = users.new_zeros(len(users)), torch.zeros_like(users)
        for step, level in enumerate(self.tree().levels):
            vectors = self.table.vectors[step].to(users.dtype)
            gate, shift = self._turned(step, prefix)
            logits = (self._users(step, users) * gate + shift) @ vectors.T  # (P, K + 1)
            logits = logits.float().masked_fill(level.child[level.node[items]] < 0, -torch.inf)
            code = self.table.codes[items, step].long()
            total = total + logits.log_softmax(1).gather(1, code[:, None])[:, 0]
            prefix = prefix + vectors[code]
        return total

    @torch.no_grad()
    def every(self, users: Tensor) -> Tensor:
        """(B, D) -> (B, N) the log-probability of every item; they add up to 1."""
        tree = self.tree()
        reached = users.new_zeros(len(users), 1)
        for step, level in enumerate(tree.levels):
            several = torch.bincount(level.parent, minlength=len(level.child)) > 1
            chosen = several[level.parent].nonzero()[:, 0]  # where there is one way on, it is certain
            owner = level.parent[chosen]
            gate, shift = self._turned(step, self._prefixes(level.path))
            vectors = self.table.vectors[step][level.code[chosen]]
            logits = self._users(step, users) @ (gate[owner] * vectors).T + (shift[owner] * vectors).sum(1)
            greatest = logits.new_full((len(users), len(level.child)), -torch.inf)
            greatest = greatest.scatter_reduce(1, owner.expand(len(users), -1), logits, "amax")
            shifted = logits - greatest[:, owner]
            sums = torch.zeros_like(greatest).index_add(1, owner, shifted.exp())
            below = logits.new_zeros(len(users), len(level.parent))
            below[:, chosen] = shifted - sums.log()[:, owner]
            reached = reached[:, level.parent] + below
        found = torch.empty_like(reached)
        found[:, tree.item - 1] = reached
        return found

    @torch.no_grad()
    def beams(self, users: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """(B, D) -> the items (B, W) that a search of ``width`` beams ends at, best first, and their log-probabilities;
        W is ``width``, or all items where there are fewer. Each exists, and none comes twice; 0 where a beam ended."""
        tree = self.tree()
        node = torch.zeros(len(users), 1, dtype=torch.long, device=users.device)
        reached = users.new_zeros(len(users), 1)
        for step, level in enumerate(tree.levels):
            turned = self._turned(step, self._prefixes(level.path))
            gate, shift = (part[node.clamp(min=0)] for part in turned)  # (B, W, D)
            logits = (self._users(step, users)[:, None] * gate + shift) @ self.table.vectors[step].T  # (B, W, K + 1)
            child = torch.where(node[..., None] < 0, -1, level.child[node.clamp(min=0)]).long()
            logits = logits.masked_fill(child < 0, -torch.inf)
            steps = logits.log_softmax(2).nan_to_num(nan=-torch.inf)  # a beam that had ended
            total = (reached[..., None] + steps).flatten(1)
            reached, place = total.topk(min(width, total.shape[1], len(level.parent)), dim=1)
            node = torch.where(reached.isfinite(), child.flatten(1).gather(1, place), -1)
        return torch.where(node < 0, 0, tree.item[node.clamp(min=0)]), reached
