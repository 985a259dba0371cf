"""The loop of fine-tuning: steps, evaluations on held-out items, checkpoints. It reads no dataset."""

from __future__ import annotations

import math
import sys
import time
from functools import partial

import numpy as np
import torch
from torch import nn

from llmesr.config import FinetuneConfig
from llmesr.errors import UserError
from llmesr.runs.finetune import Finetune
from llmesr.runs.live import Status
from llmesr.semantic.contrastive import Encoder, Objective, backward, batch_items
from llmesr.semantic.diagnostics import mean_cosine, uniformity
from llmesr.training.checkpoint import load_tensors, pack, save_tensors, unpack
from llmesr.training.devices import autocast
from llmesr.training.loop import BEST, LAST
from llmesr.training.runtime import Runtime
from llmesr.training.stopping import Stopped, Stopper

EVALUATION_TEXTS = 64
REPORT_EVERY = 10.0
"""Seconds between updates of the status."""


class Trained(nn.Module):
    """Only the parameters that are tuned, under their own names: what checkpoints hold, never the base model."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        for module in modules:
            for name, parameter in module.named_parameters():
                if parameter.requires_grad:
                    self.register_parameter(name.replace(".", "/"), parameter)


class FinetuneLoop:
    """Fine-tunes ``encoder`` by ``objective``, whose rows ``train_rows`` are to train on and ``held_out`` to judge by.

    All randomness follows from the seed
    and the step, so :meth:`resume` leads to the same result as never having stopped.
    """

    def __init__(
        self,
        *,
        run: Finetune,
        objective: Objective,
        train_rows: np.ndarray,
        held_out: np.ndarray,
        encoder: Encoder,
        config: FinetuneConfig,
        runtime: Runtime,
    ) -> None:
        self.run, self.objective, self.encoder, self.config = run, objective, encoder, config
        self.train_rows, self.runtime, self.device = train_rows, runtime, runtime.device
        self.judged = objective.pairs(held_out, 0)  # the same texts at every evaluation; training begins with step 1
        self.judged_beside = objective.beside(held_out, 0)
        self.loss = objective.loss(config, encoder.embedder.dimension).to(self.device)
        self.trained = Trained(encoder.model, self.loss)
        self.optimizer = torch.optim.AdamW(
            self.trained.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.stopper = Stopper(config.patience)
        self.step, self.seconds, self.losses = 0, 0.0, 0.0
        self.before: dict[str, float] = {}
        self.best: dict[str, float] = {}
        self.latest: dict[str, float] = {}
        self.reported = 0.0
        self.prompts_per_step = config.accumulation * self._texts()

    def fit(self) -> None:
        """Fine-tune until the last step or until held-out accuracy stops improving. Raises :class:`Stopped`."""
        if not self.before:
            self._judge()
        since = self.seconds
        while self.step < self.config.steps and not self.stopper.done:
            started = time.perf_counter()
            self.losses += self._step()
            self.seconds += time.perf_counter() - started
            self.step += 1
            self.runtime.progress("fine-tuning", self.step, self.config.steps)
            if self.step % self.config.evaluate_every == 0 or self.step == self.config.steps:
                self._judge(self.seconds - since)
                since = self.seconds
            elif time.monotonic() - self.reported > REPORT_EVERY:
                self._report()

    def _step(self) -> float:
        config, total = self.config, 0.0
        self.encoder.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step)
        for part in range(config.accumulation):
            if self.runtime.should_stop():  # nothing has changed since the last whole step
                self._checkpoint()
                raise Stopped
            number = self.step * config.accumulation + part
            rows = batch_items(self.train_rows, config.batch_size, number, config.seed)
            beside = self.objective.beside(rows, self.step + 1)
            beside = None if beside is None else beside.to(self.device)
            with autocast(self.device, config.precision):
                total += backward(
                    self.encoder,
                    partial(self.loss, beside=beside),
                    *self.objective.pairs(rows, self.step + 1),
                    chunk_size=config.chunk_size,
                    weight=1 / config.accumulation,
                    seed=(config.seed, number),
                )
        loss = total / config.accumulation
        if not math.isfinite(loss):
            raise UserError(
                f"The loss became {loss} at step {self.step + 1}. Lower learning_rate (now {config.learning_rate}) or "
                "set normalise=true, targets=hard and temperature=0.05; the last good checkpoint is kept."
            )
        nn.utils.clip_grad_norm_(self.trained.parameters(), config.clip_norm)
        self.optimizer.step()
        return loss

    def _texts(self) -> int:
        """How many texts a batch has."""
        rows = batch_items(self.train_rows, self.config.batch_size, 0, self.config.seed)
        return sum(map(len, self.objective.pairs(rows, 1)))

    def _judge(self, seconds: float = 0.0) -> None:
        """Measure on held-out items, record, keep the best and a checkpoint."""
        started = time.perf_counter()
        found = self._measure()
        done = self.step % self.config.evaluate_every or (self.config.evaluate_every if self.step else 0)
        event = {
            "step": self.step,
            **({"loss": self.losses / done} if done else {}),
            **found,
            **self.loss.report(),
            "learning_rate": learning_rate(self.config, max(self.step - 1, 0)),
            "seconds": round(seconds, 4),
            "evaluation_seconds": round(time.perf_counter() - started, 4),
        }
        self.losses = 0.0
        if not self.step:
            self.before = found
        elif self.stopper.update(found["accuracy"], self.step):
            self.best = found
            save_tensors(self.run.checkpoint(BEST), self.trained.state_dict(), {"step": self.step})
        self.latest = found
        self.run.append_event(event)
        self._checkpoint()
        self._report()

    def _report(self) -> None:
        """Write into the status how far it is and how long it may still take."""
        self.reported = time.monotonic()
        left = 0 if self.stopper.done else self.config.steps - self.step
        self.run.set_status(
            Status(
                state="RUNNING",
                epoch=self.step,
                epochs=self.config.steps,
                best=self.stopper.best,
                seconds_left=round(self.seconds / self.step * left, 1) if self.step else None,
                message=f"held-out accuracy {self.latest['accuracy']:.3f}, before {self.before['accuracy']:.3f}",
            )
        )

    def _measure(self) -> dict[str, float]:
        with autocast(self.device, self.config.precision):
            x, y = (self.encoder.unit(texts, EVALUATION_TEXTS) for texts in self.judged)
        return {
            "accuracy": self.objective.accuracy(x, y, self.judged_beside),
            "mean_cosine": mean_cosine(x.numpy()),
            "uniformity": uniformity(x.numpy()),
            "alignment": float((x - y).square().sum(1).mean()),
        }

    def _checkpoint(self) -> None:
        tensors, state = pack(self.trained, self.optimizer, self.device, {})
        state |= {
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
            "before": self.before,
            "best": self.best,
            "latest": self.latest,
            "stopper": self.stopper.state(),
        }
        save_tensors(self.run.checkpoint(LAST), tensors, state)

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        path = self.run.checkpoint(LAST)
        if not path.is_file():
            self.run.truncate_events(-1)
            return
        tensors, state = load_tensors(path)
        unpack(tensors, state, self.trained, self.optimizer, self.device)
        self.step, self.seconds, self.losses = state["step"], state["seconds"], state["losses"]
        self.before, self.best, self.latest = state["before"], state["best"], state["latest"]
        self.stopper = Stopper(**state["stopper"])
        self.run.truncate_events(self.step)

    def restore_best(self) -> None:
        """Give the encoder the parameters with the best held-out accuracy."""
        self.trained.load_state_dict(load_tensors(self.run.checkpoint(BEST))[0])


def learning_rate(config: FinetuneConfig, step: int) -> float:
    """Linear warm-up to ``config.learning_rate``, then linear decay towards 0 after the last step; steps from 0."""
    rising = max(1, round(config.warmup * config.steps))
    if step < rising:
        return config.learning_rate * (step + 1) / rising
    return config.learning_rate * (config.steps - step) / max(config.steps - rising, 1)


def peak_memory(device: torch.device) -> int | None:
    """Bytes at the highest point: of the device's allocator on cuda, else of this process; None where unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else most * 1024)
