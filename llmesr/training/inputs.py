"""Brings together what a method is built from: text vectors, similar users, an id-only run to align to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmesr.config import NeighbourConfig, RunConfig
from llmesr.config.needs import (
    draws_popular,
    keeps_text,
    needs_behaviour,
    needs_reference,
    needs_similar,
    needs_text,
    spreads,
    starts_adapter,
    text_in_file,
)
from llmesr.data.dataset import Dataset
from llmesr.data.row_file import RowFile
from llmesr.data.split import Part
from llmesr.errors import UserError
from llmesr.linear.interactions import chosen
from llmesr.methods import Inputs
from llmesr.models.code_tree import told_apart
from llmesr.models.sequence_model import SequenceModel
from llmesr.progress import Progress, silent
from llmesr.retrieval.similar import SimilarUsers, similar_users
from llmesr.runs.record import Run, find_run
from llmesr.semantic.codes import Codes, quantise
from llmesr.semantic.embed import Embedding, default_embedding, load_embedding
from llmesr.semantic.embedders.backbone import Source, same_weights, weights_digest
from llmesr.semantic.matrix import pad
from llmesr.semantic.trunk import Trunk, item_tokens, reader
from llmesr.store import Manifest, Store
from llmesr.training.model import load_model
from llmesr.training.text_tables import directions, open_views, reduce, starts_from_text, view_tables, words_table

FEW_KEPT_FROM = 1_000_000
"""Users from which no more similar users are kept than are used: a hundred are 800 bytes a user."""
LOWER_RECALL_FROM, LOWER_RECALL = 5_000_000, 0.5
"""Users from which a lower recall of similar users will do: for ten million .95 takes 10 core-hours and .5 one, and
what is missed costs nothing that could be measured (docs/scaling.md)."""


MOST_ALIKE = 1024
"""Items whose texts have the same codes, at most, where the next item is written code by code: one more code numbers
them, and every codebook is as large as the largest."""


@dataclass(frozen=True)
class Prepared:
    """The inputs of a method, the artifacts they came from, and what the manifest of a run shall say of them."""

    inputs: Inputs
    parents: list[Manifest]
    info: dict[str, Any] = field(default_factory=dict)


def prepare(
    dataset: Dataset,
    config: RunConfig,
    store: Store,
    *,
    embedding: Embedding | None = None,
    similar: SimilarUsers | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Prepared:
    """Load or make what ``config`` needs. UserError when text vectors are needed and there are none."""
    parents = [dataset.manifest]
    text = text_file = reduced = users = reference = codes = None
    if needs_text(config):
        embedding = embedding or default_embedding(store, dataset)
        parents.append(embedding.manifest)
        text, text_file = item_text(embedding, config, device)
        reduced = reduce(embedding.items, config.embedding_size) if starts_from_text(config) else None
        codes = _quantised(embedding, config)
        if needs_similar(config):
            similar = similar or similar_users(dataset, embedding, _sought(config, dataset), store, progress=progress)
            parents.append(similar.manifest)
            users = torch.from_numpy(similar.users[:, : config.neighbours]).to(device)
    further = open_views(config, store, dataset)
    if embedding is not None and embedding.id in {view.id for view in further}:
        raise UserError(f"Embedding {embedding.id!r} is the text already; name another view, or another --embedding.")
    parents += [view.manifest for view in further]
    if needs_reference(config):
        run = _reference_run(config, store)
        reference = reference_items(run, dataset, "valid", device)
        parents.append(run.manifest)
    text_model = _text_model(embedding, config)
    behaviour = None
    if needs_behaviour(config):
        run = find_run(store, str(config.collaborative_run))
        behaviour = told(run, dataset, config, "valid")
        if config.prefix == "collaborative" and not as_if_ended(run.config):
            raise UserError(
                f"collaborative_run {run.id!r} reads a part of a history otherwise where more comes after it, and "
                "prefix=collaborative asks it for every part: name one with positions=start (SASRec, causal) or of "
                "GRU4Rec, or leave collaborative_run out."
            )
        parents.append(run.manifest)
    views = view_tables(further, device) | words_table(config, dataset, device)
    kept = text_file or text
    adapted = {**({} if kept is None else {"text": kept}), **views} if starts_adapter(config) else {}
    inputs = Inputs(
        n_items=dataset.n_items,
        text=text,
        text_file=text_file,
        int8=embedding is not None and embedding.int8,
        reduced=reduced,
        codes=None if codes is None else torch.from_numpy(pad(_values(codes, config))),
        similar=users,
        reference=reference,
        views=views,
        chosen=chosen(dataset) if spreads(config) or config.method == "generative" else None,
        text_model=None if text_model is None else partial(Trunk, text_model, config.lora_rank),
        tokens=_tokens(text_model, dataset, config),
        behaviour=behaviour,
        directions={name: directions(table, config) for name, table in adapted.items()},
        item_counts=torch.from_numpy(np.asarray(dataset.item_counts)).to(device) if draws_popular(config) else None,
    )
    return Prepared(inputs, parents, _info(codes, inputs, text_model, config))


def item_text(
    embedding: Embedding, config: RunConfig, device: torch.device | str
) -> tuple[Tensor | None, RowFile | None]:
    """The text of the items that a model keeps: padded (N + 1, E) on the device, or the (N, E) rows of its file."""
    rows = embedding.items
    if not keeps_text(config):
        return None, None
    if isinstance(rows, RowFile) and text_in_file(config, rows.nbytes):
        return None, rows
    return torch.from_numpy(embedding.padded()).to(device), None


def _text_model(embedding: Embedding | None, config: RunConfig) -> Source | None:
    """The model that reads histories, where the method has one."""
    if config.method != "language" or embedding is None:
        return None
    return reader(config.language_model, str(embedding.manifest.config["embedder"]))


def _reference_run(config: RunConfig, store: Store) -> Run:
    if config.alignment_run is None:
        raise UserError("This method aligns its items to an id-only run: give alignment_run, or let `train` make one.")
    return find_run(store, config.alignment_run)


def _info(codes: Codes | None, inputs: Inputs, text_model: Source | None, config: RunConfig) -> dict[str, Any]:
    """What the manifest of the run says of its codes and of the model that reads its histories."""
    info: dict[str, Any] = {} if codes is None else {"codes": codes.report()}
    if inputs.codes is not None and config.method == "generative":
        info["codes"]["largest_group"] = int(inputs.codes[:, -1].max())
    if text_model is not None:
        info["text_model"] = {"name": text_model.ref, "digest": weights_digest(text_model)}
    return info


def _sought(config: RunConfig, dataset: Dataset) -> NeighbourConfig:
    """The similar users to search for: a hundred, of which pages show some and other runs may use more; where users are
    many only those that this run uses, and where they are very many most of these will do."""
    sought = NeighbourConfig()
    kept = config.neighbours if dataset.n_users >= FEW_KEPT_FROM else max(config.neighbours, sought.neighbours)
    by_itself = LOWER_RECALL if dataset.n_users >= LOWER_RECALL_FROM else sought.recall
    return sought.but(neighbours=kept, recall=config.neighbour_recall or by_itself)


def told(run: Run, dataset: Dataset, config: RunConfig, part: Part) -> SequenceModel:
    """The id run that a text model is told of, frozen, as its model for ``part``. UserError for another kind, and for
    one that reads shorter histories."""
    if run.config.method != "id" or run.dataset_id != dataset.id:
        raise UserError(
            f"collaborative_run {run.id!r} is a {run.config.method} run of {run.dataset_id}; "
            f"an id run of {dataset.id} is needed."
        )
    if run.config.max_length < config.max_length:
        raise UserError(
            f"collaborative_run {run.id!r} reads histories of {run.config.max_length} items, this run "
            f"{config.max_length}: lower max_length, or leave collaborative_run out."
        )
    return load_model(run, Inputs(n_items=dataset.n_items), part).requires_grad_(False)


def as_if_ended(config: RunConfig) -> bool:
    """Whether the state at an item is the same, whatever comes after it."""
    return config.backbone == "gru4rec" or (
        config.backbone == "sasrec" and config.causal and config.positions == "start"
    )


def _tokens(source: Source | None, dataset: Dataset, config: RunConfig) -> Tensor | None:
    if source is None or config.history_input != "tokens":
        return None
    return torch.from_numpy(item_tokens(source, dataset.catalogue, config.item_tokens))


def reading(run: Run, dataset: Dataset, part: Part) -> dict[str, Any]:
    """What the encoder of a finished ``language`` run is rebuilt from. UserError when that is gone or changed."""
    config, known = run.config, run.manifest.info.get("text_model")
    embedder = str(load_embedding(run.store, str(run.manifest.parent("embeddings"))).manifest.config["embedder"])
    source = reader(config.language_model, embedder)
    if known and not same_weights(source, known["digest"]):
        raise UserError(f"Run {run.id!r} was trained with another {known['name']} than the one that is here now.")
    behaviour = None
    if needs_behaviour(config):
        if not run.store.exists("runs", str(config.collaborative_run)):
            raise UserError(f"Run {run.id!r} reads the id run {config.collaborative_run!r}, which is gone.")
        behaviour = told(Run(run.store, str(config.collaborative_run)), dataset, config, part)
    model = partial(Trunk, source, config.lora_rank)
    return {"text_model": model, "tokens": _tokens(source, dataset, config), "behaviour": behaviour}


def reload(
    run: Run,
    dataset: Dataset,
    device: torch.device | str = "cpu",
    part: Part = "test",
    embedding: Embedding | None = None,
) -> Inputs:
    """The inputs a finished run's model is rebuilt from (its own embedding, nothing that only training needs).
    ``embedding`` spares loading it, where it is that one."""
    config, manifest = run.config, run.manifest
    embedding_id = manifest.parent("embeddings")
    if not embedding_id:
        return Inputs(n_items=dataset.n_items)
    if embedding is None or embedding.id != embedding_id:
        embedding = load_embedding(run.store, embedding_id)
    reduced = torch.zeros(dataset.n_items, config.embedding_size, device=device) if starts_from_text(config) else None
    text, text_file = item_text(embedding, config, device)
    views = view_tables(open_views(config, run.store, dataset), device)  # of words nothing is read again
    written = config.method == "generative"
    codes = torch.zeros(dataset.n_items + 1, config.codebooks + written, dtype=torch.int16)  # the model has its own
    if written:
        codes[-1, -1] = int(manifest.info["codes"]["largest_group"])  # how large its codebooks are
    read = reading(run, dataset, part) if config.method == "language" else {}
    tables: dict[str, Any] = {"text": text, "text_file": text_file, "int8": embedding.int8, "views": views}
    return Inputs(n_items=dataset.n_items, reduced=reduced, codes=codes, **tables, **read)


def _values(codes: Codes, config: RunConfig) -> np.ndarray:
    """(N, C), with one more code for items that would share all where each must be written. UserError where these are
    too many for a codebook, as items without text may be."""
    if config.method != "generative":
        return codes.values
    apart = told_apart(codes.values)
    if (alike := int(apart[:, -1].max())) > MOST_ALIKE:
        bare = codes.report()["items_without_text"]
        raise UserError(
            f"{alike:,} items have the same codes, and {MOST_ALIKE:,} can be told apart; {bare:,} items have no text. "
            "Give them text, raise codebooks or codebook_size, or choose another method."
        )
    return apart.astype(np.int16)


def _quantised(embedding: Embedding, config: RunConfig) -> Codes | None:
    if config.method not in ("codes", "generative"):
        return None
    return quantise(
        embedding.item_vectors,
        codebooks=config.codebooks,
        size=config.codebook_size,
        kind="residual" if config.method == "generative" else config.quantisation,
        seed=config.seed,
    )


def reference_items(run: Run, dataset: Dataset, part: Part, device: torch.device | str = "cpu") -> Tensor:
    """(N + 1, D) items of the id-only run to align to, as its model for ``part`` has them. UserError for another."""
    if run.config.method != "id" or run.dataset_id != dataset.id:
        raise UserError(
            f"alignment_run {run.id!r} is a {run.config.method} run of {run.dataset_id}; "
            f"an id run of {dataset.id} is needed."
        )
    return load_model(run, Inputs(n_items=dataset.n_items), part).candidates().detach().to(device)
