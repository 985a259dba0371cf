"""fetch, ingest, split, profile, convert: files in, a checked dataset out."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmesr.cli.output import ConfigFile, Json, Set, emit, progress, say, store, table
from llmesr.config import IngestConfig, SplitConfig, parse_overrides
from llmesr.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from llmesr.data.dataset import Dataset

Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="Column of the interactions: user_id=NAME, item_id, timestamp, weight, review."),
]
ItemColumns = Annotated[
    list[str] | None, typer.Option("--item-column", help="Column of the item file: item_id=NAME, title=NAME, ...")
]


UserColumns = Annotated[
    list[str] | None, typer.Option("--user-column", help="Column of the file of users: user_id=NAME, age=NAME, ...")
]


def fetch(
    name: Annotated[str | None, typer.Argument(help="Known dataset, such as ml-100k or amazon-beauty-2014.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Target folder; default <artifacts>/downloads/NAME.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show all known datasets.")] = False,
    json: Json = False,
) -> None:
    """Download a known dataset from its publisher; a cut download goes on where it ended."""
    from llmesr.data.known import KNOWN, find, get

    if list_ or name is None:
        rows = [[k, KNOWN[k].title] for k in sorted(KNOWN)]
        emit(
            json, {"datasets": [{"name": n, "title": t} for n, t in rows]}, table("Known datasets", ["name", ""], rows)
        )
        return
    known = find(name)
    say(f"{known.title}. {known.terms}")
    target = folder or store().work_folder("downloads") / name
    with progress() as listen:
        files = get(name, target, listen)
    say(f"Next: llmesr ingest {target} --name {name}")
    emit(json, {"name": name, "files": [str(f) for f in files], "terms": known.terms}, "\n".join(map(str, files)))


def ingest(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Files, or a folder of them; a database (postgresql://USER@HOST/NAME, an SQLite or DuckDB file) with "
            "--sql; an address (https://, s3://, gs://, hf://datasets/...); connection:NAME.",
            show_default=False,
        ),
    ],
    sql: Annotated[
        list[str] | None,
        typer.Option("--sql", help="Query of the database; once for interactions, again for items and users."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the dataset; default the first source's.")] = None,
    k_core: Annotated[
        int | None, typer.Option("--k-core", help="Keep users and items with at least this many interactions.")
    ] = None,
    column: Columns = None,
    item_column: ItemColumns = None,
    user_column: UserColumns = None,
    users: Annotated[
        list[str] | None,
        typer.Option(
            "--users", help="File of users and what is known of them (their columns tell that of others too)."
        ),
    ] = None,
    max_gb: Annotated[
        float, typer.Option("--max-gb", min=0, help="Bring no more than this many gigabytes from elsewhere.")
    ] = 100,
    config: ConfigFile = None,
    set: Set = None,
    json: Json = False,
) -> None:
    """Read, check and store interactions and items. The same files and settings reuse what is there."""
    from llmesr.data.ingest import ingest as run
    from llmesr.data.layouts import assign, collect
    from llmesr.data.places.bring import brought
    from llmesr.data.plan import ahead

    settings = _settings(
        sources[0],
        config,
        set,
        name=name,
        k_core=k_core,
        columns=_pairs("--column", column) if column else None,
        item_columns=_pairs("--item-column", item_column) if item_column else None,
        user_columns=_pairs("--user-column", user_column) if user_column else None,
    )
    with contextlib.ExitStack() as stack:
        with progress() as listen:
            bring = partial(brought, store=store(), limit=int(max_gb * 1e9), progress=listen)
            made, people = stack.enter_context(bring(sources, sql=sql or ())), stack.enter_context(bring(users or ()))
        for sentence in ahead(assign(collect(made.paths), settings), settings):
            say(f"! {sentence}")
        with progress() as listen:
            origins = made.origins | people.origins
            data = run(made.paths, settings, store(), listen, users=people.paths, origins=origins)
    _tell(data.manifest.info["report"])
    emit(json, {"id": data.id, **data.manifest.info}, _steps(data))


def _steps(data: Dataset) -> Table:
    """What each step of reading left."""
    steps = data.manifest.info["steps"]
    rows = [[s["step"], *(f"{s[k]:,}" if s[k] is not None else "" for k in _STEP)] for s in steps]
    return table(data.id, ["step", *_STEP], rows)


def _settings(source: str, config: Path | None, set: list[str] | None, **given: Any) -> IngestConfig:
    """Those of the file and of ``--set``, and over them the options that were given; a dataset that nobody names is
    called as its first source."""
    from llmesr.data.places.bring import default_name

    values: dict[str, Any] = parse_overrides(set or []) | {k: v for k, v in given.items() if v is not None}
    if config is None and "name" not in values:
        values["name"] = default_name(source)
    return IngestConfig.read(config, **values)


def _tell(report: list[dict[str, Any]]) -> None:
    """What was found while reading, a line each."""
    for finding in report:
        mark = "! " if finding["level"] == "warning" else "  "
        examples = f" For example: {'; '.join(finding['examples'][:3])}" if finding["examples"] else ""
        say(f"{mark}{finding['message']}{examples}")


_STEP = ("interactions", "users", "items")


def split(
    dataset: Annotated[str, typer.Argument(help="Dataset: name, id or the start of one.")],
    name: Annotated[str | None, typer.Option(help="Name of the new dataset; default DATASET and the kind.")] = None,
    config: ConfigFile = None,
    set: Set = None,
    json: Json = False,
) -> None:
    """The same data under another split, as a dataset of its own: --set kind=temporal --set test_from=2024-03-01."""
    from llmesr.data.dataset import load_dataset
    from llmesr.data.splitting import resplit

    settings = SplitConfig.read(config, **parse_overrides(set or []))
    data = resplit(load_dataset(store(), dataset), settings, store(), name=name)
    for finding in data.manifest.info["report"]:
        say(f"{'! ' if finding['level'] == 'warning' else '  '}{finding['message']}")
    emit(json, {"id": data.id, **data.manifest.info}, data.id)


def profile(
    dataset: Annotated[str, typer.Argument(help="Dataset: name, id or the start of one.")], json: Json = False
) -> None:
    """How long the tail is: popularity, history lengths, and who counts as tail."""
    from llmesr.data.dataset import load_dataset
    from llmesr.data.profile import profile as run

    data: Dataset = load_dataset(store(), dataset)
    found = run(data)
    say(data.split_config.describe())
    say(data.thresholds.describe() + " Counts are of the training part.")
    emit(json, {"id": data.id, **found.summary}, table(data.id, ["", ""], found.rows()))


def convert(
    source: Annotated[Path, typer.Argument(help="Pickle of the LLM-ESR authors: item embeddings or similar users.")],
    target: Annotated[Path, typer.Argument(help="File to write, ending in .npy.")],
    trust: Annotated[bool, typer.Option("--trust", help="The file comes from a source I trust.")] = False,
    json: Json = False,
) -> None:
    """Turn a pickle of the LLM-ESR authors into a safe .npy file. Reading a pickle can run any code it holds."""
    from llmesr.cli.convert import pickle_to_npy

    if not trust:
        raise UserError(
            f"{source.name} is a pickle: reading it can run any code. "
            "Say --trust only when you trust where it comes from."
        )
    shape, dtype = pickle_to_npy(source, target)
    emit(json, {"file": str(target), "shape": shape, "dtype": dtype}, f"Wrote {target}: {shape}, {dtype}")


def _pairs(option: str, pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        field, sign, column = pair.partition("=")
        if not sign or not field.strip():
            raise UserError(f"{option} takes field=column, not {pair!r}.")
        found[field.strip()] = column
    return found


def register(app: typer.Typer) -> None:
    app.command()(fetch)
    app.command()(ingest)
    app.command()(split)
    app.command()(profile)
    app.command()(convert)
