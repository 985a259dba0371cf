"""What a job takes from a remote store before it begins, and leaves there after each step."""

from __future__ import annotations

import os

from llmesr.jobs.environment import REMOTE
from llmesr.jobs.record import Job
from llmesr.store import KINDS, Store


def take(job: Job, store: Store) -> list[str]:
    """Bring what the job needs and this store lacks, where :data:`REMOTE` names a remote; ``kind/id`` of it.

    UserError when the remote has it not, or damaged.
    """
    url = os.environ.get(REMOTE)
    missing = [name for name in job.record.parents if not store.exists(*_parts(name))]
    if not url or not missing:
        return []
    from llmesr.remote import Remote

    remote = Remote(url)
    return [brought for name in missing for brought in remote.pull(store, *_parts(name))]


def leave(job: Job, store: Store) -> list[str]:
    """Copy what the job has made so far to the remote, with all it was made from; ``kind/id`` of what was new there."""
    url = os.environ.get(REMOTE)
    if not url:
        return []
    from llmesr.remote import Remote

    remote = Remote(url)
    made = [name for name in sorted(job.artifacts) if _parts(name)[0] in KINDS and store.exists(*_parts(name))]
    return [sent for name in made for sent in remote.push(store, *_parts(name))]


def _parts(name: str) -> tuple[str, str]:
    kind, _, id = name.partition("/")
    return kind, id
