"""The states of all users, which teachers are: in memory, or in a file of the run where they are many.

Users are encoded in blocks of numbers that follow each other, each block by one process. Row u of the file is user u,
so that a block is a stretch of it. A checkpoint within an epoch names the file it goes on with: that one stays until no
checkpoint names it, any other goes once a new one is begun. What a killed process left half-written is never named.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from llmesr.config import RunConfig
from llmesr.data.batches import Sequences, in_order
from llmesr.data.dataset import Dataset
from llmesr.data.row_file import RowFile
from llmesr.errors import UserError
from llmesr.models.sequence_model import SequenceModel
from llmesr.objectives.base import States
from llmesr.runs.record import Run
from llmesr.training.runtime import Runtime

HALF_FROM = 1_000_000
"""Users from which their states are kept in float16."""
IN_FILE_FROM = 2**27
"""Bytes of states from which they lie in a file: each process would hold them whole, and a step reads a thousand."""
BLOCK = 65_536
"""Users, at most, whose states a process holds until they are written."""
ROUNDS = 4
"""Blocks that each of several processes has at least, as users of near numbers may have histories of like length."""
ALIGNED = 64
"""Blocks are so many users or a multiple, so that machines that share a folder do not write to one page of the file."""
SUFFIX = ".states"


class UserStates:
    """What ``model`` makes of every user's training history, whenever it is asked."""

    def __init__(
        self,
        *,
        model: SequenceModel,
        dataset: Dataset,
        sequences: Sequences,
        config: RunConfig,
        checkpoint: Path,
        runtime: Runtime,
    ) -> None:
        """Files lie beside ``checkpoint`` and begin with its name."""
        self.model, self.dataset, self.sequences, self.config = model, dataset, sequences, config
        self.checkpoint, self.device, self.processes = checkpoint, runtime.device, runtime.processes
        self.named: set[str] = set()
        """The files that the checkpoint needs."""
        self.shape = (dataset.n_users + 1, max(view.stop for view in model.view_slices.values()))
        self.dtype = torch.float16 if dataset.n_users >= HALF_FROM else torch.float32

    @property
    def nbytes(self) -> int:
        """What all of them take."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def encode(self, when: str) -> States:
        """(U + 1, V * D) without dropout, zero for who has no history yet and in the last row, which is nobody's.
        ``when`` tells the file from those of other steps."""
        if self.nbytes >= IN_FILE_FROM:
            return self._written(f"{self.checkpoint.stem}.{when}{SUFFIX}")
        states = torch.zeros(self.shape, device=self.device, dtype=self.dtype)
        for first, block in self._blocks():
            states[first : first + len(block)] = block
        return self.processes.total(states)

    def part(self, kept: Mapping[str, States]) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The tensors, which a checkpoint is to hold, and the names of the files, which are safe on the disk."""
        tensors = {key: states for key, states in kept.items() if isinstance(states, Tensor)}
        files = {key: states for key, states in kept.items() if isinstance(states, RowFile)}
        for rows in files.values():
            with open(rows.path, "rb") as file:
                os.fsync(file.fileno())
        return tensors, {key: rows.path.name for key, rows in files.items()}

    def settle(self, files: Mapping[str, str]) -> dict[str, RowFile]:
        """The files of :meth:`part`, now that the checkpoint names these and no others. UserError when one is gone."""
        self.named = set(files.values())
        self.sweep()
        return {key: self._opened(name) for key, name in files.items()}

    def sweep(self) -> None:
        """Remove the files that the checkpoint does not need."""
        if self.processes.is_main:
            for path in self.checkpoint.parent.glob(f"{self.checkpoint.stem}.*{SUFFIX}"):
                if path.name not in self.named:
                    path.unlink(missing_ok=True)

    def _written(self, name: str) -> RowFile:
        path = self.checkpoint.with_name(name)
        self.sweep()  # nobody reads the one before any more: all have taken the last step together
        if self.processes.is_main:
            with open(path, "wb") as file:
                file.truncate(self.nbytes)
        self.processes.barrier()
        with open(path, "r+b") as file:
            for first, block in self._blocks():
                file.seek(first * self.shape[1] * self.dtype.itemsize)
                file.write(block.cpu().numpy().data)
        self.processes.barrier()
        return self._opened(name)

    def _opened(self, name: str) -> RowFile:
        path = self.checkpoint.with_name(name)
        if not path.is_file() or path.stat().st_size != self.nbytes:
            raise UserError(
                f"{path} is gone or damaged, and {self.checkpoint.name} cannot be gone on from without it. Remove "
                f"{self.checkpoint} and resume: the run then begins again."
            )
        stored = torch.empty(0, dtype=self.dtype).numpy().dtype
        return RowFile(path, 0, self.shape, stored, remedy="Resume the run: it goes on from its last checkpoint.")

    @torch.no_grad()
    def _blocks(self) -> Iterator[tuple[int, Tensor]]:
        """The users that this process encodes: the first number of a block, and the (n, V * D) states from there on."""
        users, size, rank = self.dataset.n_users, self._block(), self.processes.rank
        self.model.eval()
        for begin in range(0, users, size * self.processes.size):
            first = min(begin + rank * size, users)
            yield first, self._states(np.arange(first, min(first + size, users)), size)
        self.model.train()

    def _states(self, users: np.ndarray, most: int) -> Tensor:
        """(n, V * D) of ``users``, numbers that follow each other, in as many batches as ``most`` of them would take:
        the rows that a batch reads may have to be brought here, which all processes do together."""
        lengths = self.dataset.split.train_lengths
        states = torch.zeros(len(users), self.shape[1], device=self.device, dtype=self.dtype)
        at_once = 4 * self.config.batch_size
        batches = list(in_order(users[lengths[users] > 0], lengths, at_once))
        for number in range(-(-most // at_once)):
            chosen = batches[number] if number < len(batches) else users[:0]
            index = torch.from_numpy(chosen).to(self.device)
            read = torch.from_numpy(lengths[chosen]).to(self.device)
            items, _ = self.sequences.padded(index, read, self.config.max_length)
            self.model.borrow(items)
            if len(index):
                states[index - int(users[0])] = self.model.represent(items).to(self.dtype)
        return states

    def _block(self) -> int:
        """How many users make a block, so that all processes have as many."""
        users, processes = self.dataset.n_users, self.processes.size
        rounds = max(-(-users // (BLOCK * processes)), 1 if processes == 1 else ROUNDS)
        return ALIGNED * -(-users // (ALIGNED * processes * rounds))


def discard(run: Run) -> None:
    """Remove what a finished run has left: it is not gone on with."""
    for path in run.checkpoints.glob(f"*{SUFFIX}"):
        path.unlink(missing_ok=True)
