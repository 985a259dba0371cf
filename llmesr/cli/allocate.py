"""allocate: the weak users of a run handed to a second ranker."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmesr.cli.output import ConfigFile, Json, Set, agree_to_pay, emit, out, progress, say, store, table
from llmesr.cli.train import Device
from llmesr.config import AllocationConfig, parse_overrides
from llmesr.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from llmesr.scoring.allocation.allocate import Allocation
    from llmesr.scoring.allocation.asking import Asking
    from llmesr.scoring.allocation.rankers import SecondRanker
    from llmesr.scoring.scored_run import ScoredRun


CHAT = "chat:"


def allocate(
    run: Annotated[str, typer.Argument(help="The run whose weak users are handed over.")],
    second: Annotated[
        str,
        typer.Option(
            help="Who re-orders their lists: a run, a file of user, item, score, or a language model: chat:MODEL, "
            "gguf:FILE or hf:FOLDER."
        ),
    ],
    validation: Annotated[
        Path | None, typer.Option(help="With a file: the same for the validation part, to choose the share by.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With a language model, only say what it would cost, and show a message.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before requests that cost money.")] = False,
    set: Set = None,
    config: ConfigFile = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Hand weak users (short, unpopular histories, unsure scores) to a second ranker; all others keep their lists."""
    from llmesr.runs.record import find_run
    from llmesr.scoring.allocation.allocate import allocate as hand_over
    from llmesr.scoring.allocation.asking import SAMPLE
    from llmesr.scoring.allocation.chat import Chat
    from llmesr.scoring.allocation.local import SCHEMES, Local
    from llmesr.scoring.scored_run import ScoredRun
    from llmesr.training.devices import pick_device

    settings = AllocationConfig.read(config, **parse_overrides(set or []))
    chosen = store()
    scored = ScoredRun(chosen, find_run(chosen, run), pick_device(device))
    ranker: SecondRanker
    if second.startswith((CHAT, *SCHEMES)):
        settings = settings if settings.sample else settings.but(sample=SAMPLE)
        asking: Asking
        if second.startswith(CHAT):
            asking = Chat(second.removeprefix(CHAT), settings, scored.dataset, chosen)
        else:
            asking = Local(second, settings, scored.dataset, chosen, scored.device)
            yes = True  # it costs time alone
        if not _agreed(asking, scored, settings, dry_run, yes):
            return
        ranker = asking
    else:
        ranker = _second(scored, second, validation, settings)
    with progress() as listen:
        made = hand_over(scored, ranker, settings, listen)
    stored = None if made.run is None else made.run.id
    emit(json, {"run": stored, **made.document, **ranker.report()}, *told(made, getattr(ranker, "counts", {})))


def _agreed(chat: Asking, scored: ScoredRun, settings: AllocationConfig, dry_run: bool, yes: bool) -> bool:
    """Say what the requests cost; whether to send them. UserError where nobody is there to be asked."""
    from llmesr.scoring.allocation.allocate import sampled
    from llmesr.scoring.allocation.lists import candidates

    tested = scored.dataset.split.users("test")
    if settings.share is None:
        lists = sampled(scored, settings)
        calls = len(lists.users) + len(tested)
    else:
        lists = candidates(scored, "test", tested[: settings.sample], settings.candidates)
        calls = math.ceil(settings.share * len(tested))
    say(chat.cost(lists, min(calls, settings.max_calls)))
    if dry_run:
        out.print(chat.example(lists), markup=False, highlight=False)
        return False
    agree_to_pay(yes)
    return True


def _second(scored: ScoredRun, second: str, validation: Path | None, settings: AllocationConfig) -> SecondRanker:
    from llmesr.runs.record import find_run
    from llmesr.scoring.allocation import rankers
    from llmesr.scoring.scored_run import ScoredRun

    if Path(second).is_file():
        return rankers.by_file(Path(second), validation, scored.dataset, settings)
    if validation is not None:
        raise UserError("--validation goes with a file as --second; a run ranks both parts itself.")
    return rankers.by_run(ScoredRun(scored.store, find_run(scored.store, second), scored.device), scored)


def told(made: Allocation, chat: Mapping[str, int]) -> list[Any]:
    """The report for people."""
    asked = made.document["users"]
    said: list[Any] = [f"{made.document['weak_users']:,} of {asked:,} users are weak and handed to {made.second}."]
    if made.chosen:
        body = [[f"{r['share']:.0%}", f"{r['gain']:+.4f} ±{1.96 * r['error']:.4f}"] for r in made.chosen]
        said.append(table("Chosen on validation", ["weak users", "gain in NDCG@10"], body))
    if chat:
        said.append("The model: " + ", ".join(f"{name} {value:,}" for name, value in chat.items() if value) + ".")
    if made.run is None:
        why = "No share gains more than two standard errors on validation: n" if made.chosen else "N"
        return [*said, f"{why}obody is handed over."]
    who = [[r["feature"], _mean(r["weak"]), _mean(r["strong"])] for r in made.document["who"]]
    said.append(table("Who they are (means, training part)", ["", "weak", "strong"], who))
    for protocol in ("full", "uni100"):
        level, tests = made.evidence(protocol)
        said.append(_arms(level, tests, f"NDCG@10, {protocol}, test part"))
    say(f"Run {made.run.id} holds the lists.")
    said.append("± half a 95% interval over users; ▲▼ differ from the run in a paired test, p < .05 after correction.")
    return said


def _arms(level: pd.DataFrame, tests: pd.DataFrame, title: str) -> Any:
    """Groups down, arms across; an arrow marks what differs significantly from the run."""
    values = {(r["run"], r["group"]): r for r in level[level["metric"] == "NDCG@10"].to_dict("records")}
    sure = tests[tests["significant"] & (tests["metric"] == "NDCG@10")]
    arrows = {(r["run"], r["group"]): " ▲" if r["difference"] > 0 else " ▼" for r in sure.to_dict("records")}
    arms, groups = (list(dict.fromkeys(level[name])) for name in ("run", "group"))
    body = []
    for group in groups:
        cells = [values[arm, group] for arm in arms]
        shown = [f"{c['value']:.4f} ±{(c['high'] - c['low']) / 2:.4f}" if c["users"] else "-" for c in cells]
        marked = [cell + arrows.get((arm, group), "") for arm, cell in zip(arms, shown, strict=True)]
        body.append([group, *marked, f"{cells[0]['users']:,}"])
    return table(title, ["group", *arms, "users"], body)


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def register(app: typer.Typer) -> None:
    app.command()(allocate)
