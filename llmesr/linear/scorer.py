"""The score of a linear model: its weights, added up over the history, the newest choice counting most.

    score(u, i) = sum over h in history of decay^(steps back) * B[h, i]  +  what ranks the items that this leaves at 0

Every item of a history contributes its own summand, so what a score is made of is exact.
"""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from llmesr.data.fading import fading
from llmesr.linear.fallback import Fallback
from llmesr.linear.rows import Rows
from llmesr.linear.weights import Weights


class LinearScorer:
    """Scores by item-to-item weights. Columns are item numbers; an empty history scores by the fallback alone."""

    def __init__(
        self,
        weights: Weights,
        *,
        decay: float,
        fallback: Fallback | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.weights = weights.to(device)
        self.decay = decay
        self.fallback = fallback
        self.n_items = weights.n_items
        self._rows = None if weights.items is None else Rows.of(self.weights)

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) right-padded histories -> (B, N + 1)."""
        total = self.linear(sequences)
        return total if self.fallback is None else self.fallback.add_to(total, sequences)

    @torch.inference_mode()
    def linear(self, sequences: Tensor) -> Tensor:
        """(B, N + 1) the scores without the fallback."""
        faded = fading(sequences, self.decay)
        if self._rows is None:
            return F.embedding_bag(sequences, self.weights.weights, per_sample_weights=faded, mode="sum")
        return self._rows.sums(sequences, faded)

    @torch.inference_mode()
    def of(self, sequences: Tensor, candidates: Tensor, users: Tensor | None = None) -> Tensor:
        """The scores of few candidates: (B, L) and (B, C), or (C,) for all users the same, -> (B, C)."""
        faded = fading(sequences, self.decay)
        if self._rows is not None:
            own = self._rows.few(sequences, faded, candidates)
        else:
            at = candidates[None, None, :] if candidates.dim() == 1 else candidates[:, None, :]
            own = (self.weights.weights[sequences[:, :, None], at] * faded[:, :, None]).sum(1)
        return own if self.fallback is None else own + self.fallback.of(sequences, candidates)

    @cached_property
    def parts(self) -> dict[str, LinearScorer]:
        """What behaviour adds to the scores and, where the weights have such a part, what text adds."""
        whole, content = self.weights, self.weights.content
        if content is None:
            return {"collaborative": self}
        popular, near = (None, None) if self.fallback is None else self.fallback.parted()
        behaviour = Weights(whole.weights - content, whole.items)
        return {
            "collaborative": LinearScorer(behaviour, decay=self.decay, fallback=popular, device=content.device),
            "semantic": LinearScorer(
                Weights(content, whole.items), decay=self.decay, fallback=near, device=content.device
            ),
        }

    @torch.inference_mode()
    def shares(self, sequences: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """What every item of the histories contributes: behaviour and text, each (B, C, L); their sum over L is the
        score without the fallback."""
        faded = fading(sequences, self.decay)[:, None, :]  # (B, 1, L)
        whole = self._picked(self.weights.weights, sequences, candidates) * faded
        if self.weights.content is None:
            return whole, torch.zeros_like(whole)
        content = self._picked(self.weights.content, sequences, candidates) * faded
        return whole - content, content

    def _picked(self, table: Tensor, sequences: Tensor, candidates: Tensor) -> Tensor:
        """B[h, i] for every item h of a history and candidate i: (B, C, L)."""
        if self.weights.items is None:
            return table[sequences[:, None, :], candidates[:, :, None]]
        found = torch.zeros(*candidates.shape, sequences.shape[1], device=table.device)
        for row, (history, wanted) in enumerate(zip(sequences, candidates, strict=True)):  # (C, L, M) at a time
            same = self.weights.items[wanted][:, None, :] == history[None, :, None]
            found[row] = (same * table[wanted][:, None, :]).sum(2)
        return found
