"""Jobs on a page: progress that draws itself until the job ends, its log, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from llmesr.config import has_backbone
from llmesr.errors import UserError
from llmesr.jobs import plans
from llmesr.jobs.record import Job
from llmesr.jobs.sweep import sweep_now_and_then
from llmesr.prose import counted
from llmesr.runs.estimate import altogether
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts
from llmesr.views.shared import exhibits, links, theme, widgets
from llmesr.views.shared.controls import for_the_form
from llmesr.views.shared.words import as_text

EVERY = 1.5
"""Seconds between two looks at a job that has not ended."""
WORDS = {"PENDING": "waiting", "RUNNING": "running", "STOPPED": "stopped", "SUCCEEDED": "done", "FAILED": "failed"}
ICONS = {
    "PENDING": ":material/schedule:",
    "RUNNING": ":material/progress_activity:",
    "STOPPED": ":material/pause_circle:",
    "SUCCEEDED": ":material/check_circle:",
    "FAILED": ":material/error:",
}


def settle(root: Store) -> None:
    """Settle orphans and start what waits; once per page run, so that a restarted server finds its jobs."""
    jobs = artifacts.jobs(root)
    jobs.reconcile()
    sweep_now_and_then(jobs)


def progress(
    root: Store, id: str, *, until: str | None = None, news: Callable[[], object] | None = None, place: str = "job"
) -> None:
    """A job, live: redraws itself until the job ends (or has saved an id as ``until``), then the whole page once.
    A resumed job redraws the whole page too, and so does every change of what ``news`` returns.

    ``place`` tells apart two drawings of one job on one page.
    """
    job = artifacts.jobs(root).get(id)
    widgets.live(EVERY if job.active else None)(_draw)(root, id, job.active, until, place, news, news and news())


def _draw(
    root: Store,
    id: str,
    was_active: bool,
    until: str | None,
    place: str,
    news: Callable[[], object] | None,
    known: object,
) -> None:
    jobs = artifacts.jobs(root)
    if was_active:
        jobs.reconcile()
    job = jobs.get(id)
    # First, and not after drawing: what a fragment has half drawn stays on the page beside what the page draws next.
    if job.active != was_active or (was_active and until in job.status.saved) or (news and news() != known):
        st.rerun()  # a job resumed from here is to be drawn live again
    body(root, job, place)


def watch(root: Store, kind: str, id: str, draw: Callable[..., None], *more: object) -> None:
    """Draw an artifact that a job makes, live while it does, below the job while that has not succeeded.

    ``draw`` is given the root, the artifact's id, and ``more``.
    """
    made = (j for j in artifacts.jobs(root).list() if any(s.run == id and s.makes == kind for s in j.record.steps))
    job = next(made, None)
    active = job is not None and job.active
    widgets.live(EVERY if active else None)(_watched)(root, id, job.id if job else None, active, draw, *more)


def _watched(
    root: Store, id: str, job_id: str | None, was_active: bool, draw: Callable[..., None], *more: object
) -> None:
    job = artifacts.jobs(root).get(job_id) if job_id else None
    if job is not None and job.active != was_active:
        st.rerun()  # the whole page: what has ended needs no look every second, what goes on from here does
    with st.container():  # always, so that what is below keeps its place
        if job is not None and (job.active or job.state in ("STOPPED", "FAILED")):
            body(root, job)
    draw(root, id, *more)


def body(root: Store, job: Job, place: str = "job") -> None:
    """A job as it stands: what it is, how far, why it ended, and what can be done with it."""
    with st.container(border=True):
        _heading(job)
        if job.active:
            st.progress(job.fraction, text=as_text(_where(root, job)))
        elif job.status.message:
            show = st.error if job.state == "FAILED" else st.info
            said = job.status.message
            show(as_text(for_the_form(said) if job.step.verb == "ingest" else said, 1000))
        _buttons(root, job, place)


def _heading(job: Job) -> None:
    st.markdown(f"{ICONS[job.state]} **{as_text(job.label)}** · {state_word(job)} · {as_text(took(job))}")


def state_word(job: Job) -> str:
    """The state for a reader; a job asked to stop says so."""
    if job.state == "RUNNING" and job.status.stop_requested:
        return "stopping"
    return WORDS[job.state]


def took(job: Job) -> str:
    """How long a job has run, or when it was submitted."""
    if job.status.started is None:
        return f"submitted {theme.date(job.record.created)}"
    end = pd.Timestamp(job.status.finished) if job.status.finished else pd.Timestamp.now("UTC")
    return theme.duration((end - pd.Timestamp(job.status.started)).total_seconds())


def _where(root: Store, job: Job) -> str:
    """One line on what is happening now."""
    if job.state == "PENDING":
        ahead = [j for j in artifacts.jobs(root).list() if j.active and j.status.queued < job.status.queued]
        return f"waiting for {counted(len(ahead), 'job')} before it" if ahead else "starting"
    steps = len(job.record.steps)
    text = f"Step {min(job.status.step + 1, steps)} of {steps}: {job.step.label}" if steps > 1 else job.step.label
    said = job.progress
    if said.stage:
        text += f" · {said.stage}" + (f" ({said.done:,} of {said.total:,})" if said.total else "")
    return text


def _buttons(root: Store, job: Job, place: str) -> None:
    """Stop, resume, retry, log and command: what can be done with a job now."""
    jobs = artifacts.jobs(root)
    with st.container(horizontal=True):
        if job.active:
            # Two buttons with keys of their own: a second click on the first must not become a kill.
            kill = job.status.stop_requested
            st.button(
                "Kill" if kill else "Stop",
                key=f"{place}.{'kill' if kill else 'stop'}.{job.id}",
                icon=":material/stop:",
                on_click=_act,
                args=(partial(jobs.stop, force=kill), job.id),
            )
        # a first step that failed and has no run to go on with would begin anew: that is what Retry does
        if job.state == "STOPPED" or (job.state == "FAILED" and (job.status.step > 0 or job.step.run)):
            st.button(
                "Resume",
                key=f"{place}.resume.{job.id}",
                icon=":material/play_arrow:",
                help="Continue where it stopped.",
                on_click=_act,
                args=(jobs.resume, job.id),
            )
        if not job.active:
            st.button(
                "Retry",
                key=f"{place}.retry.{job.id}",
                icon=":material/refresh:",
                help="Run the whole job again, as a new one.",
                on_click=_act,
                args=(jobs.retry, job.id),
            )
            st.button(
                "Forget",
                key=f"{place}.forget.{job.id}",
                icon=":material/delete:",
                help="Remove the job from this list. What it created stays.",
                on_click=_act,
                args=(jobs.delete, job.id),
            )
        with st.popover("Log", icon=":material/notes:", key=f"{place}.log.{job.id}"):
            st.code(job.log(16_384)[-8000:] or "Nothing yet.", language=None, wrap_lines=True)
        with st.popover("Command", icon=":material/terminal:", key=f"{place}.command.{job.id}"):
            st.code("\n".join(plans.command_line(s) for s in job.record.steps), language="bash", wrap_lines=True)


def _act(action: Callable[[str], object], id: str) -> None:
    """Carry out a button and draw the whole page: the fragment that held the button may have moved since the click, and
    Streamlit then runs the callback but draws nothing. What is refused is shown on that drawing."""
    try:
        action(id)
    except UserError as error:
        st.toast(as_text(error, 500), icon=":material/error:")
    st.rerun()


def job_list(root: Store, *, longest: int = 20) -> None:
    """Every job: those that have not ended first, live, then the newest ended ones in a table."""
    jobs = list(artifacts.jobs(root).list())
    for job in sorted((j for j in jobs if j.active), key=lambda j: j.status.queued):
        progress(root, job.id, place="list")
    ended = [j for j in jobs if not j.active][:longest]
    if not jobs:
        st.caption("No job has been submitted yet.")
    if ended:
        frame = pd.DataFrame([_row(j) for j in ended])
        event = exhibits.table(
            frame.drop(columns="id"),
            on_select="rerun",
            selection_mode="single-row",
            alt="Jobs that have ended, newest first. Select one to see its log.",
            **links.selected("job", "jobs.table", frame["id"].tolist()),
        )
        rows = [row for row in (event["selection"]["rows"] if event else []) if row < len(ended)]
        links.keep_selected("job", frame["id"].iloc[rows].tolist())
        if rows:
            progress(root, ended[rows[0]].id, place="chosen")
        else:
            st.caption("Select a row to see its log and command, or to resume or retry it.")
    for id, reason in artifacts.jobs(root).broken().items():
        st.warning(as_text(f"{id}: {reason}", 500))


def _row(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "Job": job.label,
        "State": state_word(job),
        "Took": took(job),
        "Submitted": theme.date(job.record.created),
        "Message": job.status.message,
    }


def sidebar() -> None:
    """What is running, at the foot of the sidebar of every page."""
    root = artifacts.store()
    settle(root)
    active = any(j.active for j in artifacts.jobs(root).list())
    with st.sidebar:
        widgets.live(3.0 if active else None)(_sidebar)(root)


def _sidebar(root: Store) -> None:
    active = sorted((j for j in artifacts.jobs(root).list() if j.active), key=lambda j: j.status.queued)
    for job in active[:3]:
        st.progress(job.fraction, text=f"{as_text(job.label, 40)} · {state_word(job)}")
    if len(active) > 3:
        st.caption(f"and {len(active) - 3} more waiting")


def defaults_button(root: Store, manifest: Manifest) -> None:
    """One click from a dataset to a comparison that can be defended, with what it will take said first."""
    data, configs = artifacts.dataset(root, manifest.id), plans.defended()
    likely, longest = altogether(configs, len(data.split.train_items), data.n_items, artifacts.timings(root))
    once = ", ".join(dict.fromkeys(c.method for c in configs if not has_backbone(c.method)))
    thrice = ", ".join(dict.fromkeys(c.method for c in configs if has_backbone(c.method)))
    st.markdown(f"Takes about **{theme.duration(likely)}**, at most {theme.duration(longest)}.")
    if st.button("Embed and train with good defaults", type="primary", icon=":material/rocket_launch:", key="defaults"):
        plans.submit_good_defaults(artifacts.jobs(root), manifest.id, manifest.name)
        st.rerun()
    st.caption(
        f"Embeds the item texts with the bundled encoder; trains {once}, and {thrice} with {len(plans.SEEDS)} seeds "
        "each until they no longer improve; draws the maps. A comparison of these can be defended."
    )
