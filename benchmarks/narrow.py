"""What a step of two processes costs over a link that is narrower than loopback. Needs root, and `ip` and `tc`.

    sudo python benchmarks/narrow.py --items 100000 1000000 --rates none 1gbit

Two network namespaces of this machine, joined by a pair of virtual devices with a token-bucket filter on both ends,
stand in for two machines: each has one process of `id` under the sampled softmax. The rate is that of a network; the
latency is not, and both share the processors. The time by the clock is the least of several stretches of steps, as
others may use the machine. Bytes are those that a device has sent, headers among them. At the end all is removed again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from made import write
from tables import MEMBER, WARM, Watch

from llmesr.config import RunConfig
from llmesr.data.dataset import load_dataset
from llmesr.processes import joined
from llmesr.store import Store
from llmesr.training.stopping import Stopped
from llmesr.training.train import train

ENDS = ("10.213.0.1", "10.213.0.2")
DEVICE, PORT, STRETCH = "llmesr", 29_555, 5
SENT = Path(f"/sys/class/net/{DEVICE}/statistics/tx_bytes")
UPDATES = ("dense", "sparse", "sharded")


class Link:
    """After each step what a :class:`Watch` takes, the time by the clock, and the bytes that this end has sent."""

    def __init__(self, steps: int) -> None:
        self.watch, self.clock, self.sent = Watch(steps), list[float](), list[int]()

    def progress(self, stage: str, done: int, total: int) -> None:
        """A listener of :func:`~llmesr.training.train.train`."""
        self.watch.progress(stage, done, total)
        if stage.startswith("training"):
            self.clock.append(time.perf_counter())
            self.sent.append(int(SENT.read_text()))

    @property
    def least(self) -> float:
        """Seconds of a step by the clock: the mean of the stretch that took least."""
        ends = self.clock[WARM::STRETCH]
        return min(after - before for before, after in pairwise(ends)) / STRETCH

    @property
    def bytes(self) -> float:
        """The median of what a step sent."""
        sent = self.sent[WARM:]
        return statistics.median(after - before for before, after in pairwise(sent))


def member(root: str, dataset: str, settings: dict[str, Any], steps: int) -> None:
    """Some steps as one of the two processes; prints what they took."""
    link, store = Link(steps), Store(root)
    data, config = load_dataset(store, dataset), RunConfig.read(None, method="id", loss="sampled", **settings)
    with joined(torch.device("cpu")) as processes, contextlib.suppress(Stopped):
        options: dict[str, Any] = {"enough": link.watch.enough, "progress": link.progress, "processes": processes}
        train(data, config, store, device="cpu", **options)
    print(MEMBER + json.dumps({"processor": link.watch.seconds, "clock": link.least, "sent": link.bytes}), flush=True)


def run(*words: str) -> None:
    """A command of the system. CalledProcessError when it fails."""
    subprocess.run(words, check=True)


@contextlib.contextmanager
def joined_spaces(rate: str) -> Iterator[list[str]]:
    """The names of two network namespaces with a link between them; ``none``: as fast as it goes."""
    spaces = [f"{DEVICE}-{os.getpid()}-{end}" for end in range(2)]
    try:
        for space in spaces:
            run("ip", "netns", "add", space)
        peer = ["peer", "name", DEVICE, "netns", spaces[1]]
        run("ip", "link", "add", DEVICE, "netns", spaces[0], "type", "veth", *peer)
        for space, address in zip(spaces, ENDS, strict=True):
            run("ip", "-n", space, "address", "add", f"{address}/24", "dev", DEVICE)
            for device in ("lo", DEVICE):
                run("ip", "-n", space, "link", "set", device, "up")
            if rate != "none":
                limit = ["tbf", "rate", rate, "burst", "128k", "latency", "50ms"]
                run("tc", "-n", space, "qdisc", "add", "dev", DEVICE, "root", *limit)
        yield spaces
    finally:
        for space in spaces:  # with a namespace goes its end of the link, and with that the other one
            subprocess.run(["ip", "netns", "delete", space], stderr=subprocess.DEVNULL)


def both(root: str, dataset: str, rate: str, steps: int, **settings: Any) -> list[dict[str, float]]:
    """What the two processes say of themselves. SystemExit when one fails."""
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": ENDS[0], "MASTER_PORT": str(PORT), "GLOO_SOCKET_IFNAME": DEVICE}
    place |= {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    call = [sys.executable, __file__, "--member", root, dataset, json.dumps(settings), "--steps", str(steps)]
    with joined_spaces(rate) as spaces:
        team = []
        for rank, space in enumerate(spaces):
            environment = {**os.environ, **place, "RANK": str(rank)}
            inside = ["ip", "netns", "exec", space, *call]
            team.append(subprocess.Popen(inside, env=environment, stdout=subprocess.PIPE, text=True))
        told = [process.communicate()[0] for process in team]
    if any(process.returncode for process in team):
        raise SystemExit("a process failed; what it said stands above")
    lines = [line for said in told for line in said.splitlines() if line.startswith(MEMBER)]
    return [json.loads(line.removeprefix(MEMBER)) for line in lines]


def main() -> None:
    """Print a row for each number of items, way to update and rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rates", nargs="+", default=["none", "1gbit"], help="as tc spells them; none: no limit")
    parser.add_argument("--updates", nargs="+", choices=UPDATES, default=list(UPDATES))
    parser.add_argument("--steps", type=int, default=60, help=f"of each run, at least {STRETCH}")
    parser.add_argument("--member", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.member:
        member(asked.member[0], asked.member[1], json.loads(asked.member[2]), asked.steps)
        return
    if os.geteuid() or not (shutil.which("ip") and shutil.which("tc")):
        raise SystemExit("This makes network namespaces: it needs root, and the commands ip and tc (iproute2).")
    if asked.steps < STRETCH:
        parser.error(f"--steps must be at least {STRETCH}")
    print("| items | item_updates | rate | MB a step, each | processor ms a step, each | ms a step by the clock |")
    print("|---|---|---|---|---|---|")
    for n in asked.items:
        with tempfile.TemporaryDirectory() as scratch:
            data = write(Store(scratch), 20_000, n)
            for updates in asked.updates:
                for rate in asked.rates:
                    found = both(scratch, data, rate, asked.steps, item_updates=updates)
                    sent = " and ".join(f"{one['sent'] / 1e6:.2f}" for one in found)
                    spent = " and ".join(f"{one['processor'] * 1000:,.0f}" for one in found)
                    clock = max(one["clock"] for one in found) * 1000
                    print(f"| {n:,} | {updates} | {rate} | {sent} | {spent} | {clock:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
