"""Runs that are wanted as the steps of a job: trained here, or under a temporal split that is made first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from llmesr.config import NEEDS_TEXT, EmbedConfig
from llmesr.jobs.plans import embed_step, settings, train_step, tune_step
from llmesr.jobs.record import Step
from llmesr.runs.wanted import Training
from llmesr.store import Manifest, Store

SPLIT = {"kind": "temporal"}
"""The split in time that a claim is tried under where the data has none yet."""


def wanted_steps(
    store: Store, dataset: Manifest, wanted: Sequence[Training], *, in_time: str | None = None
) -> list[Step]:
    """What makes ``wanted``, in order. ``in_time``: the dataset under the temporal split, None to make it."""
    here = [t for t in wanted if not t.in_time]
    steps = [step for t in here for step in _steps(t, dataset.id, dataset.name, t.embedding)]
    there = [t for t in wanted if t.in_time]
    if not there:
        return steps
    place = in_time or "{temporal}"
    if in_time is None:
        steps.append(split_step(dataset.id))
    texts = list(dict.fromkeys(t.embedding for t in there if t.embedding and t.method in NEEDS_TEXT))
    named = {id: f"embedding{number or ''}" for number, id in enumerate(texts)}
    for id, name in named.items():
        step = embed_step(place, _embedder(store.manifest("embeddings", id).config))
        steps.append(step.model_copy(update={"saves": name}))
    for training in there:
        text = f"{{{named[training.embedding]}}}" if training.embedding in named else None
        steps += _steps(training, place, f"{dataset.name} temporal", text)
    return steps


def split_step(dataset: str) -> Step:
    """The same data under a temporal split; the id is saved as ``{temporal}``. What is there is found, not made."""
    given = [dataset, *settings(SPLIT), "--json"]
    return Step(verb="split", arguments=given, label="Split in time", reads=[f"datasets/{dataset}"], saves="temporal")


def _steps(training: Training, dataset: str, name: str, text: str | None) -> Iterator[Step]:
    run = training.of_run
    if run is None:
        step = train_step(
            dataset,
            training.method,
            backbone=training.backbone,
            values=training.settings,
            embedding=text,
            name=name,
        )
        run = str(step.run)
        yield step
    if training.policy is not None:
        yield tune_step(run, training.policy).model_copy(update={"reads": [f"runs/{run}"] if training.of_run else []})


def _embedder(config: Mapping[str, object]) -> dict[str, object]:
    """What differs from the usual way of reading texts."""
    usual = EmbedConfig().model_dump()
    return {k: v for k, v in config.items() if k in usual and v != usual[k] and v is not None}
