"""The scoring view of the Compare page: tune a run's scoring on validation, look at the front, choose a point of it."""

from __future__ import annotations

from functools import partial
from typing import get_args

import pandas as pd
import streamlit as st

from llmesr.data.dataset import split_of
from llmesr.jobs import plans
from llmesr.jobs.record import Step
from llmesr.prose import signed
from llmesr.runs.record import Run
from llmesr.scoring.tuning.outcome import PolicyObjective, PolicyTuningConfig, TunedPolicy, load_tuned_policy
from llmesr.scoring.weights import PopularityWeights
from llmesr.store import Store
from llmesr.views.cache import artifacts
from llmesr.views.cache.protagonists import first_runs
from llmesr.views.compare import scoring_charts
from llmesr.views.shared import exhibits, job_panels, links, pickers, widgets, words

NOBODY = "none"
ABOUT = (
    "A policy changes the scores of a trained run, without training: it adds a **content** term (how similar the texts "
    "of candidate and history are) and a **linear** term (item-to-item weights of what the same users chose, with or "
    "without the text), and weights every part by the popularity of the item. It is tuned on validation and then "
    "evaluated on test as a run of its own."
)
OBJECTIVES = {
    "balanced": "Tail and head items equally, no group far behind",
    "overall": "Best overall, even if a group loses",
    "tail": "Best on tail items, overall not far behind",
}


def scoring(root: Store, dataset_id: str, protocol: str) -> None:
    """The whole view for the runs of a dataset that have a model of their own."""
    runs = {r.id: r for r in artifacts.runs(root, dataset_id, finished=True) if "policy" not in r.manifest.info}
    order = first_runs(root, dataset_id, runs, with_text=True)
    st.markdown(ABOUT)
    chosen = links.choose("Run", order, "tuned", show=lambda i: pickers.run_name(runs[i]))
    run = runs[str(chosen)]
    _form(root, dataset_id, run, [runs[i] for i in order if i != run.id])
    job = next(
        (j for j in artifacts.jobs(root).list() if j.kind == "tune" and f"runs/{run.id}" in j.record.parents), None
    )
    if job is not None and (job.active or job.state in ("STOPPED", "FAILED")):
        job_panels.progress(root, job.id, place="tune")
    with widgets.boundary("The policy"):
        tuned = load_tuned_policy(run)
        if tuned is None:
            st.info("This run's scoring has not been tuned yet.", icon=":material/tune:")
        else:
            _outcome(root, run, tuned, protocol)


def _form(root: Store, dataset_id: str, run: Run, others: list[Run]) -> None:
    names = {r.id: pickers.run_name(r) for r in others}
    left, right = st.columns(2)
    with left:
        objective = st.selectbox(
            "Objective", list(get_args(PolicyObjective)), format_func=OBJECTIVES.__getitem__, key="policy.objective"
        )
    with right:
        reference = st.selectbox(
            "No group may fall below",
            [NOBODY, *names],
            format_func=lambda i: names.get(i, "no run"),
            key="policy.reference",
            help="For instance the model in use today. Checked on validation, in HR@10 and NDCG@10 of both protocols.",
        )
    values = {"objective": objective} if objective != PolicyTuningConfig().objective else {}
    values |= {"reference": reference} if reference != NOBODY else {}
    step = plans.tune_step(run.id, values)
    parents = [f"datasets/{dataset_id}", f"runs/{run.id}"]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Tune on validation",
            type="primary",
            icon=":material/tune:",
            on_click=_submit,
            args=(root, step, f"Tune the scoring of {run.label}", parents),
        )
        st.code(plans.command_line(step), language="bash", wrap_lines=True)


@widgets.acting
def _submit(root: Store, step: Step, label: str, parents: list[str]) -> None:
    artifacts.jobs(root).submit_steps([step], kind="tune", label=label, parents=parents)


def _outcome(root: Store, run: Run, tuned: TunedPolicy, protocol: str) -> None:
    """The front, one point of it in full, and the button that makes it the run's policy."""
    frame = scoring_charts.policy_frame(tuned.points, protocol)
    left, right = st.columns([3, 2])
    with left:
        _front(run, tuned, frame, protocol)
    with right:
        shown = _point(root, run, tuned, frame)
    weights = tuned.points[shown].policy.weights
    if weights is not None:
        _curves(run, weights, tuned.thresholds.item)


def _shown(run: Run, tuned: TunedPolicy) -> int:
    """The point that was clicked or picked last; at first the one in use."""
    shown = int(st.session_state.get(f"policy.shown.{run.id}", tuned.chosen))
    return shown if shown < len(tuned.points) else tuned.chosen


def _front(run: Run, tuned: TunedPolicy, frame: pd.DataFrame, protocol: str) -> None:
    """Every policy; a click on one shows it."""
    shown = _shown(run, tuned)
    split = split_of(run.store.manifest("datasets", tuned.dataset))
    line = words.protocol_line(protocol, tuned.thresholds, split, "valid")
    line += " Judged by the first target of each user." if split.targets == "all" else ""
    found = exhibits.chart(
        scoring_charts.policy_chart(frame, shown, line, widgets.mode()),
        key=f"policy.front.{run.id}",
        alt=f"{len(frame)} policies, overall against tail-item accuracy; {int(frame['front'].sum())} of them are on "
        "the Pareto front.",
        data=frame,
        name=f"policies-{run.id}",
        on_select="rerun",
        selection_mode="points",
    )
    picked = found.selection.points if found else []
    if picked and "customdata" in picked[0] and picked[0]["customdata"] != shown:
        data = picked[0]["customdata"]
        st.session_state[f"policy.shown.{run.id}"] = int(data[0] if isinstance(data, list | tuple) else data)
        st.rerun()


def _point(root: Store, run: Run, tuned: TunedPolicy, frame: pd.DataFrame) -> int:
    """One policy in numbers, and the button that puts it to use. Returns which."""
    shown = _shown(run, tuned)
    options = sorted({0, shown, tuned.chosen, *frame.loc[frame["front"], "point"].tolist()})
    shown = int(
        st.selectbox(
            "Policy",
            options,
            index=options.index(shown),
            format_func=lambda i: (
                f"{i}: {tuned.points[i].policy.describe()}" + (" (in use)" if i == tuned.chosen else "")
            ),
            help="The Pareto front, the policy in use, and the one you clicked.",
        )
    )
    st.session_state[f"policy.shown.{run.id}"] = shown
    exhibits.table(
        scoring_charts.change_table(frame, shown),
        key=f"policy.change.{run.id}",
        formats={"Before": "{:.4f}".format, "After": "{:.4f}".format, "Change, %": partial(signed, digits=1)},
    )
    parents = [f"datasets/{run.dataset_id}", f"runs/{run.id}"]
    st.button(
        "Use this policy",
        icon=":material/check:",
        disabled=shown == tuned.chosen,
        on_click=_submit,
        args=(root, plans.tune_step(run.id, point=shown), f"Evaluate policy {shown} of {run.label}", parents),
        help="Evaluates it on test as a run of its own, to be compared like any other.",
    )
    st.caption(f"{scoring_charts.METRIC} on validation over {tuned.users:,} users, tuned in {tuned.seconds:.0f} s.")
    return shown


def _curves(run: Run, weights: PopularityWeights, tail: int) -> None:
    """What counts for rare and for popular items under the policy shown."""
    exhibits.chart(
        scoring_charts.weights_chart(weights, tail, widgets.mode()),
        key=f"policy.weights.{run.id}",
        alt="How much each part of the score counts for rare and for popular items.",
        data=scoring_charts.weights_frame(weights),
        name=f"weights-{run.id}",
    )
