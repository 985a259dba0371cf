"""A text model made the encoder of histories, as the settings of method ``language`` describe it."""

from __future__ import annotations

from torch import Tensor

from llmesr.config import RunConfig
from llmesr.encoders.language import LanguageEncoder, QueryExperts, TextModel, TokenPieces, VectorPieces
from llmesr.models.sequence_model import SequenceModel


def reader(
    model: TextModel,
    config: RunConfig,
    *,
    text: Tensor | None,
    tokens: Tensor | None,
    behaviour: SequenceModel | None,
) -> LanguageEncoder:
    """``text`` (N + 1, E) or ``tokens`` (N + 1, W) of the items, as ``history_input`` asks; ``behaviour``: the id run
    that it is told of, where it is. ValueError when what it shall read is not given."""
    words = model.words.float()
    size = 0 if behaviour is None else behaviour.candidates().shape[1]
    experts = None
    if config.prefix == "collaborative":
        length = float(words.norm(dim=1).mean())
        experts = QueryExperts(size, model.width, experts=config.experts, tokens=config.prefix_tokens, length=length)
    read = tokens if config.history_input == "tokens" else text
    if read is None:
        raise ValueError(f"there are no {config.history_input} of the item texts to read")
    return LanguageEncoder(
        model,
        TokenPieces(read) if config.history_input == "tokens" else VectorPieces(read, words),
        max_length=config.max_length,
        attention=config.attention,
        learned=config.prefix_tokens if config.prefix == "learned" else 0,
        experts=experts,
        behaviour=behaviour,
        injected=size if config.inject else None,
        dropout=config.dropout,
    )
