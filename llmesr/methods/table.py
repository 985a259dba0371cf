"""Every method as what it is: item tables x encoder x weighted objectives.

To add one, write a builder and name it in :data:`METHODS`; the contract tests then cover it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from llmesr.config import RunConfig
from llmesr.config.needs import needs_behaviour, needs_reference, needs_similar
from llmesr.errors import UserError
from llmesr.methods.inputs import Inputs, Method, given, present
from llmesr.methods.parts import (
    adapted_table,
    further_tables,
    id_table,
    next_item,
    reduced_text,
    sequence_model,
    started_table,
)
from llmesr.models.code_tree import CodeDecoder
from llmesr.models.read_table import ReadTable
from llmesr.models.reading import reader
from llmesr.models.tables import CodesTable, ItemTable
from llmesr.objectives.base import Objective
from llmesr.objectives.imitation import Imitation
from llmesr.objectives.terms import Alignment, Balance, Distillation, NextCodes


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
                item_counts=present(inputs.item_counts, "the popularity of the items"),
                popularity=config.teacher_popularity,
            )
        )
    return made


def _id(inputs: Inputs, config: RunConfig) -> Method:
    table = id_table(inputs, config)
    return Method(sequence_model({"collaborative": table}, inputs, config), [next_item(inputs, config)])


def _llm_init(inputs: Inputs, config: RunConfig) -> Method:
    return Method(
        sequence_model({"collaborative": started_table(inputs, config)}, inputs, config), [next_item(inputs, config)]
    )


def _adapter(inputs: Inputs, config: RunConfig) -> Method:
    tables: dict[str, ItemTable] = {"semantic": adapted_table(inputs, config), **further_tables(inputs, config)}
    return Method(sequence_model(tables, inputs, config), [next_item(inputs, config)])


def _llm_esr(inputs: Inputs, config: RunConfig) -> Method:
    tables: dict[str, ItemTable] = {}
    if config.collaborative_view:
        tables["collaborative"] = started_table(inputs, config)
    if config.semantic_view:
        tables["semantic"] = adapted_table(inputs, config)
    tables |= further_tables(inputs, config)
    objectives: list[Objective] = [next_item(inputs, config)]
    if needs_similar(config):
        objectives.append(
            Distillation(
                similar=present(inputs.similar, "similar users")[:, : config.neighbours],
                kind=config.distillation,
                weight=config.distillation_weight,
                every=config.teacher_refresh,
                most=-(-config.batch_size // inputs.processes.size),  # of a batch of users each process reads a share
            )
        )
    return Method(sequence_model(tables, inputs, config), objectives)


def _llmemb(inputs: Inputs, config: RunConfig) -> Method:
    table: ItemTable
    if config.adapter:
        table = adapted_table(inputs, config)
    else:
        table = id_table(inputs, config, reduced_text(inputs))
        table.requires_grad_(not config.freeze_text)
    objectives: list[Objective] = [next_item(inputs, config)]
    if needs_reference(config):
        reference = present(inputs.reference, "the item embeddings of an id-only run")
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
    return Method(sequence_model({"semantic": table}, inputs, config), objectives)


def _codes(inputs: Inputs, config: RunConfig) -> Method:
    codes = present(inputs.codes, "codes of the item texts")
    start = reduced_text(inputs) if config.item_init == "pca" else None
    table = CodesTable(codes, config.codebook_size, config.embedding_size, start=start)
    return Method(sequence_model({"semantic": table}, inputs, config), [next_item(inputs, config)])


def _language(inputs: Inputs, config: RunConfig) -> Method:
    encoder = reader(
        given(inputs.text_model, "a text model")(),
        config,
        text=inputs.text,
        tokens=inputs.tokens,
        behaviour=given(inputs.behaviour, "an id run") if needs_behaviour(config) else None,
    )
    table = ReadTable(
        inputs.n_items,
        encoder.model.width,
        config.embedding_size,
        temperature=config.temperature,
        epochs=config.refresh_epochs,
    )
    objectives: list[Objective] = [next_item(inputs, config)]
    if encoder.experts is not None and config.balance_weight > 0:
        objectives.append(Balance(config.balance_weight))
    return Method(sequence_model({"semantic": table}, inputs, config, [encoder]), objectives)


def _generative(inputs: Inputs, config: RunConfig) -> Method:
    codes = present(inputs.codes, "codes of the item texts")
    start = reduced_text(inputs) if config.item_init == "pca" else None
    room = 2 * int(codes[:, -1].max())  # the last codes number items that share all others, more of them later perhaps
    table = CodesTable(codes, max(config.codebook_size, room), config.embedding_size, start=start)
    decoder = CodeDecoder(
        table,
        config.embedding_size,
        dropout=config.dropout,
        beam=config.beam,
        exhaustive_up_to=config.exhaustive_up_to,
    )
    model = sequence_model({"semantic": table}, inputs, config, decoder=decoder)
    if inputs.chosen is None:  # a finished model, which learns nothing more
        return Method(model, [])
    pairs = torch.from_numpy(np.stack(inputs.chosen.nonzero())).long()
    text = present(inputs.text, "item text vectors")
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
