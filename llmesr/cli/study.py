"""study: what prompts, encoders and similarities are worth on a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmesr.cli.output import STOPPED, ConfigFile, Json, Set, agree_to_pay, emit, progress, say, store, table
from llmesr.cli.train import Device
from llmesr.config import StudyConfig, parse_overrides
from llmesr.errors import UserError

if TYPE_CHECKING:
    from llmesr.data.dataset import Dataset
    from llmesr.runs.study import Study

Values = list[str] | None
GROUPS = ("Overall", "Tail Item", "Head Item")


def study(
    dataset: Annotated[
        str | None, typer.Argument(help="Name or id of an ingested dataset.", metavar="DATASET", show_default=False)
    ] = None,
    prompts: Annotated[Values, typer.Option(help="A template; may be repeated. The first is the default.")] = None,
    attributes: Annotated[
        Values, typer.Option(help="all, reversed, title, or names with + between; may be repeated.")
    ] = None,
    embedders: Annotated[Values, typer.Option(help="An encoder, or adapter:<id>; may be repeated.")] = None,
    poolings: Annotated[Values, typer.Option(help="auto, mean, last or cls; may be repeated.")] = None,
    similarities: Annotated[
        Values, typer.Option(help="cosine, dot, euclidean, centred or whitened; may be repeated.")
    ] = None,
    users: Annotated[Values, typer.Option(help="User vectors: mean or prompt; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and what it costs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before requests that cost money.")] = False,
    resume: Annotated[str | None, typer.Option(help="Continue this stopped or interrupted study.")] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Id of the new study.")] = None,
    set: Set = None,
    config: ConfigFile = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Judge prompts, attributes and their order, encoders, poolings and similarities on validation, each with an
    interval against the default. Asked again, what is done is not done again."""
    from llmesr.data.dataset import load_dataset
    from llmesr.runs.study import find_study
    from llmesr.studies import carry_out
    from llmesr.training.stopping import Stopped

    lists = {
        "prompts": prompts,
        "attributes": attributes,
        "embedders": embedders,
        "poolings": poolings,
        "similarities": similarities,
        "users": users,
    }
    given = {name: values for name, values in lists.items() if values} | parse_overrides(set or [])
    try:
        if resume is not None:
            if dataset or given or config:
                raise UserError("--resume goes on with the settings the study has; give nothing else.")
            with progress() as listen:
                made = carry_out.resume_study(find_study(store(), resume), device=device, progress=listen)
        elif dataset is None:
            raise UserError("Name the dataset: `llmesr study DATASET --attributes all --attributes title`.")
        else:
            settings, data = StudyConfig.read(config, **given), load_dataset(store(), dataset)
            _announce(data, settings, yes or dry_run)
            if dry_run:
                return 0
            with progress() as listen:
                made = carry_out.study(data, settings, store(), study_id=run_id, device=device, progress=listen)
    except Stopped:
        say("Stopped; the same command, or `llmesr study --resume ID`, goes on.")
        return STOPPED
    document = {"study": made.id, "rows": made.rows(), "finalists": made.manifest.info["finalists"]}
    emit(json, document, *told(made))
    return 0


def _announce(data: Dataset, settings: StudyConfig, yes: bool) -> None:
    """Say what will be embedded and judged, and ask first where it costs money."""
    from llmesr.studies.carry_out import tasks
    from llmesr.studies.cells import planned

    plans = planned(data, settings, store())
    for label, plan in plans:
        say(f"{label}: {plan.describe()}")
    many = len(list(tasks(settings)))
    trained = f", then {settings.finalists + 1} runs of {settings.method}" if settings.finalists else ""
    say(f"{many} comparisons on {len(data.split.users('valid')):,} users of validation{trained}.")
    if any(plan.cost for _, plan in plans):
        agree_to_pay(yes)


def told(made: Study) -> list[Any]:
    """The tables for people: one for each judge and protocol, what differs most above."""
    from llmesr.data.groups import Thresholds

    frame = made.table()
    said: list[Any] = []
    for (judge, protocol), rows in frame.groupby(["judge", "protocol"], sort=False):
        cells = {(r["label"], r["group"]): r for r in rows.to_dict("records")}
        labels = list(dict.fromkeys(rows["label"]))
        labels.sort(key=lambda label: -cells[label, "Overall"]["value"])
        body = [[label, *(_cell(cells.get((label, group))) for group in GROUPS)] for label in labels]
        said.append(table(f"{judge}: NDCG@10, {protocol}, validation", ["", *GROUPS], body))
    if made.thresholds is not None:
        said.append(Thresholds.model_validate(made.thresholds).describe())
    said.append(
        "In brackets the difference from the default and its 95% interval, paired by user; ▲▼ where p < .05 after "
        "correction for all comparisons of a table and its groups."
    )
    return said


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return "–"
    if row["difference"] is None or row["difference"] != row["difference"]:
        return f"{row['value']:.4f}"
    mark = ("▲" if row["difference"] > 0 else "▼") if row["significant"] else ""
    return f"{row['value']:.4f} ({row['difference']:+.4f}, {row['low']:+.4f} to {row['high']:+.4f}){mark}"


def register(app: typer.Typer) -> None:
    app.command()(study)
