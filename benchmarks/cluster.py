"""A cluster of two nodes on this machine: it trains, loses a worker, goes on, evaluates.

    python benchmarks/cluster.py
    python benchmarks/cluster.py --sharded      # with a table of item vectors over both nodes

Two agents of torchrun meet over loopback, each with a worker of its own, as on two machines that share a folder. When
the first epochs are done a worker is killed (SIGKILL); torchrun starts both again with the same command, which goes on
from the checkpoint because the run is named. Then a whole node is lost, agent and worker, and the other one finishes
alone. The run is compared with one that a single process trained undisturbed: without dropout and with cross-entropy
their metrics have to be the same, but for ranks that rounding moves. A sharded table needs a sampled loss, whose
negatives every start draws for itself: then NDCG@10 of both is printed, which need not be the same.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from llmesr.config import RunConfig
from llmesr.data.synthetic import make
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.training.train import train

SETTINGS = {"embedding_size": 16, "batch_size": 16, "dropout": 0.0, "max_length": 16, "patience": 60}
SHARDED = {"loss": "sampled", "item_updates": "sharded"}
CLOSE, LONGEST = 1e-2, 600.0


def agent(root: Path, dataset: str, settings: dict[str, Any], port: int, first: bool) -> subprocess.Popen[bytes]:
    """A node: torchrun, which starts its worker again when one is lost, here or there. The nodes meet at the ``first``,
    which must not be lost."""
    meet = ["--nnodes=1:2", "--nproc-per-node=1", "--max-restarts=5", "--rdzv-backend=c10d", "--rdzv-id=llmesr"]
    rules = f"is_host={int(first)},last_call_timeout=5,keep_alive_interval=1"
    meet += [f"--rdzv-endpoint=127.0.0.1:{port}", f"--rdzv-conf={rules}"]
    command = ["-m", "llmesr", "train", dataset, "--method", "id", "--run-id", "cluster", "--device", "cpu"]
    command += [word for k, v in settings.items() for word in ("--set", f"{k}={v}")]
    environment = {**os.environ, "LLMESR_ARTIFACTS": str(root), "OMP_NUM_THREADS": "1"}
    call = [sys.executable, "-m", "torch.distributed.run", *meet, *command]
    return subprocess.Popen(call, env=environment)


def workers(node: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of a node that train."""
    return [p for p in psutil.Process(node.pid).children() if "llmesr" in p.cmdline()]


def reached(store: Store, epoch: int, nodes: list[subprocess.Popen[bytes]]) -> None:
    """Wait until the run has finished an epoch. SystemExit when all nodes end before, or it takes too long."""
    until = time.monotonic() + LONGEST
    while not (store.exists("runs", "cluster") and len(Run(store, "cluster").events()) >= epoch):
        if all(node.poll() is not None for node in nodes) or time.monotonic() > until:
            raise SystemExit(f"epoch {epoch} was not reached: the nodes ended with {[n.poll() for n in nodes]}")
        time.sleep(0.1)


def losses(store: Store, nodes: list[subprocess.Popen[bytes]]) -> None:
    """Train on both nodes, of which first a worker and then the second one is lost; prints what happened when."""
    begun = time.monotonic()

    def note(what: str) -> None:
        epoch = len(Run(store, "cluster").events())
        print(f"{time.monotonic() - begun:5.1f} s: {what}, after epoch {epoch}", flush=True)

    reached(store, 3, nodes)
    (worker,) = workers(nodes[1])
    worker.kill()
    note("a worker was killed")
    reached(store, len(Run(store, "cluster").events()) + 3, nodes)
    note("both nodes go on")
    for process in (psutil.Process(nodes[1].pid), *workers(nodes[1])):
        process.kill()
    nodes[1].wait()
    note("a node was lost")
    nodes[0].wait(LONGEST)
    note(f"the other one ended with {nodes[0].returncode}")


def main() -> None:
    """SystemExit where the run that lost workers is not the run that lost none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--sharded", action="store_true", help="spread the table of item vectors over the nodes")
    asked = parser.parse_args()
    settings = {**SETTINGS, "epochs": asked.epochs, **(SHARDED if asked.sharded else {})}
    with tempfile.TemporaryDirectory() as scratch, socket.socket() as free:
        store = Store(Path(scratch) / "artifacts")
        data = make(store, name="market", users=asked.users, items=120, seed=1)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        nodes = [agent(store.root, data.id, settings, port, first) for first in (True, False)]
        try:
            losses(store, nodes)
        finally:
            for node in nodes:
                if node.poll() is None:
                    node.terminate()
                    node.wait(60)
        run = Run(store, "cluster")
        if (state := run.status().state) != "SUCCEEDED":
            raise SystemExit(f"the run is {state}")
        alone = train(data, RunConfig.read(None, method="id", **settings), store, device="cpu")
        values = [{(r["protocol"], r["group"], r["metric"]): r["value"] for r in of.metrics()} for of in (run, alone)]
        apart = max(abs(values[0][key] - values[1][key]) for key in values[1] if values[1][key] is not None)
        epochs = [of.events()["epoch"].tolist() for of in (run, alone)]
        print(f"{epochs[0][-1]} epochs, each once: {epochs[0] == list(range(1, epochs[0][-1] + 1))}")
        if asked.sharded:
            ndcg = " and ".join(f"{of['full', 'Overall', 'NDCG@10']:.4f}" for of in values)
            print(f"NDCG@10 (full) and that of one process that lost nobody: {ndcg}")
            return
        print(f"metrics are at most {apart:.4f} from those of one process that lost nobody")
        if apart > CLOSE:
            raise SystemExit("that is more than rounding")


if __name__ == "__main__":
    main()
