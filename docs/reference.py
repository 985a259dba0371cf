"""Writes docs/reference.md: every command, setting and environment variable. `make docs` runs it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic.fields import FieldInfo

from llmesr.cli.main import app
from llmesr.config import Config, SplitConfig

PAGE = Path(__file__).with_name("reference.md")
ENVIRONMENT = {
    "LLMESR_ADDRESSES": "Beginnings of addresses, separated by spaces, that visitors of the app may read from (none).",
    "LLMESR_ARTIFACTS": "Where everything computed lies; `--artifacts` goes before it. Default `./artifacts`.",
    "LLMESR_API_KEY": "The key `llmesr serve` asks clients for.",
    "LLMESR_CONNECTIONS": "TOML file of databases and addresses under names: `connection:NAME`; the app offers them.",
    "LLMESR_DATA": "Folder whose files the app may read by their path; the one the app was started in if not set.",
    "LLMESR_ENGINE": "Where jobs run: `local`, or `ray:` and the address of a cluster's dashboard.",
    "LLMESR_JOB": "Set for the commands of a job: its folder. Not for people.",
    "LLMESR_MODELS": "The language models that visitors of the app may name, with commas between (`--allow-model`).",
    "LLMESR_PRIVATE_ADDRESSES": "`1` lets visitors of the app make the server reach private addresses.",
    "LLMESR_PUBLIC_ONLY": "Set for the commands of a visitor's job. Not for people.",
    "LLMESR_RAY_CPUS": "CPUs each job asks Ray for (1).",
    "LLMESR_RAY_GPUS": "GPUs each job asks Ray for (0).",
    "LLMESR_RAY_PYTHON": "The interpreter on the Ray cluster (`python`).",
    "LLMESR_REMOTE": "URL that `push`, `pull` and jobs use when none is given.",
    "LLMESR_SLOTS": "How many jobs at once, and where: `cpu,cpu-2`, `cuda:0,cuda:1`. Default one for each device.",
    "LLMESR_STOP_GRACE": "Seconds a job has to keep a checkpoint when it is stopped (30); then it is killed.",
    "LLMESR_TRACE": "`1` shows where an error arose, for a report of it.",
    "PGPASSWORD": "The password of a PostgreSQL database given by its address.",
    "OPENAI_API_KEY": "The key of an OpenAI-compatible endpoint.",
    "OPENAI_BASE_URL": "Its address, when `endpoint` is not set.",
}
CONFIGS = {  # where it is read, for each class of settings
    "llmesr.config:IngestConfig": "llmesr ingest",
    "llmesr.data.places.connections:Connection": "a table of the file that `LLMESR_CONNECTIONS` names",
    "llmesr.config:EmbedConfig": "llmesr embed",
    "llmesr.config:FinetuneConfig": "llmesr finetune",
    "llmesr.config:SplitConfig": "llmesr split",
    "llmesr.config:NeighbourConfig": "similar users, made when a method needs them",
    "llmesr.config:RunConfig": "llmesr train",
    "llmesr.config:SearchConfig": "llmesr search",
    "llmesr.config:BestConfig": "llmesr best",
    "llmesr.config:StudyConfig": "llmesr study",
    "llmesr.scoring.tuning.outcome:PolicyTuningConfig": "llmesr tune",
    "llmesr.config:AllocationConfig": "llmesr allocate",
    "llmesr.scoring.policy:ScoringPolicy": "a request to the API, `llmesr recommend`",
    "llmesr.scoring.rerankers:RerankConfig": "a request to the API, `llmesr recommend`",
    "llmesr.config:LabConfig": "llmesr lab launch, past, edit, repair",
    "llmesr.maps.projection:MapConfig": "llmesr map",
    "llmesr.config:ServeConfig": "llmesr serve",
}


def page() -> str:
    """The whole page."""
    lines = ["# Reference", "", "Written by `make docs` from the code; a test holds the two together.", ""]
    lines += ["## Commands", "", *_commands(), "## Settings", "", *_settings(), "## Environment", "", *_environment()]
    return "\n".join(lines).rstrip() + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it."""
    yield from _below(typer.main.get_command(app), "llmesr")


def configs() -> Iterator[tuple[type[Config], str]]:
    """Every class of settings and where it is read."""
    for place, used in CONFIGS.items():
        module, _, name = place.partition(":")
        yield getattr(importlib.import_module(module), name), used


def _below(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    if isinstance(children := getattr(command, "commands", None), dict):
        for name, child in children.items():
            yield from _below(child, f"{words} {name}")
    else:
        yield words, command


def _commands() -> Iterator[str]:
    for words, command in commands():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        yield f"### `{' '.join([words, *map(_metavar, arguments)])}`"
        yield ""
        yield (command.help or "").strip().partition("\n\n")[0].replace("\n", " ")
        yield ""
        for option in command.params:
            if option.param_type_name == "option" and not getattr(option, "hidden", False) and option.name != "help":
                named = ", ".join(f"`{o}`" for o in (*option.opts, *option.secondary_opts))
                yield f"- {named}: {getattr(option, 'help', None) or ''}".rstrip(": ").rstrip()
        yield ""


def _metavar(argument: Any) -> str:
    word = str(argument.metavar or argument.name.upper().strip("_"))
    return f"{word}..." if argument.nargs == -1 and "..." not in word else word


def _settings() -> Iterator[str]:
    for kind, used in configs():
        yield f"### {kind.__name__}"
        yield ""
        yield f"{(kind.__doc__ or '').strip().partition(chr(10))[0]} Used by: {used}."
        yield ""
        yield "| setting | default | |"
        yield "|---|---|---|"
        for name, field in kind.model_fields.items():
            yield f"| `{name}` | {_default(field)} | {_cell(field.description or '')} |"
        yield ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SplitConfig):
        value = value.kind  # the word that gives it; the rest is for other kinds
    return "" if value is None or value in ([], {}) else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _environment() -> Iterator[str]:
    yield "| variable | |"
    yield "|---|---|"
    for name, meaning in ENVIRONMENT.items():
        yield f"| `{name}` | {meaning} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
