"""What the Findings page shows: the findings in their order, what can be done with them, and one alone, for a room."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from llmesr import findings
from llmesr.findings import Pinned
from llmesr.findings.record import KIND, LONGEST_NOTE, LONGEST_TITLE
from llmesr.store import Store
from llmesr.views.cache import artifacts
from llmesr.views.findings.deck import findings_deck
from llmesr.views.findings.paper import browser, printed
from llmesr.views.findings.report import findings_report, origin_line
from llmesr.views.shared import exhibits, links, presenting, widgets
from llmesr.views.shared.recolour import drawn
from llmesr.views.shared.words import as_text

OPEN = 6
"""So many are open at first; the others are drawn when they are opened."""
POWERPOINT = "application/vnd.openxmlformats-officedocument.presentationml.presentation"


def every(root: Store) -> list[Pinned]:
    """All findings in their order; each manifest is parsed once."""
    return findings.every(root, artifacts.manifests(root, KIND))


def board(root: Store) -> None:
    """All findings, what is chosen of them, and the ways out."""
    found = every(root)
    if not found:
        widgets.empty(
            "Nothing is pinned yet. Open a page such as Compare and press Pin above a chart.", links.COMPARE, "Compare"
        )
        return
    chosen = _chosen(found)
    with st.container(horizontal=True):
        st.button(
            "Present",
            type="primary",
            icon=":material/slideshow:",
            key="findings.present",
            on_click=presenting.present,
            args=(True,),
            disabled=not chosen,
            help="One finding per screen; the arrow keys lead through them.",
        )
        _exports(chosen)
    for place, finding in enumerate(found):
        with st.container(border=True, key=f"finding-{finding.id}"), widgets.boundary("This finding"):
            _finding(finding, place, len(found))


def _chosen(found: Sequence[Pinned]) -> list[Pinned]:
    """Which are presented and exported; all, until the visitor chooses. The choice is part of the address."""
    by_id = {f.id: f for f in found}
    ids = links.choose_many(
        "Present and export", list(by_id), "findings", show=lambda id: by_id[id].title, placeholder="All of them"
    )
    return [f for f in found if f.id in ids] or list(found)


def _exports(chosen: Sequence[Pinned]) -> None:
    """The three files; written when they are asked for."""
    forms: tuple[tuple[str, str, str, Callable[[], bytes]], ...] = (
        ("Report (HTML)", "html", "text/html", lambda: findings_report(chosen).encode()),
        ("Slides (PowerPoint)", "pptx", POWERPOINT, lambda: findings_deck(chosen)),
        ("PDF", "pdf", "application/pdf", lambda: printed(findings_report(chosen, paper=True))),
    )
    for label, ending, mime, make in forms:
        missing = ending == "pdf" and browser() is None
        st.download_button(
            label,
            data=make,
            file_name=f"findings.{ending}",
            mime=mime,
            key=f"findings.{ending}",
            icon=":material/download:",
            on_click="ignore",
            disabled=not chosen or missing,
            help="Neither Chromium nor Chrome is installed on the server: open the report and print it."
            if missing
            else None,
        )


def _finding(finding: Pinned, place: int, count: int) -> None:
    """One finding: its words, what it shows, and what can be done with it."""
    st.subheader(as_text(finding.title), anchor=False)
    for line in finding.note.splitlines():
        st.markdown(as_text(line, LONGEST_NOTE))
    for sentence in findings.changes(finding):
        st.warning(as_text(sentence, 400), icon=":material/history:")
    _doubts(finding)
    if place < OPEN:
        show(finding)
    else:
        box = st.expander("Show it", key=f"finding.box.{finding.id}", on_change="rerun")
        if box.open:
            with box:
                show(finding)
    st.caption(as_text(origin_line(finding), 600))
    with st.container(horizontal=True, vertical_alignment="center"):
        _actions(finding, place, count)


def _doubts(finding: Pinned) -> None:
    """What the guard found when it was pinned: the gravest in amber, what there is besides folded."""
    doubts = finding.subject.doubts
    serious = [sentence for severity, sentence in doubts if severity == "serious"]
    rest = [sentence for severity, sentence in doubts if severity != "serious"]
    several = len(serious) > 1
    if serious:
        many = f" There were {len(serious)} serious doubts, above all:" if several else ""
        told = f"**Not settled when it was pinned.**{many} {as_text(serious[0], 600)}"
        with st.container(key=f"doubts-{'several' if several else 'one'}-{finding.id}"):
            st.warning(told, icon=":material/warning:")
    below = [*(serious if several else []), *rest]
    if below:
        how = (
            f"{len(serious)} serious{f', {len(rest)} more' * bool(rest)}" if several else f"{len(rest)} to bear in mind"
        )
        with st.expander(f"Before you repeat this: {how}", icon=":material/gavel:"):
            st.markdown("\n".join(f"- {as_text(s, 600)}" for s in below))


def show(finding: Pinned) -> None:
    """The chart with its table, or the table alone."""
    figure, table = drawn(finding, widgets.mode()), finding.table()
    if figure is not None:
        exhibits.chart(
            figure, key=f"finding.{finding.id}", alt=finding.alt or finding.title, data=table, name=finding.id
        )
    elif table is not None:
        exhibits.table(table, key=f"finding.{finding.id}", name=finding.id, alt=finding.alt or finding.title)
    if table is not None and finding.rows > len(table):
        st.caption(f"The first {len(table):,} of {finding.rows:,} rows are kept.")


def _actions(finding: Pinned, place: int, count: int) -> None:
    id = finding.id
    for name, steps, end in (("up", -1, 0), ("down", 1, count - 1)):
        st.button(
            f"Move {name}",
            icon=f":material/arrow_{name}ward:",
            key=f"{name}.{id}",
            disabled=place == end,
            on_click=_move,
            args=(finding, steps),
        )
    with st.popover("Edit", icon=":material/edit:", key=f"edit.{id}"):
        title = st.text_input("Title", finding.title, max_chars=LONGEST_TITLE, key=f"edit.title.{id}")
        note = st.text_area("Note", finding.note, max_chars=LONGEST_NOTE, key=f"edit.note.{id}")
        if st.button("Save", key=f"edit.save.{id}", type="primary"):
            findings.edit(finding, title=title, note=note)
            st.rerun()
    with st.popover("Delete", icon=":material/delete:", key=f"delete.{id}"):
        st.markdown("The finding is deleted; what it shows stays where it is.")
        st.button("Delete it", key=f"delete.it.{id}", on_click=_delete, args=(finding,))
    if (page := links.named(finding.page)) is not None:
        links.link(page, f"Open on {page.title}", ":material/open_in_new:", **finding.query)


@widgets.acting
def _move(finding: Pinned, steps: int) -> None:
    findings.move(finding, steps)


@widgets.acting
def _delete(finding: Pinned) -> None:
    finding.store.delete(KIND, finding.id)


def presented(root: Store) -> None:
    """One finding, large and alone; those of the address, or all."""
    found = every(root)
    wanted = st.query_params.get_all("findings")
    shown = [f for f in found if f.id in wanted] or found
    if not shown:
        presenting.present(False)
        st.rerun()
    presenting.style()
    at = presenting.number(len(shown))
    finding = shown[at - 1]
    presenting.way([f.title for f in shown])
    st.title(as_text(finding.title), anchor=False)
    words, picture = st.columns([2, 3], gap="large")
    with words, st.container(key="told"):
        for sentence in findings.changes(finding):
            st.warning(as_text(sentence, 400), icon=":material/history:")
        _doubts(finding)
        for line in finding.note.splitlines():
            st.markdown(as_text(line, LONGEST_NOTE))
    with picture:
        show(finding)
        st.caption(as_text(origin_line(finding), 600))
