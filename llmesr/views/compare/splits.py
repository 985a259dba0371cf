"""The Splits view: the same methods under every split of the data. Does their ranking survive without leakage?"""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from llmesr.data.dataset import split_of
from llmesr.evaluation.across import Agreement, agreements, like, named_splits, one_per_split, placed, repeatable
from llmesr.evaluation.contenders import Contender, best_of_each
from llmesr.evaluation.doubts import serious
from llmesr.evaluation.lacking import again
from llmesr.evaluation.statistics import FEW_USERS
from llmesr.jobs.wanted import wanted_steps
from llmesr.prose import counted, signed
from llmesr.runs.wanted import Training, in_turn
from llmesr.store import Manifest
from llmesr.views.cache import artifacts, evidence
from llmesr.views.compare.choice import Choice
from llmesr.views.compare.splits_charts import places_table, splits_chart
from llmesr.views.shared import behind, clicks, exhibits, job_panels, pickers, widgets
from llmesr.views.shared.marks import plain
from llmesr.views.shared.words import as_text

NAMED = 6
"""Pairs of methods that changed places and are named."""


def splits(choice: Choice) -> None:
    """The best of each method on validation, under each split, side by side."""
    st.markdown(
        "Leave-one-out lets a model see what other users chose later; a temporal split does not. Each method is shown "
        "by its best configuration on validation under each split; levels differ because the questions do, so look at "
        "the **order**."
    )
    every = artifacts.siblings(choice.root, choice.dataset.id)
    best = {m.id: _best(choice, m.id) for m in every}
    datasets = one_per_split(every, choice.dataset.id, {id: len(found) for id, found in best.items()})
    named = named_splits(datasets)
    shown, apart = _comparable([m for m in datasets if best[m.id]], best, choice.dataset.id)
    _more(choice, datasets, best)
    if apart:
        names = ", ".join(as_text(named[m.id]) for m in apart)
        st.info(f"Not shown, as no method is common to it and the others: {names}.", icon=":material/info:")
    if len(shown) < 2:
        return
    summaries = {named[m.id]: _summary(choice, m.id, best[m.id]) for m in shown}
    table = placed(summaries)
    group = pickers.pick_group("Group", "among", set(table.loc[table["users"] > 0, "group"]))
    ids = {named[m.id]: m.id for m in shown}
    doubted = {named[m.id]: _doubted(choice, m.id, best[m.id]) for m in shown}
    for split, reasons in doubted.items():
        if reasons:
            st.warning(f"**Not settled under {as_text(split)}**: {' '.join(reasons)}", icon=":material/warning:")
    for found in agreements(table, group, lambda split, base: _tests(choice, ids[split], best[ids[split]], base)):
        settled = not (doubted[found.first] or doubted[found.second])
        st.markdown(_said(found, choice.metric, settled=settled))
    rows = table[table["group"] == group]
    mark = clicks.chart(
        splits_chart(rows, choice.metric, group, choice.protocol, widgets.mode()),
        key="splits",
        parts=2,
        alt=f"{choice.metric} of {rows['run'].nunique()} methods under {len(summaries)} splits, {group}.",
        data=places_table(rows),
        name="splits",
    )
    _behind(choice, {plain(split, 70): id for split, id in ids.items()}, best, mark, group)
    for manifest in shown:
        thresholds = artifacts.dataset(choice.root, manifest.id).thresholds
        exhibits.caption(choice.protocol, thresholds, split_of(manifest))
    st.caption(
        "Head and tail are those of each split: popularity is counted on its training part. Intervals are 95%, each of "
        "one method alone. A pair clearly changes places when paired tests tell the two apart under both splits, each "
        "the other way round (corrected for all pairs that changed places). Click a dot to list its users."
    )


def _comparable(
    datasets: list[Manifest], best: dict[str, list[Contender]], own: str
) -> tuple[list[Manifest], list[Manifest]]:
    """The splits that have a method in common, that of ``own`` among them, and those left out for it."""
    common = {c.method for c in best[own]}
    shown: list[Manifest] = []
    for manifest in sorted(datasets, key=lambda m: m.id != own):
        methods = {c.method for c in best[manifest.id]}
        if common & methods:
            common &= methods
            shown.append(manifest)
    return [m for m in datasets if m in shown], [m for m in datasets if m not in shown]


def _behind(choice: Choice, ids: dict[str, str], best: dict[str, list[Contender]], mark: list[str], group: str) -> None:
    """The users behind a dot, ``mark`` its split and its method: their ranks beside those of the baseline's method, or
    where that is the one clicked or not there, of the best of the others."""
    if len(mark) != 2 or mark[0] not in ids:
        return
    data = artifacts.dataset(choice.root, ids[mark[0]])
    own = {plain(c.method): c for c in best[data.id]}
    if mark[1] not in own or len(own) < 2:
        return
    after = own.pop(mark[1])
    baseline = next(c.method for c in choice.chosen if c.name == choice.reference)
    before = own.get(plain(baseline)) or max(own.values(), key=partial(evidence.validation, choice.root))
    pair = {c.method: c.ids for c in (before, after)}
    moved = evidence.movers(choice.root, pair, choice.metric, choice.protocol)
    rows = behind.of_movers(moved, data, data.thresholds, group)
    title = f"{mark[0]}, {group}: {as_text(before.method)} (before) and {as_text(after.method)} (after)"
    behind.users(rows, title, "splits", k=choice.k, dataset=data.id)


def _best(choice: Choice, dataset: str) -> list[Contender]:
    return best_of_each(evidence.everyone(choice.root, dataset), partial(evidence.validation, choice.root))


def _tests(choice: Choice, dataset: str, best: list[Contender], baseline: str) -> pd.DataFrame:
    """Every method against one, under one split."""
    lineup, thresholds = {c.method: c.ids for c in best}, artifacts.dataset(choice.root, dataset).thresholds
    return evidence.comparison(choice.root, lineup, baseline, thresholds, choice.metric, choice.protocol)


def _summary(choice: Choice, dataset: str, best: list[Contender]) -> pd.DataFrame:
    """``run`` is the method."""
    lineup, thresholds = {c.method: c.ids for c in best}, artifacts.dataset(choice.root, dataset).thresholds
    labels = {c.method: c.label for c in best}
    frame = evidence.summary(choice.root, lineup, thresholds, choice.metric, choice.protocol)
    return frame.assign(label=frame["run"].map(labels))


def _doubted(choice: Choice, dataset: str, best: list[Contender]) -> list[str]:
    """What is serious about the methods themselves under one split, in sentences."""
    lineup, thresholds = {c.method: c.ids for c in best}, artifacts.dataset(choice.root, dataset).thresholds
    found = evidence.doubts(choice.root, lineup, best[0].method, thresholds, choice.metric, choice.protocol)
    return [as_text(d.sentence, 600) for d in serious(found) if len(d.names) <= 1]


def _said(a: Agreement, metric: str, *, settled: bool) -> str:
    """How alike two splits order the methods, in a few sentences."""
    but = "" if settled else ", but that is not settled"
    pairs = a.methods * (a.methods - 1) // 2
    where = f"{as_text(a.first)} and {as_text(a.second)}"
    if a.users < FEW_USERS:
        return f"**Too little data to compare the orders** of {where}: one asks {counted(a.users, 'user')} ({a.group})."
    tied = f" {counted(a.tied, 'pair')} of {pairs} {'is' if a.tied == 1 else 'are'} tied." if a.tied else ""
    if not a.turned:
        say = "No pair changes places" if a.tied else "The order survives"
        return f"**{say}**: {where} order {counted(a.methods, 'method')} alike ({metric}, {a.group}){but}.{tied}"
    named = [f"{as_text(x)} and {as_text(y)}" for x, y in (*a.clear, *(p for p in a.turned if p not in a.clear))]
    rest = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    tau = "" if a.tau is None else f", Kendall's τ {signed(a.tau, 2).removeprefix('+')}"
    verb = "changes places" if len(a.turned) == 1 else "change places"
    clear = (
        f"{len(a.clear)} of them clearly: paired tests tell them apart under both splits"
        if a.clear
        else "none of them clearly: under one of the splits a paired test finds no difference"
    )
    return (
        f"**{len(a.turned)} of {counted(pairs, 'pair')} {verb}** between {where} ({metric}, {a.group}{tau}), "
        f"{clear}{but}. "
        f"{'; '.join(named[:NAMED])}{rest}.{tied}"
    )


def _more(choice: Choice, datasets: list[Manifest], best: dict[str, list[Contender]]) -> None:
    """What the temporal split lacks of what is here, with the button that makes it."""
    own = choice.dataset
    if own.split_config.kind != "leave-one-out":
        return
    later = next((m for m in datasets[::-1] if split_of(m).kind == "temporal"), None)
    if later is None and not own.has_times:
        st.info("This data has only an order, no times, so that it cannot be split in time.", icon=":material/info:")
        return
    wanted = _wanted(choice, best[own.id], later)
    label = f"Split {own.name} in time"
    job = next((j for j in artifacts.jobs(choice.root).list() if j.active and j.label == label), None)
    if job is not None:
        job_panels.progress(choice.root, job.id, place="splits")
    elif wanted:
        st.button(
            f"Train {counted(len(wanted), 'run')} under a temporal split",
            key="splits.train",
            type="primary" if later is None else "secondary",
            icon=":material/event:",
            on_click=_queue,
            args=(choice, wanted, label, later.id if later is not None else None),
            help="The best of each method here, with the same settings and seeds.",
        )


def _wanted(choice: Choice, best: list[Contender], later: Manifest | None) -> list[Training]:
    """The best of each method here, as far as the temporal split has not seen them."""
    there = evidence.everyone(choice.root, later.id) if later is not None else []
    found = []
    for c in best:
        if not repeatable(c):
            continue
        twin = like(c, there, choice.root)
        seeds = [s for s in c.seeds if twin is None or s not in twin.seeds] if c.seeded or twin is None else []
        why, place = f"{c.name} under a temporal split", later.id if later is not None else None
        found += [again(choice.root, c.manifests[0], s, why, later=place, in_time=True) for s in seeds]
    return in_turn(found)


@widgets.acting
def _queue(choice: Choice, wanted: list[Training], label: str, later: str | None) -> None:
    manifest = choice.root.manifest("datasets", choice.dataset.id)
    steps = wanted_steps(choice.root, manifest, wanted, in_time=later)
    parents = [f"datasets/{manifest.id}"]
    artifacts.jobs(choice.root).submit_steps(steps, kind="splits", label=label, parents=parents)
