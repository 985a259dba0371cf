"""What is looked at in the lab: which view, by which run, with lists of which length."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from llmesr.config import LabConfig
from llmesr.data.dataset import Dataset
from llmesr.lab.rewritten import can_score_new
from llmesr.runs.record import Run
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import Store
from llmesr.views.cache import artifacts, models
from llmesr.views.shared import links, pickers, pins, widgets, words

VIEWS = {"new": "New product", "edit": "Edit a text", "repair": "Texts to repair"}
LENGTHS = ("5", "10", "20", "50", "100")
FIRST = ("text-ease", "semantic-knn")
"""Methods looked at first where there are runs of them: their answers take seconds, and their reasons are exact or
plain."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A run that reads text, of ``runs`` that do."""

    root: Store
    dataset: Dataset
    runs: list[Run]
    run: Run
    view: str
    config: LabConfig

    @property
    def scored(self) -> ScoredRun:
        return models.recommender(self.root, self.run.id).scored

    @property
    def key(self) -> str:
        """Changes with whatever an answer depends on beside the question."""
        return f"{self.root.digest('runs', self.run.id)}.{self.config.k}"

    @property
    def caption(self) -> str:
        """What stands beside every number: run, policy, protocol, split, definitions."""
        policy = self.scored.policy
        scored = "scores as trained" if policy.inert else policy.describe()
        line = (
            f"{self.run.label} ({self.run.id}), {scored}; full ranking over all items. "
            f"{self.dataset.split_config.describe()} {self.dataset.thresholds.describe()}"
        )
        return words.as_text(line, 900)


def choose(root: Store, dataset_id: str) -> Choice | None:
    """The view, the run and the length of a list. Says what to do where no run can score an item by its text."""
    finished = artifacts.runs(root, dataset_id, finished=True)
    runs = [run for run in finished if can_score_new(run)]
    if not runs:
        sentence = (
            "No run of this dataset has finished yet."
            if not finished
            else "No run of this dataset scores an item by its text. Train text-ease, which takes seconds, or llm-esr."
        )
        widgets.empty(sentence, links.TRAINING, "Train a run")
        return None
    view = links.choose("View", list(VIEWS), "lab", kind="segmented", show=VIEWS.__getitem__)
    by_id = {run.id: run for run in runs}
    plain = [r for r in runs if "policy" not in r.manifest.info]
    first = next((r.id for m in FIRST for r in plain if r.config.method == m), runs[0].id)
    with st.container(key="lab-run"):  # on a phone below what is asked
        left, right = st.columns([3, 1])
    with left:
        label = "Run that reads text"
        chosen = links.choose(label, list(by_id), "labrun", show=lambda id: pickers.run_name(by_id[id]), default=first)
    with right:
        k = links.choose("Length of a list", LENGTHS, "lablength", default="10")
    run, dataset = by_id[str(chosen)], artifacts.dataset(root, dataset_id)
    pins.about(dataset, [run.id], dataset.thresholds)
    return Choice(root, dataset, runs, run, str(view), LabConfig(k=int(str(k))))
