"""The parts that methods share, from inputs and settings: item tables, the model around them, the first objective."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from llmesr.config import RunConfig
from llmesr.config.needs import sparse_updates, spreads, starts_adapter
from llmesr.encoders import ENCODERS, MASKED
from llmesr.methods.inputs import Inputs, present
from llmesr.models.adapted_table import AdaptedTable, Directions
from llmesr.models.code_tree import CodeDecoder
from llmesr.models.fusion import CrossView
from llmesr.models.graph import spread
from llmesr.models.residual import BaseWeight
from llmesr.models.sequence_model import SequenceModel
from llmesr.models.sharded_table import ShardedTable
from llmesr.models.tables import IdTable, ItemTable
from llmesr.objectives.terms import NextItem

INIT_SCALE = 1.0
"""Root mean square length of a PCA-initialised item vector (measured on validation: 0.1 is too short to matter)."""


def sequence_model(
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


def next_item(inputs: Inputs, config: RunConfig) -> NextItem:
    return NextItem(
        loss=config.loss,
        negatives=config.negatives,
        calibration=config.calibration,
        popular=config.popular_negatives,
        item_counts=inputs.item_counts,
    )


def id_table(inputs: Inputs, config: RunConfig, start: Tensor | None = None) -> IdTable | ShardedTable:
    if config.item_updates == "sharded" and inputs.processes.size > 1:
        return ShardedTable(inputs.n_items, config.embedding_size, inputs.processes, start=start)
    return IdTable(
        inputs.n_items,
        config.embedding_size,
        start=start,
        spread=_spread(inputs, config),
        sparse=sparse_updates(config, inputs.n_items),
    )


def started_table(inputs: Inputs, config: RunConfig) -> IdTable | ShardedTable:
    start = reduced_text(inputs) if config.item_init == "pca" else None
    return id_table(inputs, config, start)


def _spread(inputs: Inputs, config: RunConfig) -> Callable[[Tensor], Tensor] | None:
    if not spreads(config):
        return None
    if inputs.chosen is None:
        raise ValueError("a start is spread over who chose what in training")
    return partial(spread, chosen=inputs.chosen, steps=config.graph_steps, weight=config.graph_weight)


def adapted_table(inputs: Inputs, config: RunConfig) -> AdaptedTable:
    return AdaptedTable(
        inputs.text_file or present(inputs.text, "item text vectors"),
        config.embedding_size,
        layers=config.adapter_layers,
        frozen=config.freeze_text,
        scaled=starts_adapter(config),
        int8=inputs.int8,
        start=_start(inputs, config, "text"),
    )


def further_tables(inputs: Inputs, config: RunConfig) -> dict[str, ItemTable]:
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


def reduced_text(inputs: Inputs) -> Tensor:
    return present(inputs.reduced, "item text vectors") * INIT_SCALE
