"""map: draw the spaces of a dataset so that they can be compared."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer

from llmesr.cli.output import ConfigFile, Json, Set, emit, progress, store, table
from llmesr.cli.together import cores
from llmesr.config import parse_overrides


def map_(
    refs: Annotated[
        list[str],
        typer.Argument(
            help="A dataset, runs, embeddings, or spaces such as run:ID:collaborative.", metavar="DATASET_OR_RUN..."
        ),
    ],
    users: Annotated[bool, typer.Option("--users", help="Draw users instead of items.")] = False,
    config: ConfigFile = None,
    set: Set = None,
    json: Json = False,
) -> None:
    """Draw items (or users) in two dimensions: text, collaborative and adapted spaces, turned onto each other.

    A dataset stands for its newest embedding, the newest space that behaviour alone made and the views of its newest
    run; a run for its text and its views.
    """
    from llmesr.data.dataset import load_dataset
    from llmesr.maps.make import make_map
    from llmesr.maps.projection import MapConfig
    from llmesr.maps.spaces import choose

    values = parse_overrides(set or [])
    settings = MapConfig.read(config, **({"of": "users"} if users else {}), **values)
    dataset, specs = choose(store(), list(refs))
    with _all_cores(), progress() as listen:
        made = make_map(load_dataset(store(), dataset), specs, settings, store(), listen)
    info = made.manifest.info
    trust = info["trustworthiness"]
    rows = [
        [s["label"], str(s["dimension"]), *(_shown(trust[s["key"]].get(m)) for m in ("pca", "umap"))]
        for s in info["spaces"]
    ]
    title = f"{made.id}: {info['points']:,} {info['of']}"
    heads = ["space", "dimensions", "trustworthiness of PCA", "of UMAP"]
    emit(json, {"id": made.id, **info}, table(title, heads, rows))


@contextlib.contextmanager
def _all_cores() -> Iterator[None]:
    """Matrix products on every core this process may use; afterwards on as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def register(app: typer.Typer) -> None:
    app.command("map")(map_)
