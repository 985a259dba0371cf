"""The report of a comparison: verdict, every chart and table of the page, the story, definitions, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from llmesr.config import SplitConfig
from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import Contender
from llmesr.evaluation.doubts import Doubt, serious, unsettled
from llmesr.evaluation.resampling import FLIPS, RESAMPLES
from llmesr.evaluation.verdict import Verdict
from llmesr.store import Manifest, provenance
from llmesr.views.compare import charts, trade_off_charts
from llmesr.views.compare.frames import beyond_frame, outcomes, popularity_sentence
from llmesr.views.compare.popularity_charts import popularity_chart
from llmesr.views.compare.reasons import ABOUT, history_line
from llmesr.views.shared import theme, words
from llmesr.views.shared.report import Section, html_report
from llmesr.views.shared.tables import readable_comparison, readable_summary

EVIDENCE = (
    f"Intervals are 95% bootstrap intervals over users (BCa, {RESAMPLES:,} resamples), made wider by what the seeds of "
    "a configuration differ. Tests are paired by user: a permutation test that flips the sign of each user's "
    f"difference ({FLIPS:,} flips) and, where there are several seeds, a t-test over users and seeds; the larger p "
    "counts. Wilcoxon's signed-rank test stands beside it. p is corrected for the number of tests by "
    "Benjamini-Hochberg. What no clear difference leaves is bounded by two one-sided tests at 5%."
)


@dataclass(frozen=True, eq=False)
class Measured:
    """Frames of one comparison; those that need two configurations are None with one. All have run and label.

    ``foremost`` names whom slides set beside the baseline first, empty where it is alone; ``alike`` says what text
    changes about one and the same model.
    """

    metric: str
    k: int
    protocol: str
    thresholds: Thresholds
    reference: str
    summary: pd.DataFrame
    popularity: pd.DataFrame
    length: pd.DataFrame
    trade_off: pd.DataFrame
    beyond: pd.DataFrame
    every: pd.DataFrame
    explained: pd.DataFrame | None = None
    reasons: pd.DataFrame | None = None
    comparison: pd.DataFrame | None = None
    seesaw: pd.DataFrame | None = None
    story: Sequence[Section] = field(default=())
    verdicts: Sequence[Verdict] = ()
    doubts: Sequence[Doubt] = ()
    foremost: str = ""
    alike: str = ""


def comparison_report(
    dataset: Dataset, chosen: Sequence[Contender], found: Measured, embeddings: Sequence[Manifest] = ()
) -> str:
    """The whole report as one HTML document."""
    line = words.protocol_line(found.protocol, found.thresholds, dataset.split_config) + unsettled(found.doubts)
    lead = [f"{len(chosen)} configurations on {dataset.name}, judged by {found.metric}. {line}"]
    if found.comparison is not None:
        lead += [f"{v.run} compared with {found.reference}: {v.sentence()}" for v in found.verdicts]
    lead += [f"{d.severity.capitalize()}: {d.sentence}" for d in found.doubts]
    metrics = [found.metric, *dict.fromkeys(found.beyond["metric"])]
    definitions = {
        "Head and tail": found.thresholds.describe(),
        "Protocol": f"{found.protocol}: {words.PROTOCOLS[found.protocol]}",
        "Split": words.split_line(dataset.split_config),
        "Evidence": EVIDENCE,
        **{m: words.metric_meaning(m) for m in metrics},
        **{c.method: words.METHODS.get(c.method, "") for c in chosen},
    }
    sections = [
        *_accuracy(found, line),
        *_lists(found, line, dataset.split_config),
        *_reasons(dataset, found),
        *found.story,
    ]
    return html_report(
        f"{dataset.name}: head and tail compared",
        lead,
        sections,
        provenance=_provenance(dataset, chosen, found, embeddings),
        definitions=definitions,
    )


def _accuracy(found: Measured, line: str) -> list[Section]:
    sections = [
        Section(
            "By group",
            chart=partial(charts.group_chart, found.summary, found.metric, line),
            alt=f"{found.metric} by group with intervals",
            table=readable_summary(found.summary),
        )
    ]
    if found.comparison is not None:
        sections.append(
            Section(
                f"Compared with {found.reference}",
                [EVIDENCE],
                chart=partial(charts.difference_chart, found.comparison, found.metric, found.reference, line),
                alt=f"Gain in {found.metric} over {found.reference} by group",
                table=readable_comparison(found.comparison, settled=not serious(found.doubts)),
            )
        )
    for title, frame, dimension in (
        ("From rare to popular items", found.popularity, "popularity"),
        ("From short to long histories", found.length, "length"),
    ):
        draw = partial(charts.bucket_chart, frame, found.metric, dimension, line)
        sections.append(Section(title, chart=draw, alt=title, table=readable_summary(frame)))
    return sections


def _lists(found: Measured, line: str, split: SplitConfig) -> list[Section]:
    sections = []
    if found.comparison is not None and found.seesaw is not None:
        draw = partial(trade_off_charts.seesaw_chart, found.seesaw, found.metric, found.reference, line)
        table = found.seesaw.drop(columns="label")
        sections.append(Section("Trade-offs", chart=draw, alt="Gain on tail against gain on head items", table=table))
        for name, rows in found.comparison.groupby("run", sort=False):
            shares = outcomes(rows)
            outcome = partial(trade_off_charts.outcome_chart, shares, str(name), found.reference, line)
            title = f"Users who gained or lost with {name}"
            sections.append(Section(title, chart=outcome, alt=title, table=shares, level=3))
    exposure = f"APLT@{found.k}"
    draw = partial(trade_off_charts.trade_off_chart, found.trade_off, found.metric, exposure, line)
    table = found.trade_off.drop(columns="label")
    sections.append(Section("Accuracy and exposure", chart=draw, alt="Accuracy against tail exposure", table=table))
    sections.append(
        Section(
            "Beyond accuracy",
            chart=partial(trade_off_charts.beyond_chart, beyond_frame(found.beyond), line),
            alt="Coverage, Gini, popularity, tail share, novelty and diversity of the lists",
            table=found.beyond.drop(columns="label"),
        )
    )
    sections.append(Section("Every metric and group", table=found.every))
    if found.explained is not None:
        share = partial(popularity_chart, found.explained, found.metric, words.split_line(split))
        said = popularity_sentence(found.explained, found.metric).replace("**", "")
        table = found.explained.drop(columns="label")
        sections.append(
            Section("What popularity explains", [said], chart=share, alt="Parts of each score", table=table)
        )
    return sections


def _reasons(dataset: Dataset, found: Measured) -> list[Section]:
    if found.reasons is None or found.reasons.empty:
        return []
    about = [history_line(dataset), ABOUT]
    return [Section("What is recommended, and why", about, table=found.reasons)]


def _provenance(
    dataset: Dataset, chosen: Sequence[Contender], found: Measured, embeddings: Sequence[Manifest]
) -> dict[str, Any]:
    here = provenance()
    return {
        "report": {
            "written": theme.date(here["created"]),
            "versions": here["versions"],
            "git commit": here["git_commit"],
            "protocol": found.protocol,
            "part": "test",
            "head and tail in this report": found.thresholds.model_dump(),
        },
        "dataset": {
            **_artifact(dataset.manifest),
            "users": dataset.n_users,
            "items": dataset.n_items,
            "interactions": len(dataset.items),
            "saved head and tail": dataset.thresholds.model_dump(),
            "seed of the uni100 negatives": dataset.seed,
        },
        "embeddings": {m.id: {**_artifact(m), "fingerprint": m.info.get("fingerprint")} for m in embeddings},
        "runs": {c.name: [_run(m) for m in c.manifests] for c in chosen},
    }


def _artifact(manifest: Manifest) -> dict[str, Any]:
    return {
        "id": manifest.id,
        "name": manifest.name,
        "created": theme.date(manifest.created),
        "config": manifest.config,
        "versions": manifest.versions,
        "git commit": manifest.git_commit,
    }


def _run(manifest: Manifest) -> dict[str, Any]:
    policy = manifest.info.get("policy")
    return {
        **_artifact(manifest),
        "seed": manifest.seed,
        "device": manifest.device,
        "seconds": manifest.timings,
        "made from": [f"{p.kind}/{p.id} ({p.digest[:12]})" for p in manifest.parents],
        **({"policy": policy} if policy else {}),
    }
