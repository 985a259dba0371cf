"""Assembles the commands and turns errors into exit codes: 0 done, 1 our fault, 2 something to put right."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from llmesr.cli.output import say
from llmesr.errors import UserError, machine_failure

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

TRACE = "LLMESR_TRACE"
"""Environment variable: show where an error arose, for a report of it."""
STAGES = (
    "data",
    "text",
    "finetune",
    "train",
    "search",
    "blend",
    "best",
    "study",
    "evaluate",
    "slices",
    "defend",
    "allocate",
    "recommend",
    "lab",
    "maps",
    "findings",
    "runs",
    "artifacts",
    "doctor",
    "jobs",
    "app",
    "demo",
)
"""Files of this folder, in the order of the method; each has ``register(app)``."""


@app.callback()
def root(
    context: typer.Context,
    artifacts: Annotated[
        Path | None, typer.Option("--artifacts", help="Artifact root; default LLMESR_ARTIFACTS or ./artifacts.")
    ] = None,
) -> None:
    """Sequential recommendation for the long tail, with text read by a language model."""
    if int(os.environ.get("WORLD_SIZE") or 1) > 1 and context.invoked_subcommand not in ("train", "resume"):
        raise UserError(
            f"{context.invoked_subcommand} works in one process; torchrun starts only `train` and `resume`. "
            "Run it without torchrun (or unset WORLD_SIZE)."
        )
    if artifacts is not None:
        os.environ["LLMESR_ARTIFACTS"] = str(artifacts.resolve())


for _stage in STAGES:
    importlib.import_module(f"llmesr.cli.{_stage}").register(app)


def main() -> None:
    """Entry point of ``llmesr``."""
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        say(f"Error: {error}")
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        say("Stopped.")
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        sys.exit(_failed(error))
    sys.exit(code if isinstance(code, int) else 0)


def _failed(error: Exception) -> int:
    """Say what went wrong; the exit code: 2 where it is the command or the machine, 1 where it is this program."""
    if isinstance(error, TyperException) and (show := getattr(error, "show", None)):
        show()
        return 2
    if os.environ.get(TRACE):
        traceback.print_exception(error)
    if sentence := machine_failure(error):
        say(f"Error: {sentence}")
        return 2
    say(f"Error: llmesr failed ({type(error).__name__}: {str(error)[:300]}). {TRACE}=1 shows where.")
    return 1
