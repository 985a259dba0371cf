"""A server under every kind of request for a long time, 1,500 connections at once, and 20 visitors in the app.

    python benchmarks/soak.py [--minutes 10] [--connections 1500] [--sessions 20] [--browsers 20] [--browsing 5]
        [--items 5000] [--json FILE]

*Soak*: first every item is asked for under every step of whitening, which fills what the server keeps of text spaces;
then come requests of every route, with random policies, re-rankers and histories, one in ten of them wrong, from eight
clients. The memory of the server is read every two seconds, and is flat when the last third is not above the middle
third by more than 3%; the curve has a point a minute. *Connections*: all are opened before any is answered; those
beyond ``max_connections`` get 503, and the longest wait for an answer is shown. *Sessions*: visitors over the app's
own websocket ask for its pages at the same time, three times all of them. *Browsers*: visitors in contexts of a real
browser walk from page to page and turn knobs for some minutes (browsers.py). ``--minutes 0``,
``--connections 0``, ``--sessions 0`` and ``--browsers 0`` leave a part out.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "browser")]

from browsing import serving  # noqa: E402
from commands import tell  # noqa: E402
from factories import make_dataset, make_embedding, make_standard_runs  # noqa: E402
from serving import prepare, start  # type: ignore[attr-defined]  # noqa: E402  # the file beside this one

from llmesr.scoring.policy import WHITENING_STEPS  # noqa: E402
from llmesr.store import Store  # noqa: E402

CLIENTS = 8
LONGEST = 40
"""Items of the longest history that is asked with."""
EVERY = 2.0
PAGES = (
    "",
    "story",
    "datasets",
    "training",
    "compare",
    "embeddings",
    "neighbours",
    "recommend",
    "lab",
    "findings",
)
ROUNDS = 3


def request(rng: random.Random, users: list[str], items: list[str]) -> tuple[str, str, dict[str, Any]]:
    """Method, path, and what httpx is given besides."""
    asked: dict[str, Any] = {"k": rng.choice((1, 10, 50))}
    asked |= (
        {"user": rng.choice(users)}
        if rng.random() < 0.5
        else {"history": rng.choices(items, k=rng.randint(1, LONGEST))}
    )
    if rng.random() < 0.7:
        asked["policy"] = {"gamma": rng.random() * 10, "whitening": rng.random(), "popularity": rng.random() - 0.5}
    if rng.random() < 0.3:
        asked["reranker"] = {"name": rng.choice(("mmr", "dpp", "epsilon")), "strength": rng.random()}
    asked["explain"] = rng.random() < 0.2
    kind = rng.random()
    if kind < 0.1:
        return "POST", "/recommend", {"content": rng.choice((b"{", b"\xff", b"[]", b'{"k": -1}', b'{"user": 7}'))}
    if kind < 0.2:
        return "GET", "/similar-items", {"params": {"item": rng.choice(items), "k": rng.choice((1, 10, 100))}}
    if kind < 0.25:
        return "GET", rng.choice(("/health", "/metrics", "/nowhere", "/openapi.json")), {}
    return "POST", "/recommend", {"json": asked}


async def fill(port: int, items: list[str]) -> int:
    """Ask for every item under every step of whitening, once; how many requests that took."""
    asked = [
        {"history": items[at : at + LONGEST], "policy": {"gamma": 1.0, "whitening": step / WHITENING_STEPS}}
        for step in range(WHITENING_STEPS + 1)
        for at in range(0, len(items), LONGEST)
    ]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
        for body in asked:
            (await http.post("/recommend", json=body)).raise_for_status()
    return len(asked)


async def soak(
    process: psutil.Process, port: int, minutes: float, users: list[str], items: list[str]
) -> dict[str, Any]:
    """Statuses of the answers, and the megabytes the server took over time."""
    statuses: Counter[int] = Counter()
    until = time.monotonic() + 60 * minutes
    memory: list[float] = []

    async def client(number: int) -> None:
        rng = random.Random(number)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            while time.monotonic() < until:
                method, path, more = request(rng, users, items)
                statuses[(await http.request(method, path, **more)).status_code] += 1

    async def watch() -> None:
        while time.monotonic() < until:
            memory.append(process.memory_info().rss / 1e6)
            await asyncio.sleep(EVERY)

    await asyncio.gather(watch(), *(client(n) for n in range(CLIENTS)))
    third = len(memory) // 3
    middle, last = (sum(part) / len(part) for part in (memory[third : 2 * third], memory[2 * third :]))
    return {
        "minutes": minutes,
        "requests": statuses.total(),
        "statuses": dict(statuses),
        "megabytes": {"first": round(memory[0]), "middle third": round(middle), "last third": round(last)},
        "curve": [round(value) for value in memory[:: round(60 / EVERY)]],
        "flat": last <= 1.03 * middle,
        "server errors": sum(n for status, n in statuses.items() if status >= 500 and status != 503),
    }


async def crowd(port: int, count: int) -> dict[str, Any]:
    """What ``count`` connections get that are all open before any of them asks."""
    head = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    opened = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", port) for _ in range(count)), return_exceptions=True
    )
    lines = [one for one in opened if not isinstance(one, BaseException)]

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, float]:
        started = time.perf_counter()
        try:
            writer.write(head)
            answer = await asyncio.wait_for(reader.read(), 60)
            return answer[9:12].decode() or "closed", time.perf_counter() - started
        except (OSError, TimeoutError) as error:
            return type(error).__name__, time.perf_counter() - started
        finally:
            writer.close()

    answers = await asyncio.gather(*(ask(*line) for line in lines))
    return {
        "connections": count,
        "not opened": count - len(lines),
        "answers": dict(Counter(status for status, _ in answers)),
        "longest wait, s": round(max(seconds for _, seconds in answers), 2),
    }


def welcome(store: Store, visitors: int, folder: Path) -> dict[str, Any]:
    """``visitors`` sessions over the app's websocket, three times through all pages; times, memory and errors."""
    from visitors import traces, visit

    log = folder / "sessions.log"
    with serving(store, log) as server:
        assert server.process is not None
        process = psutil.Process(server.process.pid)
        rounds, megabytes = [], []
        for _ in range(ROUNDS):
            rounds.append(visit(server.port, visitors, list(PAGES)))
            megabytes.append(round(process.memory_info().rss / 1e6))
    seconds = sorted(second for seen in rounds for second in seen.seconds)
    return {
        "sessions": visitors,
        "pages": sum(seen.pages for seen in rounds),
        "messages": sum(seen.messages for seen in rounds),
        "seconds until a page stands": {"median": round(seconds[len(seconds) // 2], 1), "most": round(seconds[-1], 1)},
        "server megabytes after each round": megabytes,
        "errors": [error for seen in rounds for error in seen.errors],
        "traces in the log": traces(log),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--connections", type=int, default=1_500)
    parser.add_argument("--browsers", type=int, default=20)
    parser.add_argument("--browsing", type=float, default=5, help="minutes that the browsers walk about")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8_192), hard))
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="llmesr-soak-") as folder:
        if arguments.minutes or arguments.connections:
            store = Store(Path(folder) / "served")
            dataset, run = prepare(store, arguments.items, users=2_000)
            process, port = start(store, run, "cpu")
            users, items = dataset.user_ids.tolist(), dataset.catalogue["item_id"].tolist()
            try:
                if arguments.minutes:
                    watched = psutil.Process(process.pid)
                    filled = asyncio.run(fill(port, items))
                    found = asyncio.run(soak(watched, port, arguments.minutes, users, items))
                    result["soak"] = {"requests that filled it": filled, **found}
                if arguments.connections:
                    result["connections"] = asyncio.run(crowd(port, arguments.connections))
            finally:
                process.terminate()
                process.wait(60)
        if arguments.browsers or arguments.sessions:
            store = Store(Path(folder) / "shown")
            shop = make_dataset(store)
            make_embedding(store, shop)
            make_standard_runs(store, shop)
            if arguments.sessions:
                result["sessions"] = welcome(store, arguments.sessions, Path(folder))
            if arguments.browsers:
                from browsers import browse

                result["browsers"] = browse(store, arguments.browsers, arguments.browsing, Path(folder))
    tell(result, arguments.json)
    soaked = result.get("soak", {})
    shown = [result.get(part, {}) for part in ("sessions", "browsers")]
    wrong = any(part.get("errors") or part.get("traces in the log") for part in shown)
    sys.exit(bool(soaked.get("server errors") or soaked.get("flat") is False or wrong))


if __name__ == "__main__":
    main()
