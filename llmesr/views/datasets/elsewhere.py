"""Data from where it lives: a connection that the server's configuration names, or an address that it allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import streamlit as st

from llmesr.data.heads import SAMPLE_ROWS
from llmesr.data.places import address, database
from llmesr.data.places.bring import LIMIT, brought
from llmesr.data.places.connections import PREFIX, Connection, check_visitor, connections, places_of_visitors
from llmesr.errors import UserError
from llmesr.jobs.uploads import Uploads
from llmesr.store import Store
from llmesr.views.shared.words import as_text

Receive = Callable[[str], None]
"""Takes the token of what has arrived."""


def offer(root: Store, limit: int, receive: Receive) -> None:
    """The ways in from elsewhere; nothing where the server has none. ``limit``: octets an address may give."""
    named, places = connections(), places_of_visitors()
    if named:
        with st.expander("From a connection of this server", icon=":material/database:"):
            _connection(root, named, receive)
    if places:
        with st.expander("From an address", icon=":material/link:"):
            _address(root, places, limit, receive)


def _connection(root: Store, named: dict[str, Connection], receive: Receive) -> None:
    name = st.selectbox("Connection", list(named), key="connection")
    chosen = named[name]
    if database.kind_of(chosen.url) is None:
        st.caption(as_text(address.shown(chosen.url), 300))
        if st.button("Fetch the files", icon=":material/download:"):
            _bring(lambda: _fetched(root, f"{PREFIX}{name}", LIMIT), receive)
        return
    queries = _queries(name, chosen)
    if st.button("Read the first rows", disabled=not queries, icon=":material/table_rows:"):
        _bring(lambda: _sampled(root, f"{PREFIX}{name}", queries), receive)


def _queries(name: str, chosen: Connection) -> list[str]:
    """What the database is asked: the queries of the configuration, or the visitor's where that allows them."""
    if not chosen.any_sql:
        for query in chosen.sql:
            st.code(query, language="sql", wrap_lines=True)
        return list(chosen.sql)
    labels = ("Query of the interactions", "Query of the items (if there are any)")
    usual = [*chosen.sql[:2], "", ""]
    written = [st.text_area(label, usual[n], key=f"sql.{name}.{n}") for n, label in enumerate(labels)]
    return [query for query in written if query.strip()]


def _address(root: Store, places: Sequence[str], limit: int, receive: Receive) -> None:
    text = st.text_input("Address", key="address", placeholder=f"{places[0].rstrip('/')}/interactions.parquet").strip()
    st.caption(f"This server reads from {as_text(', '.join(places), 300)}.")
    if st.button("Fetch the file", disabled=not text, icon=":material/download:"):
        _bring(lambda: _fetched(root, text, limit, visitor=True), receive)


def _bring(bring: Callable[[], str], receive: Receive) -> None:
    try:
        with st.spinner("Reading"):
            token = bring()
    except UserError as error:
        st.error(as_text(error, 600), icon=":material/error:")
        return
    receive(token)


def _sampled(root: Store, source: str, queries: Sequence[str]) -> str:
    """The first rows of each query as files; the import asks the queries again, for all rows."""
    with brought([source], root, sql=queries, rows=SAMPLE_ROWS) as given:
        names = {path: f"{path.name}.parquet" for path in given.paths}
        asked = {names[path]: given.origins[path]["sql"] for path in given.paths}
        return _received(root, names, {"source": source, "sql": asked})


def _fetched(root: Store, source: str, limit: int, *, visitor: bool = False) -> str:
    """Files at an address, whole, as if they had been uploaded."""
    if visitor:
        check_visitor(source)
    with brought([source], root, limit=limit, redirects=not visitor) as given:
        return _received(root, {path: path.name for path in given.paths}, None)


def _received(root: Store, names: dict[Path, str], origin: dict[str, Any] | None) -> str:
    with ExitStack() as stack:
        files = [(name, stack.enter_context(path.open("rb"))) for path, name in names.items()]
        return Uploads(root).receive(files, limit=LIMIT, origin=origin)
