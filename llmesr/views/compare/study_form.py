"""Starting a study from the Compare page: what is varied, the command, the button, and the job while it lasts."""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from llmesr.config import UNTRAINED
from llmesr.config.study import ALL, REVERSED, Similarity
from llmesr.jobs import plans
from llmesr.jobs.record import Job, Step
from llmesr.views.cache import artifacts
from llmesr.views.compare.choice import Choice
from llmesr.views.shared import job_panels, links, pickers, widgets

ABOUT = (
    "What is the wording of the texts worth, and how should vectors be compared? Everything is judged on "
    "**validation**, each change against the default (all attributes, cosine) with an interval; nothing is trained. "
    "Texts are embedded once for every choice of attributes."
)
NAMES = {ALL: "all attributes", REVERSED: "all, in reversed order", "title": "the title alone"}
NOBODY = "none"


def form(choice: Choice, *, opened: bool) -> None:
    """What is to be varied; the job that does it, while it has not succeeded."""
    job = _job(choice)
    if job is not None:
        job_panels.progress(choice.root, job.id, place="study")
    if job is not None and job.active:
        return
    with links.folded("Start a study", "study", icon=":material/science:", opened=opened):
        st.markdown(ABOUT)
        if not choice.dataset.text_columns:
            st.info("This dataset has no item text, so there is nothing to study.", icon=":material/subject:")
            return
        values = _varied(choice)
        step = plans.study_step(choice.dataset.id, values, name=choice.dataset.name)
        several = any(len(given) > 1 for given in values.values() if isinstance(given, list))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Start the study",
                type="primary",
                icon=":material/science:",
                key="study.start",
                disabled=not several,
                on_click=_queue,
                args=(choice, step),
            )
            st.code(plans.command_line(step), language="bash", wrap_lines=True)


def _varied(choice: Choice) -> dict[str, Any]:
    """The settings of the study; the first of each list is what all others are compared with."""
    columns = [c for c in choice.dataset.text_columns if c != "title"]
    attributes = [ALL, "title", REVERSED, *(f"title+{c}" for c in columns)]
    runs = [
        r for r in artifacts.runs(choice.root, choice.dataset.id, finished=True) if r.config.method not in UNTRAINED
    ]
    by_id = {r.id: r for r in runs}
    left, middle, right = st.columns(3)
    with left:
        read = links.choose_many(
            "Attributes of the texts", attributes, "attributes", show=lambda a: NAMES.get(a, a), default=attributes[:2]
        )
    with middle:
        similarities = [str(s) for s in get_args(Similarity)]
        alike = links.choose_many("Similarities", similarities, "similarities", default=["cosine", "whitened"])
    with right:
        run = links.choose(
            "Judge by this run as well",
            [NOBODY, *by_id],
            "content",
            show=lambda id: pickers.run_name(by_id[id]) if id in by_id else "no run",
            help="With the content term added to its scores.",
        )
    values: dict[str, Any] = {"design": "one"}
    values["attributes"] = [ALL, *(a for a in read if a != ALL)]
    values["similarities"] = ["cosine", *(s for s in alike if s != "cosine")]
    return values | ({"run": run} if run != NOBODY else {})


@widgets.acting
def _queue(choice: Choice, step: Step) -> None:
    parents = [f"datasets/{choice.dataset.id}", *(r for r in step.reads if r.startswith("runs/"))]
    artifacts.jobs(choice.root).submit_steps(
        [step], kind="study", label=f"Study {choice.dataset.name}", parents=parents
    )
    links.preselect("study", str(step.run))


def _job(choice: Choice) -> Job | None:
    """The newest job that studies this dataset, unless it has done so."""
    parent = f"datasets/{choice.dataset.id}"
    own = [j for j in artifacts.jobs(choice.root).list() if j.kind == "study" and parent in j.record.parents]
    return next((j for j in own[:1] if j.state != "SUCCEEDED"), None)
