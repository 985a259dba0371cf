"""lab launch, lab past, lab edit, lab repair: new products, other texts, and which texts to repair first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.table import Table

from llmesr.cli.output import ConfigFile, Json, emit, progress, store, table
from llmesr.cli.recommend import Device, RunRef
from llmesr.config import LabConfig
from llmesr.errors import UserError
from llmesr.prose import counted

if TYPE_CHECKING:
    from llmesr.lab.edit import Edited
    from llmesr.lab.launch import Launched
    from llmesr.lab.past import Past
    from llmesr.lab.repair import Repairs
    from llmesr.progress import Progress
    from llmesr.scoring.scored_run import ScoredRun

commands = typer.Typer(no_args_is_help=True, help="New products, other texts, and which texts to repair first.")
SHOWN = 30

Attributes = Annotated[
    list[str] | None, typer.Option("--set", help="An attribute of the item: brand=Swingline; may be repeated.")
]
K = Annotated[int | None, typer.Option("--k", min=1, help="Length of a list. [default: 10]")]


@commands.command()
def launch(
    run: RunRef,
    title: Annotated[str | None, typer.Option("--title", help="Title of the new product.")] = None,
    set_: Attributes = None,
    items: Annotated[
        Path | None, typer.Option("--items", help="CSV file of new products: a column for each attribute.")
    ] = None,
    k: K = None,
    config: ConfigFile = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """A new product: who would get it, at what rank, why, and what past launches say of such a forecast."""
    from llmesr.lab.document import of_launch
    from llmesr.lab.launch import launch as launched
    from llmesr.lab.past import past_launches

    settings = _settings(config, k)
    row = _attributes(title, set_)
    rows = ([row] if row else []) + ([] if items is None else _read(items))
    with _opened(run, device) as (scored, listen):
        found = launched(scored, rows, settings, listen)
        temporal = scored.dataset.split_config.kind == "temporal"
        past = past_launches(scored, settings, listen) if temporal else None
    document = {
        "run": scored.run.id,
        "split": scored.dataset.split_config.describe(),
        "protocol": "full",
        "items": [of_launch(one, past) for one in found],
    }
    emit(json, document, Group(*(_launch_table(one, past, scored) for one in found)))


@commands.command()
def past(
    runs: Annotated[list[str], typer.Argument(help="Runs of a temporal split, one row each.")],
    k: K = None,
    config: ConfigFile = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """How such forecasts came out for items that were new after the last cut of a temporal split, by method."""
    from llmesr.lab.document import of_past
    from llmesr.lab.past import past_launches

    settings = _settings(config, k)
    found = []
    for run in runs:
        with _opened(run, device) as (scored, listen):
            found.append(past_launches(scored, settings, listen))
    emit(json, {"rows": [of_past(one) for one in found]}, _past_tables(found))


@commands.command()
def edit(
    run: RunRef,
    item: Annotated[str, typer.Argument(help="Item id.")],
    text: Annotated[
        str | None, typer.Option("--text", help="The whole text, in place of all attributes of the item.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Its title; the other attributes stay.")] = None,
    set_: Attributes = None,
    k: K = None,
    config: ConfigFile = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """An existing item under another text: the places in lists it gains and loses, and what it then stands beside."""
    from llmesr.lab.document import of_edit
    from llmesr.lab.edit import edit as edited
    from llmesr.lab.edit import whole_text

    settings = _settings(config, k)
    row = _attributes(title, set_)
    if (text is None) == (not row):
        raise UserError("Give either --text, or --title and --set for single attributes.")
    with _opened(run, device) as (scored, listen):
        number = scored.dataset.item(item)
        found = edited(scored, number, row if text is None else whole_text(scored.dataset, text), settings, listen)
    document = {
        "run": scored.run.id,
        "split": scored.dataset.split_config.describe(),
        "protocol": "full",
        "item_id": item,
        **of_edit(found, scored.dataset),
    }
    emit(json, document, _edit_tables(found, scored))


@commands.command()
def repair(run: RunRef, k: K = None, config: ConfigFile = None, device: Device = "cpu", json: Json = False) -> None:
    """Texts that are missing, untitled, short or the same as another's, those to repair first at the top."""
    from llmesr.lab.document import of_repairs
    from llmesr.lab.repair import repairs

    settings = _settings(config, k)
    with _opened(run, device) as (scored, listen):
        found = repairs(scored, settings, listen)
    document = {"split": scored.dataset.split_config.describe(), "protocol": "full", "part": "valid"}
    emit(json, {**document, **of_repairs(found)}, _repair_tables(found, scored))


@contextmanager
def _opened(run: str, device: str) -> Iterator[tuple[ScoredRun, Progress]]:
    from llmesr.runs.record import find_run
    from llmesr.scoring.scored_run import ScoredRun
    from llmesr.training.devices import pick_device

    root = store()
    with progress() as listen:
        yield ScoredRun(root, find_run(root, run), pick_device(device)), listen


def _settings(config: Path | None, k: int | None) -> LabConfig:
    return LabConfig.read(config, **({} if k is None else {"k": k}))


def _attributes(title: str | None, pairs: list[str] | None) -> dict[str, str]:
    """Words as they stand: unlike a setting, ``year=2020`` is text."""
    row = {} if title is None else {"title": title}
    for pair in pairs or []:
        name, sign, text = pair.partition("=")
        if not sign or not name.strip():
            raise UserError(f"--set takes an attribute and its text, such as brand=Swingline, not {pair!r}.")
        row[name.strip()] = text
    return row


def _read(path: Path) -> list[dict[str, str]]:
    import pandas as pd

    from llmesr.lab.launch import read_products

    try:
        return read_products(pd.read_csv(path, dtype=str))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a CSV file of products: {error}") from error


def _where(scored: ScoredRun) -> str:
    return f"{scored.run.label} ({scored.run.id}), full ranking"


def _launch_table(found: Launched, past: Past | None, scored: ScoredRun) -> Table:
    reach = f"in the first {found.k} of {found.reach:,} of {len(found.audience):,} {found.audience.described}"
    told = [f"{found.title[:60]}: {reach} (median rank {found.median_rank:,.0f}).", found.left_out]
    title = " ".join(part for part in (*told, f"{_where(scored)}.", _said(found, past)) if part)
    best = [[r.user_id, str(r.rank), r.why] for r in found.users.head(10).itertuples()]
    near = [["nearest: " + r.title[:60], f"{r.cosine:.3f}", f"chosen {r.count}x"] for r in found.nearest.itertuples()]
    return table(title, ["user", "rank", "why"], best + near)


def _said(found: Launched, past: Past | None) -> str:
    if past is None:
        return "Expected hits need a run on a temporal split."
    forecast = past.forecast(found.ranks)
    if forecast is None:
        return f"No expected hits. {past.lacking}"
    return f"Expected hits per 1,000 users: {forecast.hits:.2f} ({forecast.surety})."


def _past_tables(found: list[Past]) -> Group:
    rows = []
    for one in found:
        sums = one.launches[["reach", "expected", "hits"]].sum()
        factor = "too few" if one.lacking else "{:.2f} ({:.2f} to {:.2f})".format(*one.factor)
        rows.append(
            [one.label, f"{len(one.launches):,}", f"{one.users:,}", f"{sums['reach']:,.0f}", f"{sums['expected']:.1f}"]
            + [f"{sums['hits']:.0f}", factor]
        )
    first = table(
        "Past launches: items new after the last cut, scored by text alone; lists of the users asked then",
        ["method", "launches", "users", "in lists", "expected hits", "hits", "hits / expected (95%)"],
        rows,
    )
    more = [
        table(
            f"{one.label}: launches by forecast, a launch on average",
            ["expected", "hits", "95% over launches", "reach", "launches"],
            [
                [
                    f"{r.expected:.3f}",
                    f"{r.hits:.3f}",
                    f"{r.low:.3f} to {r.high:.3f}",
                    f"{r.reach:.1f}",
                    str(r.launches),
                ]
                for r in one.table.itertuples()
            ],
        )
        for one in found
        if not one.lacking
    ]
    return Group(first, *more, *(f"{one.label}: {one.lacking}" for one in found if one.lacking))


def _edit_tables(found: Edited, scored: ScoredRun) -> Group:
    rows = [
        [name, f"{int(m.candidates.sum()):,}", f"{m.reach('before'):,}", f"{m.reach('after'):,}",
         str(int(m.gained.sum())), str(int(m.lost.sum())), f"{m.median('before'):,.0f}", f"{m.median('after'):,.0f}"]
        for name, m in (("all who do not have it", found.everyone), ("whose validation item it is", found.targets))
    ]  # fmt: skip
    heads = ["users", "", "reach before", "after", "gained", "lost", "median rank before", "after"]
    first = table(f"First {found.everyone.k} of {_where(scored)}. Now: {found.text_after[:120]}", heads, rows)
    pairs = zip(found.nearest_before["title"], found.nearest_after["title"], strict=False)
    return Group(first, table("Nearest by text", ["before", "after"], [[a[:60], b[:60]] for a, b in pairs]))


def _repair_tables(found: Repairs, scored: ScoredRun) -> Group:
    gains = [
        [f"{g.flaw}, {g.group}", f"{g.items}", f"{g.misses}", _range(g.rate, g.low, g.high, 3)] for g in found.gains
    ]
    first = table(
        "What a good text brings: of the users who miss a spoilt item, the share who find it with its text (95%)",
        ["flaw, group", "items spoilt", "misses", "gain"],
        gains,
    )
    rows = [
        [
            f"{r.item_id}  {r.title[:50]}",
            r.flaw,
            str(r.words),
            str(r.users),
            str(r.misses),
            _range(r.gain, r.low, r.high, 2),
        ]
        for r in found.texts.head(SHOWN).itertuples()
    ]
    many = counted(len(found.texts), "flawed text")
    title = f"{many} of {scored.dataset.n_items:,}; users by validation, first {found.k}. {_where(scored)}"
    heads = ["item", "flaw", "words", "users", "miss it", "would find it (95%)"]
    return Group(first, table(title, heads, rows))


def _range(value: float, low: float, high: float, digits: int) -> str:
    if value != value:
        return "too few to say"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="lab")
