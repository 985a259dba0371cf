"""Plausible artifacts in milliseconds, written through the real writers, so that pages can be exercised.

Use from any test (``tests/`` is importable because of ``tests/conftest.py``)::

    from factories import HOSTILE, corrupt, make_dataset, make_run, make_running_run, make_standard_runs

    dataset = make_dataset(store, users=120, items=60)          # generated marketplace, readable titles
    hostile = make_dataset(store, name="hostile", hostile=True)  # titles from HOSTILE on the most chosen items
    run = make_run(store, dataset, "llm-esr", "sasrec", 42)      # SUCCEEDED: ranks, top items, metrics, events
    good = make_run(store, dataset, "llm-esr", seed=43, tail_skill=2.0, name="great on the tail")
    runs = make_standard_runs(store, dataset, seeds=(42, 43))    # {"id/sasrec": [Run, Run], ...} of five methods
    live = make_running_run(store, dataset, epoch=3)             # RUNNING: events of 3 epochs, no evaluation
    vectors = make_embedding(store, dataset)                     # text vectors: topic direction + noise, E = 16
    search = make_search(store, dataset)                         # four trials: two complete, one pruned, one failed
    corrupt(store, "runs", run.id)                               # manifest unreadable; how="per_user", "metrics", ...

No model is written: what needs a scorer must train one. Ranks follow a rank model: every user has an own
difficulty shared by all runs of a dataset (so runs are paired, as in life), a target is the harder the rarer it is,
and a method's skill on head and on tail targets shifts it. Same arguments, same numbers.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from rank_model import SKILLS, metric_rows, part_frame, top_items
from safetensors.numpy import save_file

from llmesr.config import GROUPS, UNTRAINED, EmbedConfig, RunConfig, SearchConfig, has_backbone
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.frame import ITEMS
from llmesr.runs.record import Run, Status
from llmesr.runs.search import Search
from llmesr.semantic.embed import ITEM_IDS, VECTORS, Embedding, histories_digest, load_embedding
from llmesr.store import MANIFEST, Manifest, Store, file_digest, now, slug, write_bytes

HOSTILE = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "</script><script>window.pwned=1</script>",
    "**bold** [link](javascript:window.pwned=1) $x^2$ :rocket: `code` # heading",
    '=HYPERLINK("http://evil.example","click")',
    "+1+1",
    "-2+3",
    "@SUM(A1:A9)",
    "\u202eright-to-left override",
    "كتاب عن الطبخ",
    "emoji 🧨👩‍👩‍👧‍👦",
    "a < b && c > d \"quoted\" 'single'",
    "{{ handlebars }} ${template} %s %(name)s {0}",
    "line\nbreak\tand tab\u0000",
    "long " * 2000,
)
"""Titles that must be shown as text wherever they appear."""


def make_dataset(
    store: Store,
    *,
    name: str = "shop",
    users: int = 120,
    items: int = 60,
    seed: int = 0,
    signal: float = 1.0,
    hostile: bool = False,
) -> Dataset:
    """A generated marketplace, ingested. ``hostile`` puts :data:`HOSTILE` titles on the most chosen items."""
    dataset = load_dataset(store, _copied(store, name, users, items, seed, signal))
    if not hostile:
        return dataset
    folder = store.path("datasets", dataset.id)
    catalogue = pd.read_parquet(folder / ITEMS)
    most_chosen = np.argsort(-dataset.item_counts[1:], kind="stable")[: len(HOSTILE)]
    catalogue.loc[most_chosen, "title"] = list(HOSTILE)[: len(most_chosen)]
    catalogue.to_parquet(folder / ITEMS, index=False)
    with store.changing("datasets", dataset.id) as manifest:
        manifest.files[ITEMS] = file_digest(folder / ITEMS)
    return load_dataset(store, dataset.id)


def _copied(store: Store, name: str, users: int, items: int, seed: int, signal: float) -> str:
    """The id of a marketplace in ``store``; each is made once in a session, since most tests begin with one."""
    made = _made(name, users, items, seed, signal)
    target = store.path("datasets", made.id)
    shutil.copytree(made.folder, target, dirs_exist_ok=True)
    with store.changing("datasets", made.id) as manifest:
        manifest.created = now()  # the order of creation is that of the test
    return made.id


@cache
def _made(name: str, users: int, items: int, seed: int, signal: float) -> Made:
    folder = tempfile.TemporaryDirectory(prefix="llmesr-tests-")  # removed at the end of the session
    store = Store(folder.name)
    dataset = synthetic.make(store, name=name, users=users, items=items, seed=seed, signal=signal)
    return Made(folder, store.path("datasets", dataset.id), dataset.manifest)


class Made(NamedTuple):
    """A dataset that was made once."""

    kept: tempfile.TemporaryDirectory[str]
    folder: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        return self.manifest.id


def make_embedding(store: Store, dataset: Dataset, *, size: int = 16, id: str | None = None) -> Embedding:
    """Text vectors in which items of one brand are close, without a language model: no text is read but the brand."""
    rng = np.random.default_rng(7)
    topics = pd.factorize(dataset.catalogue["brand"])[0]
    directions = rng.normal(size=(topics.max() + 1, size))
    items = (directions[topics] + 0.4 * rng.normal(size=(dataset.n_items, size))).astype(np.float32)
    config = EmbedConfig(embedder="minilm", dimension=size)
    id = id or f"{slug(dataset.name)}-topics"
    with store.draft("embeddings", id, name=f"{dataset.name} topics", parents=[dataset.manifest]) as draft:
        draft.manifest.config = config.model_dump()
        draft.manifest.info = {
            "fingerprint": "topics",
            "histories": histories_digest(dataset),
            "dimension": size,
            "items": dataset.n_items,
            "users": dataset.n_users,
            "items_without_text": 0,
            "users_without_vector": 0,
            "explained_variance": None,
            "example": str(dataset.catalogue["title"].iloc[0]),
        }
        users = np.zeros((dataset.n_users, size), np.float32)
        starts = np.concatenate([[0], np.cumsum(dataset.split.train_lengths)])
        for user in np.flatnonzero(dataset.split.train_lengths):
            users[user] = items[dataset.split.train_items[starts[user] : starts[user + 1]] - 1].mean(0)
        save_file({"items": items, "users": users}, draft.path / VECTORS)
        pd.DataFrame({"item_id": dataset.catalogue["item_id"]}).to_parquet(draft.path / ITEM_IDS, index=False)
    return load_embedding(store, id, dataset)


def make_run(
    store: Store,
    dataset: Dataset,
    method: str = "llm-esr",
    backbone: str = "sasrec",
    seed: int = 42,
    *,
    head_skill: float | None = None,
    tail_skill: float | None = None,
    name: str | None = None,
    id: str | None = None,
    parents: tuple[Manifest, ...] = (),
    epochs: int = 12,
    **settings: object,
) -> Run:
    """A finished run. ``settings`` are further RunConfig fields; ``parents`` further parents (embeddings ...)."""
    run = _create(store, dataset, method, backbone, seed, name, parents, epochs, settings, id)
    head, tail = SKILLS[method]
    skill = (head if head_skill is None else head_skill, tail if tail_skill is None else tail_skill)
    frames, quantiles = zip(
        *(part_frame(dataset, method, seed, part, skill) for part in ("valid", "test")), strict=True
    )
    per_user = pd.concat(frames, ignore_index=True)
    per_user.attrs = {"dataset": dataset.id, "negatives_seed": dataset.seed}
    test = frames[1]
    full_ranks = test.loc[test["protocol"] == "full", "rank"].to_numpy()
    top = top_items(dataset, full_ranks, skill, np.random.default_rng([seed, 5]))
    if has_backbone(method):
        _events(run, epochs, float(np.mean(1 - quantiles[0])))
    run.write_results([per_user], top, metric_rows(dataset, per_user))
    status = Status(state="SUCCEEDED", epoch=epochs, epochs=epochs, best=0.1, message="Trained and evaluated.")
    run.finish(
        status,
        {"train": 12.5, "evaluate": 0.8},
        {"parameters": 123_456, "best_epoch": max(epochs - 6, 1), "epochs": epochs},
    )
    return run


def make_standard_runs(
    store: Store, dataset: Dataset, *, seeds: tuple[int, ...] = (42,), backbone: str = "sasrec"
) -> dict[str, list[Run]]:
    """popularity, semantic-knn, id, llm-init and llm-esr: label -> runs, one per seed (one for the untrained)."""
    made: dict[str, list[Run]] = {}
    for method in ("popularity", "semantic-knn", "id", "llm-init", "llm-esr"):
        use = seeds[:1] if method in UNTRAINED else seeds
        runs = [make_run(store, dataset, method, backbone, seed) for seed in use]
        made[runs[0].label] = runs
    return made


def make_running_run(
    store: Store,
    dataset: Dataset,
    method: str = "llm-esr",
    backbone: str = "sasrec",
    seed: int = 42,
    *,
    epoch: int = 3,
    epochs: int = 20,
    name: str | None = None,
    **settings: object,
) -> Run:
    """A run in the middle of training: RUNNING, events of ``epoch`` epochs, no evaluation yet."""
    run = _create(store, dataset, method, backbone, seed, name, (), epochs, settings)
    _events(run, epoch, 0.2)
    run.set_status(Status(state="RUNNING", epoch=epoch, epochs=epochs, best=0.05, seconds_left=42.0))
    return run


def make_search(store: Store, dataset: Dataset, *, id: str = "quest", finished: bool = True) -> Search:
    """A search of four trials of id/sasrec: complete, pruned, complete (the best), failed; with the runs of the
    complete ones. Unfinished, it stands before its fourth trial."""
    space = {"dropout": {"low": 0.1, "high": 0.6}, "layers": [1, 2]}
    fixed = {"method": "id", "backbone": "sasrec"}
    config = SearchConfig(trials=4, epochs=12, objective="Tail Item", fixed=fixed, space=space)
    search = Search.create(store, config, [dataset.manifest], name=f"{dataset.name} search", id=id, device="cpu")
    ends = [("complete", 0.11, 0.2), ("pruned", 0.05, 0.6), ("complete", 0.14, 0.4), ("failed", None, 0.3)]
    for number, (state, value, dropout) in enumerate(ends if finished else ends[:3], start=1):
        run = None
        if state == "complete":
            run = make_run(store, dataset, "id", id=search.run_id(number), dropout=dropout, layers=1).id
        trial = {"trial": number, "state": state, "settings": {"dropout": dropout, "layers": 1}, "value": value}
        reason = {"complete": "", "pruned": "below the median", "failed": "The loss became nan."}[state]
        search.append_event({**trial, "reported": {}, "run": run, "reason": reason, "seconds": 2.0})
    if finished:
        info = {"run": search.run_id(3), "trial": 3, "value": 0.14, "importance": {"dropout": 0.75, "layers": 0.25}}
        search.finish(Status(state="SUCCEEDED", epoch=4, epochs=4, best=0.14), {"trials": 8.0}, info)
    else:
        search.set_status(Status(state="RUNNING", epoch=3, epochs=4, best=0.14, seconds_left=42.0))
    return search


def corrupt(store: Store, kind: str, id: str, how: str = "manifest") -> None:
    """Damage an artifact: its manifest, or the file called ``how`` or ``how.*`` inside it, becomes noise."""
    folder = store.path(kind, id)
    target = folder / MANIFEST if how == "manifest" else next(p for p in folder.iterdir() if p.name.startswith(how))
    write_bytes(target, b"\x00not what it was\xff" * 3)


def _create(
    store: Store,
    dataset: Dataset,
    method: str,
    backbone: str,
    seed: int,
    name: str | None,
    parents: tuple[Manifest, ...],
    epochs: int,
    settings: dict[str, object],
    id: str | None = None,
) -> Run:
    config = RunConfig.read(None, method=method, backbone=backbone, seed=seed, epochs=epochs, **settings)
    label = f"{method}-{backbone}" if has_backbone(method) else method
    manifests = [dataset.manifest, *parents]
    return Run.create(store, config, manifests, name=name or f"{dataset.name}-{label}-{seed}", id=id, device="cpu")


def _events(run: Run, epochs: int, level: float) -> None:
    for epoch in range(1, epochs + 1):
        rise = 1 - np.exp(-epoch / 4)
        validation = {
            f"{protocol}/{group}/{metric}": round(level * scale * factor * rise, 4)
            for protocol, scale in (("full", 0.3), ("uni100", 1.0))
            for group, factor in zip(GROUPS, (0.5, 0.2, 0.7, 0.45, 0.55), strict=True)
            for metric in ("HR@10", "NDCG@10")
        }
        run.append_event(
            {
                "epoch": epoch,
                "loss": round(4.0 * np.exp(-epoch / 6) + 1, 4),
                "seconds": 1.0,
                "learning_rate": 1e-3,
                **validation,
            }
        )


def cosines_by_hand(dataset: Dataset, recent: int = 50) -> np.ndarray:
    """Shrunk cosines from the sets of users who chose each item in training."""
    chosen: list[set[int]] = [set() for _ in range(dataset.n_items + 1)]
    for user in range(dataset.n_users):
        training = dataset.train_history(user)
        for item in training[-recent:]:
            chosen[item].add(user)
    made = np.zeros((dataset.n_items + 1,) * 2)
    for a in range(1, dataset.n_items + 1):
        for b in range(1, dataset.n_items + 1):
            if a != b:
                made[a, b] = len(chosen[a] & chosen[b]) / (math.sqrt(len(chosen[a]) * len(chosen[b])) + 5)
    return made
