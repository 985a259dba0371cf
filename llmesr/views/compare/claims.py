"""The Defend view: the claim in a sentence, what it lacks, the job that trains exactly that, the statement."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import streamlit as st

from llmesr.config import BLEND
from llmesr.evaluation.claim import Claim
from llmesr.evaluation.lacking import missing
from llmesr.evaluation.statement import statement
from llmesr.jobs.record import Job
from llmesr.jobs.wanted import wanted_steps
from llmesr.prose import counted
from llmesr.runs.estimate import altogether
from llmesr.runs.wanted import Training
from llmesr.store import slug
from llmesr.views.cache import artifacts, evidence
from llmesr.views.compare.choice import Choice
from llmesr.views.shared import job_panels, links, theme, widgets
from llmesr.views.shared.words import as_text

SHOWN = 12
"""Trainings that are named; more of them are counted."""


def defend(choice: Choice) -> None:
    """One configuration against the baseline: what can be said today, and what would make it stand."""
    if not choice.others:
        st.info("A claim needs two configurations: add a second one above.", icon=":material/balance:")
        return
    st.markdown(
        "Write a claim down, train what it lacks, and take a one-page statement with you: the claim, its numbers, what "
        "it was tested against, and what would overturn it."
    )
    name = str(
        links.choose("Claim that this is better than the baseline", choice.others, "claim", default=choice.foremost)
    )
    pair = {n: choice.lineup[n] for n in (name, choice.reference)}
    claim = evidence.claim(
        choice.root, pair, artifacts.runs_of_data(choice.root, choice.dataset.id), choice.thresholds, choice.metric,
        choice.protocol,
    )  # fmt: skip
    lacking = missing(claim)
    show = st.success if claim.stands else st.warning
    show(f"**{claim.standing}.** {as_text(claim.sentence, 1500)}", icon=":material/gavel:")
    for sentence in _taken(claim, choice, name):
        st.caption(as_text(sentence, 400))
    st.caption(
        "p is corrected for the groups of this claim; the verdict corrects it for every configuration that is shown."
    )
    job = _job(choice, claim)
    if job is not None:
        job_panels.progress(choice.root, job.id, place="claim", news=lambda: _made(choice))
    elif lacking:
        _offer(choice, claim, lacking)
    else:
        st.markdown(
            "**Nothing is missing.** The statement says what it was tested against, and what stands against it."
        )
    st.download_button(
        "Download the statement (HTML)",
        data=lambda: statement(claim, _command(choice, claim)).encode(),
        file_name=f"{slug(claim.title)}.html",
        mime="text/html",
        key="claim.statement",
        icon=":material/description:",
        on_click="ignore",
        help="One page that opens offline. It says what stands today, with what is missing." if lacking else None,
    )


def _taken(claim: Claim, choice: Choice, name: str) -> list[str]:
    """Where the claim is about other runs than those that were picked: longer trained, or tuned as well."""
    said = []
    for asked, taken in ((name, claim.run), (choice.reference, claim.baseline)):
        if set(taken.ids) != set(choice.lineup[asked]):
            said.append(f"For {asked} stands {taken.name}, with {counted(len(taken.ids), 'run')}: all its seeds.")
    return said


def _offer(choice: Choice, claim: Claim, lacking: Sequence[Training]) -> None:
    """What is missing, how long it takes, and the button that queues exactly that."""
    st.markdown(f"**It lacks {counted(len(lacking), 'run')}:**")
    reasons = [as_text(t.why, 200) for t in lacking]
    rest = [f"and {len(reasons) - SHOWN} more"] if len(reasons) > SHOWN else []
    st.markdown("\n".join(f"- {reason}" for reason in [*reasons[:SHOWN], *rest]))
    data = choice.dataset
    configs = [t.config for t in lacking if t.of_run is None and t.method != BLEND]
    likely, longest = altogether(configs, len(data.split.train_items), data.n_items, artifacts.timings(choice.root))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Defend this claim",
            type="primary",
            icon=":material/shield:",
            key="claim.defend",
            on_click=_queue,
            args=(choice, claim, lacking),
            help="Queues exactly these runs as one job.",
        )
        if longest:
            st.markdown(f"takes about {theme.duration(likely)}, at most {theme.duration(longest)}")


@widgets.acting
def _queue(choice: Choice, claim: Claim, lacking: Sequence[Training]) -> None:
    manifest = choice.root.manifest("datasets", choice.dataset.id)
    there = claim.in_time.dataset if claim.in_time is not None else None
    steps = wanted_steps(choice.root, manifest, lacking, in_time=there)
    parents = [f"datasets/{manifest.id}", *(f"runs/{id}" for side in (claim.run, claim.baseline) for id in side.ids)]
    artifacts.jobs(choice.root).submit_steps(steps, kind="defend", label=_label(claim), parents=parents)


def _job(choice: Choice, claim: Claim) -> Job | None:
    """The job that trains for this claim, while it has not done so."""
    own = [j for j in artifacts.jobs(choice.root).list() if j.kind == "defend" and j.label == _label(claim)]
    return next((j for j in own[:1] if j.state != "SUCCEEDED"), None)


def _label(claim: Claim) -> str:
    return f"Defend {claim.title}"


def _made(choice: Choice) -> int:
    return len(artifacts.runs(choice.root, choice.dataset.id, finished=True))


def _command(choice: Choice, claim: Claim) -> str:
    words = ["llmesr", "defend", claim.run.ids[0], "--baseline", claim.baseline.ids[0]]
    return shlex.join([*words, "--metric", choice.metric, "--protocol", choice.protocol])
