"""The linear term: item-to-item weights, added up over the history.

A sequence model trained on few users forgets single pairs of items; this remembers them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.fading import fading
from llmesr.linear.build import Source, build, solved_again
from llmesr.linear.kept import cosine_rows
from llmesr.linear.rows import Rows
from llmesr.linear.weights import Weights
from llmesr.scoring.without import Without

LinearKind = Literal["cosines", "ease", "text-ease"]
KINDS: tuple[LinearKind, ...] = get_args(LinearKind)
PLAINEST: LinearKind = "cosines"
READS_TEXT: frozenset[object] = frozenset({"text-ease"})
"""The kinds that need item text."""
SCALE = 10.0
"""Of the sum inside the logarithm; what a history of many items adds up to grows ever slower. With the small
weights of text-ease, 10 ranks within .001 of the plain sum (NDCG@10, validation); 100 and 1000 rank worse."""


@dataclass(frozen=True, eq=False)
class LinearTerm:
    """log(1 + 10 * sum over the history of decay^(steps back) * w(h, i)), the sum at least 0."""

    rows: Rows | Tensor  # (N + 1, N + 1): row h holds w(h, i)
    decay: float = 1.0

    @property
    def size(self) -> int:
        return self.rows.size if isinstance(self.rows, Rows) else len(self.rows)

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) right-padded histories -> (B, N + 1); 0 where nothing of the history speaks for an item."""
        faded = fading(sequences, self.decay)
        if isinstance(self.rows, Rows):
            total = self.rows.sums(sequences, faded)
        else:
            total = torch.nn.functional.embedding_bag(sequences, self.rows, per_sample_weights=faded, mode="sum")
        return damped(total)

    @torch.inference_mode()
    def entries(self, sequences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of ``sequences`` (B, L), items and summands, (P,) each: :func:`damped` sums of those of a row and an
        item are the term, which is 0 everywhere else. Only of weights that are sparse."""
        if not isinstance(self.rows, Rows):
            raise ValueError("dense weights have something to say of every item")
        return self.rows.entries(sequences, fading(sequences, self.decay))

    @torch.inference_mode()
    def of(self, sequences: Tensor, items: Tensor, users: Tensor | None = None) -> Tensor:
        """The same for few items: (B, L) and (B, C), or (C,) for all users the same, -> (B, C)."""
        faded = fading(sequences, self.decay)
        if isinstance(self.rows, Rows):
            total = self.rows.few(sequences, faded, items)
        else:
            at = items[None, None, :] if items.dim() == 1 else items[:, None, :]
            total = (self.rows[sequences[:, :, None], at] * faded[:, :, None]).sum(1)
        return damped(total)

    @torch.inference_mode()
    def without(self, rows: Without, items: Tensor, drawn: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The same for all ``rows``, of which only the weights of items change: of ``items`` (H, C) of every history,
        (R, C), and the sum over ``drawn`` (S,) by ``weights`` (S,): (R,)."""
        if not isinstance(self.rows, Rows):
            return self.of(rows.sequences, items[rows.owner]), self.of(rows.sequences, drawn) @ weights
        read, at = rows.numbered  # (U,), (H, D)
        wanted, column = torch.unique(torch.cat([items.view(-1), drawn]), return_inverse=True)  # (W,)
        table, own, others = self.rows.between(read, wanted), column[: items.numel()], column[items.numel() :]
        faded, asked = rows.faded(self.decay), (rows.owner, 1 + rows.left)
        part = damped((faded @ table[at[:, :, None], own.view_as(items)[:, None]])[asked])
        return part, damped((faded @ F.embedding(at, table[:, others]))[asked]) @ weights


def damped(total: Tensor) -> Tensor:
    """log(1 + 10 * total), in place; the total at least 0."""
    return total.clamp_(min=0).mul_(SCALE).log1p_()


def make(
    kind: LinearKind,
    dataset: Dataset,
    text: np.ndarray | Tensor | None,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
) -> LinearTerm:
    """From the training part of a dataset and its item vectors ``text`` (N + 1, E), where the kind reads them.
    ``folder`` as for :func:`~llmesr.linear.kept.cosine_rows`."""
    if kind == "cosines":
        return LinearTerm(cosine_rows(dataset, folder, device))
    config = RunConfig(method=kind)
    vectors = torch.as_tensor(text) if kind in READS_TEXT else None
    return _of(build(Source(dataset, vectors, device=device), config), config)


def made_again(kind: LinearKind, before: Source, after: Source, items: Tensor) -> LinearTerm:
    """What :func:`make` makes of ``before``, with the weights of ``items`` (S,) as ``after`` makes them, which may hold
    more items: those of all others stay."""
    config = RunConfig(method=kind)
    return _of(solved_again(build(before, config), after, config, items), config)


def _of(solved: Weights, config: RunConfig) -> LinearTerm:
    return LinearTerm(solved.weights if solved.items is None else Rows.of(solved), config.decay)
