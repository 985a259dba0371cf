"""defend: a claim that one run is better than another, what it lacks, and its statement on one page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmesr.cli.evaluate import ProtocolChoice
from llmesr.cli.output import Json, emit, progress, say, store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmesr.evaluation.claim import Training
    from llmesr.runs.record import Run


def defend(
    run: Annotated[str, typer.Argument(help="A run of the configuration that is claimed to be better.")],
    baseline: Annotated[str, typer.Option(help="A run of the configuration it is claimed to be better than.")],
    metric: Annotated[str, typer.Option(help="HR@K, NDCG@K or MRR@K.")] = "NDCG@10",
    protocol: Annotated[ProtocolChoice, typer.Option(help="full ranking, or 100 sampled negatives.")] = "full",
    run_missing: Annotated[bool, typer.Option("--run-missing", help="Train what the claim lacks.")] = False,
    out: Annotated[Path, typer.Option(help="Where the statement is written.")] = Path("claim.html"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: Json = False,
) -> None:
    """Write a claim down, list (or run) what it lacks, and state it on one page with what would overturn it."""
    from llmesr.evaluation.claim import make_claim, missing
    from llmesr.evaluation.statement import statement
    from llmesr.runs.record import find_run
    from llmesr.store import write_bytes

    chosen = store()
    ours, theirs = find_run(chosen, run), find_run(chosen, baseline)
    claim = make_claim(chosen, ours, theirs, metric=metric, protocol=protocol)
    lacking = missing(claim)
    say(claim.sentence)
    for training in lacking:
        say(f"  lacks {training.why}")
    if run_missing and lacking:
        _train(ours, lacking, device)
        claim = make_claim(chosen, ours, theirs, metric=metric, protocol=protocol)
        lacking = missing(claim)
        say(claim.sentence)
    command = ["llmesr", "defend", ours.id, "--baseline", theirs.id, "--metric", metric, "--protocol", protocol]
    write_bytes(out, statement(claim, shlex.join(command)).encode())
    say(f"The statement is in {out}." + (" --run-missing trains what it lacks." if lacking else ""))
    document = {
        "claim": claim.sentence,
        "stands": claim.stands,
        "findings": [f.document() for f in claim.findings],
        "missing": [{**vars(t), "settings": dict(t.settings)} for t in lacking],
        "statement": str(out),
    }
    emit(json, document, claim.sentence)


def _train(run: Run, lacking: Sequence[Training], device: str) -> None:
    """Train exactly what is missing, one after the other."""
    from llmesr.data.dataset import load_dataset
    from llmesr.evaluation.claim import trained_anew
    from llmesr.semantic.embed import load_embedding
    from llmesr.training.train import train

    data = load_dataset(run.store, run.dataset_id)
    for number, training in enumerate(lacking, start=1):
        say(f"Training {number} of {len(lacking)}: {training.why}")
        text = load_embedding(run.store, training.embedding, data) if training.embedding else None
        with progress() as listen:
            train(data, trained_anew(training), run.store, embedding=text, device=device, progress=listen)


def register(app: typer.Typer) -> None:
    app.command()(defend)
