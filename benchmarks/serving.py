"""Load test of `llmesr serve` on loopback: requests per second and latency at 1, 8 and 64 clients.

    python benchmarks/serving.py [--items 100000] [--seconds 8] [--device auto] [--kinds plain fitted] [--json FILE]

A dataset of that many items, random text vectors and an untrained llm-esr/sasrec model are written to
a temporary folder and served by a process of its own; what is measured does not depend on training.
The last column but one is the server's processor time per answer: it holds on a busy machine too.
After the plain load the server is pushed over its queue (503 with Retry-After and nothing else may
come back), reloaded under load (nothing may be dropped) and stopped while requests are in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
from safetensors.numpy import save_file

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset, load_dataset, write_dataset
from llmesr.methods import Inputs, build
from llmesr.runs.record import MODEL, Run, Status
from llmesr.semantic.embed import ITEM_IDS, VECTORS, histories_digest
from llmesr.store import Store
from llmesr.training.checkpoint import save_tensors

POLICY = {"gamma": 8.0, "route_threshold": 4, "route_weight": 0.0}
FITTED = {
    "gamma": 8.0,
    "whitening": 0.5,
    "linear": 1.0,
    "weights": {
        "counts": [0, 1, 5, 50, 500],
        "collaborative": [0.2, 0.5, 0.8, 1.0, 1.1],
        "semantic": [1.2, 1.1, 1.0, 0.9, 0.8],
        "content": [1.5, 1.2, 1.0, 0.8, 0.6],
        "linear": [0.5, 0.8, 1.0, 1.2, 1.3],
        "bias": [0.0, 0.1, 0.2, 0.1, 0.0],
    },
}
"""Of the form `llmesr tune` fits: every term, with weights that follow popularity."""
ASKED: dict[str, dict[str, object]] = {
    "plain": {},
    "policy": {"policy": POLICY},
    "policy + mmr": {"policy": POLICY, "reranker": {"name": "mmr"}},
    "fitted": {"policy": FITTED},
    "fitted + reasons": {"policy": FITTED, "explain": True},
}
"""The kinds of requests."""


def prepare(store: Store, items: int, users: int = 20_000) -> tuple[Dataset, Run]:
    """A dataset with Zipf popularity, its text vectors and an untrained run."""
    rng = np.random.default_rng(0)
    lengths = rng.geometric(1 / 8, users) + 3
    weights = 1 / np.arange(1, items + 1) ** 0.9
    chosen = rng.choice(items, lengths.sum(), p=weights / weights.sum()) + 1
    frame = pd.DataFrame({"user": np.repeat(np.arange(users), lengths), "item": chosen})
    names = pd.DataFrame({"item_id": [f"i{i}" for i in range(items)]})
    names["title"] = "Item " + names["item_id"]
    with store.draft("datasets", "load", name="load", seed=1) as draft:
        write_dataset(draft, interactions=frame, user_ids=[f"u{u}" for u in range(users)], catalogue=names)
    dataset = load_dataset(store, "load")
    vectors = rng.normal(size=(items, 384)).astype(np.float32)
    with store.draft("embeddings", "load-text", name="text", parents=[dataset.manifest]) as draft:
        draft.manifest.info = {"fingerprint": "random", "histories": histories_digest(dataset), "dimension": 384}
        save_file({"items": vectors, "users": rng.normal(size=(users, 384)).astype(np.float32)}, draft.path / VECTORS)
        names[["item_id"]].to_parquet(draft.path / ITEM_IDS, index=False)
    config = RunConfig(method="llm-esr", distillation="off")
    parents = [dataset.manifest, store.manifest("embeddings", "load-text")]
    run = Run.create(store, config, parents, name="load", id="load-run", device="cpu")
    text = torch.from_numpy(np.vstack([np.zeros((1, 384), np.float32), vectors]))
    model = build(Inputs(n_items=items, text=text, reduced=torch.randn(items, config.embedding_size)), config).model
    save_tensors(run.folder / MODEL, model.state_dict(), {})
    run.finish(Status(state="SUCCEEDED"), {}, {})
    return dataset, run


@dataclass
class Outcome:
    """What one load saw."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    without_retry: int = 0
    broken: int = 0


async def client(port: int, bodies: list[bytes], until: float, outcome: Outcome, seed: int) -> None:
    """One connection that asks again as soon as it is answered, for users of its own chance: a batch that is asked the
    same by all costs less. A parser of our own: the client shares the cores."""
    rng = random.Random(seed)
    reader = writer = None
    while time.perf_counter() < until:
        body = rng.choice(bodies)
        started = time.perf_counter()
        try:
            if reader is None or writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = "POST /recommend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            headers = answer.decode("latin-1").lower()
            size = int(headers.split("content-length: ")[1].split("\r\n")[0])
            await reader.readexactly(size)
            status = int(headers.split(" ", 2)[1])
        except (ConnectionError, asyncio.IncompleteReadError):
            outcome.broken += 1
            return
        outcome.statuses[status] += 1
        if status == 200:
            outcome.seconds.append(time.perf_counter() - started)
        elif status in (429, 503):
            outcome.without_retry += "retry-after:" not in headers
            await asyncio.sleep(0.05)
    if writer is not None:
        writer.close()


async def load(port: int, bodies: list[bytes], clients: int, seconds: float) -> Outcome:
    """``clients`` connections for ``seconds``."""
    outcome = Outcome()
    until = time.perf_counter() + seconds
    await asyncio.gather(*(client(port, bodies, until, outcome, seed) for seed in range(clients)))
    return outcome


async def control(port: int, method: str, path: str) -> tuple[int, bytes]:
    """A single request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1]), answer


def start(
    store: Store, run: Run, device: str, *settings: str, patience: float = 180.0
) -> tuple[subprocess.Popen[bytes], int]:
    """The server process, ready to answer within ``patience`` seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    overrides = [word for s in ("reload_seconds=0", *settings) for word in ("--set", s)]
    command = [sys.executable, "-m", "llmesr", "serve", run.id, "--port", str(port), "--device", device, *overrides]
    process = subprocess.Popen(command, env={**os.environ, "LLMESR_ARTIFACTS": str(store.root)})
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            asyncio.run(control(port, "GET", "/health"))
            return process, port
        except ConnectionError:
            if process.poll() is not None:
                raise SystemExit("the server did not start") from None
            time.sleep(0.2)
    raise SystemExit(f"the server did not answer within {patience:.0f} s")


def steady(
    store: Store,
    run: Run,
    dataset: Dataset,
    device: str,
    seconds: float,
    kinds: list[str],
    clients_of: list[int],
    settings: list[str],
    warm: float,
) -> list[dict[str, object]]:
    """Rows of the table: each kind of request at each number of clients."""
    process, port = start(store, run, device, *settings)
    users = dataset.user_ids[:2000]
    rows: list[dict[str, object]] = []
    try:
        for kind in kinds:
            bodies = [json.dumps({"user": u, **ASKED[kind]}).encode() for u in users]
            asyncio.run(load(port, bodies, 64, warm))
            for clients in clients_of:
                before, own = processor(process), time.process_time()
                outcome = asyncio.run(load(port, bodies, clients, seconds))
                spent, own = processor(process) - before, time.process_time() - own
                p50, p95, p99 = np.percentile(outcome.seconds, (50, 95, 99)) * 1e3
                rows.append(
                    {
                        "requests": kind,
                        "clients": clients,
                        "per_second": round(len(outcome.seconds) / seconds, 1),
                        "p50_ms": round(float(p50), 1),
                        "p95_ms": round(float(p95), 1),
                        "p99_ms": round(float(p99), 1),
                        "server_cpu_ms": round(1e3 * spent / len(outcome.seconds), 2),
                        "client_cpu_ms": round(1e3 * own / len(outcome.seconds), 2),
                        "not_200": sum(n for s, n in outcome.statuses.items() if s != 200) + outcome.broken,
                    }
                )
                print(rows[-1], file=sys.stderr, flush=True)
    finally:
        process.terminate()
        process.wait(60)
    return rows


def processor(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time the server has taken, all its processes together."""
    server = psutil.Process(process.pid)
    times = [one.cpu_times() for one in (server, *server.children(recursive=True))]
    return float(sum(t.user + t.system for t in times))


def stress(store: Store, run: Run, dataset: Dataset, device: str, seconds: float) -> dict[str, object]:
    """Overload, reload under load, and a stop while requests are in flight."""
    process, port = start(store, run, device, "max_queue=16")
    bodies = [json.dumps({"user": u, "policy": POLICY}).encode() for u in dataset.user_ids[:2000]]
    over = asyncio.run(load(port, bodies, 128, seconds))

    async def reload_under_load() -> tuple[Outcome, int]:
        asked = asyncio.create_task(load(port, bodies, 8, seconds))
        await asyncio.sleep(seconds / 4)
        status, _ = await control(port, "POST", "/reload")
        return await asked, status

    reloaded, reload_status = asyncio.run(reload_under_load())

    async def stop_under_load() -> Outcome:
        asked = asyncio.create_task(load(port, bodies, 8, seconds))
        await asyncio.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        return await asked

    began = time.perf_counter()
    stopped = asyncio.run(stop_under_load())
    process.wait(60)
    return {
        "overload": {"clients": 128, "statuses": dict(over.statuses), "without_retry_after": over.without_retry,
                     "broken": over.broken},
        "reload": {"status": reload_status, "statuses": dict(reloaded.statuses), "broken": reloaded.broken},
        "stop": {"statuses": dict(stopped.statuses), "seconds": round(time.perf_counter() - began - 1.0, 1)},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--warm", type=float, default=3.0, help="seconds of load before anything is measured")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--kinds", nargs="+", default=list(ASKED), choices=list(ASKED))
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--no-stress", action="store_true", help="leave out overload, reload and stop under load")
    parser.add_argument("--set", action="append", default=[], help="a setting of the server, such as workers=2")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        store = Store(root)
        dataset, run = prepare(store, args.items)
        result = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
            "items": args.items,
            "steady": steady(
                store, run, dataset, args.device, args.seconds, args.kinds, args.clients, args.set, args.warm
            ),
            "stress": None if args.no_stress else stress(store, run, dataset, args.device, args.seconds),
        }
    rows = result["steady"]
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(map(str, row.values()))} |")
    print(json.dumps(result["stress"], indent=2))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
