"""app: the web app."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from llmesr.cli.doors import AllowHost, answered_names, guarded, has_sign_in
from llmesr.cli.output import say, store
from llmesr.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]


def app_(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1",
    artifacts: Annotated[Path | None, typer.Option(help="Artifact root; LLMESR_ARTIFACTS or ./artifacts.")] = None,
    base_path: Annotated[
        str, typer.Option(help="Path under which a reverse proxy serves the app, such as /llmesr.")
    ] = "",
    without_sign_in: Annotated[
        bool, typer.Option("--without-sign-in", help="Allow everyone who can reach --host, without a sign-in.")
    ] = False,
    allow_host: AllowHost = None,
    allow_model: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-model",
            help="A language model that visitors may fine-tune, such as hf:Qwen/Qwen3-Embedding-0.6B; may be repeated; "
            "* for any. The bundled one always.",
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Prepare the demo in the background if it is not there.")
    ] = False,
) -> None:
    """Open the web app."""
    from llmesr.jobs.plans import submit_demo
    from llmesr.jobs.queue import Jobs
    from llmesr.jobs.sweep import sweep_now_and_then
    from llmesr.visitors import MODELS  # loads a client of addresses, which no other command waits for

    script = app_script()
    guarded(
        host,
        guard=has_sign_in(Path.cwd(), Path.home(), script.parent),
        waived=without_sign_in,
        remedy="Set up a sign-in (docs/operations.md), or say --without-sign-in if that is meant.",
    )
    if artifacts is not None:
        os.environ["LLMESR_ARTIFACTS"] = str(artifacts.resolve())
    root = store()
    os.environ["LLMESR_ARTIFACTS"] = str(root.root)
    jobs = Jobs(root)
    jobs.reconcile()
    sweep_now_and_then(jobs)
    if not jobs.writable:
        say(f"{root.root} cannot be written: the app shows what is there, and cannot upload, train or compute.")
    elif demo and (job := submit_demo(jobs)):
        say(f"The demo is being prepared (job {job.id}); the app shows how far it is.")
    if allow_model:
        os.environ[MODELS] = ",".join(allow_model)
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::1", "::") else host
    say(f"Open http://{shown}:{port}/{base_path.strip('/')}  (artifacts: {root.root})")
    os.environ.setdefault("LLMESR_DATA", str(Path.cwd()))  # files may be given by a path below here
    options: dict[str, object] = {"server.port": port, "server.address": host, "server.headless": True}
    options["server.allowedHosts"] = answered_names(host, allow_host)
    if base_path.strip("/"):
        options["server.baseUrlPath"] = base_path.strip("/")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "llmesr.views.shared.launch", str(script), json.dumps(options)])


def app_script() -> Path:
    """``app.py``, with ``pages/`` and ``.streamlit/`` beside it: inside the installed package, or in the checkout."""
    for folder in (PACKAGE / "_app", PACKAGE.parent):
        if (script := folder / "app.py").is_file():
            return script
    raise UserError(f"The app is missing beside {PACKAGE}: install llmesr again.")


def register(app: typer.Typer) -> None:
    app.command("app")(app_)
