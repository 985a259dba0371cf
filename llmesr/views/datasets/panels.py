"""A dataset looked at: what was read, how long its tail is, where the head begins, and its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from llmesr.data.dataset import Dataset, save_thresholds
from llmesr.data.groups import Thresholds, default_thresholds
from llmesr.data.profile import Profile, known_of_users, training_lengths
from llmesr.errors import UserError
from llmesr.prose import counted, listed
from llmesr.store import KINDS, Manifest, Store, noun
from llmesr.views.cache import artifacts
from llmesr.views.datasets.charts import lengths_chart, lorenz_chart, popularity_chart
from llmesr.views.shared import behind, clicks, exhibits, job_panels, links, pickers, theme, widgets
from llmesr.views.shared.controls import for_the_form
from llmesr.views.shared.words import as_text


def report(manifest: Manifest) -> None:
    """What reading the files found, in plain words, warnings first, and what each step left."""
    findings = manifest.info.get("report", [])
    warnings = [f for f in findings if f["level"] == "warning"]
    label = f"Import report ({counted(len(warnings), 'warning')})" if warnings else "Import report"
    box = links.folded(label, "report", icon=":material/fact_check:", opened=bool(warnings))
    if not box.open:
        return
    with box:
        said, left = st.columns([3, 2], gap="large")
        with said:
            _findings([*warnings, *(f for f in findings if f["level"] != "warning")])
        with left:
            _steps(manifest.info.get("steps"))


def _findings(findings: Sequence[Mapping[str, Any]]) -> None:
    for finding in findings:
        icon = ":material/warning:" if finding["level"] == "warning" else ":material/check:"
        st.markdown(f"{icon} {as_text(for_the_form(finding['message']), 600)}")
        if finding["examples"]:
            st.caption("For example: " + as_text("; ".join(map(str, finding["examples"])), 400))
    if not findings:
        st.caption("Nothing to report.")


def _steps(steps: Sequence[Mapping[str, Any]] | None) -> None:
    """What each step of the import left."""
    if steps:
        frame = pd.DataFrame(steps).rename(columns=str.capitalize)
        for column in frame.columns.drop("Step", errors="ignore"):
            frame[column] = frame[column].map(theme.count)
        exhibits.table(frame, key="steps", alt="What each step of the import left.")


def thresholds_control(root: Store, data: Dataset) -> Thresholds:
    """Where head begins: two numbers that redraw everything, to be saved with the dataset."""
    saved, usual = data.thresholds, default_thresholds(data.item_counts[1:], data.split.train_lengths)
    with st.container(border=True):
        row = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
        row.markdown("**Where does the tail end?** Drag to redefine head and tail.", width="content")
        left, right = st.columns(2)
        with left:
            item = pickers.border(
                "A head item has at least this many training interactions",
                "tail_item",
                data.item_counts[1:],
                saved.item,
            )
        with right:
            user = pickers.border(
                "A head user has at least this many training interactions",
                "tail_user",
                data.split.train_lengths,
                saved.user,
            )
        chosen = Thresholds(item=item, user=user)
        with row.container(horizontal=True, vertical_alignment="center", width="content"):
            st.button(
                "Save with the dataset",
                type="primary",
                disabled=chosen == saved,
                on_click=_save,
                args=(root, data.id, chosen),
                icon=":material/save:",
            )
            st.button(
                f"80/20 ({usual.item} and {usual.user})",
                disabled=saved == usual and chosen == usual,
                on_click=_save,
                args=(root, data.id, None),
                help="The most chosen fifth of items, and the longest fifth of histories, are head.",
            )
        if chosen != saved:
            st.caption(f"Not saved: it holds for you, on every page; others still see {saved.item} and {saved.user}.")
    return chosen


def _save(root: Store, id: str, thresholds: Thresholds | None) -> None:
    try:
        save_thresholds(root, id, thresholds)
    except (UserError, OSError) as error:
        st.toast(as_text(error), icon=":material/error:")
    else:
        for key in ("tail_item", "tail_user"):  # the sliders follow what is saved
            st.session_state.pop(key, None)
            st.session_state.pop(f"kept.{key}", None)
            st.session_state[f"linked.{key}"] = st.query_params.get(key, "")
        st.toast("Saved. Every page now uses it.", icon=":material/check:")


def tail_numbers(profile: Profile) -> None:
    """How much of everything is tail under the thresholds of the profile."""
    shares = profile.summary
    columns = st.columns(4)
    columns[0].metric("Items in the tail", theme.percent(shares["tail_item_share"]), border=True, height="stretch")
    columns[1].metric(
        "Interactions with tail items", theme.percent(shares["tail_item_interactions"]), border=True, height="stretch"
    )
    columns[2].metric("Users in the tail", theme.percent(shares["tail_user_share"]), border=True, height="stretch")
    columns[3].metric(
        "Next item in the tail",
        theme.percent(shares["tail_item_targets"]),
        border=True,
        height="stretch",
        help="Share of users whose held-out test item is a tail item.",
    )


def charts(profile: Profile, data: Dataset, thresholds: Thresholds) -> None:
    """Rank against popularity, Lorenz, and history lengths, each with its table."""
    shares, mode = profile.summary, widgets.mode()
    tail, gini = theme.percent(shares["tail_item_share"]), shares["gini"]
    with st.container(key="beside-tails"):
        left, right = st.columns(2)
    with left:
        most = theme.percent(1 - shares["tail_item_interactions"])
        st.markdown(
            f"**The head, {theme.percent(1 - shares['tail_item_share'])} of items, gets {most} of interactions**"
        )
        chosen = clicks.chart(
            popularity_chart(profile.popularity, thresholds, mode),
            key="popularity",
            parts=1,
            alt=f"Interactions per item by rank, both axes logarithmic. {tail} of items have fewer than "
            f"{thresholds.item} training interactions.",
            data=profile.popularity,
        )
    with right:
        st.markdown(f"**Inequality: Gini {gini:.2f}**")
        exhibits.chart(
            lorenz_chart(profile.lorenz, gini, 1 - shares["tail_item_share"], mode),
            key="lorenz",
            alt=f"Lorenz curve, Gini {gini:.2f}. The tail, {tail} of items, gets "
            f"{theme.percent(shares['tail_item_interactions'])} of interactions.",
            data=profile.lorenz,
        )
    _of_count(data, thresholds, chosen)
    lengths = training_lengths(data)
    middle = np.median(data.split.train_lengths) if data.n_users else 0
    st.markdown(f"**Half of all users have {middle:.0f} training interactions or fewer**")
    bar = clicks.chart(
        lengths_chart(lengths, thresholds, mode),
        key="lengths",
        parts=2,
        alt=f"Users by number of training interactions. {theme.percent(shares['tail_user_share'])} have fewer than "
        f"{thresholds.user}.",
        data=lengths,
    )
    _of_bar(data, bar)
    st.caption(f"{thresholds.describe()} All counts are of the training part.")
    box = links.folded("All numbers", "numbers", icon=":material/table_rows:")
    if box.open:
        frame = pd.DataFrame(profile.rows(), columns=["", "Value"])
        with box:
            exhibits.table(frame, key="profile", name=f"profile-{data.name}", alt="The dataset in numbers.")


def _of_count(data: Dataset, thresholds: Thresholds, mark: Sequence[str]) -> None:
    """The items behind a dot of the curve: those chosen as often."""
    numbers = _numbers(mark, 1)
    found = np.flatnonzero(data.item_counts[1:] == (numbers[0] if numbers else -1)) + 1
    if not len(found):
        st.caption("Click a dot of the left curve to list the items chosen as often.")
        return
    title = f"With {counted(numbers[0], 'training interaction')} each"
    behind.items(behind.of_items(found, data, thresholds), title, "popularity")


def _of_bar(data: Dataset, mark: Sequence[str]) -> None:
    """The users behind a bar, from its shortest to its longest history, the longest first."""
    numbers, lengths = _numbers(mark, 2), data.split.train_lengths
    first, last = numbers or (0, -1)
    inside = np.flatnonzero((lengths >= first) & (lengths <= last))
    if not len(inside):
        st.caption("Click a bar to list its users.")
        return
    inside = inside[np.argsort(-lengths[inside], kind="stable")]
    span = counted(first, "training interaction") if first == last else f"{first} to {last} training interactions"
    frame = pd.DataFrame({"user": data.user_ids[inside], "training interactions": lengths[inside]})
    behind.users(frame, f"With {span}", "lengths")


def _numbers(mark: Sequence[str], many: int) -> tuple[int, ...]:
    """The whole numbers that a mark carries; empty where a link says something else."""
    return tuple(map(int, mark)) if len(mark) == many and all(m.isdecimal() for m in mark) else ()


def known_users(data: Dataset) -> None:
    """What is known of the users, where a file told it."""
    known = known_of_users(data)
    if known.empty:
        return
    box = links.folded("What is known of the users", "known", icon=":material/group:")
    if not box.open:
        return
    with box:
        shown = known.assign(known=known["known"].map(theme.percent), values=known["values"].map(theme.count))
        shown = shown.rename(columns=str.capitalize)
        exhibits.table(shown, key="people", name=f"users-{data.name}", alt="Attributes of users and their coverage.")
        st.caption("Known: the share of users with a value. It is stored with the dataset; no method reads it.")


def next_step(root: Store, manifest: Manifest) -> None:
    """While nothing has been trained on it: what is under way, or the button that starts it."""
    busy = artifacts.jobs(root).using("datasets", manifest.id)
    for job in busy:
        job_panels.progress(root, job.id)
    if not busy and not artifacts.runs(root, manifest.id, archived=True):
        job_panels.defaults_button(root, manifest)


def delete(root: Store, manifest: Manifest) -> None:
    """Delete the dataset with all that was made from it, after a question."""
    with st.popover("Delete this dataset", icon=":material/delete:"):
        _delete(root, manifest)


def _delete(root: Store, manifest: Manifest) -> None:
    made = descendants(root, manifest)
    st.markdown(f"Delete **{as_text(manifest.name)}** permanently?")
    if made:
        counts = pd.Series([m.kind for m in made]).value_counts()
        parts = [counted(n, noun(str(kind)), str(kind)) for kind, n in counts.items()]
        st.markdown(f"This also deletes what was made from it: {listed(parts)}.")
    sure = st.checkbox("Yes, I am sure", key=f"sure.{manifest.id}")
    if st.button("Delete", disabled=not sure, type="primary", key=f"delete.{manifest.id}"):
        jobs = artifacts.jobs(root)
        try:
            for artifact in [*made, manifest]:  # first see whether all may go
                jobs.check_unused(artifact.kind, artifact.id)
            for artifact in made:
                jobs.delete_artifact(artifact.kind, artifact.id)
            jobs.delete_artifact("datasets", manifest.id)
        except UserError as error:
            st.error(as_text(error, 600), icon=":material/error:")
            return
        st.rerun()


def descendants(root: Store, manifest: Manifest) -> list[Manifest]:
    """Everything made from an artifact, the youngest first: the order in which it can be deleted."""
    every = [m for kind in KINDS for m in artifacts.manifests(root, kind)]
    found: dict[tuple[str, str], Manifest] = {}
    waiting = {(manifest.kind, manifest.id)}
    while waiting:
        made = {(m.kind, m.id): m for m in every if any((p.kind, p.id) in waiting for p in m.parents)}
        waiting = made.keys() - found.keys()
        found |= made
    depth: list[Manifest] = []
    left = dict(found)
    while left:
        needed = {(p.kind, p.id) for m in left.values() for p in m.parents}
        leaves = [key for key in left if key not in needed] or list(left)
        depth += [left.pop(key) for key in leaves]
    return depth
