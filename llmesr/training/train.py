"""One training run from a dataset and a config to a sealed, evaluated run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from llmesr.config import LINEAR, UNTRAINED, WORDS, RunConfig, named_with_backbone, reads, settings_read
from llmesr.config.needs import needs_behaviour, needs_reference, needs_text, ranks_candidates
from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.split import Part
from llmesr.errors import UserError
from llmesr.evaluation.results import evaluate_parts
from llmesr.evaluation.sample import judged, validation_sample
from llmesr.evaluation.sharded import KeptScores, ranked_by
from llmesr.evaluation.two_stage import TwoStage
from llmesr.linear.build import MODELS
from llmesr.methods import Inputs, build
from llmesr.models.scorers import Scorer, WritingScorer
from llmesr.processes import ALONE, Processes
from llmesr.progress import Progress, silent
from llmesr.retrieval.index_inner import InnerProducts
from llmesr.retrieval.similar import SimilarUsers, load_similar
from llmesr.runs.record import MODEL, VALIDATED, Follower, Run, Status, find_run
from llmesr.runs.settings import FORMERLY
from llmesr.semantic.embed import Embedding, default_embedding, load_embedding
from llmesr.store import Store
from llmesr.training.beams import found_by_beams
from llmesr.training.devices import pick_device
from llmesr.training.guides import guided
from llmesr.training.inputs import Prepared, prepare
from llmesr.training.linear import fit_linear
from llmesr.training.load import base_scorer, untrained_scorer
from llmesr.training.loop import BEST, Loop
from llmesr.training.refit import refit
from llmesr.training.runtime import GiveUp, Runtime, never, unasked
from llmesr.training.shards import WHOLE, load, save_model, scorer_for
from llmesr.training.stopping import Stopped, recorded_end, terminate
from llmesr.training.user_states import discard


def train(
    dataset: Dataset,
    config: RunConfig,
    store: Store,
    *,
    embedding: Embedding | None = None,
    similar: SimilarUsers | None = None,
    run_id: str | None = None,
    device: str = "auto",
    processes: Processes = ALONE,
    enough: Callable[[], bool] = unasked,
    give_up: GiveUp = never,
    progress: Progress = silent,
) -> Run:
    """Train ``config`` on ``dataset``, evaluate validation and test, seal the run.

    Stopped by SIGTERM or an interrupt it keeps a checkpoint, leaves the run STOPPED and raises
    :class:`~llmesr.training.stopping.Stopped`; :func:`resume` goes on to the same result. A run that ``give_up`` gives
    a reason not to go on with is left in the same state with that reason, and Pruned is raised. Once ``enough()``, the
    best epoch so far is taken, and ``info["cut_short"]`` says so; before a first one, Stopped is raised. ``processes``
    call this alike, on one artifact root, and return the same run; the first one writes it.
    UserError when something the method needs is missing, or when the loss is no longer a number.
    """
    runtime = Runtime(pick_device(device), processes, enough=enough, give_up=give_up, progress=progress)
    if config.views:
        config = config.but(views=[r if r == WORDS else store.find("embeddings", r).id for r in config.views])
    if needs_reference(config) and config.alignment_run is None:
        config = config.but(alignment_run=_reference(dataset, _reference_config(config), store, runtime))
    if needs_behaviour(config) and config.collaborative_run is None:
        config = config.but(collaborative_run=_reference(dataset, _reference_config(config), store, runtime))
    config = _with_runs(config, dataset, embedding, store, runtime)
    started = time.perf_counter()
    with processes.main_first():  # who finds similar users that are there does not look for them again
        prepared = prepare(dataset, config, store, embedding=embedding, similar=similar, progress=progress)
    prepared = _guided(prepared, dataset, config, store, runtime)
    seed = f" {config.seed}" if reads("seed", config.method, config.backbone) else ""
    name = f"{dataset.name} {label(config)}{seed}"
    run: Run | None = None
    if processes.is_main:
        run = Run.create(store, config, prepared.parents, name=name, id=run_id, device=runtime.described)
    run_id = processes.broadcast(run.id if run else "")
    run = run or Follower(store, run_id)
    with run.hold():
        return _carry_out(run, dataset, prepared, runtime, time.perf_counter() - started)


def resume(
    run: Run,
    *,
    device: str = "auto",
    processes: Processes = ALONE,
    enough: Callable[[], bool] = unasked,
    give_up: GiveUp = never,
    progress: Progress = silent,
) -> Run:
    """Go on with a run that was stopped or broke off. UserError when it is finished, or another process trains it."""
    run = run if processes.is_main else Follower(run.store, run.id)
    runtime = Runtime(pick_device(device), processes, enough=enough, give_up=give_up, progress=progress)
    with run.hold():
        if run.status().state == "SUCCEEDED":
            raise UserError(f"Run {run.id!r} is finished; clone it to train again.")
        dataset, manifest = load_dataset(run.store, run.dataset_id), run.manifest
        embedding_id, similar_id = manifest.parent("embeddings"), manifest.parent("neighbours")
        prepared = prepare(
            dataset,
            run.config,
            run.store,
            embedding=load_embedding(run.store, embedding_id) if embedding_id else None,
            similar=load_similar(run.store, similar_id) if similar_id else None,
        )
        prepared = _guided(prepared, dataset, run.config, run.store, runtime)
        return _carry_out(run, dataset, prepared, runtime, 0.0)


def _carry_out(run: Run, dataset: Dataset, prepared: Prepared, runtime: Runtime, preparing: float) -> Run:
    """Train, evaluate, seal; ``preparing`` are the seconds that went before."""
    run.set_state("RUNNING", "starting")
    try:
        with recorded_end(run):
            _train_and_evaluate(run, dataset, prepared, runtime, preparing)
    except Stopped:
        runtime.processes.barrier()  # torchrun ends all others as soon as one has ended
        raise
    runtime.processes.barrier()
    return run


def _train_and_evaluate(run: Run, dataset: Dataset, prepared: Prepared, runtime: Runtime, preparing: float) -> None:
    started, config = time.perf_counter(), run.config
    sequences = Sequences(dataset, runtime.device)
    scorers: Mapping[Part, Scorer | KeptScores]
    if config.method in UNTRAINED:
        inputs, whole = prepared.inputs, dataset.training_for("test")
        made = untrained_scorer(config, dataset, inputs, runtime.device)
        after = made if whole is dataset else untrained_scorer(config, whole, inputs, runtime.device)
        scorers = {"valid": made, "test": after}
        info: dict[str, object] = {}
    elif config.method in LINEAR:
        scorers, info = fit_linear(run, dataset, prepared.inputs, sequences, runtime)
    else:
        scorers, info = _fit(run, dataset, prepared.inputs, sequences, runtime)
    info |= prepared.info
    if dataset.split_config.refit:
        info["refit"] = True
    trained = time.perf_counter()
    two_stage = TwoStage(InnerProducts) if ranks_candidates(config) else None
    results = evaluate_parts(
        scorers,
        dataset,
        max_length=config.max_length,
        device=runtime.device,
        sequences=sequences,
        processes=runtime.processes,
        progress=runtime.progress,
        two_stage=two_stage,
    )
    if two_stage is not None:
        info["ranking"] = two_stage.report()
    run.write_results(*results)
    timings = {"prepare": preparing, "train": trained - started, "evaluate": time.perf_counter() - trained}
    done = run.status().model_copy(update={"state": "SUCCEEDED", "seconds_left": 0.0})
    run.finish(done, {k: round(v, 3) for k, v in timings.items()}, info)
    if runtime.processes.is_main:
        discard(run)


def _fit(
    run: Run, dataset: Dataset, inputs: Inputs, sequences: Sequences, runtime: Runtime
) -> tuple[dict[Part, Scorer | KeptScores], dict[str, object]]:
    """The scorers that validation and the test are asked of, one and the same where the split does not refit."""
    config, device, processes = run.config, runtime.device, runtime.processes
    torch.manual_seed(config.seed)
    method = build(replace(inputs, processes=processes), config)
    base = None if config.base is None else base_scorer(find_run(run.store, config.base), dataset, "valid", device)
    sample = validation_sample(dataset, config.validation_users)

    def validate() -> dict[str, float]:
        scorer = scorer_for(method.model, base, device)
        found = ranked_by(scorer)(
            scorer,
            dataset,
            "valid",
            sequences=sequences,
            device=device,
            max_length=config.max_length,
            top=0,
            users=sample,
            processes=processes,
        )
        method.model.train()
        return judged(found.frame, dataset, config, sampled=sample is not None)

    with terminate() as should_stop:
        loop = Loop(
            method=method,
            dataset=dataset,
            sequences=sequences,
            config=config,
            run=run,
            validate=validate,
            runtime=replace(runtime, should_stop=should_stop),
        )
        loop.resume()
        stopper = loop.fit()
    refits = dataset.split_config.refit
    best, sharded = run.checkpoint(BEST), method.model.sharded
    if processes.is_main or sharded:
        method.model.load_state_dict(load(best, sharded, processes)[0])
    processes.sync_parameters(method.model, own=sharded)
    save_model(run.folder / (VALIDATED if refits else MODEL), run.checkpoint(WHOLE), method.model, processes)
    parameters = sum(p.numel() for p in method.model.parameters() if p.requires_grad)
    parameters += sum(t.elsewhere for t in sharded.values() if t.vectors.requires_grad)
    info: dict[str, object] = {
        "best_epoch": stopper.best_epoch,
        "best": stopper.best,
        "epochs": loop.epoch,
        "parameters": parameters,
        **({"cut_short": True} if loop.cut_short else {}),
        **({"begun_again": loop.begun_again} if loop.begun_again else {}),
    }
    if sample is not None and processes.is_main:
        info["validation_sample"] = _sampled(run, len(sample), len(dataset.split.users("valid")), stopper.best_epoch)
    scorer = scorer_for(method.model, base, device)
    if isinstance(scorer, WritingScorer) and not scorer.exhaustive:
        info["beam"] = found_by_beams(scorer, dataset, sequences)
    whole = refit(run, dataset, inputs, stopper.best_epoch, sequences, runtime) if refits else scorer
    run.set_status(_learned(loop))  # whatever was said while training again, and of which stop
    return {"valid": scorer, "test": whole}, info


def _learned(loop: Loop) -> Status:
    """Where a run stands that has learned: what validation found."""
    config, stopper = loop.config, loop.stopper
    said = f"best {config.monitor} in epoch {stopper.best_epoch}"
    return Status(state="RUNNING", epoch=loop.epoch, epochs=config.epochs, best=stopper.best, message=said)


def _sampled(run: Run, users: int, everybody: int, epoch: int) -> dict[str, float]:
    """How many users chose the best epoch, of how many, and the interval of what was measured on them."""
    events = run.events()
    interval = events.loc[events["epoch"] == epoch, "validation_interval"]
    return {"users": users, "of": everybody, "interval": float(interval.iloc[-1])}


def _reference_config(config: RunConfig) -> RunConfig:
    """The id-only SASRec that LLMEmb aligns to and a text model is told of: the same sizes and optimisation. Of
    whom prefix=collaborative asks, reads a part of a history as if nothing came after it."""
    asked = needs_behaviour(config) and config.prefix == "collaborative"
    positions = "start" if asked else config.positions
    own = {"method": "id", "backbone": "sasrec", "positions": positions}
    return config.but(**own, alignment_run=None, base=None, teacher=None, graph_steps=0)


def _with_runs(
    config: RunConfig, dataset: Dataset, embedding: Embedding | None, store: Store, runtime: Runtime
) -> RunConfig:
    """``config`` with the ids of the runs it learns from; a base that is named by its method is solved here."""
    if config.base in MODELS:
        solved = RunConfig.read(None, method=config.base, max_length=config.max_length)
        config = config.but(base=_reference(dataset, solved, store, runtime, embedding))
    elif config.base is not None:
        config = config.but(base=find_run(store, config.base).id)
    if config.teacher is not None:
        config = config.but(teacher=find_run(store, config.teacher).id)
    return config


def _guided(prepared: Prepared, dataset: Dataset, config: RunConfig, store: Store, runtime: Runtime) -> Prepared:
    """With the runs that the method learns from opened."""
    inputs, parents = guided(prepared.inputs, dataset, config, store, runtime.device)
    return replace(prepared, inputs=inputs, parents=[*prepared.parents, *parents])


def _reference(
    dataset: Dataset, config: RunConfig, store: Store, runtime: Runtime, embedding: Embedding | None = None
) -> str:
    """The id of a finished run of those settings, carried out to its end: one that is there, or a new one."""
    text = (embedding or default_embedding(store, dataset)).id if needs_text(config) else None
    wanted = settings_read(config.model_dump(mode="json"))
    there = (
        m.id
        for m in store.list("runs")
        if m.parent("datasets") == dataset.id
        and not {"policy", "cut_short"} & set(m.info)
        and text in (None, m.parent("embeddings"))
        and all({**FORMERLY, **m.config}.get(name) == value for name, value in wanted.items())
        and Run(store, m.id).status().state == "SUCCEEDED"
    )
    processes = runtime.processes
    if found := processes.broadcast(next(there, "")):
        return found
    options = {"processes": processes, "progress": runtime.progress}
    run = train(dataset, config, store, embedding=embedding, device=str(runtime.device), **options)  # type: ignore[arg-type]
    return run.id


def label(config: RunConfig) -> str:
    """The method, with its backbone where there is one."""
    return f"{config.method} {config.backbone}" if named_with_backbone(config.method) else config.method
