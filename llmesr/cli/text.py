"""embed, neighbours: items and users as vectors, and who is similar to whom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmesr.cli.output import ConfigFile, Json, Set, agree_to_pay, emit, progress, say, store, table
from llmesr.config import EmbedConfig, NeighbourConfig, parse_overrides
from llmesr.errors import UserError

if TYPE_CHECKING:
    from llmesr.data.dataset import Dataset

DatasetRef = Annotated[str, typer.Argument(help="Dataset: name, id or the start of one.", metavar="DATASET")]


def embed(
    dataset: DatasetRef,
    embedder: Annotated[str | None, typer.Option(help="minilm, hf:..., gguf:..., openai:... or file:...")] = None,
    config: ConfigFile = None,
    set: Set = None,
    export: Annotated[
        Path | None, typer.Option(help="Also write item vectors with their ids: .npy, .npz, .parquet or .safetensors.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="K/N: only fill the cache with the K-th of N parts (0/4 to 3/4); then embed without it."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before paid requests.")] = False,
    json: Json = False,
) -> None:
    """Turn item text into vectors; texts embedded before come from the cache."""
    from llmesr.data.dataset import load_dataset
    from llmesr.semantic.embed import embed as run
    from llmesr.semantic.embed import embed_shard
    from llmesr.semantic.embedders.precomputed import write_vectors

    values = {**({"embedder": embedder} if embedder else {}), **parse_overrides(set or [])}
    settings = EmbedConfig.read(config, **values)
    data = load_dataset(store(), dataset)
    if settings.embedder.startswith("openai:"):
        _show_cost(data, settings, yes)
    with progress() as listen:
        if shard is not None:
            new = embed_shard(data, settings, store(), _shard(shard), listen)
            emit(json, {"shard": shard, "new": new}, f"Shard {shard}: {new:,} texts embedded.")
            return
        made = run(data, settings, store(), listen)
    if export is not None:
        write_vectors(export, made.item_vectors, made.item_ids.tolist())
    info = made.manifest.info
    lacking = "items without a vector" if settings.embedder.startswith("file:") else "items without text"
    rows = [
        ["embedder", made.manifest.config["embedder"]],
        ["items", str(info["items"])],
        ["dimension", str(made.dimension)],
        [lacking, str(info["items_without_text"])],
        ["users without training items", str(info["users_without_vector"])],
    ]
    emit(json, {"id": made.id, **info}, table(made.id, ["embedding", ""], rows))


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/([1-9]\d*)", text)
    if not found:
        raise UserError(f"--shard takes K/N, such as 0/4, not {text!r}.")
    return int(found[1]), int(found[2])


def _show_cost(data: Dataset, settings: EmbedConfig, yes: bool) -> None:
    from llmesr.semantic.inputs import plan

    wanted = plan(data, settings, store())
    say(f"{settings.embedder}: {wanted.describe()}")
    if wanted.cost:
        agree_to_pay(yes)


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
