"""defend: a claim that one run is better than another, what it lacks, and its statement on one page."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmesr.cli.evaluate import ProtocolChoice
from llmesr.cli.output import Json, emit, progress, say, store
from llmesr.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmesr.data.dataset import Dataset
    from llmesr.evaluation.claim import Claim
    from llmesr.runs.record import Run
    from llmesr.runs.wanted import Training
    from llmesr.semantic.embed import Embedding
    from llmesr.store import Store

ROUNDS = 3
"""What has been trained may lack something itself: a longer budget, when early stopping did not end it."""


def defend(
    run: Annotated[str, typer.Argument(help="A run of the configuration that is claimed to be better.")],
    baseline: Annotated[str, typer.Option(help="A run of the configuration it is claimed to be better than.")],
    metric: Annotated[str, typer.Option(help="HR@K, NDCG@K or MRR@K.")] = "NDCG@10",
    protocol: Annotated[ProtocolChoice, typer.Option(help="full ranking, or 100 sampled negatives.")] = "full",
    run_missing: Annotated[bool, typer.Option("--run-missing", help="Train what the claim lacks.")] = False,
    queue: Annotated[bool, typer.Option("--queue", help="Train what the claim lacks as a job.")] = False,
    out: Annotated[Path, typer.Option(help="Where the statement is written.")] = Path("claim.html"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: Json = False,
) -> None:
    """Write a claim down, list (or run) what it lacks, and state it on one page with what would overturn it.

    What it can lack: trainings to the end, three seeds, classic baselines, a scoring policy for both sides or neither,
    and the same comparison under a temporal split, where the data has times.
    """
    from llmesr.evaluation.claim import make_claim
    from llmesr.evaluation.lacking import missing
    from llmesr.evaluation.statement import statement
    from llmesr.runs.record import find_run
    from llmesr.store import deliver

    if queue and run_missing:
        raise UserError("Give --run-missing to train here and now, or --queue to leave it to a job, not both.")
    chosen = store()
    ours, theirs = find_run(chosen, run), find_run(chosen, baseline)
    claim = make_claim(chosen, ours, theirs, metric=metric, protocol=protocol)
    lacking = missing(claim)
    say(f"{claim.standing}. {claim.sentence}")
    for training in lacking:
        say(f"  lacks {training.why}")
    for _ in range(ROUNDS if run_missing else 0):
        if not lacking:
            break
        _train(chosen, claim, lacking, device)
        claim = make_claim(chosen, ours, theirs, metric=metric, protocol=protocol)
        lacking = missing(claim)
        say(f"{claim.standing}. {claim.sentence}")
    job = _queued(chosen, claim, lacking) if queue and lacking else None
    command = ["llmesr", "defend", ours.id, "--baseline", theirs.id, "--metric", metric, "--protocol", protocol]
    deliver(out, statement(claim, shlex.join(command)).encode())
    hint = f" Job {job} trains what it lacks." if job else " --run-missing trains what it lacks, --queue as a job."
    say(f"The statement is in {out}." + (hint if lacking else ""))
    document = {
        "claim": claim.sentence,
        "stands": claim.stands,
        "doubts": [d.document() for d in claim.doubts],
        "missing": [t.document() for t in lacking],
        "job": job,
        "statement": str(out),
    }
    emit(json, document, claim.sentence)


def _queued(chosen: Store, claim: Claim, lacking: Sequence[Training]) -> str:
    """The id of a job that trains exactly what is missing."""
    from llmesr.jobs.queue import Jobs
    from llmesr.jobs.wanted import wanted_steps

    dataset = chosen.manifest("datasets", claim.run.runs[0].dataset_id)
    there = claim.in_time.dataset if claim.in_time is not None else None
    steps = wanted_steps(chosen, dataset, lacking, in_time=there)
    return Jobs(chosen).submit_steps(steps, kind="defend", label=f"Defend {claim.title}").id


def _train(chosen: Store, claim: Claim, lacking: Sequence[Training], device: str) -> None:
    """Train exactly what is missing, one after the other."""
    from llmesr.data.dataset import load_dataset
    from llmesr.jobs.wanted import read_by
    from llmesr.semantic.embed import load_embedding

    data = load_dataset(chosen, claim.run.runs[0].dataset_id)
    later = _in_time(chosen, claim, data) if any(t.in_time for t in lacking) else data
    made: dict[str, str] = {}
    texts: dict[str, str] = {}
    for number, training in enumerate(lacking, start=1):
        say(f"Training {number} of {len(lacking)}: {training.why}")
        place = later if training.in_time else data
        for id in read_by(training) if training.in_time and training.of_run is None else ():
            if id not in texts:
                texts[id] = _read_again(chosen, load_embedding(chosen, id), later, device).id
        run = _made(chosen, training, place, made, texts if training.in_time else {}, device)
        made[training.key] = run.id
        if training.policy is not None:
            _tune(run, training.policy, place, device)


def _made(
    chosen: Store, training: Training, place: Dataset, made: Mapping[str, str], texts: Mapping[str, str], device: str
) -> Run:
    """The run of one training, blended where it is a blend, or the one that is there."""
    from llmesr.config import BLEND
    from llmesr.jobs.wanted import values_with
    from llmesr.runs.record import find_run
    from llmesr.scoring.blend import blend
    from llmesr.semantic.embed import load_embedding
    from llmesr.training.devices import pick_device
    from llmesr.training.train import train

    if training.of_run is not None:
        return find_run(chosen, training.of_run)
    with progress() as listen:
        if training.method == BLEND:
            members = [find_run(chosen, m if isinstance(m, str) else made[m.key]) for m in training.members]
            emphasis = {k: float(v) for k, v in training.settings.items() if k == "emphasis"}
            trees = bool(training.settings.get("trees"))
            return blend(members, trees=trees, device=pick_device(device), progress=listen, **emphasis)
        id = training.embedding
        text = (
            load_embedding(chosen, texts.get(id, id), place) if id and (not training.in_time or id in texts) else None
        )
        config = replace(training, settings=values_with(training, made, texts)).config
        return train(place, config, chosen, embedding=text, device=device, progress=listen)


def _tune(run: Run, policy: Mapping[str, object], place: Dataset, device: str) -> None:
    """The scoring of a run tuned, and the run under its policy made where that changes anything."""
    from llmesr.scoring.derived import derive
    from llmesr.scoring.scored_run import ScoredRun
    from llmesr.scoring.tuning.outcome import PolicyTuningConfig
    from llmesr.scoring.tuning.search import cross_fitted, tune_policy
    from llmesr.training.devices import pick_device

    with progress() as listen:
        scored = ScoredRun(run.store, run, pick_device(device), dataset=place)
        tuned = tune_policy(scored, PolicyTuningConfig.read(None, **policy), progress=listen)
        if not tuned.policy.inert:
            derive(scored, tuned.policy, listen, halves=cross_fitted(scored, tuned.config, progress=listen))


def _in_time(chosen: Store, claim: Claim, data: Dataset) -> Dataset:
    """The dataset under its temporal split, made where there is none."""
    from llmesr.config import SplitConfig
    from llmesr.data.dataset import load_dataset
    from llmesr.data.splitting import resplit
    from llmesr.jobs.wanted import SPLIT

    if claim.in_time is not None and claim.in_time.dataset is not None:
        return load_dataset(chosen, claim.in_time.dataset)
    return resplit(data, SplitConfig.read(None, **SPLIT), chosen)


def _read_again(chosen: Store, text: Embedding, later: Dataset, device: str) -> Embedding:
    """The same text vectors for the dataset under another split: nothing is embedded anew, users are read again. An
    adapter that learned what is chosen is tuned again on what that split lets it know."""
    from llmesr.config import EmbedConfig
    from llmesr.runs.finetune import list_finetunes, tuned_on_choices
    from llmesr.semantic.embed import embed
    from llmesr.training.finetune import finetune

    config = EmbedConfig.read(None, **text.manifest.config)
    with progress() as listen:
        if (adapter := tuned_on_choices(chosen, text.manifest)) is not None:
            there = [t for t in list_finetunes(chosen, later.id) if t.config == adapter.config and t.manifest.files]
            tuned = there[0] if there else finetune(later, adapter.config, chosen, device=device, progress=listen)
            config = config.but(adapter=tuned.id)
        return embed(later, config, chosen, listen)


def register(app: typer.Typer) -> None:
    app.command()(defend)
