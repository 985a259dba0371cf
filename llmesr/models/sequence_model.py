"""A sequence model = item tables (one per view) + sequence encoders."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmesr.encoders.attention import AttentionEncoder
from llmesr.encoders.dropout import Dropout
from llmesr.encoders.leave_one_out import LeaveOneOut
from llmesr.ids import PAD, mask_id
from llmesr.models.code_tree import CodeDecoder
from llmesr.models.fusion import CrossView
from llmesr.models.read_table import ReadTable
from llmesr.models.sharded_table import ShardedTable
from llmesr.models.tables import ItemTable

READ_AT_ONCE = 256
"""Items that the encoder reads at once."""


class Positions(nn.Module):
    """Adds a learned vector per position, counted back from the newest item or from the oldest."""

    def __init__(self, *, max_length: int, embedding_size: int, newest_first: bool) -> None:
        super().__init__()
        self.newest_first = newest_first
        self.vectors = nn.Parameter(torch.randn(max_length, embedding_size) * 0.02)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        return x + self.vectors[self.index(real)]

    def index(self, real: Tensor) -> Tensor:
        """(B, L) or (L,) which of the vectors a position has."""
        steps = torch.arange(real.shape[1], device=real.device)
        return (real.sum(1, keepdim=True) - 1 - steps).clamp(min=0) if self.newest_first else steps


class SequenceModel(nn.Module):
    """Represents users and items in one space of V views x D; the score is the dot product.

    Sequences are item numbers (B, L) padded on the right. Views are concatenated in the order of
    ``tables``; :attr:`view_slices` says which columns belong to which.
    """

    def __init__(
        self,
        *,
        tables: dict[str, ItemTable],
        encoders: list[nn.Module],
        fusion: CrossView | None,
        n_items: int,
        embedding_size: int,
        max_length: int,
        dropout: float,
        newest_first: bool,
        masked: bool,
        base: nn.Module | None = None,
        decoder: CodeDecoder | None = None,
    ) -> None:
        """``encoders`` has one encoder (shared by all views) or one per view; ``base`` gives the weight of the linear
        scores that this model is added to (:mod:`llmesr.models.residual`); ``decoder`` writes items by their codes."""
        super().__init__()
        if len(encoders) not in (1, len(tables)):
            raise ValueError(f"{len(encoders)} encoders for {len(tables)} views; give one, or one per view")
        self.tables = nn.ModuleDict(tables)
        self.encoders = nn.ModuleList(encoders)
        self.fusion = fusion
        self.base = base
        self.decoder = decoder
        self.n_items = n_items
        self.max_length = max_length
        self.masked = masked
        self.dropout = Dropout(dropout)
        size = embedding_size
        self.view_slices = {name: slice(i * size, (i + 1) * size) for i, name in enumerate(tables)}
        self.scale = float(getattr(encoders[0], "input_scale", 1.0))
        self.positions: nn.Module | None = None
        if getattr(encoders[0], "positional", True):
            self.positions = Positions(max_length=max_length, embedding_size=size, newest_first=newest_first)

    def encode(self, items: Tensor) -> Tensor:
        """(B, L) items -> (B, L, V * D) the state of every view at every position."""
        real = items != PAD
        if (table := self._read_table()) is not None:
            return table.users(self.encoders[0](items, real))
        views = self._views(items, real)
        if len(self.encoders) == 1:  # one pass for all views, stacked along the batch
            stacked = self.encoders[0](torch.cat(views), real.repeat(len(views), 1))
            return torch.cat(stacked.chunk(len(views)), dim=-1)
        states = [encoder(view, real) for encoder, view in zip(self.encoders, views, strict=True)]
        return torch.cat(states, dim=-1)

    def _views(self, items: Tensor, real: Tensor, known: Tensor | None = None) -> list[Tensor]:
        """What the encoder reads of every view, (B, L, D) each; ``known`` as for :meth:`represent`."""
        views = [self._placed(x, real) for x in self._rows(items, known)]
        if self.fusion is not None:
            views[:2] = self.fusion(*views[:2], real)  # the collaborative and the semantic view come first
        return views

    def _rows(self, items: Tensor, known: Tensor | None) -> list[Tensor]:
        """(...) -> (..., D) of every view; ``known`` as for :meth:`represent`."""
        if known is None:
            return [table(items) for table in self.tables.values()]
        return [F.embedding(items, known[:, columns]) for columns in self.view_slices.values()]

    def _placed(self, x: Tensor, real: Tensor) -> Tensor:
        if self.positions is not None:
            x = self.positions(x * self.scale, real)
        dropped: Tensor = self.dropout(x)
        return dropped

    def represent(self, sequences: Tensor, known: Tensor | None = None) -> Tensor:
        """(B, L) histories -> (B, V * D) users, read off at the newest item (or the mask after it).

        ``known`` is what :meth:`candidates` gives: then items are looked up in it, where no mask is read, and not made
        of their text again.
        """
        lengths = (sequences != PAD).sum(1)
        if self.masked:
            sequences, lengths = self._append_mask(sequences, lengths)
        elif sequences.shape[1] > self.max_length:
            sequences, lengths = self._newest(sequences, lengths, self.max_length)
        if not all(isinstance(encoder, AttentionEncoder) for encoder in self.encoders):
            return last_state(self.encode(sequences), lengths)
        real, encoders = sequences != PAD, cast(list[AttentionEncoder], list(self.encoders))
        known = None if self.masked else known
        views = self._views(sequences, real, known)
        if len(encoders) == 1:
            many = len(views)
            stacked = encoders[0].newest(torch.cat(views), real.repeat(many, 1))
            return torch.cat(stacked.chunk(many), dim=-1)
        pairs = zip(encoders, views, strict=True)
        return torch.cat([encoder.newest(view, real) for encoder, view in pairs], dim=-1)

    @property
    def leaves_one_out(self) -> bool:
        """Whether :meth:`leave_one_out` may be asked for: every state is made of what is older, and of nothing else."""
        causal = all(isinstance(encoder, AttentionEncoder) and encoder.causal for encoder in self.encoders)
        return causal and self.positions is not None and self.fusion is None and not self.masked

    def leave_one_out(self, histories: Tensor, owner: Tensor, gap: Tensor, known: Tensor | None = None) -> Tensor:
        """What :meth:`represent` makes of R rows, (R, V * D), which are (H, L) ``histories`` of at most ``max_length``
        items or what is left of them without one: ``owner`` and ``gap`` as for :class:`LeaveOneOut`, ``known`` as
        there. Only of models that it :attr:`leaves_one_out`."""
        positions = cast(Positions, self.positions)
        lengths, longest = (histories != PAD).sum(1), histories.shape[1]
        steps = torch.arange(longest, device=histories.device)
        after = lengths[:, None] - 1 - steps if positions.newest_first else (steps - 1).expand_as(histories)
        before = after - 1 if positions.newest_first else after + 1
        places = positions.vectors[torch.stack([before, after]).clamp(min=0)]  # (2, H, L, D)
        views = self._rows(histories, known)
        if len(self.encoders) > 1:
            rows = LeaveOneOut.of(lengths, longest, owner, gap, positions.newest_first)
            tokens = (torch.cat(list(x * self.scale + places)) for x in views)
            pairs = zip(cast(list[AttentionEncoder], list(self.encoders)), tokens, strict=True)
            return torch.cat([encoder.leave_one_out(read, rows) for encoder, read in pairs], dim=-1)
        many = len(views)
        owners = torch.cat([owner + view * len(histories) for view in range(many)])
        rows = LeaveOneOut.of(lengths.repeat(many), longest, owners, gap.repeat(many), positions.newest_first)
        stacked = torch.cat([x * self.scale + place for place in places for x in views])
        states = cast(AttentionEncoder, self.encoders[0]).leave_one_out(stacked, rows)
        return torch.cat(states.chunk(many), dim=-1)

    def _append_mask(self, sequences: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if sequences.shape[1] >= self.max_length:
            sequences, lengths = self._newest(sequences, lengths, self.max_length - 1)
        room = torch.full_like(sequences[:, :1], PAD)
        extended = torch.cat([sequences, room], dim=1)
        extended.scatter_(1, lengths[:, None], mask_id(self.n_items))
        return extended, lengths + 1

    @staticmethod
    def _newest(sequences: Tensor, lengths: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        first = (lengths - keep).clamp(min=0)
        index = first[:, None] + torch.arange(min(keep, sequences.shape[1]), device=sequences.device)
        rows = sequences.gather(1, index.clamp(max=sequences.shape[1] - 1))
        kept = lengths - first
        return torch.where(torch.arange(rows.shape[1], device=rows.device) < kept[:, None], rows, PAD), kept

    def _read_table(self) -> ReadTable | None:
        """The table whose vectors the encoder makes, where it reads more of an item than a vector."""
        first = self._tables()[0]
        return first if isinstance(first, ReadTable) else None

    def renew(self, epoch: int) -> None:
        """What a model makes of itself at the start of an epoch (from 0): item vectors that its encoder reads."""
        table = self._read_table()
        if table is not None and epoch < table.epochs:
            table.take(self.read_items(torch.arange(1, self.n_items + 1, device=table.states.device)))

    @torch.no_grad()
    def read_items(self, items: Tensor) -> Tensor:
        """(S,) items, at least one -> (S, E) what the encoder as it stands, without dropout, makes of each alone."""
        training = self.training
        self.eval()
        alone = items[:, None].split(READ_AT_ONCE)
        states = torch.cat([self.encoders[0](some, some != PAD)[:, 0].float() for some in alone])
        self.train(training)
        return states

    def candidates(self) -> Tensor:
        """(N + 1, V * D) items as candidates; row 0 is padding. Keeps gradients."""
        return torch.cat([table.weight()[: self.n_items + 1] for table in self._tables()], dim=-1)

    def embed_items(self, items: Tensor) -> Tensor:
        """(...) item numbers -> (..., V * D), computing only these rows."""
        return torch.cat([table(items) for table in self._tables()], dim=-1)

    def embed_kept(self, items: Tensor) -> Tensor:
        """(S,) items whose rows this process keeps -> (S, V * D)."""
        tables = self._tables()
        return torch.cat([t.kept(items) if isinstance(t, ShardedTable) else t(items) for t in tables], dim=-1)

    @property
    def sharded(self) -> dict[str, ShardedTable]:
        """The tables whose rows are spread over processes, by the name of their vectors among the parameters."""
        named = self.tables.items()
        return {f"tables.{name}.vectors": table for name, table in named if isinstance(table, ShardedTable)}

    def borrow(self, items: Tensor) -> None:
        """Bring the rows of ``items`` (...) and of the mask here, where tables are spread over processes: before they
        are read, and in all processes at once."""
        for table in self.sharded.values():
            table.borrow(torch.cat([items.flatten(), items.new_full((1,), mask_id(self.n_items))]))

    def give_back(self) -> list[nn.Parameter]:
        """Take the gradients of borrowed rows to their owners; the parameters of which this process has its rows."""
        for table in self.sharded.values():
            table.give_back()
        return [table.vectors for table in self.sharded.values()]

    def _tables(self) -> list[ItemTable]:
        return cast(list[ItemTable], list(self.tables.values()))


def last_state(states: Tensor, lengths: Tensor) -> Tensor:
    """(B, L, D) states at the last real position -> (B, D)."""
    index = (lengths - 1).clamp(min=0)
    return states[torch.arange(len(states), device=states.device), index]
