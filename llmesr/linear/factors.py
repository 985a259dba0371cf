"""iALS: users and items as factors, and users solved for from whatever history they come with.

Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets". The item factors Y are fitted by
the `implicit` library; a history is then a user u = A^-1 sum of c_h y_h with A = Y'Y + ridge I + sum of
(c_h - 1) y_h y_h', where c_h = 1 + (confidence - 1) * decay^(steps back).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from llmesr.config import RunConfig
from llmesr.data.fading import fading
from llmesr.errors import UserError
from llmesr.ids import PAD


def fit(users: sparse.csr_matrix, config: RunConfig, ridge: float) -> Tensor:
    """(U, N + 1) zeros and ones -> item factors (N + 1, D), row 0 zero. UserError when `implicit` is missing."""
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError as error:
        raise UserError(
            "ials needs the implicit library: pip install llmesr[ials] (or pip install implicit)."
        ) from error
    model = AlternatingLeastSquares(
        factors=config.embedding_size,
        regularization=ridge,
        alpha=config.confidence,
        iterations=config.sweeps,
        random_state=config.seed,
    )
    with threadpool_limits(1, "blas"):  # its own threads and those of BLAS would wait for one another
        model.fit(users[:, 1:], show_progress=False)
    factors = np.asarray(model.item_factors, np.float32)
    return torch.from_numpy(np.concatenate([np.zeros((1, factors.shape[1]), np.float32), factors]))


class FactorScorer:
    """Scores by the dot product of a user solved for from the history and the item factors."""

    def __init__(
        self, factors: Tensor, *, ridge: float, confidence: float, decay: float, device: torch.device | str = "cpu"
    ) -> None:
        """``factors`` (N + 1, D), row 0 zero."""
        self.factors = factors.to(device)
        self.n_items, size = len(factors) - 1, factors.shape[1]
        self.confidence, self.decay = confidence, decay
        self.view_slices = {"collaborative": slice(0, size)}
        self._gram = self.factors.T @ self.factors + ridge * torch.eye(size, device=self.factors.device)

    def item_matrix(self) -> Tensor:
        """(N + 1, D), row 0 zero."""
        return self.factors

    @torch.inference_mode()
    def represent(self, sequences: Tensor) -> Tensor:
        """(B, L) right-padded histories -> (B, D)."""
        counts, history, matrix = self._system(sequences)
        right = (counts[:, :, None] * history).sum(1)  # (B, D)
        users: Tensor = torch.linalg.solve(matrix, right)
        return users

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) -> (B, N + 1)."""
        scores: Tensor = self.represent(sequences) @ self.factors.T
        return scores

    @torch.inference_mode()
    def shares(self, sequences: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """What every item of the histories contributes to the scores of ``candidates`` (B, C): (B, C, L), all of it
        behaviour, and as many zeros for text. The user is linear in the sum over the history, so the shares are exact.
        """
        counts, history, matrix = self._system(sequences)
        solved = torch.linalg.solve(matrix, (counts[:, :, None] * history).transpose(1, 2))  # (B, D, L)
        shares = self.factors[candidates] @ solved
        return shares, torch.zeros_like(shares)

    def _system(self, sequences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Confidences (B, L), factors of the history (B, L, D), and the matrix of each user (B, D, D)."""
        real = (sequences != PAD).float()
        extra = (self.confidence - 1) * fading(sequences, self.decay)  # (B, L)
        history = self.factors[sequences]
        matrix = self._gram + torch.einsum("bl,bld,ble->bde", extra, history, history)
        return real + extra, history, matrix
