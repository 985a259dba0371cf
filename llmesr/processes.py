"""The processes that work on one thing together, as torchrun starts them: who does what, and how results meet."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # now: its defaults keep the group that exists when it is first imported
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from llmesr.errors import UserError
from llmesr.prose import duration

MEETING = timedelta(minutes=5)
"""How long they may take to find each other; after that torchrun starts those again that it was told to."""
TIMEOUT = timedelta(hours=6)
"""How long they wait for each other from then on: one of them may build an index the others read."""
_SPEAKS_LATER, _SPEAKS_LAST = 2.0, 4.0
"""Seconds that a process which has failed waits before it says why: all but the first, which mostly fails of the same
and says it at once; and who only lost the others. torchrun ends them meanwhile, and one sentence is read."""
Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """Process ``rank`` of ``size``. Every method but :meth:`share` must be called by all of them, in the same order;
    with one process none of them does anything."""

    rank: int = 0
    size: int = 1
    device: torch.device | str = "cpu"
    """Where tensors must be to meet those of the other processes."""

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process's part of ``rows``: every ``size``-th, so that rows sorted by length cost all the same."""
        return rows[self.rank :: self.size]

    def total(self, values: Tensor) -> Tensor:
        """The sum of everybody's ``values``, in place where they live on the right device."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def merge(self, rows: np.ndarray) -> np.ndarray:
        """Whole rows of arrays in which each process filled its :meth:`share` and left zeros elsewhere."""
        if self.size == 1:
            return rows
        whole: np.ndarray = self.total(torch.from_numpy(rows).to(self.device)).cpu().numpy()
        return whole

    def any(self, asked: bool) -> bool:
        """Whether any process says yes. On the CPU, so that no accelerator is waited for."""
        return bool(self.total(torch.tensor(int(asked)))) if self.size > 1 else asked

    def broadcast(self, value: Value) -> Value:
        """The main process's ``value`` (JSON-like), for all."""
        if self.size == 1:
            return value
        box: list[Value] = [value]
        dist.broadcast_object_list(box, device=torch.device("cpu"))
        return box[0]

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.any(False)

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process passes the block alone; the others find what it made."""
        if not self.is_main:
            self.barrier()
        yield
        if self.is_main:
            self.barrier()

    def told(self, counts: list[int]) -> list[int]:
        """``counts[k]`` is what this process has for process k -> what each process has for this one."""
        if self.size == 1:
            return counts
        given = torch.tensor(counts, device=self.device)
        taken = torch.empty_like(given)
        dist.all_to_all_single(taken, given)
        return taken.tolist()

    def exchange(self, rows: Tensor, give: list[int], take: list[int]) -> Tensor:
        """Give process k the next ``give[k]`` of ``rows``; the ``take[k]`` rows that it gave this one, for each k in
        order. One message."""
        if self.size == 1:
            return rows
        taken = rows.new_empty(sum(take), *rows.shape[1:])
        dist.all_to_all_single(taken, rows.contiguous(), take, give)
        return taken

    def gather(self, values: Tensor) -> Tensor:
        """(P, ...) everybody's ``values``, which have the same shape."""
        if self.size == 1:
            return values[None]
        found = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(found, values.contiguous())
        return torch.stack(found)

    def sync_parameters(self, model: nn.Module, own: Collection[str] = ()) -> None:
        """Give every process the main one's parameters and buffers, but those named in ``own``."""
        if self.size > 1:
            for name, tensor in model.state_dict().items():
                if name not in own:
                    dist.broadcast(tensor, 0)

    def add_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by the sum over the processes: the dense ones in one message, of the sparse ones only
        the rows that somebody has."""
        if self.size == 1:
            return
        for parameter in model.parameters():
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = self._rows_added(parameter.grad)
        gradients = [p.grad for p in model.parameters() if p.grad is not None and not p.grad.is_sparse]
        if not gradients:
            return
        flat = self.total(torch.cat([g.reshape(-1) for g in gradients]))
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def _rows_added(self, gradient: Tensor) -> Tensor:
        """The sum of everybody's sparse ``gradient``, whose first dimension is sparse."""
        gradient = gradient.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        counts = torch.zeros(self.size, dtype=torch.int64, device=rows.device)
        counts[self.rank] = len(rows)
        room = int(self.total(counts).max()) - len(rows)  # all send as much
        rows = torch.cat([rows, rows.new_zeros(room)])
        values = torch.cat([values, values.new_zeros(room, *values.shape[1:])])  # row 0 plus nothing
        all_rows = [torch.empty_like(rows) for _ in range(self.size)]
        all_values = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(all_rows, rows)
        dist.all_gather(all_values, values)
        return torch.sparse_coo_tensor(torch.cat(all_rows)[None], torch.cat(all_values), gradient.shape).coalesce()


ALONE = Processes()


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Meet the processes torchrun started with this one (gloo between processors, NCCL between GPUs), or be alone.
    UserError when they do not all come, and when one of them is gone before the block is done.

    Nothing may hold the group beyond this block: gloo's threads end with its last reference, and one that still runs
    while the interpreter shuts down aborts the process.
    """
    size = int(os.environ.get("WORLD_SIZE") or 1)
    if size == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        _meet(backend, size)
    except dist.DistError as error:
        raise UserError(
            f"The {size} processes of this training have not all met within {duration(MEETING.total_seconds())}. With "
            "--max-restarts torchrun starts them again; without, start all of them anew."
        ) from error
    dist.distributed_c10d._set_pg_timeout(TIMEOUT)  # torch has no public way to give a group another one than it met by
    rank = dist.get_rank()
    try:
        yield Processes(rank, size, device)
    except Exception as error:
        dist.destroy_process_group()  # first of all: the others wait for this one
        time.sleep(_SPEAKS_LAST if is_lost(error) else _SPEAKS_LATER if rank else 0)
        if is_lost(error):
            raise UserError(f"{LOST} `llmesr resume` goes on from the last checkpoint.") from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


LOST = "Another process of this training has ended."


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another process is not there any more, as gloo and NCCL say it."""
    return isinstance(error, dist.DistBackendError | dist.DistNetworkError) or "third_party/gloo" in str(error)


def _meet(backend: str, size: int) -> None:
    """Form the group of all processes. DistError where they do not all come."""
    store, rank, _ = next(iter(rendezvous("env://", timeout=MEETING)))
    own = PrefixStore(_agreed(store, rank, size), store)
    dist.init_process_group(backend, timeout=MEETING, store=own, rank=rank, world_size=size)


def _agreed(store: Store, rank: int, size: int) -> str:
    """A name that only the processes of now know, under which they leave their addresses for each other.

    torchrun keeps its store when it starts processes again, and in it the addresses of those before them. Who takes one
    of these for that of a process of now calls where nobody is, or waits for a call from one that waits as well.
    """
    own = secrets.token_hex(8)
    if rank:
        store.set(f"here/{rank}", own)
        name: str = store.get(f"name/{own}").decode()
        store.set(f"{name}/{rank}", "")
        return name
    until, absent = time.monotonic() + MEETING.total_seconds(), list(range(1, size))
    while absent:
        if time.monotonic() > until:
            raise dist.DistStoreError(f"{len(absent)} of {size} processes did not come")
        for other in absent:
            if store.check([f"here/{other}"]):  # perhaps one of before, who does not answer
                store.set(f"name/{store.get(f'here/{other}').decode()}", own)
        absent = [other for other in absent if not store.check([f"{own}/{other}"])]
        time.sleep(0.05)
    return own
