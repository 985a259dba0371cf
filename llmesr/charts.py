"""The figures of the app, for notebooks and scripts: plotly figures made of datasets, runs and comparisons.

    llmesr.charts.popularity(dataset)                    how long the tail is
    llmesr.charts.differences(llmesr.compare(runs))      who gains where, with intervals and tests
    llmesr.charts.validation(run)                        how it learned

Every figure is drawn by the very function the app draws it by; ``mode="dark"`` for a dark page.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from llmesr.data.dataset import Dataset
from llmesr.data.profile import profile, training_lengths
from llmesr.errors import UserError
from llmesr.evaluation.comparison import Comparison
from llmesr.evaluation.contrast import seesaw as paired
from llmesr.evaluation.doubts import unsettled
from llmesr.runs.record import Run
from llmesr.views.compare import charts as comparing
from llmesr.views.compare import trade_off_charts
from llmesr.views.datasets import charts as tails
from llmesr.views.shared.theme import Mode
from llmesr.views.training import charts as learning


def popularity(dataset: Dataset, *, mode: Mode = "light") -> go.Figure:
    """Training interactions of an item by its rank, both axes logarithmic, head and tail apart."""
    return tails.popularity_chart(profile(dataset).popularity, dataset.thresholds, mode)


def lorenz(dataset: Dataset, *, mode: Mode = "light") -> go.Figure:
    """What share of the interactions the least chosen share of items gets."""
    found = profile(dataset)
    return tails.lorenz_chart(found.lorenz, found.summary["gini"], 1 - found.summary["tail_item_share"], mode)


def lengths(dataset: Dataset, *, mode: Mode = "light") -> go.Figure:
    """How many users have a training history of each length."""
    return tails.lengths_chart(training_lengths(dataset), dataset.thresholds, mode)


def groups(comparison: Comparison, metric: str | None = None, *, mode: Mode = "light") -> go.Figure:
    """One metric (the first) of every method by group, with 95% intervals."""
    asked = _asked(comparison, metric)
    rows = comparison.summary[comparison.summary["metric"] == asked]
    return comparing.group_chart(_labelled(comparison, rows), asked, _caption(comparison), mode)


def differences(comparison: Comparison, metric: str | None = None, *, mode: Mode = "light") -> go.Figure:
    """Gains over the baseline by group, with intervals; filled where the corrected test finds a difference."""
    asked = _asked(comparison, metric)
    rows = comparison.tests[comparison.tests["metric"] == asked]
    return comparing.difference_chart(
        _labelled(comparison, rows), asked, comparison.baseline.name, _caption(comparison), mode
    )


def seesaw(comparison: Comparison, metric: str | None = None, *, mode: Mode = "light") -> go.Figure:
    """Gain on tail items against gain on head items, a point per method."""
    asked = _asked(comparison, metric)
    points = _labelled(comparison, paired(comparison.tests, asked))
    return trade_off_charts.seesaw_chart(points, asked, comparison.baseline.name, _caption(comparison), mode)


def losses(run: Run, *, mode: Mode = "light") -> go.Figure:
    """Training loss by epoch. UserError for a method that is not trained by epochs."""
    return learning.loss_chart(_events(run), mode)


def validation(run: Run, metric: str = "NDCG@10", *, protocol: str = "full", mode: Mode = "light") -> go.Figure:
    """A metric on validation after each epoch, by group. UserError for a method that is not trained by epochs."""
    return learning.validation_chart(_events(run), metric, protocol, mode)


def _asked(comparison: Comparison, metric: str | None) -> str:
    asked = metric or comparison.metrics[0]
    if asked not in comparison.metrics:
        known = ", ".join(comparison.metrics)
        raise UserError(f"The comparison has {known}, not {asked}; say metric=[...] in llmesr.compare.")
    return asked


def _labelled(comparison: Comparison, rows: pd.DataFrame) -> pd.DataFrame:
    """With ``label``, which decides colour and marker."""
    return rows.assign(label=rows["run"].map({c.name: c.label for c in comparison.chosen}))


def _caption(comparison: Comparison) -> str:
    where = f"{comparison.protocol} ranking, {comparison.part} part. {comparison.thresholds.describe()}"
    return where + unsettled(comparison.doubts)


def _events(run: Run) -> pd.DataFrame:
    events = run.events()
    if "epoch" not in events:
        raise UserError(f"Run {run.id!r} has no epochs: {run.label} is not trained by them.")
    return events
