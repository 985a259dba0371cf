"""What every page lets a visitor pick: the dataset, the protocol, a group, a run. The choice holds on all pages."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import streamlit as st

from llmesr.config import EVERY_GROUP, GROUPS
from llmesr.data.dataset import Dataset, save_thresholds
from llmesr.data.groups import Thresholds, default_thresholds
from llmesr.jobs.plans import preparing
from llmesr.runs.record import Run
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts
from llmesr.views.cache.clarity import RULE, clarity
from llmesr.views.shared import links, theme, widgets, words

LOOKED_AT = 6
"""Datasets among which the clearest is looked for when the app opens: the first visitor waits for the comparison of
each."""
FIRST = (
    "Shown first: of {} datasets the one with the clearest answer, for or against text. Others may answer otherwise."
)
_CLEAREST = "dataset.clearest"
"""The dataset that was chosen by its answer, and among how many."""


def pick_dataset(root: Store) -> Manifest | None:
    """The dataset, in the sidebar; the same on every page. Says what to do when there is none.

    At first one whose runs are all made, if there is one, as little is to see of a dataset that is only just being
    trained on; of several the one with the clearest answer (see :mod:`views.cache.clarity`), then the newest. That it
    is chosen by its answer is said below it: whoever is shown one dataset takes it for a usual one.
    """
    found = artifacts.manifests(root, "datasets")
    if not found:
        widgets.empty("There is no dataset yet. Upload one, or prepare the demo.", links.DATASETS, "Upload a dataset")
        return None
    by_id = {m.id: m for m in found}
    first = None
    if links.wanted("dataset") not in by_id:
        first = _clearest(root, [m for m in found if artifacts.runs(root, m.id, finished=True)])
    help = RULE if len(by_id) > 1 else None
    with st.sidebar:
        chosen = links.choose(
            "Dataset", list(by_id), "dataset", show=lambda id: _named(by_id, id), default=first, help=help
        )
        if chosen and chosen == st.session_state.get(_CLEAREST, ("", 0))[0]:
            st.caption(FIRST.format(st.session_state[_CLEAREST][1]))
    return by_id[chosen] if chosen else None


def _clearest(root: Store, shown: Sequence[Manifest]) -> str | None:
    """The id of the dataset to open on, of the newest; nothing is computed where there is no choice."""
    jobs = artifacts.jobs(root)
    made = ([m.id for m in shown if not preparing(jobs, m)] or [m.id for m in shown])[:LOOKED_AT]
    if len(made) < 2:
        return made[0] if made else None
    found = {id: clarity(root, id) for id in made}
    first = max(made, key=found.__getitem__)
    if found[first] > min(found.values()):
        st.session_state[_CLEAREST] = first, len(made)
    return first


def _named(by_id: dict[str, Manifest], id: str) -> str:
    name = by_id[id].name
    alone = sum(m.name == name for m in by_id.values()) == 1
    return name if alone else f"{name} ({id})"


def pick_protocol() -> str:
    """The protocol, in the sidebar; the same on every page."""
    with st.sidebar:
        protocol = links.choose(
            "Protocol",
            list(words.PROTOCOLS),
            "protocol",
            kind="radio",
            show=words.PROTOCOL_NAMES.__getitem__,
            help="\n\n".join(f"**{words.PROTOCOL_NAMES[p]}**: {s}" for p, s in words.PROTOCOLS.items()),
        )
    return str(protocol)


def pick_image_format() -> None:
    """What the camera button of every chart saves."""
    with st.sidebar:
        links.choose(
            "Chart images",
            ["png", "svg"],
            "image",
            kind="radio",
            show=str.upper,
            help="File format of the camera button of a chart",
        )


def pick_group(label: str, key: str, groups: Collection[str] = GROUPS) -> str:
    """One of the named groups that are there (``groups``), in their order."""
    return str(links.choose(label, [g for g in EVERY_GROUP if g in groups], key))


def run_name(run: Run) -> str:
    """A run in a picker: method, backbone, whether its scoring was tuned, seed and when it was created."""
    manifest = run.manifest
    tuned = " tuned" if "policy" in manifest.info else ""
    return f"{run.label}{tuned} · seed {manifest.seed} · {theme.short_date(manifest.created)}"


def pick_thresholds(root: Store, dataset: Dataset) -> Thresholds:
    """Who is head and who is tail: the dataset's own definition, or one tried here, the same on every page.

    Two sliders and 80/20 by a button; a definition can be saved with the dataset. Nothing is evaluated again.
    """
    saved, lengths = dataset.thresholds, dataset.split.train_lengths
    counts = dataset.item_counts[1:]
    with st.sidebar:
        st.markdown("**Head and tail**")
        if st.button("80/20", help="The fifth of items, and of users, with the most interactions is the head."):
            even = default_thresholds(counts, lengths)
            st.session_state["tail_item"], st.session_state["tail_user"] = even.item, even.user
        item = border("Tail items have fewer than", "tail_item", counts, saved.item)
        user = border("Tail users have fewer than", "tail_user", lengths, saved.user)
        chosen = Thresholds(item=item, user=user)
        if chosen != saved:
            st.button("Save with the dataset", on_click=_save, args=(root, dataset.id, chosen), key="tail.save")
        st.caption("Training interactions. Moving these needs no new evaluation, and holds on every page.")
    return chosen


@widgets.acting
def _save(root: Store, id: str, chosen: Thresholds) -> None:
    save_thresholds(root, id, chosen)


def border(label: str, key: str, counts: np.ndarray, at_first: int) -> int:
    """Where a head begins, kept on all pages and in the address: a slider up to four times the saved border, for one
    bestseller shall not squeeze everything into its first inch."""
    most = max(2, at_first, min(int(counts.max(initial=1)), 4 * at_first))
    kept = st.session_state.get(key, st.session_state.get(f"kept.{key}", at_first))
    linked = st.query_params.get(key, "")
    if linked.isdecimal() and linked != st.session_state.get(f"linked.{key}"):
        kept = max(1, int(linked))
    if int(kept) > most:  # carried over from a larger dataset
        kept = at_first
    st.session_state[key] = int(kept)
    value = int(st.slider(label, 1, most, key=key))
    st.session_state[f"kept.{key}"], st.session_state[f"linked.{key}"] = value, str(value)
    # Not bound to the address by Streamlit: it would forget the value there as soon as another page is opened.
    if value != at_first:
        links.write(key, str(value))
    elif key in st.query_params:
        del st.query_params[key]
    return value
