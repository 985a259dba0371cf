"""Findings are pinned, listed, edited and put in order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from llmesr.errors import UserError
from llmesr.findings.drawn import Drawn, document, plain
from llmesr.findings.record import (
    FIGURE,
    KIND,
    LONGEST_NOTE,
    LONGEST_TITLE,
    MOST_ROWS,
    TABLE,
    Pinned,
    Settings,
    Subject,
    content,
)
from llmesr.runs.record import Run
from llmesr.store import Manifest, Store, config_digest, now, slug, write_bytes


def pin(
    title: str,
    figure: Drawn | None = None,
    table: pd.DataFrame | None = None,
    *,
    note: str = "",
    alt: str = "",
    runs: Sequence[Run] = (),
    subject: Subject | None = None,
    page: str = "",
    query: Mapping[str, Sequence[str]] | None = None,
    mode: Literal["light", "dark"] = "light",
    store: Store | None = None,
) -> Pinned:
    """Keep a plotly figure, a table, or both, after all that are kept already.

    What it is of is said by ``subject``, or by ``runs`` alone. UserError without a title, and without anything to show.
    """
    where = store or (runs[0].store if runs else Store())
    title = _titled(title)
    if figure is None and table is None:
        raise UserError("There is nothing to pin: give a figure, a table, or both.")
    of = subject or _of(runs)
    settings = Settings(
        subject=of,
        seen=_seen(where, of),
        page=page,
        query={k: list(v) for k, v in (query or {}).items()},
        alt=alt,
        mode=mode,
        rows=0 if table is None else len(table),
    )
    config = settings.model_dump()
    id = f"{slug(title)[:24].strip('-')}-{config_digest(title, config, now())}"
    with where.draft(KIND, id, name=title, config=config) as draft:
        if figure is not None:
            _write(draft.path / FIGURE, document(figure))
        if table is not None:
            rows = table.head(MOST_ROWS).astype(object).to_numpy().tolist()
            _write(draft.path / TABLE, {"columns": [str(c) for c in table.columns], "rows": plain(rows)})
        last = max((p.place for p in every(where)), default=0.0)
        draft.manifest.info = {"note": note.strip()[:LONGEST_NOTE], "place": last + 1}
    return Pinned(where, where.manifest(KIND, id))


def every(store: Store | None = None, manifests: Iterable[Manifest] | None = None) -> list[Pinned]:
    """All findings in their order; ``manifests``: where they were read already."""
    where = store or Store()
    found = [Pinned(where, m) for m in (where.list(KIND) if manifests is None else manifests)]
    return sorted(found, key=lambda p: (p.place, p.manifest.created))


def damaged(store: Store | None = None) -> dict[str, str]:
    """Findings that cannot be read, or do not say what they are of: id -> the reason in a sentence."""
    where = store or Store()
    reasons = dict(where.broken(KIND))
    for finding in every(where):
        try:
            _ = finding.subject
        except UserError as error:
            reasons[finding.id] = str(error)
    return reasons


def find(ref: str, store: Store | None = None) -> Pinned:
    """A finding by id, unique start of one, or title. UserError when there is none."""
    where = store or Store()
    return Pinned(where, where.find(KIND, ref))


def edit(finding: Pinned, *, title: str | None = None, note: str | None = None) -> Pinned:
    """Give a finding another title or note."""
    with finding.store.changing(KIND, finding.id) as manifest:
        if title is not None:
            manifest.name = _titled(title)
        if note is not None:
            manifest.info["note"] = note.strip()[:LONGEST_NOTE]
    return Pinned(finding.store, manifest)


def move(finding: Pinned, steps: int) -> None:
    """Put a finding so many places further down (up, where ``steps`` is negative), at most to the end."""
    rest = [p for p in every(finding.store) if p.id != finding.id]
    at = next((i for i, p in enumerate(every(finding.store)) if p.id == finding.id), 0)
    to = min(max(at + steps, 0), len(rest))
    before = rest[to - 1].place if to else (rest[0].place - 2 if rest else 0.0)
    after = rest[to].place if to < len(rest) else before + 2
    # One write, so that nothing is lost between two. Halves run out after some fifty moves into the same gap.
    if before < (middle := (before + after) / 2) < after:
        _put(finding, middle)
        return
    for place, one in enumerate([*rest[:to], finding, *rest[to:]], start=1):
        _put(one, float(place))


def _write(path: Path, value: Any) -> None:
    """On one line: a map has thousands of numbers."""
    write_bytes(path, json.dumps(value).encode())


def _titled(title: str) -> str:
    title = " ".join(title.split())[:LONGEST_TITLE]
    if not title:
        raise UserError("A finding needs a title: one sentence that says what was found.")
    return title


def _of(runs: Sequence[Run]) -> Subject:
    if not runs:
        return Subject()
    data = runs[0].store.manifest("datasets", runs[0].dataset_id)
    return Subject(dataset=data.id, dataset_name=data.name, runs=tuple(run.id for run in runs))


def _seen(store: Store, of: Subject) -> dict[str, str]:
    names = [("datasets", of.dataset)] * bool(of.dataset) + [("runs", id) for id in of.runs]
    return {f"{kind}/{id}": content(store.manifest(kind, id)) for kind, id in names}


def _put(finding: Pinned, place: float) -> None:
    with finding.store.changing(KIND, finding.id) as manifest:
        manifest.info["place"] = place
