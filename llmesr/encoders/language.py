"""A text model as the encoder of histories: items in order, virtual tokens before, one that sums up after.

After Laser (2409.01605) and DARec (2408.07427). What is seen of the past is decided here, token by token, so that one
pass gives the state of every position, each as if nothing came after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from llmesr.encoders.dropout import Dropout
from llmesr.errors import UserError
from llmesr.ids import PAD

FRONT, PIECE, OWN, SUFFIX = range(4)


class TextModel(Protocol):
    """A transformer over vectors of its own ``width``, of at most ``positions`` of them; ``decoder``: within a text it
    sees only what stands before. ``words`` (vocabulary, width) are the vectors of its tokens."""

    width: int
    positions: int
    decoder: bool
    blocks: int

    @property
    def words(self) -> Tensor: ...

    def __call__(self, vectors: Tensor, seen: list[Tensor], places: Tensor) -> Tensor:
        """``vectors`` (B, T, E); per block which keys (B, T, T) each place sees; ``places`` (B, T) -> (B, T, E)."""
        ...


class Layout(NamedTuple):
    """``everywhere`` and ``locally`` (B, T, T): what each place sees in a block; ``places`` (B, T): its position."""

    everywhere: Tensor
    locally: Tensor
    places: Tensor


def layout(real: Tensor, *, front: int, own: int, decoder: bool) -> Layout:
    """Who sees whom among ``front`` tokens, the pieces of the items (``real`` (B, L, W) says which exist), and for each
    of the L items ``own`` tokens and one suffix, in that order.

    The pieces of an item see one another (in a decoder, those before them) and, everywhere, those of earlier items. The
    own tokens and the suffix of an item see its pieces, all earlier ones, and each other; no piece sees them. All see
    the front. A suffix stands right behind its item, as if the history ended there.
    """
    _, length, width = real.shape
    steps, device = torch.arange(length, device=real.device), real.device

    def each(count: int) -> Tensor:
        return torch.arange(count, device=device)

    item = torch.cat([-torch.ones(front, dtype=torch.long, device=device)]
                     + [steps.repeat_interleave(n) for n in (width, own, 1)])  # fmt: skip
    sizes = torch.tensor([front, length * width, length * own, length], device=device)
    kind = torch.tensor([FRONT, PIECE, OWN, SUFFIX], device=device).repeat_interleave(sizes)
    order = torch.cat([each(front), each(width).repeat(length), each(own).repeat(length), steps * 0 + own])
    query, key = (slice(None), None), (None, slice(None))
    same, before = item[query] == item[key], order[query] >= order[key]
    ends = kind[query] >= OWN
    group = (kind[query] == kind[key]) & same & (before if decoder else torch.ones_like(before))
    to_front = (kind[key] == FRONT) & (kind[query] != FRONT)
    to_own = ends & same & (kind[key] == OWN) & (before if decoder else torch.ones_like(before))
    past, piece = item[key] <= item[query], kind[key] == PIECE
    locally = group | to_front | to_own | (ends & piece & past)
    everywhere = locally | (piece & (item[key] < item[query]))
    pieces = real.flatten(1)
    known = real.any(2)  # (B, L)
    there = torch.cat([real.new_ones(len(real), front), pieces, known.repeat_interleave(own, 1), known], 1)
    self_seen = torch.eye(len(item), dtype=torch.bool, device=device)  # a softmax over nothing is not a number
    seen = [(rule & there[:, None]) | self_seen for rule in (everywhere, locally)]
    count = pieces.long().cumsum(1)
    after = front + count.view(real.shape)[:, :, -1]  # (B, L)
    own_places = (after[:, :, None] + each(own)).flatten(1)
    places = torch.cat([each(front).expand(len(real), -1), front + count - pieces.long(), own_places, after + own], 1)
    return Layout(seen[0], seen[1], places)


class VectorPieces(nn.Module):
    """One token for each item: its text vector, projected."""

    text: Tensor
    count = 1

    def __init__(self, text: Tensor, words: Tensor) -> None:
        """``text`` (N + 1, E'), row 0 zero. The projection begins as the identity where the sizes agree, else as random
        directions, and gives vectors as long as those of ``words``."""
        super().__init__()
        self.register_buffer("text", torch.cat([text, torch.zeros_like(text[:1])]).float(), persistent=False)
        self.project = nn.Linear(text.shape[1], words.shape[1])
        known = self.text[self.text.any(dim=1)]
        length = known.norm(dim=1).mean() if len(known) else torch.ones(())
        nn.init.zeros_(self.project.bias)
        start = nn.init.eye_ if text.shape[1] == words.shape[1] else nn.init.orthogonal_
        start(self.project.weight)
        with torch.no_grad():
            self.project.weight.mul_(words.float().norm(dim=1).mean() / length)

    def place(self, items: Tensor, text: Tensor, placed: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        """Let ``items`` (S,) be read by ``text`` (S, E')."""
        self.text = placed(self.text, items, text)

    def forward(self, items: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L) -> vectors (B, L, 1, E) and which exist (B, L, 1)."""
        return self.project(self.text[items])[:, :, None], (items != PAD)[:, :, None]


class TokenPieces(nn.Module):
    """The tokens of each item's text, ended by a separator."""

    tokens: Tensor

    def __init__(self, tokens: Tensor) -> None:
        """``tokens`` (N + 1, W), -1 where there is none, row 0 that of an item without text; kept with the weights."""
        super().__init__()
        self.count = tokens.shape[1]
        self.register_buffer("tokens", torch.cat([tokens, tokens[:1]]))

    def place(self, items: Tensor, text: Tensor, placed: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        """Let ``items`` (S,) that come later be read as items without text."""
        new = items[items >= len(self.tokens) - 1]
        self.tokens = placed(self.tokens, new, self.tokens[:1].expand(len(new), -1))

    def forward(self, items: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L) -> vectors (B, L, W, E) and which exist (B, L, W)."""
        tokens = self.tokens[items].long()
        return words[tokens.clamp(min=0)], (tokens >= 0) & (items != PAD)[:, :, None]


class Behaviour(Protocol):
    """A frozen sequence model of who chose what. ``encode`` (B, L) -> states (B, L, D); ``embed_items`` (B, L) ->
    vectors (B, L, D)."""

    def encode(self, items: Tensor) -> Tensor: ...

    def embed_items(self, items: Tensor) -> Tensor: ...


class QueryExperts(nn.Module):
    """Virtual tokens made of a sequence model's states, anew after every item (Laser's M-Former).

    Each of K experts asks the states so far with queries of its own; a router, a softmax over the experts averaged over
    the history so far, says how much each counts.
    """

    shares: Tensor | None = None
    """(K,) how much each expert counted on average in the last batch, with gradient."""

    def __init__(self, states: int, width: int, *, experts: int, tokens: int, length: float) -> None:
        """States of size ``states`` -> ``tokens`` vectors of ``width``, each as long as ``length``."""
        super().__init__()
        self.length = length
        self.queries = nn.Parameter(torch.randn(experts, tokens, states))
        self.key = nn.Linear(states, states, bias=False)
        self.value = nn.Linear(states, width)
        self.router = nn.Linear(states, experts)

    def forward(self, states: Tensor, real: Tensor) -> Tensor:
        """(B, L, D) and which are real (B, L) -> (B, L, tokens, E); what comes later changes nothing earlier."""
        steps = torch.arange(1, states.shape[1] + 1, device=states.device)
        asked = torch.einsum("kqd,bld->bkql", self.queries, self.key(states)) * states.shape[-1] ** -0.5
        later = torch.ones(len(steps), len(steps), dtype=torch.bool, device=states.device).triu(1)
        weights = asked[..., None, :].masked_fill(later, -torch.inf).softmax(-1)  # (B, K, Q, L, L)
        routes = self.router(states).softmax(-1).cumsum(1) / steps[:, None]  # (B, L, K)
        self.shares = routes[real].mean(0) if self.training else None
        read = torch.einsum("bkqlm,bme,blk->blqe", weights, self.value(states), routes)
        made: Tensor = nn.functional.normalize(read, dim=-1) * self.length
        return made


class LanguageEncoder(nn.Module):
    """(B, L) item numbers -> (B, L, E): the text model's state at the suffix behind every item.

    ``attention``: items see all of the past (full), nothing but their own tokens (item_local), or the one and the
    other in turn (alternating). Frozen weights, of the text model and of ``behaviour``, are not kept with the trained.
    """

    reads_items = True
    positional = False
    causal = True

    def __init__(
        self,
        model: TextModel,
        pieces: VectorPieces | TokenPieces,
        *,
        max_length: int,
        attention: str,
        learned: int,
        experts: QueryExperts | None,
        behaviour: Behaviour | None,
        injected: int | None,
        dropout: float,
    ) -> None:
        """``learned``: virtual tokens in front of everything. ``injected``: the size of the vectors of ``behaviour``
        that follow each item's pieces, None without. UserError when a history does not fit the text model."""
        super().__init__()
        words = model.words.float()
        length = float(words.norm(dim=1).mean())
        self.model, self.pieces, self.experts, self.behaviour = model, pieces, experts, behaviour
        self.front = nn.Parameter(torch.randn(learned, model.width) * length * model.width**-0.5) if learned else None
        self.inject = None if injected is None else nn.Linear(injected, model.width)
        self.suffix = nn.Parameter(words.mean(0) + torch.randn(model.width) * length * model.width**-0.5)
        self.dropout = Dropout(dropout)
        self.length = length
        self.local = [
            attention == "item_local" or (attention == "alternating" and n % 2 == 0) for n in range(model.blocks)
        ]
        self.own = 0 if experts is None else experts.queries.shape[1]
        longest = learned + max_length * (pieces.count + (injected is not None)) + self.own + 1
        if longest > model.positions:
            raise UserError(
                f"A history of max_length {max_length} takes {longest:,} tokens, and the text model has positions for "
                f"{model.positions:,}: lower max_length or item_tokens."
            )
        self.register_state_dict_post_hook(_drop_given)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_ignore_given)  # type: ignore[no-untyped-call]

    def forward(self, items: Tensor, real: Tensor) -> Tensor:
        vectors, there = self.pieces(items, self.model.words)
        vectors = self.dropout(vectors)
        states = self._behaviour(items)
        if self.inject is not None and self.behaviour is not None:
            with torch.no_grad():
                own = self.behaviour.embed_items(items)
            vectors = torch.cat([vectors, self._stretched(self.inject(own))[:, :, None]], 2)
            there = torch.cat([there, real[:, :, None]], 2)
        parts = [vectors.flatten(1, 2)]
        if self.front is not None:
            parts.insert(0, self.front.expand(len(items), -1, -1))
        if self.experts is not None and states is not None:
            parts.append(self.experts(states, real).flatten(1, 2))
        parts.append(self.suffix.expand(*items.shape, -1))
        front = 0 if self.front is None else len(self.front)
        seen = layout(there, front=front, own=self.own, decoder=self.model.decoder)
        masks = [seen.locally if local else seen.everywhere for local in self.local]
        out = self.model(torch.cat(parts, 1).to(self.suffix.dtype), masks, seen.places)
        return out[:, -items.shape[1] :]

    def _stretched(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=-1) * self.length

    @torch.no_grad()
    def _behaviour(self, items: Tensor) -> Tensor | None:
        return None if self.experts is None or self.behaviour is None else self.behaviour.encode(items)

    def train(self, mode: bool = True) -> LanguageEncoder:
        """What is frozen reads without dropout."""
        super().train(mode)
        for given in (self.model, self.behaviour):
            if isinstance(given, nn.Module):
                given.eval()
        return self

    def given(self) -> set[str]:
        """The names of the weights that came from elsewhere and stay as they are."""
        inside = ("model.", "behaviour.")
        trained = {name for name, weights in self.named_parameters() if weights.requires_grad}
        return {name for name in self._everything() if name.startswith(inside) and name not in trained}

    def _everything(self) -> list[str]:
        return [name for name, _ in (*self.named_parameters(), *self.named_buffers())]


def _drop_given(encoder: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    for name in encoder.given():  # type: ignore[operator]
        state.pop(prefix + name, None)


def _ignore_given(encoder: nn.Module, keys: Any) -> None:
    """They were never stored, so nothing is missing."""
    ends = tuple(encoder.given())  # type: ignore[operator]
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.endswith(ends)]
