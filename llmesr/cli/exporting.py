"""`llmesr export --to`: which artifact goes where in which form."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from llmesr.data.dataset import load_dataset
from llmesr.errors import UserError
from llmesr.exports import formats, tables, tracking
from llmesr.runs.record import Run
from llmesr.semantic.embed import load_embedding
from llmesr.store import Store

FORMS = {
    "runs": ("mlflow", "tensorboard", "parquet"),
    "embeddings": ("parquet",),
    "datasets": ("recbole", "rectools", "lenskit"),
}


def written(
    store: Store, kind: str, id: str, form: str, target: str | None, of: Literal["items", "users"]
) -> list[str]:
    """Write an artifact in a form; the places. UserError where that kind has no such form."""
    if form not in FORMS.get(kind, ()):
        known = ", ".join(["archive", *FORMS.get(kind, ())])
        raise UserError(f"--to of {kind} is one of {known}, not {form!r}.")
    place = Path(target or ".")
    if kind == "datasets":
        library = cast(formats.Library, form)
        return [*map(str, formats.write(load_dataset(store, id), store, library, place))]
    if kind == "embeddings":
        embedding = load_embedding(store, id)
        table = tables.vectors(embedding, load_dataset(store, embedding.dataset_id), of)
        return [str(tables.write(table, place))]
    run = Run(store, id)
    if form == "mlflow":
        return [f"MLflow run {tracking.to_mlflow(run, target)}"]
    if form == "tensorboard":
        return [str(tracking.to_tensorboard(run, place))]
    return [str(tables.write(tables.rankings(run, load_dataset(store, run.dataset_id)), place))]
