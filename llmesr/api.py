"""The steps of the command line as functions, for notebooks and scripts. The README shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from llmesr.config import (
    BestConfig,
    EmbedConfig,
    IngestConfig,
    LabConfig,
    RunConfig,
    SplitConfig,
    StudyConfig,
    check_given,
)
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.semantic.embed import Embedding
from llmesr.store import Store

if TYPE_CHECKING:
    from llmesr.evaluation.comparison import Comparison
    from llmesr.findings import Pinned
    from llmesr.lab.edit import Edited
    from llmesr.lab.launch import Launched
    from llmesr.lab.past import Past
    from llmesr.lab.repair import Repairs
    from llmesr.runs.study import Study
    from llmesr.scoring.policy import ScoringPolicy
    from llmesr.scoring.tuning.outcome import PolicyWord


def ingest(
    *sources: str | Path | Any,
    name: str,
    users: str | Path | Any = None,
    sql: str | Sequence[str] = (),
    store: Store | None = None,
    **settings: Any,
) -> Dataset:
    """Files (or a folder) of interactions and items -> a dataset. ``settings``: :class:`IngestConfig`.

    A source may also be a frame (pandas, polars, Arrow, whatever has an Arrow stream), a database with its queries
    ``sql``, or an address (``https://``, ``s3://`` ...): see ``llmesr ingest --help``.

    ``users``, a source too, holds what is known of them; other sources are told apart by their columns.

    The same files and settings give the dataset that is there. Everything is written under ``store``, by default
    ``LLMESR_ARTIFACTS`` or ``./artifacts``. UserError for what cannot be read or reached, columns that cannot be told,
    and more unreadable lines than ``max_rejected``.
    """
    from llmesr.data.ingest import ingest as run
    from llmesr.data.places.bring import brought

    config = IngestConfig.read(None, name=name, **settings)
    where = store or Store()
    people = () if users is None else (users,)
    with (
        brought(sources, where, sql=[sql] if isinstance(sql, str) else sql) as given,
        brought(people, where) as told,
    ):
        return run(given.paths, config, where, users=told.paths, origins=given.origins | told.origins)


def split(dataset: Dataset, *, name: str | None = None, store: Store | None = None, **settings: Any) -> Dataset:
    """A second dataset of the same data under another split. ``settings``: :class:`SplitConfig`."""
    from llmesr.data.splitting import resplit

    return resplit(dataset, SplitConfig.read(None, **settings), store or Store(), name=name)


def embed(dataset: Dataset, *, store: Store | None = None, **settings: Any) -> Embedding:
    """Item and user text -> vectors. ``settings``: :class:`EmbedConfig`.

    ``item_vectors`` (N, E) and ``user_vectors`` (U, E) of the result are float32, in the order of the catalogue and of
    the dataset's users. Texts embedded before come from the cache. UserError for an embedder that is not known or
    cannot be reached, and for vectors that are no numbers.
    """
    from llmesr.semantic.embed import embed as run

    return run(dataset, EmbedConfig.read(None, **settings), store or Store())


def train(dataset: Dataset, *, embedding: Embedding | None = None, store: Store | None = None, **settings: Any) -> Run:
    """Train and evaluate one method. ``settings``: :class:`RunConfig`, such as ``method="llm-esr"``.

    Validation and test are ranked at the end: ``metrics()`` of the run has every metric by group, ``per_user()`` the
    rank of each user's target, from 1. Without ``embedding``, a method that reads text takes the dataset's newest.
    UserError when something the method needs is missing, for a setting that would do nothing, and when the loss is no
    longer a number.
    """
    from llmesr.training.train import train as run

    config = RunConfig.read(None, **settings)
    check_given(config, settings)
    return run(dataset, config, store or Store(), embedding=embedding)


def register_ranking(path: str | Path, dataset: Dataset, *, name: str | None = None, store: Store | None = None) -> Run:
    """A ranking made elsewhere (a table of user, item and score or rank) -> a run that is compared like any other."""
    from llmesr.evaluation.external import register_ranking as run

    return run(store or Store(), Path(path), dataset, name=name)


def compare(
    runs: Sequence[Run],
    *,
    baseline: Run | None = None,
    protocol: str = "full",
    metric: str | Sequence[str] = "NDCG@10",
    part: str = "test",
    store: Store | None = None,
) -> Comparison:
    """Runs of one dataset against ``baseline`` (the first): what ``llmesr compare`` shows, from the same function.

    ``summary`` and ``tests`` of the result are frames, ``verdicts`` sentences, ``doubts`` what stands against them;
    printed it is the groups in columns and the verdicts below. UserError for runs of several datasets and for an
    unknown metric.
    """
    from llmesr.evaluation.comparison import compare_runs

    if not runs:
        raise UserError("Give at least one run to compare.")
    metrics = (metric,) if isinstance(metric, str) else tuple(metric)
    where = store or runs[0].store
    return compare_runs(where, runs, baseline=baseline, metrics=metrics, protocol=protocol, part=part)


def blend(*runs: Run, emphasis: float = 0.5, trees: bool = False) -> Run:
    """The sum of separately trained runs of one dataset as a run of its own, its weights fitted on validation.

    A user whose target is a tail item counts 1 + ``emphasis`` times in the fit. ``trees`` weigh once more what the runs
    say of an item, by each other, by its popularity and by the history. UserError for runs of different
    datasets or splits, and for those without a model.
    """
    from llmesr.scoring.blend import blend as make

    return make(runs, emphasis=emphasis, trees=trees)


def best(dataset: Dataset, *, embedding: Embedding | None = None, store: Store | None = None, **settings: Any) -> Run:
    """The best recommender of a dataset that ``minutes=10`` can find. ``settings``: :class:`BestConfig`.

    Linear models, sequence models, their blends and a scoring policy are made as far as the time allows and judged on
    validation under both protocols. ``manifest.info["chosen_from"]`` of the run has the criterion and every candidate.
    UserError for a dataset with nobody to validate on.
    """
    from llmesr.contest.find import best as find

    found = find(dataset, BestConfig.read(None, **settings), store or Store(), embedding=embedding)
    return Run(found.store, found.manifest.info["run"])


def study(dataset: Dataset, *, store: Store | None = None, **settings: Any) -> Study:
    """What prompts, encoders and similarities are worth on ``dataset``. ``settings``: :class:`StudyConfig`, such as
    ``attributes=["all", "title"]``.

    ``table()`` of the result is a frame: NDCG@10 of the validation part and the difference from the default by judge,
    protocol and group, with 95% intervals and corrected p. The same study again is not done twice. UserError for a
    dataset with nobody to validate on, and for an encoder or an attribute that is not there.
    """
    from llmesr.studies.carry_out import study as run

    return run(dataset, StudyConfig.read(None, **settings), store or Store())


def recommend(
    run: Run, history: Sequence[str], *, k: int = 10, policy: PolicyWord | ScoringPolicy | None = None
) -> pd.DataFrame:
    """The best ``k`` items after a history of item ids, oldest first, as a frame from best to worst.

    ``score`` is the sum of its parts, whose columns stand beside it, in the units of the model: to be compared within
    one list only. Items of the history are left out. ``policy``: "none", "tuned" or one of your own; without it what
    the run stands for. UserError for an item that is not in the dataset, and for a run without a trained model, or
    that was not tuned.
    """
    from llmesr.scoring.policy import ScoringPolicy
    from llmesr.scoring.recommender import Recommender
    from llmesr.scoring.scored_run import ScoredRun
    from llmesr.scoring.tuning.outcome import named_policy

    chosen = policy if isinstance(policy, ScoringPolicy) else named_policy(run, policy)
    served = Recommender(ScoredRun(run.store, run))
    return served.recommend([served.dataset.item(i) for i in history], k=k, policy=chosen)


def launch(run: Run, *products: Mapping[str, str], **settings: Any) -> list[Launched]:
    """New products (attribute -> text each, such as ``{"title": "Desk lamp", "brand": "Norodis"}``) as a run would
    treat them. ``settings``: :class:`LabConfig`.

    ``ranks`` (users,) of each is its rank among all items, ``reach`` the users whose list it would enter, ``users`` and
    ``nearest`` frames, ``parts`` what its scores are made of. UserError for a run that scores no item by its text.
    """
    from llmesr.lab.launch import launch as run_lab
    from llmesr.scoring.scored_run import ScoredRun

    return run_lab(ScoredRun(run.store, run), products, LabConfig.read(None, **settings))


def past_launches(run: Run, **settings: Any) -> Past:
    """How such forecasts came out for the items that nobody had chosen before the last cut of a temporal split.

    ``launches`` and ``table`` of the result are frames, ``factor`` what expected hits must be multiplied by with its
    interval, ``lacking`` why there is none, ``forecast(ranks)`` calibrated hits for the ranks of a new product.
    UserError for a run on another split.
    """
    from llmesr.lab.past import past_launches as run_lab
    from llmesr.scoring.scored_run import ScoredRun

    return run_lab(ScoredRun(run.store, run), LabConfig.read(None, **settings))


def edit(run: Run, item_id: str, text: Mapping[str, str], **settings: Any) -> Edited:
    """An item under another text: ``text`` names the attributes that change. ``settings``: :class:`LabConfig`.

    ``everyone`` and ``targets`` of the result hold its ranks before and after, for all users and for those whose
    validation item it is. UserError for an unknown item or attribute, and for a run that scores no item by its text.
    """
    from llmesr.lab.edit import edit as run_lab
    from llmesr.scoring.scored_run import ScoredRun

    scored = ScoredRun(run.store, run)
    return run_lab(scored, scored.dataset.item(item_id), text, LabConfig.read(None, **settings))


def repairs(run: Run, **settings: Any) -> Repairs:
    """Texts that are missing, untitled, short or the same as another's, those to repair first at the top.

    ``texts`` of the result is a frame with the users who could gain, ``gains`` what a good text was measured to bring.
    ``settings``: :class:`LabConfig`. UserError for a run that scores no item by its text.
    """
    from llmesr.lab.repair import repairs as run_lab
    from llmesr.scoring.scored_run import ScoredRun

    return run_lab(ScoredRun(run.store, run), LabConfig.read(None, **settings))


def export_findings(findings: Sequence[Pinned], path: str | Path, *, title: str = "Findings") -> Path:
    """Findings (``llmesr.findings.every()``) as one file: ``.html``, ``.pptx`` with editable charts, or ``.pdf``.

    UserError for another ending, without findings, and for a PDF where neither Chromium nor Chrome is installed.
    """
    from llmesr.exports.findings import write

    return write(findings, Path(path), title=title)
