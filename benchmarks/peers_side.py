"""What every side of benchmarks/peers.py shares: what it learns from, its sizes, its clock and its judge.

A side is a script of its own (``peers_rectools.py`` and the others), run in the environment of its library:

    python peers_rectools.py DATA.npz PLAN

DATA holds the training histories (``items``, 1..N, oldest first, of user u from ``starts[u]`` to ``starts[u + 1]``)
and ``users`` with their ``target`` on validation; PLAN is a :class:`Plan` as JSON. A JSON line is printed whenever the
model was judged. The clock is the processor's, and stands still while that happens.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from linear_side import tallied

FACTORS, BLOCKS, HEADS, LENGTH, BATCH, DROPOUT, RATE, MASKED = 64, 2, 1, 50, 128, 0.2, 1e-3, 0.2
"""Of every side. MASKED is the share of positions that BERT4Rec hides."""
SHARED, OWN = 1024, 128
"""Negatives of a sampled softmax: shared by a batch, and where a library has each position draw its own."""
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
"""Of a trainer of Lightning."""
CELLS = 2_000_000
"""Scores that are judged together, so that judging needs little memory."""
Score = Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray]
"""Histories, oldest item first, and whose they are -> (B, N + 1) scores, what is in column 0 does not count."""


@dataclass(frozen=True)
class Plan:
    """What a side is asked to train, for how long, and how often it is judged within an epoch."""

    backbone: str
    loss: str
    seconds: float
    pause: float
    patience: int
    seed: int
    dataset: str
    """Where our own side finds the data in its store."""
    own: dict[str, str]
    """Settings of our own side that differ from those of every side."""


class Over(Exception):
    """The seconds are spent, or no epoch of the last ones was the best."""


@dataclass
class Data:
    """What every side learns from and is asked."""

    histories: list[np.ndarray]
    users: np.ndarray
    target: np.ndarray
    n_items: int

    @classmethod
    def read(cls, file: str) -> "Data":
        found = np.load(file)
        histories = np.split(found["items"], found["starts"][1:-1])
        return cls(histories, found["users"], found["target"], int(found["n_items"]))

    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """User, item and place in the history of every interaction."""
        lengths = [len(h) for h in self.histories]
        places = np.concatenate([np.arange(n) for n in lengths])
        return np.repeat(np.arange(len(lengths)), lengths), np.concatenate(self.histories), places


@dataclass
class Watch:
    """The clock and the judge: a side calls ``start`` once, then ``step`` and ``epoch``, which raise :class:`Over`."""

    data: Data
    plan: Plan
    cpu: float = 0.0
    epochs: int = 0
    steps: int = 0
    judged_at: float = 0.0
    best: float = -1.0
    poor: int = 0
    began: float = field(default=0.0)

    def start(self, net: torch.nn.Module, make: Callable[[], Score], steps: int) -> None:
        """``make`` gives what scores with ``net`` as it stands; an epoch has ``steps``."""
        self.net, self.make, self.of, self.before = net, make, steps, peak()
        self.began = time.process_time()

    def step(self) -> None:
        """A step has ended; the last of an epoch is left to ``epoch``."""
        self.steps += 1
        spent = self.cpu + time.process_time() - self.began
        if self.steps < self.of and (spent - self.judged_at >= self.plan.pause or spent >= self.plan.seconds):
            self._judge(self.epochs + self.steps / self.of)

    def epoch(self) -> None:
        """An epoch has ended."""
        self.epochs, self.steps, best = self.epochs + 1, 0, self.best
        self._judge(self.epochs)
        self.poor = 0 if self.best > best else self.poor + 1
        if self.poor >= self.plan.patience:
            raise Over

    def _judge(self, epoch: float) -> None:
        """Stop the clock, judge, print, go on."""
        self.cpu += time.process_time() - self.began
        self.judged_at = self.cpu
        memory = {"before": self.before, "peak": peak()}
        self.net.eval()
        with torch.inference_mode():
            quality = judged(self.make(), self.data)
        self.net.train()
        print(json.dumps({"epoch": epoch, "cpu": self.cpu, **memory, **quality}), flush=True)
        self.best = max(self.best, quality["NDCG@10"])
        if self.cpu >= self.plan.seconds:
            raise Over
        self.began = time.process_time()


def peak() -> float:
    """GB that this process has held at the most; ``getrusage`` would count what the process that started it held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9


def judged(score: Score, data: Data) -> dict[str, float]:
    """NDCG@10 and HR@10 of the targets among all items that are not in the training history; a tie counts half."""
    gain = hits = 0.0
    together = min(256, max(1, CELLS // data.n_items))
    for first in range(0, len(data.users), together):
        users, wanted = data.users[first : first + together], data.target[first : first + together]
        histories = [data.histories[u] for u in users]
        scores = np.array(score(histories, users), np.float32)
        scores[:, 0] = -np.inf
        for row, history in zip(scores, histories, strict=True):
            row[history] = -np.inf
        more = tallied(scores, wanted)
        gain, hits = gain + more[0], hits + more[1]
    return {"NDCG@10": gain / len(data.users), "HR@10": hits / len(data.users)}


def padded(histories: Sequence[np.ndarray], *, left: bool, length: int = LENGTH) -> np.ndarray:
    """(B, length) the newest items of each, 0 where there are fewer."""
    made = np.zeros((len(histories), length), np.int64)
    for row, history in zip(made, histories, strict=True):
        newest = history[-length:]
        if left:
            row[length - len(newest) :] = newest
        else:
            row[: len(newest)] = newest
    return made


def known_only(scores: torch.Tensor, internal: np.ndarray) -> np.ndarray:
    """(B, N') by the numbers of a library -> (B, N + 1) by ours; what is not in training (0) stands last."""
    return np.where(internal > 0, scores.numpy()[:, internal], -np.inf)


def watching(watch: Watch, callback: type, net_of: Callable[[Any], torch.nn.Module], make: Any) -> Any:
    """A callback of Lightning (``callback`` is the class of its version) that hands its events to ``watch``.

    ``make`` is given the module that is trained and gives what scores.
    """

    class Watching(callback):  # type: ignore[misc]
        def on_train_start(self, trainer: Any, module: Any) -> None:
            watch.start(net_of(module), lambda: make(module), int(trainer.num_training_batches))

        def on_train_batch_end(self, *_: object) -> None:
            watch.step()

        def on_train_epoch_end(self, *_: object) -> None:
            watch.epoch()

    return Watching()


def carry_out(train: Callable[[Data, Plan, Watch], None]) -> None:
    """Run a side as its script is called."""
    data, plan = Data.read(sys.argv[1]), Plan(**json.loads(sys.argv[2]))
    torch.manual_seed(plan.seed)
    np.random.seed(plan.seed)  # noqa: NPY002 (libraries draw from it)
    with contextlib.suppress(Over):
        train(data, plan, Watch(data, plan))
