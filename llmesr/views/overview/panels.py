"""The parts of the overview: an empty install, the state of things, the headline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from llmesr.config import EVERY_GROUP
from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import Contender, best_of_each, best_without_and_with_text, like_for_like
from llmesr.evaluation.doubts import Doubt, rarely_hit, serious
from llmesr.jobs.plans import preparing, submit_demo
from llmesr.runs.record import Run
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts, evidence
from llmesr.views.cache.clarity import METRIC
from llmesr.views.overview.charts import headline_chart
from llmesr.views.overview.headline import Headline, sentence
from llmesr.views.shared import alike, behind, clicks, doubts, exhibits, job_panels, links, pins, theme, widgets, words
from llmesr.views.shared.words import as_text

SIDES = {"Item": "Items by popularity", "User": "Users by history length"}


def first_steps(root: Store) -> None:
    """What an empty install offers: the demo at one click, or a file of one's own."""
    making = next((j for j in artifacts.jobs(root).list() if j.kind == "demo"), None)
    if making is not None and making.state != "SUCCEEDED":
        st.subheader("The demo is being prepared" if making.active else "The demo is not ready", anchor=False)
        if making.active:
            st.markdown(
                "A dataset with a long tail, and recommenders trained on it until they no longer improve. You may "
                "leave this page: what is ready is shown as it comes."
            )
        job_panels.progress(root, making.id, news=lambda: len(artifacts.manifests(root, "datasets")))
        return
    left, right = st.columns(2, gap="large")
    with left, st.container(border=True):
        st.subheader("Try the demo", anchor=False)
        st.markdown(
            "A generated shop with a long tail, ready within minutes, then MovieLens 100K; each with several "
            "recommenders trained on this machine, with three seeds, until they no longer improve."
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
    if preparing(artifacts.jobs(root), manifest):
        st.markdown("No run of this dataset has finished yet. In progress:")
        _on_their_way(root, manifest)
        return
    st.info("Nothing has been trained on this dataset yet.", icon=":material/lightbulb:")
    job_panels.defaults_button(root, manifest)


def more_to_come(root: Store, manifest: Manifest) -> None:
    """While runs of the dataset are being made: what is shown is not yet all."""
    if preparing(artifacts.jobs(root), manifest):
        st.markdown("**More runs are being trained; what is shown below is not yet all.**")
        _on_their_way(root, manifest)


def _on_their_way(root: Store, manifest: Manifest) -> None:
    """The jobs that make runs of a dataset; each finished run is shown at once."""
    for job in preparing(artifacts.jobs(root), manifest):
        job_panels.progress(root, job.id, news=lambda: len(artifacts.runs(root, manifest.id, finished=True)))


def tiles(data: Dataset, thresholds: Thresholds) -> None:
    """The size of a dataset and of its tail."""
    counts = data.item_counts[1:]
    tail = thresholds.tail_items(counts)
    targets = thresholds.tail_items(data.item_counts[data.split.targets("test")])
    columns = st.columns(4)
    columns[0].metric("Users", theme.count(data.n_users), border=True, height="stretch")
    columns[1].metric("Items", theme.count(data.n_items), border=True, height="stretch")
    columns[2].metric(
        "Items in the tail",
        theme.percent(tail.mean()),
        border=True,
        height="stretch",
        help=as_text(thresholds.describe(), 500),
    )
    columns[3].metric(
        "Next item in the tail",
        theme.percent(targets.mean() if len(targets) else None),
        border=True,
        height="stretch",
        help="Share of users whose held-out test item is a tail item.",
    )


def show_headline(root: Store, data: Dataset, runs: Sequence[Run], protocol: str, thresholds: Thresholds) -> None:
    """The best of each method on head and tail, said in a sentence, drawn and tabled."""
    good, left_out = [], []
    for run in runs:
        try:
            evidence.validation(root, Contender.named(run.label, [run]))
        except ValueError as error:
            left_out.append(f"{run.id}: {error}")
        else:
            good.append(run)
    every = evidence.grouped(root, good)
    best = best_of_each(every, partial(evidence.validation, root))
    if best:
        lineup = {c.label: c.ids for c in best}
        frame = evidence.summary(root, lineup, thresholds, METRIC, protocol)
        by = links.choose("Tail and head of", list(SIDES), "by", kind="segmented", show=SIDES.__getitem__) or "Item"
        found = _say(root, every, lineup, frame, thresholds, protocol, by)
        shown = [id for c in best for id in c.ids]
        pins.about(data, shown, thresholds, protocol=protocol, metric=METRIC, doubts=lambda: found)
        mark = _draw(frame, data, protocol, thresholds, by)
        _behind(root, data, best, mark, thresholds, protocol)
    for reason in left_out:
        st.warning(as_text(reason, 500), icon=":material/warning:")


def _say(
    root: Store,
    every: Sequence[Contender],
    shown: evidence.Lineup,
    frame: pd.DataFrame,
    thresholds: Thresholds,
    protocol: str,
    by: str,
) -> tuple[Doubt, ...]:
    """What stands against the sentence (returned), the sentence, and how sure it is."""
    blind, reading = best_without_and_with_text(every, partial(evidence.validation, root))
    first = blind or reading
    if first is None:
        return ()
    lineup, dataset_id = {c.label: c.ids for c in (blind, reading) if c is not None}, first.runs[0].dataset_id
    at = (root, lineup, first.label, thresholds, METRIC, protocol)
    found, said = evidence.doubts(*at), evidence.judged(*at, among=shown)[0] if len(lineup) > 1 else None
    plain, text_reader = (c.label if c is not None else None for c in (blind, reading))
    grave, rare = said.doubts if said else serious(found), rarely_hit(found, *lineup)
    headline = Headline(frame, plain, text_reader, said, grave, rare)
    doubts.amber(root, dataset_id, found)
    with st.container(border=True, height="stretch", key="headline-words"):
        st.markdown(sentence(headline, by))
        if said is not None:
            sure = as_text(said.sentence(doubts=False), 1500)
            st.caption(f"How sure? {as_text(said.run)} against {as_text(said.baseline)}: {sure}")
        if pairs := _alike(root, every, shown, frame, thresholds, protocol, by):
            st.caption(as_text(pairs, 1500))
    doubts.folded(root, dataset_id, found)
    return found


def _alike(
    root: Store,
    every: Sequence[Contender],
    shown: evidence.Lineup,
    frame: pd.DataFrame,
    thresholds: Thresholds,
    protocol: str,
    by: str,
) -> str:
    """What leads without text and with it may be models of two kinds; this is of one kind each."""
    group, pairs = f"Tail {by}", like_for_like(every, partial(evidence.validation, root))
    found = alike.judged(root, pairs, shown, lambda c: c.label, thresholds, METRIC, protocol)
    return alike.sentence(found, frame, group, METRIC)


def _draw(frame: pd.DataFrame, data: Dataset, protocol: str, thresholds: Thresholds, by: str) -> list[str]:
    """The chart and what it is of; returned is the method and the group of the mark that was clicked."""
    wide = frame.pivot_table(index="run", columns="group", values="value", sort=False).reset_index()
    alt = f"{METRIC} of the best of each method. " + "; ".join(
        f"{r['run']}: tail item {theme.metric(r.get('Tail Item'))}, overall {theme.metric(r.get('Overall'))}, "
        f"head item {theme.metric(r.get('Head Item'))}"
        for r in wide.to_dict("records")
    )
    config = {group: st.column_config.NumberColumn(format="%.3f") for group in EVERY_GROUP}
    mark = clicks.chart(
        headline_chart(frame, METRIC, widgets.mode(), by),
        key="headline",
        parts=2,
        alt=alt,
        data=wide.rename(columns={"run": "Best run"}),
        name="headline",
        column_config=config,
    )
    exhibits.caption(protocol, thresholds, data.split_config)
    st.caption(
        "The longer the bar, the wider the gap between tail and head. Of each method the configuration that is best on "
        "validation (NDCG@10, full ranking) is shown as trained, the mean of all its seeds. Click a mark to list its "
        "users."
    )
    with st.container(horizontal=True):
        exhibits.explain([METRIC])
        methods_help()
    return mark


def _behind(
    root: Store, data: Dataset, best: Sequence[Contender], mark: Sequence[str], thresholds: Thresholds, protocol: str
) -> None:
    """The users behind a mark, by its method beside the best without text, or where that is the one clicked, the best
    with text."""
    own = {c.label: c for c in best}
    if len(mark) != 2 or mark[0] not in own or mark[1] not in EVERY_GROUP:
        return
    blind, reading = best_without_and_with_text(best, partial(evidence.validation, root))
    after = own[mark[0]]
    before = next((c for c in (blind, reading, *best) if c is not None and c is not after), None)
    if before is None:
        st.caption("Train a second method: users are listed with the ranks of two.")
        return
    moved = evidence.movers(root, {c.label: c.ids for c in (before, after)}, METRIC, protocol)
    title = f"{mark[1]}: {as_text(before.label)} (before) and {as_text(after.label)} (after)"
    behind.users(behind.of_movers(moved, data, thresholds, mark[1]), title, "headline", k=10)


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
    for run in artifacts.runs(root, archived=True):
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
