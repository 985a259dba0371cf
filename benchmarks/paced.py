"""At which rate of requests `llmesr serve` answers within 50 ms, 99 times of 100; how soon it is ready.

    OMP_NUM_THREADS=1 python benchmarks/paced.py --rates 50 100 200 --kinds plain "fitted + reasons"

Requests come by chance (a Poisson process) over 64 connections, whether or not earlier ones are answered, as they come
from people; a request waits from the moment it should have been sent. The server of serving.py: 100,000 items, an
untrained llm-esr/sasrec, loopback. Before each kind is measured it is asked for ``--idle`` seconds, 200 times a second:
so histories are known, as they are to a server that has run for a while.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time

import numpy as np
import psutil
from serving import ASKED, prepare, processor, start  # type: ignore[attr-defined]  # the file beside this one, not tests/serving

from llmesr.store import Store

CONNECTIONS = 64
Sent = tuple[float, bytes]


async def connection(port: int, waiting: asyncio.Queue[Sent | None], seconds: list[float]) -> int:
    """Sends what waits, one after the other; returns how many answers were none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    failed = 0
    while (sent := await waiting.get()) is not None:
        due, body = sent
        head = "POST /recommend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        told = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        await reader.readexactly(int(told.split("content-length: ")[1].split("\r\n")[0]))
        if told.split(" ", 2)[1] == "200":
            seconds.append(time.perf_counter() - due)
        else:
            failed += 1
    writer.close()
    return failed


async def paced(port: int, bodies: list[bytes], rate: float, lasting: float) -> tuple[list[float], int]:
    """Seconds of every answer, and how many were none."""
    waiting: asyncio.Queue[Sent | None] = asyncio.Queue()
    seconds: list[float] = []
    team = [asyncio.create_task(connection(port, waiting, seconds)) for _ in range(CONNECTIONS)]
    chance, due = random.Random(0), time.perf_counter()
    end = due + lasting
    while (due := due + chance.expovariate(rate)) < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        waiting.put_nowait((due, chance.choice(bodies)))
    for _ in team:
        waiting.put_nowait(None)
    return seconds, sum(await asyncio.gather(*team))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--idle", type=float, default=30.0)
    parser.add_argument("--rates", nargs="+", type=float, default=[25, 50, 100, 200, 400])
    parser.add_argument("--kinds", nargs="+", default=["plain", "fitted", "fitted + reasons"], choices=list(ASKED))
    parser.add_argument("--set", action="append", default=[], help="a setting of the server, such as workers=2")
    args = parser.parse_args()
    print(f"Other processes are running on {psutil.getloadavg()[0]:.1f} of {psutil.cpu_count()} cores.")
    with tempfile.TemporaryDirectory() as root:
        store = Store(root)
        dataset, run = prepare(store, args.items)
        begun = time.perf_counter()
        process, port = start(store, run, "cpu", *args.set)
        print(f"ready after {time.perf_counter() - begun:.1f} s, {processor(process):.1f} s of the processor\n")
        print("| requests | asked/s | p50, ms | p99, ms | server's processor ms an answer | not answered |")
        print("|---|---|---|---|---|---|")
        try:
            for kind in args.kinds:
                bodies = [json.dumps({"user": u, **ASKED[kind]}).encode() for u in dataset.user_ids[:2000]]
                asyncio.run(paced(port, bodies, 200, args.idle))
                for rate in args.rates:
                    before = processor(process)
                    seconds, failed = asyncio.run(paced(port, bodies, rate, args.seconds))
                    spent = 1000 * (processor(process) - before) / max(len(seconds), 1)
                    p50, p99 = np.percentile(seconds, (50, 99)) * 1000
                    print(f"| {kind} | {rate:g} | {p50:.0f} | {p99:.0f} | {spent:.2f} | {failed} |", flush=True)
        finally:
            process.terminate()
            process.wait(60)


if __name__ == "__main__":
    main()
