"""Settings that the form is opened with: those of a link, or of another run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from llmesr.config import RunConfig, parse_overrides, settings_read
from llmesr.errors import UserError
from llmesr.jobs import plans
from llmesr.store import Store
from llmesr.views.shared import links, words
from llmesr.views.shared.words import as_text


def read_link(start: Mapping[str, Any]) -> None:
    """``?set=epochs=50&set=...`` opens the form with these settings, in the words of the command line; who comes back
    to the page finds those that were left."""
    linked = sorted(st.query_params.get_all("set"))
    here = any(str(key).startswith("set.") for key in st.session_state)  # Streamlit drops the fields of a page left
    if not linked and not here:
        linked = st.session_state.pop("linked.set", [])
    if not linked or linked == st.session_state.get("linked.set"):
        return
    st.session_state["linked.set"] = linked
    try:
        given = parse_overrides(linked)
        config = RunConfig.read(None, **{**start, **given}).model_dump()
    except UserError as error:
        st.warning(f"The settings of the link cannot be read: {as_text(error, 300)}", icon=":material/link_off:")
        return
    st.session_state["clone"] = {**start, **{name: config[name] for name in given}}


def write_link(changed: Mapping[str, Any]) -> None:
    """What differs from the start goes into the address."""
    words = sorted(plans.settings(changed)[1::2])
    st.session_state["linked.set"] = words
    if words != sorted(st.query_params.get_all("set")):
        links.write("set", words)


def clone_button(root: Store, run_id: str) -> None:
    """Put a run's settings into the form."""
    if not root.exists("runs", run_id):
        return
    config = root.manifest("runs", run_id).config
    if config["method"] not in words.METHODS:
        return
    st.button(
        "Clone these settings",
        icon=":material/content_copy:",
        help="Fill the form with the settings of this run.",
        on_click=_clone,
        args=(config,),
    )


def _clone(config: dict[str, Any]) -> None:
    st.session_state["clone"] = settings_read(config)  # what did nothing in that run is not given to another
    for key, value in (("method", config["method"]), ("backbone", config["backbone"]), ("preset", "default")):
        links.preselect(key, value)
    links.preselect("part", "new")


def clone_from_link(root: Store) -> None:
    """``?clone=RUN`` opens the form with the settings of a run."""
    wanted = st.query_params.get("clone")
    if wanted and root.exists("runs", wanted):
        del st.query_params["clone"]
        _clone(root.manifest("runs", wanted).config)
