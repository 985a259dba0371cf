"""Damaged artifacts made whole as far as that can be: brought back from a copy, made again, or put aside.

Nothing is deleted. What gives way to a whole artifact, and what nobody can read, lies under ``<root>/quarantine/``
afterwards, for a person to look at and to delete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from llmesr.errors import UserError
from llmesr.jobs.queue import Jobs
from llmesr.progress import Progress, silent
from llmesr.remote import Remote
from llmesr.runs.contest import Contest
from llmesr.runs.finetune import Finetune
from llmesr.runs.live import Live, Status
from llmesr.runs.record import METRICS, PER_USER, TOP_ITEMS, Run
from llmesr.runs.search import Search
from llmesr.runs.study import Study
from llmesr.store import MANIFEST, STATUS, Finding, Manifest, Store, is_locked
from llmesr.store.derived import discard

EVALUATION = {PER_USER, TOP_ITEMS, METRICS}
LIVE: dict[str, type[Live]] = {live.kind: live for live in (Run, Finetune, Search, Contest, Study)}
TO_DO = {
    "datasets": "Bring it back from a copy (--from), or read its files again.",
    "embeddings": "Embed the dataset again.",
    "neighbours": "They are made again when a run needs them.",
    "runs": "Bring it back from a copy (--from), or train it again.",
    "maps": "Draw it again.",
    "adapters": "Bring it back from a copy (--from), or tune it again.",
    "searches": "Bring it back from a copy (--from), or search again.",
    "contests": "Bring it back from a copy (--from), or hold it again.",
    "studies": "Bring it back from a copy (--from), or hold it again.",
    "findings": "Bring it back from a copy (--from), or delete it and pin the view again.",
    "votes": "Bring it back from a copy (--from), or delete it and prepare another.",
}


@dataclass(frozen=True)
class Outcome:
    """What has become of something damaged, in sentences. ``whole``: it can be used again."""

    kind: str
    id: str
    what: str
    whole: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def repair(
    store: Store, findings: Iterable[Finding], copies: Remote | None = None, progress: Progress = silent
) -> list[Outcome]:
    """Mend what ``findings`` call damaged, in their order: parents before what was made from them. ``copies`` is where
    whole ones may lie."""
    damaged: dict[tuple[str, str], set[str]] = {}
    for finding in findings:
        if finding.damaged:
            damaged.setdefault((finding.kind, finding.id), set()).add(finding.file)
    return [_mended(store, kind, id, files, copies, progress) for (kind, id), files in damaged.items()]


def put_jobs_aside(jobs: Jobs) -> list[Outcome]:
    """Put the jobs that cannot be read into quarantine."""
    return [
        Outcome("jobs", id, f"It cannot be read; it lies in {jobs.store.put_aside(jobs.folder / id)} now.", whole=False)
        for id in jobs.broken()
    ]


def _mended(store: Store, kind: str, id: str, files: set[str], copies: Remote | None, progress: Progress) -> Outcome:
    folder = store.root / kind / id
    if is_locked(folder):
        return Outcome(kind, id, "It is being worked on, so nothing was done.", whole=False)
    hidden = sorted(file for file in files if file.startswith("."))
    discard(folder, hidden)
    if files == set(hidden):
        return Outcome(kind, id, "Its faster form was removed; it is made again at the next opening.", whole=True)
    files = files - set(hidden)
    try:
        if copies is not None and id in [m.id for m in copies.list(kind)]:
            aside = _replaced(store, kind, id, lambda: _pulled(store, kind, id, copies, progress))
            return Outcome(kind, id, f"It was brought back from {copies.url}{aside}", whole=True)
        if MANIFEST in files:
            return Outcome(kind, id, f"It cannot be read; it lies in {store.put_aside(folder)} now.", whole=False)
        return Outcome(kind, id, _made_again(store, store.manifest(kind, id), files, progress), whole=True)
    except UserError as error:
        return Outcome(kind, id, f"It stays as it is: {error} {TO_DO[kind]}", whole=False)


def _made_again(store: Store, manifest: Manifest, files: set[str], progress: Progress) -> str:
    """What was done to make the damaged ``files`` again. UserError when they cannot be."""
    kind, id = manifest.kind, manifest.id
    done = []
    if STATUS in files:
        done.append(_status_told(LIVE[kind](store, id), manifest))
    files = files - {STATUS}
    if not files:
        return done[0]
    if kind == "runs" and files <= EVALUATION:
        from llmesr.scoring.again import evaluate_again

        evaluate_again(Run(store, id), progress=progress)
        return " ".join([*done, "It was evaluated again with the model it has."])
    if kind not in _MAKERS:
        raise UserError(f"{', '.join(sorted(files))} cannot be made again from what is here.")
    return f"It was made again{_replaced(store, kind, id, lambda: _MAKERS[kind](store, manifest, progress))}"


def _status_told(live: Live, manifest: Manifest) -> str:
    """Write the status that the manifest tells of: what has its checksums has ended well."""
    sealed = bool(manifest.files)
    epochs = int(manifest.config.get(f"{live.unit}s") or 0)
    state: Any = "SUCCEEDED" if sealed else "STOPPED"
    said = "Its status was lost; the manifest tells that it was finished."
    if not sealed:
        said = f"Its status was lost; `{live.resume_command} {live.id}` goes on with it."
    live.set_status(Status(state=state, epoch=epochs if sealed else 0, epochs=epochs, message=said))
    return said


def _replaced(store: Store, kind: str, id: str, make: Callable[[], str]) -> str:
    """Make an artifact again in the place of the damaged one; under which id, and where the damaged one lies. Without
    success, and where others were made from one that has another id now, it stays."""
    children = store.children(kind, id)
    with store.giving_way(kind, id):
        made = make()
        if made != id and children:
            raise UserError(f"what is made from its settings today is another ({kind}/{made}).")
    where = store.work_folder("quarantine") / kind
    return f"{'' if made == id else f' as {kind}/{made}'}; the damaged one lies in {where}."


def _pulled(store: Store, kind: str, id: str, copies: Remote, progress: Progress) -> str:
    copies.pull(store, kind, id, progress)
    return id


def _embedding(store: Store, manifest: Manifest, progress: Progress) -> str:
    from llmesr.config import EmbedConfig
    from llmesr.semantic.embed import embed

    config = EmbedConfig.read(None, **manifest.config)
    if config.embedder.startswith("openai:"):
        raise UserError("an endpoint may cost money, which nobody has agreed to.")
    return embed(_dataset(store, manifest), config, store, progress).id


def _neighbours(store: Store, manifest: Manifest, progress: Progress) -> str:
    from llmesr.config import NeighbourConfig
    from llmesr.retrieval.similar import similar_users
    from llmesr.semantic.embed import load_embedding

    config = NeighbourConfig.read(None, **manifest.config)
    embedding = load_embedding(store, str(manifest.parent("embeddings")))
    return similar_users(_dataset(store, manifest), embedding, config, store, progress).id


def _map(store: Store, manifest: Manifest, progress: Progress) -> str:
    from llmesr.maps.make import make_map
    from llmesr.maps.projection import MapConfig

    specs = [space["spec"] for space in manifest.info["spaces"]]
    return make_map(_dataset(store, manifest), specs, MapConfig.read(None, **manifest.config), store, progress).id


def _dataset(store: Store, manifest: Manifest) -> Any:
    from llmesr.data.dataset import load_dataset

    return load_dataset(store, str(manifest.parent("datasets")))


_MAKERS: dict[str, Callable[[Store, Manifest, Progress], str]] = {
    "embeddings": _embedding,
    "neighbours": _neighbours,
    "maps": _map,
}
