"""Pairs of items that the same users chose, as positives of contrastive fine-tuning (the idea of LLM2Rec, KDD 2025).

Two copies of one item teach what a text says; two items of one user teach what goes together. So behaviour comes into
the space of texts, which content terms and linear models with text read as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sparse
import torch
from torch import Tensor

from llmesr.config import FinetuneConfig
from llmesr.semantic.contrastive import ContrastiveLoss, Copies

_PARTNER = 4


@dataclass(frozen=True)
class CoChosen:
    """``together`` (N, N): how often two items stood near each other in training histories, rows as in ``copies``.

    A partner j of i is drawn by together_ij / sqrt(n_j), with n_j the sum of row j: popular items go with everything.
    Partners in ``held_out`` are drawn only at step 0, where held-out pairs are judged.
    """

    copies: Copies
    together: sparse.csr_matrix
    held_out: np.ndarray
    chance = 0.5

    @cached_property
    def _weights(self) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """For judging, and for training."""
        often = np.asarray(self.together.sum(axis=1)).ravel()
        whole = (self.together @ sparse.diags(1 / np.sqrt(np.maximum(often, 1)))).tocsr()
        kept = np.ones(whole.shape[0])
        kept[self.held_out] = 0
        return whole, with_partners(whole, kept)

    def partner(self, item: int, step: int) -> int:
        """A row that stood near ``item``; the same whenever it is asked for."""
        weights = self._weights[step > 0]
        at = slice(weights.indptr[item], weights.indptr[item + 1])
        share = weights.data[at] / weights.data[at].sum()
        rng = np.random.default_rng([self.copies.seed, _PARTNER, step, item])
        return int(rng.choice(weights.indices[at], p=share))

    def pair(self, item: int, step: int) -> tuple[str, str]:
        """The prompt of ``item`` and that of a partner, shuffled and with some attributes dropped, as copies are."""
        return self.copies.pair(item, step)[0], self.copies.pair(self.partner(item, step), step)[1]

    def pairs(self, items: np.ndarray, step: int) -> tuple[list[str], list[str]]:
        """The prompts of ``items``, and of their partners."""
        both = [self.pair(int(item), step) for item in items]
        return [x for x, _ in both], [y for _, y in both]

    def loss(self, config: FinetuneConfig, _: int, /) -> ContrastiveLoss:
        """What ``config`` describes, whatever the size of the vectors."""
        return ContrastiveLoss(config)

    def beside(self, items: np.ndarray, step: int) -> Tensor:
        """(B, B) bool: the partner in column j is no negative of the item in row i, since it is that item or the same
        users chose it too."""
        partners = np.array([self.partner(int(item), step) for item in items])
        found = np.asarray(self.together[items][:, partners].toarray() > 0)
        found |= (items[:, None] == partners[None]) | (partners[:, None] == partners[None])
        np.fill_diagonal(found, False)
        return torch.from_numpy(found)

    def accuracy(self, x: Tensor, y: Tensor, barred: Tensor | None) -> float:
        """How well held-out items are told from strangers; chance is 1/2."""
        return told_apart(x, y, torch.zeros(len(x), len(x), dtype=torch.bool) if barred is None else barred)


def told_apart(x: Tensor, y: Tensor, barred: Tensor) -> float:
    """How often the partner of a row of ``x`` (n, E) is nearer than another's in ``y``, ties counting half, averaged
    with the other direction. ``barred`` (n, n) pairs are not asked. Chance is 1/2.

    Whose partner is nearest of all would say little: many items go with an item.
    """
    cosine = x @ y.T  # (n, n)
    asked = ~barred
    asked.fill_diagonal_(False)
    own = cosine.diagonal()
    nearer = [(mine > cosine).float() + 0.5 * (mine == cosine).float() for mine in (own[:, None], own[None])]
    return float(sum(found[asked].mean() for found in nearer) / 2) if asked.any() else 0.5


def with_partners(weights: sparse.csr_matrix, kept: np.ndarray) -> sparse.csr_matrix:
    """``weights`` (N, N) with the columns where ``kept`` (N,) is 1, and no stored zeros."""
    made = (weights @ sparse.diags(kept)).tocsr()
    made.eliminate_zeros()
    return made
