"""The form of a new run, made from the config's schema: an estimate, the launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from llmesr import visitors
from llmesr.config import (
    NEEDS_TEXT,
    PRESETS,
    UNTRAINED,
    WORDS,
    RunConfig,
    SearchConfig,
    check_given,
    has_backbone,
    named_with_backbone,
    reads,
)
from llmesr.data.dataset import Dataset
from llmesr.jobs import plans
from llmesr.jobs.record import Step
from llmesr.runs.estimate import estimate
from llmesr.semantic.embed import whole_embeddings
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts
from llmesr.views.shared import forms, links, theme, widgets, words
from llmesr.views.training import given

NEW_TEXT = "new"
GOALS = {"train": "Train with these settings", "search": "Search for better settings"}
STARTS = {
    "default": "Our defaults.",
    "paper": "LLM-ESR's published settings.",
}
"""What the starting points are."""


def form(root: Store, manifest: Manifest) -> tuple[RunConfig, list[Step]]:
    """Method, backbone, text and settings; the config and the steps that a launch would submit."""
    given.clone_from_link(root)
    left, middle, right = st.columns(3)
    with left:
        method = str(links.choose("Method", list(words.METHODS), "method", default="llm-esr"))
        st.caption(words.METHODS[method])
    trained, neural = method not in UNTRAINED, has_backbone(method)
    backbone, preset = "sasrec", "default"
    with middle:
        if neural and not named_with_backbone(method):
            st.caption("The text model is the encoder: no backbone.")
        elif neural:
            backbone = str(links.choose("Backbone", list(words.BACKBONES), "backbone"))
            st.caption(words.BACKBONES[backbone])
        elif trained:
            st.caption("Solved at once: no backbone, no epochs.")
        else:
            st.caption("This method needs no training, only an evaluation.")
    with right:
        if neural:
            preset = str(links.choose("Starting point", list(PRESETS), "preset"))
            st.caption(STARTS.get(preset, ""))
    embedding = _pick_text(root, manifest) if method in NEEDS_TEXT else None
    start = forms.starting_values(method, backbone, preset)
    given.read_link(start)
    others = [m.id for m in _embeddings(root, manifest) if m.id != embedding]
    values = _fields(method, backbone, preset, start, others)
    config = RunConfig.read(None, **{**start, **values})
    if "language_model" in values and config.language_model != "auto":
        visitors.check_model(config.language_model)
    changed = forms.changes(values, start)
    given.write_link(changed)
    goal = "train"
    if trained:
        goal = str(links.choose("Goal", list(GOALS), "goal", kind="segmented", show=GOALS.__getitem__))
    if goal == "search":
        return config, _search(manifest, config, preset, changed, embedding)
    check_given(config, changed)
    repeats = _repeats() if trained and reads("seed", method, backbone) else 1
    return config, _steps(manifest, config, preset, changed, embedding, repeats)


def _pick_text(root: Store, manifest: Manifest) -> str | None:
    """The text vectors to train on, or the wish for new ones."""
    there = whole_embeddings(artifacts.manifests(root, "embeddings"), manifest.id)
    shown = {m.id: f"{m.config.get('embedder')}, embedded {theme.date(m.created)} ({m.id})" for m in there}
    shown[NEW_TEXT] = "Embed them now with the bundled encoder (MiniLM)"
    return links.choose("Item texts", list(shown), "embedding", show=shown.__getitem__)


def _embeddings(root: Store, manifest: Manifest) -> list[Manifest]:
    return [m for m in artifacts.manifests(root, "embeddings") if m.parent("datasets") == manifest.id]


def _fields(method: str, backbone: str, preset: str, start: Mapping[str, Any], embeddings: list[str]) -> dict[str, Any]:
    schema = forms.settings(RunConfig)
    words_too = (WORDS,) if method == "text-ease" else ()
    schema["views"] = replace(schema["views"], choices=(*words_too, *embeddings))
    basic, advanced = forms.shown(method, backbone)
    if not basic and not advanced:
        return {}
    scope = f"{preset}.{backbone}"
    values: dict[str, Any] = {}
    columns = st.columns(3)
    for number, name in enumerate(basic):
        with columns[number % 3]:
            values[name] = _widget(schema[name], start[name], scope)
    with links.folded("Advanced settings", "advanced", icon=":material/tune:"):
        for title, names in advanced.items():
            st.markdown(f"**{title}**")
            columns = st.columns(3)
            for number, name in enumerate(names):
                with columns[number % 3]:
                    values[name] = _widget(schema[name], start[name], scope)
    return values


def _widget(setting: forms.Setting, value: Any, scope: str) -> Any:
    """One setting. The values of a clone, or of a link, are waiting in the session under the setting's name."""
    value = st.session_state.get("clone", {}).get(setting.name, value)
    return forms.setting_widget(setting, value, f"set.{scope}.{setting.name}.{value}")


def _repeats() -> int:
    return int(
        st.number_input(
            "Number of seeds",
            min_value=1,
            max_value=10,
            value=1,
            key="train.repeats",
            bind="query-params",
            help="Training is partly luck. Runs with three different seeds show how large that part is; Compare "
            "averages them.",
            width=240,
        )
    )


def _steps(
    manifest: Manifest,
    config: RunConfig,
    preset: str,
    changed: Mapping[str, Any],
    embedding: str | None,
    repeats: int,
) -> list[Step]:
    steps = []
    if embedding == NEW_TEXT:
        steps.append(plans.embed_step(manifest.id))
        embedding = "{embedding}"
    for seed in range(config.seed, config.seed + repeats):
        values = {**changed, "seed": seed} if repeats > 1 else dict(changed)
        steps.append(
            plans.train_step(
                manifest.id,
                config.method,
                backbone=config.backbone,
                preset=preset,
                values=values,
                embedding=embedding,
                name=manifest.name,
            )
        )
    return steps


def _search(
    manifest: Manifest, config: RunConfig, preset: str, changed: Mapping[str, Any], embedding: str | None
) -> list[Step]:
    """Trials and objective, and what will be varied; the steps of a search."""
    from llmesr.training.space import default_space  # with optuna, which no other page needs

    schema = forms.settings(SearchConfig)
    own, columns = {}, st.columns(3, vertical_alignment="bottom")
    for name, column in zip(("trials", "objective", "pruning"), columns, strict=True):
        with column:
            own[name] = forms.setting_widget(schema[name], schema[name].default, f"search.{name}", linked=True)
    fixed = {k: v for k, v in changed.items() if not k.startswith("monitor")}
    varied = default_space(config.method, config.backbone, fixed)
    if not varied:
        st.error("Every setting a search would vary was changed above, so nothing is left to search.")
        return []
    st.caption(
        f"Varies {', '.join(words.between(name, given) for name, given in varied.items())}. What you change above is "
        "the same in every trial. Trials are judged on validation alone. For ranges of your own use "
        "`--space FILE.yaml` on the command line."
    )
    steps = []
    if embedding == NEW_TEXT:
        steps.append(plans.embed_step(manifest.id))
        embedding = "{embedding}"
    values = {**fixed, "epochs": config.epochs, **({} if own["pruning"] else {"pruning": False})}
    search = plans.search_step(
        manifest.id,
        config.method,
        backbone=config.backbone,
        trials=own["trials"],
        objective=own["objective"],
        preset=preset,
        values=values,
        embedding=embedding,
        name=manifest.name,
    )
    return [*steps, search]


def trainings(steps: list[Step]) -> int:
    """How many runs the steps train."""
    return sum(step.trainings for step in steps)


def show_estimate(root: Store, data: Dataset, config: RunConfig, repeats: int) -> None:
    """How long it will take, and how sure that is."""
    found = estimate(config, len(data.split.train_items), data.n_items, artifacts.timings(root))
    if found is None:
        st.caption("Takes seconds: nothing is trained.")
        return
    text = f"About {theme.duration(found.per_epoch)} per epoch" if found.per_epoch >= 1 else "Under a second per epoch"
    text += f", at most {theme.duration(found.longest * repeats)}"
    if found.likely is not None:
        text += f"; likely {theme.duration(found.likely * repeats)}, because training stops when it no longer improves"
    st.caption(f"{text}. {found.basis}", help="Embedding new item texts and finding similar users take extra time.")


def launch(root: Store, manifest: Manifest, steps: list[Step], views: Sequence[str] = ()) -> None:
    """The button."""
    if not steps:
        return
    st.button(
        "Launch", type="primary", icon=":material/play_arrow:", on_click=_launch, args=(root, manifest, steps, views)
    )


def commands(steps: list[Step]) -> None:
    """The commands that the button stands for."""
    if not steps:
        return
    with links.folded("Equivalent command", "command", icon=":material/terminal:"):
        st.code("\n".join(plans.command_line(s) for s in steps), language="bash", wrap_lines=True)


@widgets.acting
def _launch(root: Store, manifest: Manifest, steps: list[Step], views: Sequence[str]) -> None:
    parents = [f"datasets/{manifest.id}", *(f"embeddings/{view}" for view in views if view != WORDS)]
    label = f"{steps[-1].label} on {manifest.name}"
    kind = steps[-1].verb
    artifacts.jobs(root).submit_steps(steps, kind=kind, label=label, parents=parents)
    st.session_state.pop("clone", None)
    links.preselect("part", "queue" if kind == "search" else "watch")
    if kind != "search":
        links.preselect("run", str(steps[-1].run))
