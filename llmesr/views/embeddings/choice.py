"""Which two spaces are drawn, of items or users, in which layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.jobs import plans
from llmesr.maps.points import LIVE_UP_TO, Points
from llmesr.maps.spaces import Of, Space
from llmesr.store import Store
from llmesr.views.cache import artifacts, spaces
from llmesr.views.cache.protagonists import first_runs, protagonists
from llmesr.views.shared import job_panels, links, widgets

METHODS = {"umap": "UMAP", "pca": "PCA"}


@dataclass(frozen=True, eq=False)
class Choice:
    """Which maps the visitor looks at."""

    root: Store
    dataset: Dataset
    points: Points
    left: Space
    right: Space
    method: str
    stored: bool

    @property
    def specs(self) -> list[str]:
        return [self.left.spec, self.right.spec]


def choose(root: Store, dataset_id: str) -> Choice | None:
    """Items or users, two spaces, and the layout. Says what to do when there is nothing to draw."""
    found = {s.spec: s for s in spaces.spaces(root, dataset_id)}
    if not found:
        widgets.empty(
            "This dataset has no text vectors and no trained run yet, so there is nothing to draw.",
            links.TRAINING,
            "Embed and train",
        )
        return None
    with st.container(key="map-spaces"):
        columns = st.columns([1.6, 1.6, 2, 2])
    with columns[0]:
        of = cast(Of, links.choose("Points", ["items", "users"], "of", kind="segmented", show=str.capitalize))
    first, second = _at_first(root, dataset_id, found)
    with columns[2]:
        left = links.choose("Left map", list(found), "left", show=lambda s: found[s].label, default=first)
    with columns[3]:
        right = links.choose("Right map", list(found), "right", show=lambda s: found[s].label, default=second)
    made = spaces.stored_map(root, [str(left), str(right)], of)
    methods = made.methods if made else ["pca"]
    with columns[1]:
        method = links.choose("Layout", methods, "layout", kind="segmented", show=METHODS.__getitem__)
    dataset = artifacts.dataset(root, dataset_id)
    points = spaces.points(root, dataset_id, of)
    return Choice(root, dataset, points, found[str(left)], found[str(right)], str(method), made is not None)


def _at_first(root: Store, dataset_id: str, found: dict[str, Space]) -> tuple[str, str]:
    """Text beside what a run learned from behaviour alone, the same one for items and for users: one of which there is
    a map of items already, before all that of the Overview's recommender without text; else that recommender. Where no
    run learned from behaviour alone, the next best that has a collaborative space."""
    specs = list(found)
    collaborative = {found[s].manifest.id: s for s in reversed(specs) if found[s].part == "collaborative"}
    # Where text got in, the two maps would agree by construction.
    behaviour = {id: s for id, s in collaborative.items() if not found[s].mixed} or collaborative
    theirs = [id for c in protagonists(root, dataset_id) if c is not None for id in c.ids if id in behaviour]
    order = first_runs(root, dataset_id, list(behaviour))
    drawn = [id for id in (*theirs, *order) if spaces.stored_map(root, [specs[0], behaviour[id]], "items")]
    second = [behaviour[id] for id in (*drawn, *order)]
    return specs[0], (second or specs[1:] or specs)[0]


def offer_umap(choice: Choice) -> None:
    """A button that has a worker draw these two spaces by UMAP, or the progress of the one that does."""
    if choice.stored:
        return
    jobs = artifacts.jobs(choice.root)
    label = f"Draw {choice.points.of} of {choice.dataset.name}"
    reads = [f"{s.manifest.kind}/{s.manifest.id}" for s in (choice.left, choice.right)]
    step = plans.spaces_step(choice.specs, label, users=choice.points.of == "users", reads=reads)
    running = next((j for j in jobs.list() if j.active and step in j.record.steps), None)
    if running is not None:
        st.caption("Showing PCA. UMAP separates neighbourhoods better and is being computed.")
        job_panels.progress(choice.root, running.id)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        note = "Showing PCA. UMAP separates neighbourhoods better and is computed in the background."
        if choice.points.of == "items" and len(choice.points) > LIVE_UP_TO:
            note += " It also measures the gap."
        st.caption(note)
        if st.button("Compute UMAP", icon=":material/auto_awesome:", key="map.make"):
            jobs.submit_steps([step], kind="map", label=label, parents=[f"datasets/{choice.dataset.id}"])
            st.rerun()
