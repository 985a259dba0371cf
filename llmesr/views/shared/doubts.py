"""What the guard found, shown in the same way wherever runs are compared, with what settles it at a click."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from llmesr.evaluation.doubts import Doubt, Remedy, serious
from llmesr.evaluation.lacking import trainings
from llmesr.jobs import plans
from llmesr.jobs.record import Step
from llmesr.jobs.wanted import wanted_steps
from llmesr.prose import counted, listed
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.views.cache import artifacts
from llmesr.views.shared import job_panels, links, widgets
from llmesr.views.shared.words import as_text

_ICONS = {"serious": ":material/warning:", "caution": ":material/info:", "note": ":material/notes:"}


def shown(root: Store, dataset: str, doubts: Sequence[Doubt]) -> None:
    """Above a comparison of runs of ``dataset`` (its id): the gravest in amber, all of them under a line."""
    amber(root, dataset, doubts)
    folded(root, dataset, doubts)


def amber(root: Store, dataset: str, doubts: Sequence[Doubt]) -> None:
    """That something is serious: how much, and the gravest of it in its words. What settles a single one is beside it;
    several are :func:`folded`, so that they do not push the answer off the screen."""
    grave = serious(doubts)
    if not grave:
        return
    many = f" There are {len(grave)} serious doubts, above all:" if len(grave) > 1 else ""
    told = as_text(_gravest(grave).sentence, 600)
    with st.container(key="doubts-several" if many else "doubts-one"):  # a small screen cuts what is listed below
        st.warning(f"**Not settled yet**, so nothing here is called better.{many} {told}", icon=":material/warning:")
    if len(grave) == 1:
        _remedies(root, dataset, grave, "grave")


def _gravest(grave: Sequence[Doubt]) -> Doubt:
    """The one about the most contenders (one that names none is about all); of several the first."""
    return max(grave, key=lambda d: len(d.names) or len(grave) + 1)


def folded(root: Store, dataset: str, doubts: Sequence[Doubt]) -> None:
    """Several that are serious and what is to be borne in mind, under a line that says how much that is."""
    grave = serious(doubts)
    rest = [d for d in doubts if d not in grave]
    several = list(grave) if len(grave) > 1 else []
    if not several and not rest:
        return
    how = f"{len(rest)} to bear in mind"
    if several:
        how = f"{len(several)} serious" + f", {len(rest)} more" * bool(rest)
    with st.expander(f"Before you repeat this: {how}", icon=":material/gavel:"):
        for place, some in (("grave", several), ("mild", rest)):
            for doubt in some:
                st.markdown(f"{_ICONS[doubt.severity]} {as_text(doubt.sentence, 600)}")
            _remedies(root, dataset, some, place)


def _remedies(root: Store, dataset: str, doubts: Sequence[Doubt], place: str) -> None:
    """A button for each remedy that trains (it queues exactly those runs), a link for the others."""
    remedies = list(dict.fromkeys(_key(d.remedy) for d in doubts if d.remedy and d.remedy.trains))
    by_key = {_key(d.remedy): d.remedy for d in doubts if d.remedy}
    running = []
    with st.container(horizontal=True):
        for number, key in enumerate(remedies):
            remedy = by_key[key]
            label = _job_label(root, remedy)
            job = next((j for j in artifacts.jobs(root).list() if j.active and j.label == label), None)
            if job is not None:
                running.append(job.id)
                continue
            if remedy.action != "search-baseline" and not trainings(root, remedy, dataset):
                continue  # of a blend: its members have to be trained
            st.button(
                _called(root, remedy),
                key=f"remedy.{place}.{number}",
                icon=":material/model_training:",
                on_click=_queue,
                args=(root, dataset, remedy, label),
                help=remedy.sentence,
            )
        for doubt in doubts:
            if doubt.kind == "weak-baseline" and not doubt.numbers["archived"]:
                stronger = str(doubt.numbers["stronger"])
                links.link(links.COMPARE, f"Compare with {as_text(stronger, 60)}", links.COMPARE.icon, against=stronger)
            elif doubt.kind == "protocols":
                other = str(doubt.numbers["other"])
                links.link(links.COMPARE, f"Look at {other}", links.COMPARE.icon, protocol=other)
    for id in running:
        job_panels.progress(root, id, place=f"remedy.{place}")


def _key(remedy: Remedy | None) -> tuple[object, ...]:
    """What two remedies that ask for the same have in common."""
    return () if remedy is None else (remedy.action, remedy.runs, remedy.seeds, remedy.methods, remedy.trials)


def _called(root: Store, remedy: Remedy) -> str:
    """What the button says."""
    if remedy.action == "add-seeds":
        return f"Add {counted(len(remedy.seeds), 'seed')} of {listed(_names(root, remedy))}"
    if remedy.action == "search-baseline":
        return f"Search settings of {listed(_names(root, remedy))}"
    if remedy.action == "train-baseline":
        return f"Train {listed(remedy.methods)}"
    if remedy.action == "part-seeds":
        return f"Make {listed(_names(root, remedy))} of parts of their own seeds"
    return f"Train {listed(_names(root, remedy))} to convergence"


def _names(root: Store, remedy: Remedy) -> list[str]:
    return list(dict.fromkeys(Run(root, id).label for id in remedy.runs))


def _job_label(root: Store, remedy: Remedy) -> str:
    """The name of the job, the same for the same runs."""
    seeds = f" ({listed([str(s) for s in remedy.seeds])})" if remedy.seeds else ""
    return _called(root, remedy) + seeds


@widgets.acting
def _queue(root: Store, dataset: str, remedy: Remedy, label: str) -> None:
    manifest = root.manifest("datasets", dataset)
    steps = _search(root, remedy, manifest.name) if remedy.action == "search-baseline" else []
    steps = steps or wanted_steps(root, manifest, trainings(root, remedy, dataset))
    artifacts.jobs(root).submit_steps(steps, kind="remedy", label=label, parents=[f"datasets/{dataset}"])
    st.toast(as_text(f"Queued: {label}."), icon=":material/schedule:")


def _search(root: Store, remedy: Remedy, name: str) -> list[Step]:
    """As many trials for the baseline as the other side had."""
    run = Run(root, remedy.runs[0])
    config, text = run.config, run.manifest.parent("embeddings")
    return [
        plans.search_step(
            run.dataset_id,
            config.method,
            backbone=config.backbone,
            trials=remedy.trials,
            objective="Overall",
            embedding=text,
            name=name,
        )
    ]
