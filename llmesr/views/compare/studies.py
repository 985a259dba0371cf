"""The studies of a dataset on the Compare page: what prompts, encoders and similarities are worth, judge by judge."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from llmesr.config import EVERY_GROUP
from llmesr.data.groups import Thresholds
from llmesr.evaluation import contrast
from llmesr.runs.study import Study
from llmesr.views.cache import artifacts
from llmesr.views.compare import study_form
from llmesr.views.compare.charts import difference_chart
from llmesr.views.compare.choice import Choice
from llmesr.views.shared import behind, clicks, exhibits, links, theme, widgets
from llmesr.views.shared.job_panels import WORDS
from llmesr.views.shared.marks import plain
from llmesr.views.shared.words import as_text

METRIC = "NDCG@10"
COLUMNS = ("label", "group", "users", "value", "difference", "low", "high", "p_adjusted")
JUDGES = {
    "text-ease": "EASE with text, which reads item vectors whatever the similarity; without its fallback.",
    "semantic-knn": "The item most similar to one of the history; nothing is trained.",
    "content": "A run with the content term added: how near a candidate's text is to the history.",
    "similar-users": "What the users with the most similar vectors chose, the nearer counting more.",
}


def studies(choice: Choice) -> None:
    """One study: where it stands, and every change against the default by one judge."""
    root = choice.root
    made = [m for m in artifacts.manifests(root, "studies") if m.parent("datasets") == choice.dataset.id]
    found = {m.id: Study(root, m.id) for m in made}
    widgets.damaged(root, "studies")
    study_form.form(choice, opened=not found)
    if not found:
        st.info("No study of prompts and encoders on this dataset yet.", icon=":material/science:")
        return
    chosen = found[str(links.choose("Study", list(found), "study", show=lambda id: _named(found[id])))]
    status = chosen.status()
    if status.state != "SUCCEEDED":
        st.info(
            f"{status.epoch} of {status.epochs} comparisons are done; {WORDS[status.state]}. {as_text(status.message)}"
        )
        return
    table = chosen.table()
    judge = str(links.choose("Judge", list(dict.fromkeys(table["judge"])), "judge", kind="segmented"))
    st.caption(JUDGES.get(judge, f"{as_text(judge)}, trained on the texts that text-ease ranked best."))
    rows = table[(table["judge"] == judge) & (table["protocol"] == choice.protocol)]
    changed = rows.dropna(subset="difference")
    if changed.empty:
        st.caption("This judge saw the default alone.")
        return
    frame = changed.drop(columns="value").assign(
        run=changed["label"].map(lambda label: as_text(label, 80)), label=judge
    )
    default = rows[(rows["label"] == "default") & (rows["group"] == "Overall")]["value"].iloc[0]
    mark = clicks.chart(
        difference_chart(frame, METRIC, "the default", _stated(chosen), widgets.mode()),
        key="study",
        parts=2,
        alt=f"Difference in NDCG@10 on validation from the default ({default:.4f} in all), by change and group.",
        data=_readable(rows),
        name=f"study-{chosen.id}",
    )
    kept = chosen.thresholds
    thresholds = Thresholds.model_validate(kept) if kept else choice.thresholds
    _behind(choice, chosen, judge, mark, thresholds)
    exhibits.caption(choice.protocol, thresholds, choice.dataset.split_config, "valid")
    if not kept:
        exhibits.definition_not_kept("This study was held")


def _behind(choice: Choice, study: Study, judge: str, mark: list[str], thresholds: Thresholds) -> None:
    """The validation users behind a dot, ``mark`` its change and its group: ranks under the default and the change."""
    keys = {plain(as_text(e["label"], 80)): e["key"] for e in study.entries() if e["judge"] == judge}
    if len(mark) != 2 or not {"default", mark[0]} <= keys.keys() or mark[1] not in EVERY_GROUP:
        return
    before, after = ([study.ranks(keys[label])] for label in ("default", mark[0]))
    moved = contrast.movers(before, after, metric=METRIC, protocol=choice.protocol, part="valid")
    rows = behind.of_movers(moved, choice.dataset, thresholds, mark[1])
    behind.users(rows, f"{mark[1]}, validation: the default (before) and {mark[0]} (after)", "study")


def _readable(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[list(COLUMNS)].rename(columns={"label": "change", "p_adjusted": "p (corrected)"})


def _stated(study: Study) -> str:
    """What the default is."""
    config = study.config
    said = f"Default: {config.embedders[0].rpartition('/')[2]}, prompt {config.prompts[0]}, attributes "
    return f"{said}{config.attributes[0]}, {config.similarities[0]}, users {config.users[0]}."


def _named(study: Study) -> str:
    return f"{study.manifest.name} · {theme.date(study.manifest.created)} ({study.id})"
