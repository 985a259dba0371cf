"""The training loop. It knows batches, a model, weighted objectives and a validation; no method by name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmesr.config import RunConfig
from llmesr.data.batches import CUTTING, Sequences
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.ids import PAD
from llmesr.methods import Method
from llmesr.models.sequence_model import last_state
from llmesr.objectives.base import EncodedBatch
from llmesr.runs.record import Run, Status
from llmesr.training import shards
from llmesr.training.checkpoint import pack, unpack
from llmesr.training.devices import autocast
from llmesr.training.optimiser import clip, optimiser_of
from llmesr.training.rows import Batch, Prefixes, Rows, Seen, cloze_batch, next_item_batch
from llmesr.training.runtime import Runtime
from llmesr.training.stopping import Pruned, Stopped, Stopper
from llmesr.training.user_states import UserStates

LAST, BEST = "last.safetensors", "best.safetensors"
GRADIENT_NORM = 5.0
AGAIN = (
    "epoch {epoch} begins again: the version that stopped within it cut batches otherwise, so this run is not the one "
    "that it would have been"
)
"""Said on resuming such a run. What the model has learned in that epoch stays."""


class Loop:
    """Trains ``method`` on ``dataset``, recording into ``run``.

    ``validate()`` returns validation metrics by name; ``config.monitor`` names the one that decides. Without it
    nothing is judged, and nothing recorded but the status: every epoch of ``config`` is trained, the last one counts.
    Its state is kept as ``checkpoint``. Of several processes each reads its share of every batch; the gradients are
    added up, so that they are those of the whole one.
    """

    def __init__(
        self,
        *,
        method: Method,
        dataset: Dataset,
        sequences: Sequences,
        config: RunConfig,
        run: Run,
        validate: Callable[[], dict[str, float]] | None,
        runtime: Runtime,
        checkpoint: str = LAST,
    ) -> None:
        self.dataset, self.sequences, self.config, self.run, self.validate = dataset, sequences, config, run, validate
        self.runtime, self.device, self.processes = runtime, runtime.device, runtime.processes
        self.checkpoint = checkpoint
        self.model = method.model.to(self.device)
        self.base = method.base
        self.objectives = [objective.to(self.device) for objective in method.objectives]
        self.rows = Rows.of(dataset, max_length=config.max_length, all_windows=config.all_windows)
        if not len(self.rows.users):
            raise UserError(
                f"Dataset {dataset.name!r} has no user with two training interactions, so there is nothing to learn. "
                "Use longer histories or a method that needs no training (popularity, semantic-knn)."
            )
        self.seen = Seen(dataset, self.device)
        self.optimizer = optimiser_of(
            self.model,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self.user_states = UserStates(
            model=self.model,
            dataset=dataset,
            sequences=sequences,
            config=config,
            checkpoint=run.checkpoint(checkpoint),
            runtime=runtime,
        )
        self.stopper = Stopper(config.patience)
        self.random = np.random.default_rng(config.seed)
        self.epoch, self.step, self.epoch_random = 0, 0, self.random.bit_generator.state
        self.sums: dict[str, Tensor] = {}  # on the device: reading them every step would wait for it
        self.seconds = 0.0
        self.cut_short = False
        """Whether it was enough before it was done."""
        self.begun_again = 0
        """The epoch, counted from 1, that was the last to begin again because batches were cut otherwise; 0 without."""

    def fit(self) -> Stopper:
        """Train until the last epoch, until validation stops improving or until it is enough. Raises :class:`Stopped`
        and :class:`Pruned`."""
        try:
            return self._fit()
        finally:
            self.user_states.sweep()  # those of an epoch that broke off

    def _fit(self) -> Stopper:
        self.processes.sync_parameters(self.model, own=self.model.sharded)
        if not self.processes.is_main:  # its rows get a dropout of their own
            torch.manual_seed(hash((self.config.seed, self.epoch, self.step, self.processes.rank)))
        while self.epoch < self.config.epochs and not self.stopper.done:
            if reason := self.processes.broadcast(self.runtime.give_up(self.run)):
                raise Pruned(reason)
            started = time.perf_counter() - self.seconds
            losses = self._epoch(started)
            if losses is None:
                break
            trained = time.perf_counter() - started
            self.epoch, self.step, self.seconds, self.sums = self.epoch + 1, 0, 0.0, {}
            self.epoch_random = self.random.bit_generator.state
            self._after_epoch(losses, trained, started)
        return self.stopper

    def _epoch(self, started: float) -> dict[str, float] | None:
        """The mean losses; None when it is enough."""
        if not self.step:
            self.model.renew(self.epoch)
        self.model.train()
        self.random.bit_generator.state = self.epoch_random
        batches = self.rows.batches(self.config, self.random, masked=self.model.masked)
        for chosen in batches[self.step :]:
            enough = self.processes.any(self.runtime.enough())
            if enough and self.stopper.best is not None:
                self.cut_short = True
                return None
            if enough or self.processes.any(self.runtime.should_stop()):
                self.seconds = time.perf_counter() - started
                self._checkpoint()
                raise Stopped
            for objective in self.objectives:
                objective.refresh(self.step, partial(self.user_states.encode, f"{self.epoch}-{self.step}"))
            for name, value in self._step(chosen).items():
                self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.step += 1
            done = self.epoch * len(batches) + self.step
            self.runtime.progress(
                f"training, at most {self.config.epochs} epochs", done, self.config.epochs * len(batches)
            )
        return {name: float(value) / len(batches) for name, value in self._totals().items()}

    def _step(self, chosen: np.ndarray) -> dict[str, Tensor]:
        mine = self.processes.share(chosen)
        batch = self._batch(mine if len(mine) else chosen[:1])  # without a row of its own, one that counts nothing
        predicted = batch.targets != PAD
        owners = batch.users[:, None].expand_as(predicted)[predicted]
        drawn = self._borrow(batch, owners)
        with autocast(self.device, self.config.precision):
            states = self.model.encode(batch.inputs)  # (B, L, V * D)
            prefixes = Prefixes(batch, self.dataset.n_items)
            encoded = EncodedBatch(
                model=self.model,
                users=batch.users,
                hidden=states[predicted],
                targets=batch.targets[predicted],
                owners=owners,
                user_states=last_state(states, batch.lengths),
                sample=self.seen.sample,
                prefixes=prefixes,
                base=self._based(prefixes, owners),
                drawn=drawn,
            )
            shares = self._shares(encoded, bool(len(mine)))
            terms = {o.name: o(encoded) * share for o, share in zip(self.objectives, shares, strict=True)}
            loss = torch.stack([o.weight * terms[o.name].float() for o in self.objectives]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.add_gradients(self.model)
        own = self.model.give_back()
        clip(self.model.parameters(), GRADIENT_NORM, own=own, processes=self.processes)
        self.optimizer.step()
        return {"loss": loss.detach(), **{f"loss/{name}": term.detach() for name, term in terms.items()}}

    def _borrow(self, batch: Batch, owners: Tensor) -> dict[str, Tensor]:
        """Bring the vectors that a batch reads here, where they are spread over processes: with those of the items that
        objectives draw, which are returned by their names."""
        if not self.model.sharded:
            return {}
        found = {o.name: o.draw(owners, self.dataset.n_items, self.seen.sample) for o in self.objectives}
        drawn = {name: items for name, items in found.items() if items is not None}
        self.model.borrow(torch.cat([t.flatten() for t in (batch.inputs, batch.targets, *drawn.values())]))
        return drawn

    def _based(self, prefixes: Prefixes, owners: Tensor) -> Callable[[slice], Tensor] | None:
        """The scores that those of the model are added to, by position."""
        base = self.base
        return None if base is None else lambda some: base.score(prefixes(some), owners[some])

    def _shares(self, batch: EncodedBatch, counts: bool) -> list[float] | Tensor:
        """For each objective this process's share of the batch's examples: with it, means over shares add up."""
        if self.processes.size == 1:
            return [1.0] * len(self.objectives)
        found = [torch.as_tensor(o.examples(batch), device=self.device) for o in self.objectives]
        own = torch.stack(found).float() * counts
        return own / self.processes.total(own.clone()).clamp(min=1)

    def _totals(self) -> dict[str, Tensor]:
        """The sums of all processes."""
        return {name: self.processes.total(value.clone()) for name, value in self.sums.items()}

    def _batch(self, chosen: np.ndarray) -> Batch:
        users = torch.from_numpy(self.rows.users[chosen]).to(self.device)
        ends = torch.from_numpy(self.rows.ends[chosen]).to(self.device)
        config, last_only = self.config, self.config.targets == "last"
        if self.model.masked:
            return cloze_batch(
                self.sequences,
                users,
                ends,
                max_length=config.max_length,
                mask_ratio=config.mask_ratio,
                n_items=self.dataset.n_items,
                last_only=last_only,
            )
        return next_item_batch(self.sequences, users, ends, max_length=config.max_length, last_only=last_only)

    def _after_epoch(self, losses: dict[str, float], trained: float, started: float) -> None:
        if not math.isfinite(losses["loss"]):
            raise UserError(
                f"The loss became {losses['loss']} in epoch {self.epoch}. Lower learning_rate "
                f"(now {self.config.learning_rate}) or check the text vectors; the last good checkpoint is kept."
            )
        if self.validate is None:
            self._checkpoint()
            self._report(trained, "training again on training and validation")
            return
        event: dict[str, Any] = {"epoch": self.epoch, **losses, "train_seconds": round(trained, 4)}
        if self.epoch % self.config.evaluate_every == 0 or self.epoch == self.config.epochs:
            metrics = self.processes.broadcast(self.validate())  # one judge of when to stop
            watched = f"{self.config.monitor_protocol}/{self.config.monitor_group}/{self.config.monitor}"
            if self.stopper.update(metrics[watched], self.epoch):
                best, path = self.model.state_dict(), self.run.checkpoint(BEST)
                shards.save(path, best, {"epoch": self.epoch}, self.model.sharded, self.processes)
            event |= metrics
        event["seconds"] = round(time.perf_counter() - started, 4)
        self.run.append_event(event)  # first: an event that the checkpoint does not know is dropped on resuming
        self._checkpoint()
        self._report(event["seconds"], f"best {self.config.monitor} in epoch {self.stopper.best_epoch}")

    def _report(self, seconds: float, message: str) -> None:
        """The status after an epoch that took ``seconds``."""
        left = self.config.epochs - self.epoch
        self.run.set_status(
            Status(
                state="RUNNING",
                epoch=self.epoch,
                epochs=self.config.epochs,
                best=self.stopper.best,
                seconds_left=0.0 if self.stopper.done else round(left * seconds, 1),
                message=message,
            )
        )

    def _checkpoint(self) -> None:
        # Between epochs there is nothing to keep: objectives renew themselves at the first step.
        kept = {key: value for o in self.objectives for key, value in o.state().items()} if self.step else {}
        held, files = self.user_states.part(kept)
        tensors, state = pack(self.model, self.optimizer, self.device, held)
        state |= {
            "epoch": self.epoch,
            "step": self.step,
            "cutting": CUTTING,
            "begun_again": self.begun_again,
            "sums": {name: float(value) for name, value in self._totals().items()},
            "seconds": self.seconds,
            "stopper": self.stopper.state(),
            "numpy": self.epoch_random,
            "files": files,
        }
        spread = shards.spread_names(self.model, self.optimizer)
        shards.save(self.run.checkpoint(self.checkpoint), tensors, state, spread, self.processes)
        self.user_states.settle(files)

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one, as if training had never stopped.

        The number of processes may be another one. Where batches were cut otherwise when it stopped, the epoch begins
        again, with what has been learned in it: going on would read some users twice and others not at all.
        """
        path = self.run.checkpoint(self.checkpoint)
        if not path.is_file():
            self.user_states.sweep()
            if self.validate is not None:
                self.run.truncate_events(0)
            return
        spread = shards.spread_names(self.model, self.optimizer)
        tensors, state = shards.load(path, spread, self.processes)
        held = unpack(tensors, state, self.model, self.optimizer, self.device)
        self.epoch, self.stopper, self.epoch_random = state["epoch"], Stopper(**state["stopper"]), state["numpy"]
        if self.validate is not None:
            self.run.truncate_events(self.epoch)
        self.begun_again = state.get("begun_again", 0)
        if self._cut_otherwise(state):
            self.user_states.settle({})  # teachers are encoded anew, as at every first step
            self.begun_again = self.epoch + 1
            said = AGAIN.format(epoch=self.begun_again)
            self.run.set_state("RUNNING", said)
            self.runtime.progress(said, 0, 0)
            return
        files = self.user_states.settle(state.get("files", {}))
        for objective in self.objectives:
            objective.load({**held, **files})
        self.step, self.seconds = state["step"], state["seconds"]
        whole = state["sums"].items()  # of all processes: one goes on with them, the others from nothing
        self.sums = {name: torch.tensor(value * self.processes.is_main, device=self.device) for name, value in whole}

    def _cut_otherwise(self, state: dict[str, Any]) -> bool:
        """Whether the batches that a checkpoint within an epoch has behind it are none of those that would follow."""
        return bool(state["step"]) and self.config.batches == "positions" and state.get("cutting", 1) != CUTTING
