"""Every method as what it is: item tables x encoder x weighted objectives.

To add one, write a builder and name it in :data:`METHODS`; the contract tests then cover it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np
import scipy.sparse as sparse
import torch
from torch import Tensor, nn

from llmesr.config import RunConfig
from llmesr.config.needs import needs_behaviour, needs_reference, needs_similar, sparse_updates, spreads, starts_adapter
from llmesr.encoders import ENCODERS, MASKED
from llmesr.encoders.language import TextModel
from llmesr.errors import UserError
from llmesr.models.code_tree import CodeDecoder
from llmesr.models.fusion import CrossView
from llmesr.models.graph import spread
from llmesr.models.read_table import ReadTable
from llmesr.models.reading import reader
from llmesr.models.residual import BaseWeight
from llmesr.models.scorers import Scorer
from llmesr.models.sequence_model import SequenceModel
from llmesr.models.tables import AdaptedTable, CodesTable, Directions, IdTable, ItemTable
from llmesr.objectives.base import Objective
from llmesr.objectives.imitation import Imitation
from llmesr.objectives.terms import Alignment, Balance, Distillation, NextCodes, NextItem

Given = TypeVar("Given")


@dataclass(frozen=True)
class Inputs:
    """What methods are built from; parts a method does not need may be None."""

    n_items: int
    text: Tensor | None = None  # (N + 1, E) frozen item text vectors, row 0 zero
    reduced: Tensor | None = None  # (N, D) PCA of the text, unit mean square per row
    codes: Tensor | None = None  # (N + 1, C) codes of the item texts, row 0 zero
    similar: Tensor | None = None  # (U, K) similar users, -1 where fewer
    reference: Tensor | None = None  # (N + 1, D) item embeddings of an id-only run
    views: dict[str, Tensor] = field(default_factory=dict)  # name -> (N + 1, E') further frozen vectors, zero: none
    chosen: sparse.csr_matrix | None = None  # (U, N + 1) who chose what in training, where starts are spread over it
    base: Scorer | None = None  # linear scores the model's are added to, out of fold: for training only
    base_unit: float = 1.0  # how high the base scores at best, as a rule
    teacher: Scorer | None = None  # a run that is imitated
    item_counts: Tensor | None = None  # (N + 1,) training interactions, where a teacher is imitated
    text_model: Callable[[], TextModel] | None = None  # opens the one that reads histories, anew for each model
    tokens: Tensor | None = None  # (N + 1, W) what it reads of the items where that is not their vectors
    behaviour: SequenceModel | None = None  # an id run that it is told of
    directions: dict[str, Directions] | None = None  # where adapters start, by "text" or view; None: weights follow


@dataclass(frozen=True)
class Method:
    """A model and the terms it is trained with."""

    model: SequenceModel
    objectives: list[Objective]
    base: Scorer | None = None
    """Linear scores that those of the model are added to while it is trained."""


INIT_SCALE = 1.0
"""Root mean square length of a PCA-initialised item vector (measured on validation: 0.1 is too short to matter)."""


def build(inputs: Inputs, config: RunConfig) -> Method:
    """Assemble the trained method that ``config`` names, with the base and the teacher it learns from."""
    made = METHODS[config.method](inputs, config)
    if config.base is not None:
        made = replace(made, base=inputs.base)
    if inputs.teacher is not None and config.teacher_weight > 0:
        made.objectives.append(
            Imitation(
                teacher=inputs.teacher,
                weight=config.teacher_weight,
                items=config.teacher_items,
                item_counts=_present(inputs.item_counts, "the popularity of the items"),
                popularity=config.teacher_popularity,
            )
        )
    return made


def _id(inputs: Inputs, config: RunConfig) -> Method:
    table = _id_table(inputs, config)
    return Method(_sequence_model({"collaborative": table}, inputs, config), [_next_item(config)])


def _llm_init(inputs: Inputs, config: RunConfig) -> Method:
    return Method(_sequence_model({"collaborative": _started(inputs, config)}, inputs, config), [_next_item(config)])


def _adapter(inputs: Inputs, config: RunConfig) -> Method:
    tables: dict[str, ItemTable] = {"semantic": _adapted(inputs, config), **_further(inputs, config)}
    return Method(_sequence_model(tables, inputs, config), [_next_item(config)])


def _llm_esr(inputs: Inputs, config: RunConfig) -> Method:
    tables: dict[str, ItemTable] = {}
    if config.collaborative_view:
        tables["collaborative"] = _started(inputs, config)
    if config.semantic_view:
        tables["semantic"] = _adapted(inputs, config)
    tables |= _further(inputs, config)
    objectives: list[Objective] = [_next_item(config)]
    if needs_similar(config):
        objectives.append(
            Distillation(
                similar=_present(inputs.similar, "similar users")[:, : config.neighbours],
                kind=config.distillation,
                weight=config.distillation_weight,
                every=config.teacher_refresh,
            )
        )
    return Method(_sequence_model(tables, inputs, config), objectives)


def _llmemb(inputs: Inputs, config: RunConfig) -> Method:
    table: ItemTable
    if config.adapter:
        table = _adapted(inputs, config)
    else:
        table = _id_table(inputs, config, _reduced(inputs))
        table.requires_grad_(not config.freeze_text)
    objectives: list[Objective] = [_next_item(config)]
    if needs_reference(config):
        reference = _present(inputs.reference, "the item embeddings of an id-only run")
        if reference.shape[1] != config.embedding_size:
            raise UserError(
                f"The run to align to has embedding_size {reference.shape[1]}, this one {config.embedding_size}; "
                f"set embedding_size={reference.shape[1]} or choose another alignment_run."
            )
        objectives.append(
            Alignment(
                reference=reference,
                weight=config.alignment_weight,
                temperature=config.alignment_temperature,
                cosine=config.alignment_loss == "cosine",
            )
        )
    return Method(_sequence_model({"semantic": table}, inputs, config), objectives)


def _codes(inputs: Inputs, config: RunConfig) -> Method:
    codes = _present(inputs.codes, "codes of the item texts")
    start = _reduced(inputs) if config.item_init == "pca" else None
    table = CodesTable(codes, config.codebook_size, config.embedding_size, start=start)
    return Method(_sequence_model({"semantic": table}, inputs, config), [_next_item(config)])


def _language(inputs: Inputs, config: RunConfig) -> Method:
    encoder = reader(
        _given(inputs.text_model, "a text model")(),
        config,
        text=inputs.text,
        tokens=inputs.tokens,
        behaviour=_given(inputs.behaviour, "an id run") if needs_behaviour(config) else None,
    )
    table = ReadTable(
        inputs.n_items,
        encoder.model.width,
        config.embedding_size,
        temperature=config.temperature,
        epochs=config.refresh_epochs,
    )
    objectives: list[Objective] = [_next_item(config)]
    if encoder.experts is not None and config.balance_weight > 0:
        objectives.append(Balance(config.balance_weight))
    return Method(_sequence_model({"semantic": table}, inputs, config, [encoder]), objectives)


def _generative(inputs: Inputs, config: RunConfig) -> Method:
    codes = _present(inputs.codes, "codes of the item texts")
    start = _reduced(inputs) if config.item_init == "pca" else None
    room = 2 * int(codes[:, -1].max())  # the last codes number items that share all others, more of them later perhaps
    table = CodesTable(codes, max(config.codebook_size, room), config.embedding_size, start=start)
    decoder = CodeDecoder(
        table,
        config.embedding_size,
        dropout=config.dropout,
        beam=config.beam,
        exhaustive_up_to=config.exhaustive_up_to,
    )
    model = _sequence_model({"semantic": table}, inputs, config, decoder=decoder)
    if inputs.chosen is None:  # a finished model, which learns nothing more
        return Method(model, [])
    pairs = torch.from_numpy(np.stack(inputs.chosen.nonzero())).long()
    text = _present(inputs.text, "item text vectors")
    return Method(model, [NextCodes(decoder, text=text, pairs=pairs, every=config.refresh_codes)])


METHODS: dict[str, Callable[[Inputs, RunConfig], Method]] = {
    "id": _id,
    "llm-init": _llm_init,
    "adapter": _adapter,
    "llm-esr": _llm_esr,
    "llmemb": _llmemb,
    "codes": _codes,
    "language": _language,
    "generative": _generative,
}


def _sequence_model(
    tables: dict[str, ItemTable],
    inputs: Inputs,
    config: RunConfig,
    own: list[nn.Module] | None = None,
    decoder: CodeDecoder | None = None,
) -> SequenceModel:
    """``own``: the encoder that a method brings along, in place of a backbone."""
    count = 1 if config.shared_encoder else len(tables)
    encoders = own or [
        ENCODERS[config.backbone](
            embedding_size=config.embedding_size,
            layers=config.layers,
            heads=config.heads,
            dropout=config.dropout,
            causal=config.causal,
        )
        for _ in range(count)
    ]
    fusion = None
    if {"collaborative", "semantic"} <= set(tables) and config.fusion != "none":
        fusion = CrossView(
            embedding_size=config.embedding_size,
            dropout=config.dropout,
            causal=bool(encoders[0].causal),
            residual=config.fusion == "residual",
        )
    return SequenceModel(
        tables=tables,
        encoders=encoders,
        fusion=fusion,
        n_items=inputs.n_items,
        embedding_size=config.embedding_size,
        max_length=config.max_length,
        dropout=config.dropout,
        newest_first=config.positions == "recent",
        masked=own is None and config.backbone in MASKED,
        base=None if config.base is None else BaseWeight(inputs.base_unit),
        decoder=decoder,
    )


def _next_item(config: RunConfig) -> NextItem:
    return NextItem(loss=config.loss, negatives=config.negatives, calibration=config.calibration)


def _id_table(inputs: Inputs, config: RunConfig, start: Tensor | None = None) -> IdTable:
    return IdTable(
        inputs.n_items,
        config.embedding_size,
        start=start,
        spread=_spread(inputs, config),
        sparse=sparse_updates(config, inputs.n_items),
    )


def _started(inputs: Inputs, config: RunConfig) -> IdTable:
    start = _reduced(inputs) if config.item_init == "pca" else None
    return _id_table(inputs, config, start)


def _spread(inputs: Inputs, config: RunConfig) -> Callable[[Tensor], Tensor] | None:
    if not spreads(config):
        return None
    if inputs.chosen is None:
        raise ValueError("a start is spread over who chose what in training")
    return partial(spread, chosen=inputs.chosen, steps=config.graph_steps, weight=config.graph_weight)


def _adapted(inputs: Inputs, config: RunConfig) -> AdaptedTable:
    text = _present(inputs.text, "item text vectors")
    return AdaptedTable(
        text,
        config.embedding_size,
        layers=config.adapter_layers,
        frozen=config.freeze_text,
        scaled=starts_adapter(config),
        start=_start(inputs, config, "text"),
    )


def _further(inputs: Inputs, config: RunConfig) -> dict[str, ItemTable]:
    """A table for every further view: always frozen, and zero for the items it lacks."""
    layers = config.adapter_layers
    return {
        name: AdaptedTable(
            vectors, config.embedding_size, layers=layers, sparse=True, start=_start(inputs, config, name)
        )
        for name, vectors in inputs.views.items()
    }


def _start(inputs: Inputs, config: RunConfig, name: str) -> Directions | None:
    return inputs.directions[name] if starts_adapter(config) and inputs.directions is not None else None


def _reduced(inputs: Inputs) -> Tensor:
    return _present(inputs.reduced, "item text vectors") * INIT_SCALE


def _present(value: Tensor | None, what: str) -> Tensor:
    return torch.as_tensor(_given(value, what))


def _given(value: Given | None, what: str) -> Given:
    if value is None:
        raise ValueError(f"this method needs {what}")
    return value
