"""The parts of the overview: an empty install, the state of things, the headline."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from llmesr.config import EVERY_GROUP
from llmesr.data.dataset import Dataset
from llmesr.jobs.plans import submit_demo
from llmesr.runs.record import Run
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts, evidence
from llmesr.views.overview import headline
from llmesr.views.overview.charts import headline_chart
from llmesr.views.shared import exhibits, job_panels, links, theme, widgets, words
from llmesr.views.shared.words import as_text

METRIC = "HR@10"
SIDES = {"Item": "Items by popularity", "User": "Users by history length"}


def first_steps(root: Store) -> None:
    """What an empty install offers: the demo at one click, or a file of one's own."""
    making = next((j for j in artifacts.jobs(root).list() if j.kind == "demo"), None)
    if making is not None and making.state != "SUCCEEDED":
        st.subheader("The demo is being prepared" if making.active else "The demo is not ready", anchor=False)
        if making.active:
            st.markdown("A dataset with a long tail, and four recommenders trained on it. You may leave this page.")
        job_panels.progress(root, making.id)
        return
    left, right = st.columns(2, gap="large")
    with left, st.container(border=True):
        st.subheader("Try the demo", anchor=False)
        st.markdown(
            "A generated shop with a long tail, ready in a minute or two, then MovieLens 100K; each with four "
            "recommenders trained on this machine."
        )
        if st.button("Prepare the demo", type="primary", icon=":material/play_arrow:"):
            submit_demo(artifacts.jobs(root))
            st.rerun()
    with right, st.container(border=True):
        st.subheader("Use your own data", anchor=False)
        st.markdown(
            "A file of interactions (user, item, time) and a file of items with their titles. CSV, JSONL or Parquet."
        )
        links.link(links.DATASETS, "Upload a dataset", ":material/upload:")


def no_runs(root: Store, manifest: Manifest) -> None:
    """A dataset without an evaluated run: what is on its way, or the button that starts it."""
    busy = list(artifacts.jobs(root).using("datasets", manifest.id))
    if busy:
        st.markdown("No run of this dataset has finished yet. In progress:")
        for job in busy:
            job_panels.progress(root, job.id)
        return
    st.info("Nothing has been trained on this dataset yet.", icon=":material/lightbulb:")
    job_panels.defaults_button(root, manifest)


def tiles(data: Dataset) -> None:
    """The size of a dataset and of its tail."""
    counts, thresholds = data.item_counts[1:], data.thresholds
    tail = thresholds.tail_items(counts)
    targets = thresholds.tail_items(data.item_counts[data.split.targets("test")])
    columns = st.columns(4)
    columns[0].metric("Users", theme.count(data.n_users), border=True)
    columns[1].metric("Items", theme.count(data.n_items), border=True)
    columns[2].metric(
        "Items in the tail", theme.percent(tail.mean()), border=True, help=as_text(thresholds.describe(), 500)
    )
    columns[3].metric(
        "Next item in the tail",
        theme.percent(targets.mean() if len(targets) else None),
        border=True,
        help="Share of users whose held-out test item is a tail item.",
    )


def show_headline(root: Store, data: Dataset, runs: Sequence[Run], protocol: str) -> None:
    """The best run of each method on head and tail, said in a sentence, drawn and tabled."""
    good, left_out = [], []
    for run in runs:
        try:
            artifacts.per_user(root, run.id)
        except ValueError as error:
            left_out.append(f"{run.id}: {error}")
        else:
            good.append(run)

    def table(run: Run, protocol: str, part: str) -> pd.DataFrame:
        return artifacts.metrics(root, run.id, data.thresholds, protocol=protocol, part=part)

    best = headline.best_runs(good, table)
    frame = headline.headline_frame(best, table, METRIC, protocol)
    if len(frame):
        if said := headline.sentence(frame):  # of baselines alone there is nothing to say yet
            with st.container(border=True, key="headline-words"):
                st.markdown(said)
                _how_sure(root, best, data, protocol)
        wide = frame.pivot_table(index="run", columns="group", values="value", sort=False).reset_index()
        alt = f"{METRIC} of the best run of each method. " + "; ".join(
            f"{r['run']}: tail item {theme.metric(r.get('Tail Item'))}, overall {theme.metric(r.get('Overall'))}, "
            f"head item {theme.metric(r.get('Head Item'))}"
            for r in wide.to_dict("records")
        )
        by = links.choose("Tail and head of", list(SIDES), "by", kind="segmented", show=SIDES.__getitem__) or "Item"
        figure = headline_chart(frame, METRIC, widgets.mode(), by)
        config = {group: st.column_config.NumberColumn(format="%.3f") for group in EVERY_GROUP}
        numbers = wide.rename(columns={"run": "Best run"})
        exhibits.chart(figure, key="headline", alt=alt, data=numbers, name="headline", column_config=config)
        exhibits.caption(protocol, data.thresholds, data.split_config)
        st.caption(
            "A longer bar is a wider gap between tail and head. Each method is shown by its best run on validation "
            "(NDCG@10, full ranking), as trained; Compare has the runs with tuned scoring."
        )
        with st.container(horizontal=True):
            exhibits.explain([METRIC])
            methods_help()
    for reason in left_out:
        st.warning(as_text(reason, 500), icon=":material/warning:")


def _how_sure(root: Store, best: Sequence[Run], data: Dataset, protocol: str) -> None:
    """What a paired test says about text against no text, so that nobody repeats a difference that is luck."""
    runs = {run.label: (run.id,) for run in best}
    blind, reading = headline.protagonists(list(runs))
    if blind and reading:
        lineup = {blind: runs[blind], reading: runs[reading]}
        (found,) = evidence.judged(root, lineup, blind, data.thresholds, METRIC, protocol)
        st.caption(
            f"How sure? {as_text(reading)} compared with {as_text(blind)}, in {METRIC}: "
            f"{as_text(found.sentence(metric=False), 900)}"
        )


def inventory(root: Store) -> None:
    """Everything that is here, in three tables."""
    datasets, runs, jobs = st.tabs(["Datasets", "Runs", "Jobs"])
    with datasets:
        exhibits.table(_dataset_rows(root), key="overview.datasets", alt="The datasets that are here.")
        widgets.damaged(root, "datasets")
    with runs:
        rows = _run_rows(root)
        if len(rows):
            exhibits.table(rows, key="overview.runs", alt="The training runs that are here.")
        else:
            st.caption("No run yet.")
        widgets.damaged(root, "runs")
    with jobs:
        job_panels.job_list(root)


def _dataset_rows(root: Store) -> pd.DataFrame:
    rows = []
    for manifest in artifacts.manifests(root, "datasets"):
        children = [m for m in artifacts.manifests(root, "runs") if m.parent("datasets") == manifest.id]
        rows.append(
            {
                "Dataset": manifest.name,
                "Runs": len(children),
                "Created": theme.date(manifest.created),
                "ID": manifest.id,
            }
        )
    return pd.DataFrame(rows)


def _run_rows(root: Store) -> pd.DataFrame:
    names = {m.id: m.name for m in artifacts.manifests(root, "datasets")}
    rows = []
    for run in artifacts.runs(root):
        manifest, status = run.manifest, run.status()
        rows.append(
            {
                "Run": run.label,
                "Dataset": names.get(str(manifest.parent("datasets")), manifest.parent("datasets")),
                "Seed": manifest.seed,
                "State": job_panels.WORDS[status.state],
                "Epochs": status.epoch,
                "Training time": theme.duration(manifest.timings.get("train")),
                "Created": theme.date(manifest.created),
                "ID": run.id,
            }
        )
    return pd.DataFrame(rows)


def next_steps() -> None:
    """Where to go from here: one question per page."""
    questions = (
        (links.STORY, "Walk through the story"),
        (links.COMPARE, "Is the difference real?"),
        (links.EMBEDDINGS, "What does text know that clicks do not?"),
        (links.NEIGHBOURS, "Who helped a tail user?"),
        (links.RECOMMEND, "What would it recommend?"),
        (links.TRAINING, "Train another model"),
    )
    columns = st.columns(2)
    for number, (page, question) in enumerate(questions):
        with columns[number % 2]:
            links.link(page, question, page.icon)


def methods_help() -> None:
    """What the methods are, on demand."""
    with st.popover("What are these methods?", icon=":material/help:", type="tertiary"):
        for name, meaning in words.METHODS.items():
            st.markdown(f"**{name}**: {meaning}")
