"""Item vectors that the encoder makes: cosines with users, padding, renewal, items that come later."""

from __future__ import annotations

import torch
from torch import nn

from llmesr.models.read_table import ReadTable
from llmesr.models.sequence_model import SequenceModel

N, E, D = 4, 3, 2


class Doubling(nn.Module):
    """The state of a position: its item's number, twice it, and how many were read."""

    reads_items = True
    positional = False

    def __init__(self) -> None:
        super().__init__()
        self.factor = 2.0

    def forward(self, items: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return torch.stack([items, self.factor * items, real.long().cumsum(1)], -1).float()


def model(epochs: int = 2) -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(
        tables={"semantic": ReadTable(N, E, D, temperature=0.1, epochs=epochs)},
        encoders=[Doubling()],
        fusion=None,
        n_items=N,
        embedding_size=D,
        max_length=5,
        dropout=0.0,
        newest_first=True,
        masked=False,
    )


def test_scores_are_cosines_by_temperature() -> None:
    made = model()
    made.renew(0)
    items = made.candidates()
    torch.testing.assert_close(items[1:].norm(dim=1), torch.ones(N))
    assert not items[0].any()
    users = made.represent(torch.tensor([[3], [2]]))
    torch.testing.assert_close(users, items[[3, 2]] / 0.1)  # a history of one item is read as that item
    torch.testing.assert_close((users @ items.T)[0, 3], torch.tensor(10.0))
    torch.testing.assert_close(made.embed_items(torch.arange(N + 1)), items)


def test_items_are_read_anew_in_the_first_epochs_only() -> None:
    made = model(epochs=2)
    table, encoder = made.tables["semantic"], made.encoders[0]
    assert isinstance(table, ReadTable)
    assert isinstance(encoder, Doubling)
    for epoch, moves in ((0, True), (1, True), (2, False)):
        before = table.states.clone()
        encoder.factor += 1
        made.train()
        made.renew(epoch)
        assert made.training
        assert torch.equal(before, table.states) is not moves
    torch.testing.assert_close(table.centre, table.states[1:-1].mean(0))
    assert not table.states[[0, -1]].any()


def test_items_that_come_later_stand_in_front_of_the_mask() -> None:
    table = ReadTable(N, E, D, temperature=1.0, epochs=1)
    table.take(torch.arange(12.0).view(N, E))
    table.place(torch.tensor([2, N + 1]), torch.tensor([[9.0, 9, 9], [7, 7, 7]]))
    assert table.states[:, 0].tolist() == [0, 0, 9, 6, 9, 7, 0]
