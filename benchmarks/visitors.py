"""Visitors of the app without a browser: a session each over Streamlit's own websocket, which asks for page after page.

Not run by itself (see soak.py). What a browser would draw is read as the messages it gets: a page stands when its
script has finished, and an error is one that the script shows or ends with. What JavaScript makes of it is left out.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

PATIENCE = 600.0
STREAM = "/_stcore/stream"


@dataclass
class Seen:
    """What all visitors saw: seconds until each page stood, what was wrong, and how many messages came."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    messages: int = 0
    pages: int = 0


async def _page(socket: ClientConnection, page: str, seen: Seen) -> None:
    asked = BackMsg()
    asked.rerun_script.page_name = page
    asked.rerun_script.context_info.timezone = "Europe/Berlin"
    asked.rerun_script.context_info.locale = "en"
    started = time.perf_counter()
    await socket.send(asked.SerializeToString())
    while True:
        message = ForwardMsg.FromString(bytes(await asyncio.wait_for(socket.recv(decode=False), PATIENCE)))
        seen.messages += 1
        kind = message.WhichOneof("type")
        if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            if element.WhichOneof("type") == "exception":
                seen.errors.append(f"{page}: {element.exception.type}: {element.exception.message}")
            elif element.WhichOneof("type") == "alert" and "server's log" in element.alert.body:
                seen.errors.append(f"{page}: {element.alert.body}")
        elif kind == "page_not_found":
            seen.errors.append(f"{page}: not found")
        elif kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            break
    seen.seconds.append(time.perf_counter() - started)
    seen.pages += 1


async def _visitor(url: str, pages: list[str], seen: Seen, together: asyncio.Barrier) -> None:
    async with connect(
        f"{url}{STREAM}", subprotocols=[Subprotocol("streamlit")], max_size=None, ping_timeout=None
    ) as ws:
        for page in pages:
            await together.wait()  # all ask at the same time
            await _page(ws, page, seen)


def visit(port: int, visitors: int, pages: list[str]) -> Seen:
    """So many visitors at once, each through all ``pages`` (``""`` is the first), beginning with another."""
    seen = Seen()

    async def all_of_them() -> None:
        together = asyncio.Barrier(visitors)
        routes = [[*pages[n % len(pages) :], *pages[: n % len(pages)]] for n in range(visitors)]
        await asyncio.gather(*(_visitor(f"ws://127.0.0.1:{port}", route, seen, together) for route in routes))

    asyncio.run(all_of_them())
    return seen


def traces(log: Path) -> int:
    """How many errors the server has written down."""
    return log.read_text(errors="replace").count("Traceback (most recent call last)")
