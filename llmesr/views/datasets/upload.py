"""From files to a dataset: upload or server path, columns with a preview, settings, import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import streamlit as st

from llmesr.config import IngestConfig
from llmesr.data.ingest import check_name
from llmesr.data.places.bring import default_name
from llmesr.errors import UserError
from llmesr.jobs import plans
from llmesr.jobs.record import Job, Step
from llmesr.jobs.uploads import Uploads, server_path
from llmesr.store import Store
from llmesr.views.cache import artifacts
from llmesr.views.datasets import elsewhere, held, reading
from llmesr.views.datasets.roles import likely_roles
from llmesr.views.datasets.split_form import chosen_split
from llmesr.views.shared import forms, job_panels, links, widgets
from llmesr.views.shared.controls import WRITTEN, for_the_form
from llmesr.views.shared.words import as_text

PLACES = "LLMESR_DATA"
"""Environment variable: folders (separated like PATH) from which files may be read by their path on the server."""
CHOSEN = ("role.", "column.", "items.", "users.", "attributes.", "ingest.")
"""How the address calls what is chosen for the files of an upload: a link to it holds all of that."""
ELSEWHERE = ("name", "columns", "item_columns", "user_columns", "time_format", "split", *WRITTEN)
"""Settings with a place of their own in the form."""


def add(root: Store) -> None:
    """The whole way from a file to a dataset, one step below the other."""
    files = _chosen(root)
    if not files:
        _receive(root)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        names = ", ".join(f.name for f in files)
        st.markdown(f"**{as_text(names)}**")
        st.button("Choose other files", icon=":material/undo:", on_click=_forget, args=(root,))
    origin = _origin(root)
    if origin:
        st.caption(f"The first rows of {as_text(default_name(origin['source']))}; the import reads all of them.")
    written = reading.written()
    try:
        sources = [artifacts.source(path, tuple(written.items())) for path in files]
    except UserError as error:
        raise UserError(for_the_form(str(error))) from error
    likely = likely_roles(sources)
    roles = [held.role_of(source, likely[number], number) for number, source in enumerate(sources)]
    interactions = [s for s, role in zip(sources, roles, strict=True) if role == "interactions"]
    items = [s for s, role in zip(sources, roles, strict=True) if role == "items"]
    users = [s for s, role in zip(sources, roles, strict=True) if role == "users"]
    if not interactions:
        looks = "This looks like a list of items. " if set(likely) == {"items"} else ""
        said = f"{looks}Add the file of who chose what: a user and an item in each row."
        st.info(said, icon=":material/lightbulb:")
        return
    columns = held.of_interactions(interactions[0], items)
    time_format = reading.as_read(interactions[0], columns, written)
    item_columns = held.of_items(items[0], interactions[0], columns.get("item_id")) if items else {}
    user_columns = held.of_users(users[0]) if users else {}
    if not items:
        st.warning(
            "Without a file that describes the items there is no text to read, and the methods for the long tail have "
            "nothing to work with. Add a file with an item ID and a title if you can.",
            icon=":material/warning:",
        )
    values = {**_settings(_usual_name(interactions[0].path, origin)), **written, **time_format}
    name = str(values.pop("name"))
    if unfit := held.unfit(columns):
        st.info(unfit, icon=":material/lightbulb:")
        return
    check_name(name)
    used, people = [s.path for s in (*interactions, *items)], [s.path for s in users]
    chosen: dict[str, Any] = {"columns": columns, "item_columns": item_columns, "values": values}
    chosen["user_columns"] = user_columns
    if origin:
        sql = [origin["sql"][path.name] for path in (*used, *people)]
        step = plans.ingest_step([origin["source"]], name, sql=sql, **chosen)
    else:
        step = plans.ingest_step(used, name, users=people, **chosen)
    _import(root, step, name)


def _chosen(root: Store) -> list[Path]:
    """The files of this visit: an upload named in the URL, or paths on the server."""
    token = st.query_params.get("upload") or st.session_state.get("upload")
    if token:
        try:
            files = Uploads(root).files(token)
        except UserError as error:
            st.session_state.pop("upload", None)
            del st.query_params["upload"]
            st.warning(as_text(error))
            return []
        st.session_state["upload"] = token
        st.query_params["upload"] = token
        return files
    return [Path(p) for p in st.session_state.get("server_paths", [])]


def _origin(root: Store) -> dict[str, Any] | None:
    """The queries whose first rows the files of this visit are; None for files that are whole."""
    token = st.session_state.get("upload")
    return Uploads(root).origin(token) if token else None


def _usual_name(interactions: Path, origin: dict[str, Any] | None) -> str:
    if origin:
        return default_name(origin["source"])
    return interactions.name.split(".")[0].replace("_", " ").replace("interactions", "").strip() or "my data"


@widgets.acting
def _forget(root: Store) -> None:
    token = st.session_state.pop("upload", None)
    st.session_state.pop("server_paths", None)
    _clear_address()
    if token:
        Uploads(root).discard(token)


def _clear_address() -> None:
    """Take out what was chosen for these files: others may have the same names."""
    for key in list(st.query_params):
        if key == "upload" or key.startswith(CHOSEN):
            del st.query_params[key]


def _receive(root: Store) -> None:
    """The uploader (its files go to disk and out of memory at once), or a path on the server."""
    megabytes = int(st.get_option("server.maxUploadSize"))
    st.markdown(
        "Upload a file of **interactions** (a user, an item and a time in each row; a rating if there is one) and a "
        "file of **items** (an item ID, a title, and whatever else describes them), and one of **users** if there is."
    )
    sent = st.file_uploader(
        f"CSV, TSV, JSONL, Parquet or RecBole files, also gzipped; up to {megabytes} MB",
        accept_multiple_files=True,
        key=f"uploader.{st.session_state.get('uploads', 0)}",
    )
    if sent:
        try:
            token = Uploads(root).receive(((f.name, f) for f in sent), limit=megabytes * 1_000_000)
        except UserError as error:
            st.error(as_text(error, 600), icon=":material/error:")
            return
        _arrived(token)
    elsewhere.offer(root, megabytes * 1_000_000, _arrived)
    with links.folded("Large files: give their path on the server", "path", icon=":material/folder_open:"):
        _by_path()


def _arrived(token: str) -> None:
    st.session_state["upload"] = token
    st.session_state["uploads"] = st.session_state.get("uploads", 0) + 1  # a new uploader: the old one frees its files
    st.query_params["upload"] = token
    st.rerun()


def _by_path() -> None:
    places = [Path(p) for p in os.environ.get(PLACES, os.getcwd()).split(os.pathsep) if p]
    text = st.text_area(
        "One path per line",
        key="paths",
        placeholder=f"{places[0]}/interactions.parquet",
        help=f"Files must be under {', '.join(map(str, places))} ({PLACES} on the server).",
    )
    if st.button("Use these files", disabled=not text.strip()):
        try:
            found = [server_path(line, places) for line in text.splitlines() if line.strip()]
        except UserError as error:
            st.error(as_text(error, 600), icon=":material/error:")
            return
        st.session_state["server_paths"] = [str(p) for p in found]
        st.rerun()


def _settings(name: str) -> dict[str, Any]:
    """Name and the import options, from the config's own schema; only what differs from the defaults is kept."""
    schema = forms.settings(IngestConfig)
    values: dict[str, Any] = {"name": st.text_input("Name of the dataset", name, max_chars=120, key="ingest.name")}
    with links.folded("Import options", "options", icon=":material/tune:"):
        columns = st.columns(3)
        for number, setting in enumerate(n for n in schema if n not in ELSEWHERE):
            with columns[number % 3]:
                value = forms.setting_widget(schema[setting], schema[setting].default, f"ingest.{setting}", linked=True)
            if value != schema[setting].default:
                values[setting] = value
        values |= chosen_split()
    return values


def _import(root: Store, step: Step, name: str) -> None:
    both = st.toggle(
        "Then embed and train with good defaults",
        value=True,
        help=f"After the import: embeds the item texts, trains {', '.join(plans.GOOD_DEFAULTS)} (three seeds where it "
        "trains by epochs), and draws the maps.",
        key="ingest.all",
    )
    if st.button("Import", type="primary", icon=":material/upload:"):
        steps = [step, *plans.good_defaults("{dataset}", name)] if both else [step]
        job = artifacts.jobs(root).submit_steps(steps, kind="pipeline", label=f"Import {name}")
        st.session_state["importing"] = job.id
        st.rerun()
    with links.folded("Equivalent command", "command", icon=":material/terminal:"):
        st.code(plans.command_line(step), language="bash", wrap_lines=True)


def arrived(root: Store) -> None:
    """Choose the dataset that this visitor's import has made. Called before any widget is drawn."""
    job = _import_job(root)
    made = job.status.saved.get("dataset") if job else None
    if made and root.exists("datasets", made):
        st.session_state.pop("importing")
        st.session_state.pop("upload", None)
        _clear_address()
        links.preselect("dataset", made)
        links.preselect("look", "profile")


def importing(root: Store) -> bool:
    """The import this visitor began, live until its dataset is there. True while it shows."""
    job = _import_job(root)
    if job is None:
        return False
    job_panels.progress(root, job.id, until="dataset")
    if not job.active:
        st.button(
            "Back to the columns",
            type="primary" if job.state == "FAILED" else "secondary",
            on_click=lambda: st.session_state.pop("importing", None),
            icon=":material/undo:",
        )
    return True


def _import_job(root: Store) -> Job | None:
    id = st.session_state.get("importing")
    try:
        return artifacts.jobs(root).get(id) if id else None
    except UserError:
        del st.session_state["importing"]  # forgotten in the queue
        return None
