"""Item vectors that the encoder itself made of single items, kept until they are read anew."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmesr.ids import PAD
from llmesr.models.rows import placed


class ReadTable(nn.Module):
    """v_i = unit vector of W (s_i - c), where s_i is the encoder's state after a history of item i alone and c the mean
    of all; a user is W (s_u - c) at length 1 / temperature, so that scores are cosines / temperature (Laser).

    W is learned; the states are kept with it, so that nothing but a history has to be read to score items.
    """

    states: Tensor
    centre: Tensor

    def __init__(self, n_items: int, width: int, embedding_size: int, *, temperature: float, epochs: int) -> None:
        """States of size ``width``, read anew at the start of the first ``epochs`` epochs."""
        super().__init__()
        self.temperature, self.epochs = temperature, epochs
        self.register_buffer("states", torch.zeros(n_items + 2, width))  # the mask's row stays zero
        self.register_buffer("centre", torch.zeros(width))
        self.head = nn.Linear(width, embedding_size)

    @torch.no_grad()
    def take(self, states: Tensor) -> None:
        """Keep the states (N, E) of all items."""
        self.states[1:-1] = states
        self.centre.copy_(states.mean(0))

    @torch.no_grad()
    def place(self, items: Tensor, states: Tensor) -> None:
        """Give ``items`` (S,) the ``states`` (S, E); items beyond the last are added in front of the mask."""
        self.states = placed(self.states, items, states)

    def _unit(self, states: Tensor) -> Tensor:
        return F.normalize(self.head(states.to(self.head.weight.dtype) - self.centre), dim=-1)

    def users(self, states: Tensor) -> Tensor:
        """(..., E) states -> (..., D)."""
        return self._unit(states) / self.temperature

    def weight(self) -> Tensor:
        made = self._unit(self.states)
        return torch.cat([torch.zeros_like(made[:1]), made[1:]])

    def forward(self, items: Tensor) -> Tensor:
        return self._unit(self.states[items]) * (items != PAD)[..., None]
