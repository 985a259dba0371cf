"""Runs that are wanted as the steps of a job: trained here, or under a temporal split that is made first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmesr.config import BLEND, NEEDS_TEXT, WORDS, EmbedConfig, FinetuneConfig
from llmesr.jobs.plans import embed_step, finetune_step, settings, train_step, tune_step
from llmesr.jobs.record import Step
from llmesr.runs.finetune import TUNED_WITH, tuned_on_choices
from llmesr.runs.wanted import Training, in_turn
from llmesr.store import Manifest, Store

SPLIT = {"kind": "temporal"}
"""The split in time that a claim is tried under where the data has none yet."""


def wanted_steps(
    store: Store, dataset: Manifest, wanted: Sequence[Training], *, in_time: str | None = None
) -> list[Step]:
    """What makes ``wanted``, in order. ``in_time``: the dataset under the temporal split, None to make it."""
    every = in_turn(wanted)
    here, there = ([t for t in every if t.in_time is when] for when in (False, True))
    made: dict[str, str] = {}
    steps = [step for t in here for step in _steps(t, dataset.id, dataset.name, {}, made)]
    if not there:
        return steps
    place = in_time or "{temporal}"
    if in_time is None:
        steps.append(split_step(dataset.id))
    texts = list(dict.fromkeys(id for t in there if t.of_run is None for id in read_by(t)))
    named = {id: f"embedding{number or ''}" for number, id in enumerate(texts)}
    tuned: dict[str, str] = {}
    for id, name in named.items():
        text = store.manifest("embeddings", id)
        values = _embedder(text.config)
        if (adapter := tuned_on_choices(store, text)) is not None:  # it may know what the other split holds out
            if adapter.id not in tuned:
                saved = f"adapter{len(tuned) or ''}"
                usual = FinetuneConfig().model_dump()
                given = {k: v for k, v in adapter.config.model_dump().items() if v != usual[k]}
                steps.append(finetune_step(place, f"{dataset.name} temporal", given, saves=saved))
                tuned[adapter.id] = f"{{{saved}}}"
            values["adapter"] = tuned[adapter.id]
        steps.append(embed_step(place, values).model_copy(update={"saves": name}))
    moved = {id: f"{{{name}}}" for id, name in named.items()}
    for training in there:
        steps += _steps(training, place, f"{dataset.name} temporal", moved, made)
    return steps


def split_step(dataset: str) -> Step:
    """The same data under a temporal split; the id is saved as ``{temporal}``. What is there is found, not made."""
    given = [dataset, *settings(SPLIT), "--json"]
    return Step(verb="split", arguments=given, label="Split in time", reads=[f"datasets/{dataset}"], saves="temporal")


def _steps(
    training: Training, dataset: str, name: str, texts: Mapping[str, str], made: dict[str, str]
) -> Iterator[Step]:
    """``texts``: what stands for embeddings of another split there; ``made``: key -> run of what was made so far, which
    this one is added to."""
    run = training.of_run
    if run is None and training.method == BLEND:
        run = f"{{blend{len(made)}}}"
        yield _blend_step(training, [m if isinstance(m, str) else made[m.key] for m in training.members], run[1:-1])
    elif run is None:
        text = training.embedding
        step = train_step(
            dataset,
            training.method,
            backbone=training.backbone,
            values=values_with(training, made, texts),
            embedding=texts.get(text, text) if text else None,
            name=name,
        )
        run = str(step.run)
        yield step
    made[training.key] = run
    if training.policy is not None:
        yield tune_step(run, training.policy).model_copy(update={"reads": [f"runs/{run}"] if training.of_run else []})


def _blend_step(training: Training, runs: Sequence[str], name: str) -> Step:
    emphasis = training.settings.get("emphasis")
    trees = ["--trees"] if training.settings.get("trees") else []
    given = [*runs, *([] if emphasis is None else ["--emphasis", str(emphasis)]), *trees, "--json"]
    there = [f"runs/{m}" for m in training.members if isinstance(m, str)]
    return Step(verb="blend", arguments=given, label=training.why, reads=there, saves=name)


def values_with(training: Training, made: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a training with the runs it learns from and the views that it reads there."""
    guides = {name: g if isinstance(g, str) else made[g.key] for name, g in training.guides.items()}
    views = training.settings.get("views")
    return {**training.settings, **guides} | ({"views": [texts.get(v, v) for v in views]} if views else {})


def read_by(training: Training) -> list[str]:
    """The embeddings a training reads: its text and its further views."""
    text = [training.embedding] if training.embedding and training.method in NEEDS_TEXT else []
    return [*text, *(v for v in training.settings.get("views") or () if v != WORDS)]


def _embedder(config: Mapping[str, object]) -> dict[str, object]:
    """What differs from the usual way of reading texts, which with an adapter is that of its tuning."""
    usual = EmbedConfig().model_dump()
    said = TUNED_WITH if config.get("adapter") else ()
    return {k: v for k, v in config.items() if k in usual and (k in said or (v != usual[k] and v is not None))}
