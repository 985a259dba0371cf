"""Runs the API under uvicorn, and stops it gracefully."""

from __future__ import annotations

from collections.abc import Callable

import uvicorn

from llmesr.serving.api import ServeConfig, create_app
from llmesr.serving.hub import Hub
from llmesr.store import Store
from llmesr.training.devices import pick_device

GRACE = 30
"""Seconds that requests in flight have to finish once the server is asked to stop."""


def run_server(
    store: Store,
    runs: list[str],
    config: ServeConfig,
    *,
    host: str,
    port: int,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Serve until SIGINT or SIGTERM; then no new connections are taken and those in flight are answered.

    UserError when a run cannot be served.
    """
    hub = Hub(store, runs, pick_device(config.device))
    guard = "with an API key" if config.api_key else "without an API key"
    say(f"Serving {', '.join(s.run.id for s in hub.all())} at http://{host}:{port} {guard}; /docs describes it.")
    uvicorn.run(
        create_app(hub, config),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
    )
