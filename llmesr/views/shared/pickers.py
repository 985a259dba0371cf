"""What every page lets a visitor pick: the dataset, the protocol, a group, a run. The choice holds on all pages."""

from __future__ import annotations

import streamlit as st

from llmesr.config import GROUPS
from llmesr.runs.record import Run
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts
from llmesr.views.shared import links, theme, widgets, words


def pick_dataset(root: Store) -> Manifest | None:
    """The dataset, in the sidebar; the same on every page. Says what to do when there is none.

    At first the newest with a finished run: there is nothing to see of a dataset that is only just being trained on.
    """
    found = artifacts.manifests(root, "datasets")
    if not found:
        widgets.empty("There is no dataset yet. Upload one, or prepare the demo.", links.DATASETS, "Upload a dataset")
        return None
    by_id = {m.id: m for m in found}
    first = None
    if links.wanted("dataset") not in by_id:
        first = next((id for id in by_id if artifacts.runs(root, id, finished=True)), None)
    with st.sidebar:
        chosen = links.choose("Dataset", list(by_id), "dataset", show=lambda id: _named(by_id, id), default=first)
    return by_id[chosen] if chosen else None


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


def pick_group(label: str, key: str) -> str:
    """One of the five groups."""
    return str(links.choose(label, list(GROUPS), key))


def run_name(run: Run) -> str:
    """A run in a picker: method, backbone, whether its scoring was tuned, seed and when it was created."""
    manifest = run.manifest
    tuned = " tuned" if "policy" in manifest.info else ""
    return f"{run.label}{tuned} · seed {manifest.seed} · {theme.short_date(manifest.created)}"
