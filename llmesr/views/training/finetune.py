"""Fine-tuning the text model from the Training page: the form, an estimate, the launch, and what came of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from llmesr import visitors
from llmesr.config import FinetuneConfig
from llmesr.data.dataset import Dataset
from llmesr.jobs import plans
from llmesr.jobs.record import Step
from llmesr.runs.estimate import finetune_seconds
from llmesr.runs.finetune import Finetune, list_finetunes
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts
from llmesr.views.shared import exhibits, forms, job_panels, links, theme, widgets
from llmesr.views.shared.words import as_text
from llmesr.views.training.charts import tuning_chart

BASIC = ("base", "steps", "batch_size", "drop_ratio", "learning_rate", "seed")
ABOUT = (
    "The text model learns to match two copies of each item's text, with attributes shuffled and some dropped (SCFT of "
    "LLMEmb). It needs no interactions. The items are then embedded again: choose the result under Item texts of a new "
    "run."
)
MEASURES = {
    "accuracy": "Retrieval accuracy on held-out items",
    "mean_cosine": "Mean cosine of all pairs (lower: better spread)",
    "uniformity": "Uniformity (lower is better)",
    "alignment": "Distance of an item's two copies (lower is better)",
}


def form(root: Store, manifest: Manifest, data: Dataset) -> None:
    """Settings, how long it will take, and the button."""
    st.markdown(ABOUT)
    if not data.text_columns:
        st.info("This dataset has no item text, so there is nothing to fine-tune on.", icon=":material/subject:")
        return
    schema = forms.settings(FinetuneConfig)
    schema["base"] = _base(schema["base"])
    start = FinetuneConfig().model_dump()
    values: dict[str, Any] = {}
    columns = st.columns(3)
    for number, name in enumerate(BASIC):
        with columns[number % 3]:
            values[name] = forms.setting_widget(schema[name], start[name], f"tune.{name}", linked=True)
    with links.folded("Advanced settings", "advanced", icon=":material/tune:"):
        columns = st.columns(3)
        rest = [n for n in schema if n not in BASIC and n != "attributes"]
        for number, name in enumerate(rest):
            with columns[number % 3]:
                values[name] = forms.setting_widget(schema[name], start[name], f"tune.{name}", linked=True)
    visitors.check_model(values["base"])
    config = FinetuneConfig.read(None, **values)
    st.caption(_estimate(root, config))
    steps = plans.finetune_steps(manifest.id, manifest.name, forms.changes(values, start))
    st.button(
        "Fine-tune",
        type="primary",
        icon=":material/play_arrow:",
        on_click=_launch,
        args=(root, manifest, steps),
    )
    with links.folded("Equivalent command", "command", icon=":material/terminal:"):
        st.code("\n".join(plans.command_line(s) for s in steps), language="bash", wrap_lines=True)


def _base(setting: forms.Setting) -> forms.Setting:
    """The model is chosen among those that the operator allows, and written only where any is allowed."""
    offered = visitors.models()
    return setting if visitors.ANY in offered else replace(setting, kind="choice", choices=tuple(offered))


@widgets.acting
def _launch(root: Store, manifest: Manifest, steps: list[Step]) -> None:
    label = f"Fine-tune on {manifest.name}"
    artifacts.jobs(root).submit_steps(steps, kind="finetune", label=label, parents=[f"datasets/{manifest.id}"])
    links.preselect("tuning", str(steps[0].run))


def _estimate(root: Store, config: FinetuneConfig) -> str:
    seconds, basis = finetune_seconds(config, [Finetune(root, m.id) for m in artifacts.manifests(root, "adapters")])
    if seconds is None:
        return basis
    return f"About {theme.duration(seconds)} per step, at most {theme.duration(seconds * config.steps)}. {basis}"


def history(root: Store, manifest: Manifest) -> None:
    """The tunings of the dataset: one that runs live, with its curve, and what it did to held-out items."""
    jobs = [j for j in artifacts.jobs(root).using("datasets", manifest.id) if j.record.steps[0].makes == "adapters"]
    done = [t.id for t in list_finetunes(root, manifest.id)]
    waiting = [str(j.record.steps[0].run) for j in jobs]
    ids = [*(i for i in waiting if i not in done), *done]
    if not ids:
        return
    st.subheader("Fine-tuning runs")
    chosen = str(links.choose("Fine-tuning run", ids, "tuning"))
    job_panels.watch(root, "adapters", chosen, _draw)


def _draw(root: Store, tuning_id: str) -> None:
    if root.exists("adapters", tuning_id):
        _outcome(Finetune(root, tuning_id))


def _outcome(run: Finetune) -> None:
    events = run.events()
    if events.empty:
        st.caption("Measuring the model before fine-tuning: the first point of the curve.")
        return
    last = events.iloc[-1]
    exhibits.chart(
        tuning_chart(events, widgets.mode()),
        key=f"finetune.{run.id}",
        alt=f"Retrieval accuracy on held-out items: {events['accuracy'].iloc[0]:.3f} before, "
        f"{last['accuracy']:.3f} at step {int(last['step'])}.",
        data=events[[c for c in ("step", "loss", *MEASURES, "seconds") if c in events]],
        name=f"finetune-{run.id}",
    )
    if "after" not in run.manifest.info:
        return
    info = run.manifest.info
    rows = [(text, info["before"][key], info["after"][key]) for key, text in MEASURES.items()]
    exhibits.table(
        pd.DataFrame(rows, columns=["Held-out items", "Before", "After"]), key=f"finetuned.{run.id}", name="fine-tuned"
    )
    st.caption(
        f"{info['steps']} steps (best {info['best_step']}), {info['seconds_per_step']:.2g} s each; "
        f"base {as_text(run.config.base)}. The Embeddings page compares all items before and after."
    )
