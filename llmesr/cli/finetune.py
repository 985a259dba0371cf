"""finetune, diagnose: tune a language model on the items of a dataset, and see what that did to their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmesr.cli.output import ConfigFile, Json, Set, emit, progress, say, store, table
from llmesr.config import FinetuneConfig, parse_overrides
from llmesr.errors import UserError

if TYPE_CHECKING:
    from llmesr.runs.finetune import Finetune


ACCURACY = {
    "attributes": "own copy found among held-out items",
    "co_chosen": "held-out item nearer to its partner than to a stranger",
    "preferences": "held-out item nearer to one of its category than to one of another",
}


def finetune(
    dataset: Annotated[
        str | None, typer.Argument(help="Dataset: name, id or the start of one.", metavar="DATASET", show_default=False)
    ] = None,
    base: Annotated[str | None, typer.Option(help="minilm, hf:<id or folder> or gguf:<file>.")] = None,
    config: ConfigFile = None,
    set: Set = None,
    resume: Annotated[str | None, typer.Option(help="Continue this stopped or interrupted fine-tuning.")] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Id of the new adapter.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    json: Json = False,
) -> None:
    """Fine-tune a language model on item attributes (LLMEmb's SCFT) or on what is chosen; keeps the adapter apart."""
    from llmesr.data.dataset import load_dataset
    from llmesr.runs.finetune import find_finetune
    from llmesr.training.finetune import finetune as start
    from llmesr.training.finetune import resume_finetune
    from llmesr.training.stopping import Stopped

    try:
        if resume is not None:
            if dataset or base or set or config:
                raise UserError("--resume goes on with the settings it began with; give nothing else.")
            with progress() as listen:
                made = resume_finetune(find_finetune(store(), resume), device=device, progress=listen)
        elif dataset is None:
            raise UserError("Name the dataset to tune on: `llmesr finetune DATASET`.")
        else:
            values = {**({"base": base} if base else {}), **parse_overrides(set or [])}
            settings = FinetuneConfig.read(config, **values)
            with progress() as listen:
                data = load_dataset(store(), dataset)
                made = start(data, settings, store(), run_id=run_id, device=device, progress=listen)
    except Stopped:
        say("Stopped; `llmesr finetune --resume ID` continues from the checkpoint.")
        raise typer.Exit(130) from None
    _report(made, json)


def _report(run: Finetune, json: bool) -> None:
    info = run.manifest.info
    before, after = info["before"], info["after"]
    named = {
        "accuracy": ACCURACY[run.config.objective],
        "mean_cosine": "mean pairwise cosine",
        "uniformity": "uniformity",
        "alignment": "alignment of copies",
    }
    rows = [[text, f"{before[key]:.4f}", f"{after[key]:.4f}"] for key, text in named.items()]
    if after["accuracy"] < before["accuracy"]:
        say("On held-out items the tuned model is no better than the base model: keep the base, or try other settings.")
    emit(json, {"run": run.id, **info}, table(f"{run.id}, step {info['best_step']}", ["", "before", "after"], rows))


def diagnose(
    embedding: Annotated[list[str], typer.Argument(help="One embedding or more, of the same dataset.")],
    attribute: Annotated[
        list[str] | None, typer.Option(help="Attribute to judge neighbours by; may be repeated.")
    ] = None,
    k: Annotated[int, typer.Option(min=1, help="Neighbours looked at per item.")] = 10,
    json: Json = False,
) -> None:
    """How item vectors are spread, and whether neighbours share attributes; several embeddings side by side."""
    from llmesr.data.dataset import load_dataset
    from llmesr.semantic.diagnostics import compare
    from llmesr.semantic.embed import load_embedding

    found = [load_embedding(store(), ref) for ref in embedding]
    if others := {e.dataset_id for e in found} - {found[0].dataset_id}:
        raise UserError(
            f"{found[0].id!r} belongs to dataset {found[0].dataset_id!r}, but another to {others.pop()!r}; "
            "compare embeddings of one dataset."
        )
    data = load_dataset(store(), found[0].dataset_id)
    vectors = {e.check(data).id: e.item_vectors for e in found}
    frame = compare(vectors, data.catalogue, attributes=attribute, k=k)
    rows = [
        [
            f"{row['measure']} {row['attribute']}".strip() + f" ({row['better']} is better)",
            *(f"{row[id]:.4f}" for id in vectors),
        ]
        for row in frame.to_dict("records")
    ]
    emit(json, {"rows": frame.to_dict("records")}, table(data.name, ["measure", *vectors], rows))


def register(app: typer.Typer) -> None:
    app.command()(finetune)
    app.command()(diagnose)
