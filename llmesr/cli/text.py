"""embed, neighbours: items and users as vectors, and who is similar to whom."""

from __future__ import annotations

from typing import Annotated

import typer

from llmesr.cli.output import ConfigFile, Json, Set, emit, progress, store, table
from llmesr.config import EmbedConfig, NeighbourConfig, parse_overrides

DatasetRef = Annotated[str, typer.Argument(help="Dataset: name, id or the start of one.", metavar="DATASET")]


def embed(
    dataset: DatasetRef,
    embedder: Annotated[str | None, typer.Option(help="minilm, hf:..., gguf:..., openai:... or file:...")] = None,
    config: ConfigFile = None,
    set: Set = None,
    json: Json = False,
) -> None:
    """Turn item text into vectors; texts embedded before come from the cache."""
    from llmesr.data.dataset import load_dataset
    from llmesr.semantic.embed import embed as run

    values = parse_overrides(set or [])
    settings = EmbedConfig.read(config, **({"embedder": embedder} if embedder else {}), **values)
    data = load_dataset(store(), dataset)
    with progress() as listen:
        made = run(data, settings, store(), listen)
    info = made.manifest.info
    rows = [
        ["embedder", settings.embedder],
        ["items", str(info["items"])],
        ["dimension", str(made.dimension)],
        ["items without text", str(info["items_without_text"])],
        ["users without training items", str(info["users_without_vector"])],
    ]
    emit(json, {"id": made.id, **info}, table(made.id, ["embedding", ""], rows))


def neighbours(
    dataset: DatasetRef,
    embedding: Annotated[str | None, typer.Option(help="Embedding; the dataset's newest when left out.")] = None,
    config: ConfigFile = None,
    set: Set = None,
    json: Json = False,
) -> None:
    """Find each user's most similar users by their vectors."""
    from llmesr.data.dataset import load_dataset
    from llmesr.retrieval.similar import similar_users
    from llmesr.semantic.embed import default_embedding, load_embedding

    settings = NeighbourConfig.read(config, **parse_overrides(set or []))
    data = load_dataset(store(), dataset)
    vectors = load_embedding(store(), embedding, data) if embedding else default_embedding(store(), data)
    with progress() as listen:
        made = similar_users(data, vectors, settings, store(), listen)
    info = made.manifest.info
    rows = [
        ["embedding", vectors.id],
        ["neighbours per user", str(settings.neighbours)],
        ["engine", str(info["engine"])],
        ["recall", f"{made.recall:.3f}"],
    ]
    emit(json, {"id": made.id, **info}, table(made.id, ["similar users", ""], rows))


def register(app: typer.Typer) -> None:
    app.command()(embed)
    app.command()(neighbours)
