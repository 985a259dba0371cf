"""Checkpoints of models whose item table is spread over processes: a file of rows from each, and a list of the files.

Every process writes its rows; when all have, the main one writes the checkpoint itself: all other tensors, the state
and the names of those files, which carry a stamp. Until that moment the checkpoint before it and its files stay as
they were, so that what can be read is whole. Any number of processes can go on from it, and from that of a single one.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmesr.errors import UserError
from llmesr.models.residual import scorer_of
from llmesr.models.scorers import Scorer, ShardedScorer
from llmesr.models.sequence_model import SequenceModel
from llmesr.processes import Processes
from llmesr.store import header_bytes, read_header, replacing
from llmesr.training.checkpoint import load_tensors, save_tensors

SHARDS, WHOLE = "shards", "whole.safetensors"
ROWS = 65_536
"""Rows that are put together at once."""


def spread_names(model: SequenceModel, optimizer: torch.optim.Optimizer) -> set[str]:
    """The tensors of :func:`~llmesr.training.checkpoint.pack` of which each process has its rows."""
    tables = model.sharded
    vectors = {id(table.vectors) for table in tables.values()}
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    places = [at for at, parameter in enumerate(trained) if id(parameter) in vectors]
    slots = {f"optimizer/{at}/{slot}" for at in places for slot in ("second", "touched")}
    return {f"model/{name}" for name in tables} | slots


def save(
    path: Path, tensors: dict[str, Tensor], state: dict[str, Any], spread: Collection[str], processes: Processes
) -> None:
    """Write a checkpoint; each process has its rows of the ``spread`` tensors. Without any the main one writes all.

    UserError when a file cannot be written (a full disk): the checkpoint before it stays.
    """
    spread = sorted(set(spread) & set(tensors))
    if not spread:
        if processes.is_main:
            save_tensors(path, tensors, state)
            _sweep(path, [])
        return
    stamp = processes.broadcast(secrets.token_hex(4))
    files = [f"{path.stem}.{stamp}.{rank}-of-{processes.size}{path.suffix}" for rank in range(processes.size)]
    save_tensors(path.with_name(files[processes.rank]), {name: tensors[name] for name in spread}, {})
    processes.barrier()
    if processes.is_main:
        rest = {name: tensor for name, tensor in tensors.items() if name not in spread}
        save_tensors(path, rest, {**state, SHARDS: {"files": files, "names": spread}})
        _sweep(path, files)


def load(path: Path, spread: Collection[str], processes: Processes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`save` wrote, whoever wrote it: of the ``spread`` tensors the rows of this process.

    UserError when a file is damaged or gone.
    """
    tensors, state = load_tensors(path)
    rank, size = processes.rank, processes.size
    shards = state.pop(SHARDS, None)
    if shards is None:
        cut = {name: tensors[name][rank::size].clone() for name in spread if name in tensors}
        return {**tensors, **cut}, state
    files = [path.with_name(file) for file in shards["files"]]
    headers = [_header(file)[0] for file in files]
    for name in shards["names"]:
        many = sum(header[name]["shape"][0] for header in headers)
        mine = torch.arange(rank, many, size) if name in spread else torch.arange(many)
        for owner, file in enumerate(files):  # one at a time in memory
            part = load_tensors(file)[0][name]
            rows = tensors.setdefault(name, part.new_empty(len(mine), *part.shape[1:]))
            there = mine % len(files) == owner
            rows[there] = part[mine[there] // len(files)]
    return tensors, state


def save_model(path: Path, scratch: Path, model: SequenceModel, processes: Processes) -> None:
    """Write the model whole, as any command opens it. A table that is spread is put together on the disk, by way of
    ``scratch``: no process ever holds it."""
    spread = list(model.sharded)
    if not spread:
        if processes.is_main:
            save_tensors(path, model.state_dict(), {})
        return
    save(scratch, model.state_dict(), {}, spread, processes)
    if processes.is_main:
        put_together(scratch, path)
        _sweep(scratch, [])
        scratch.unlink()
    processes.barrier()


def put_together(path: Path, target: Path) -> None:
    """Write a checkpoint in one file that :func:`~llmesr.training.checkpoint.load_tensors` reads."""
    header, begin = _header(path)
    shards = json.loads(header["__metadata__"]["state"])[SHARDS]
    files = [path.with_name(file) for file in shards["files"]]
    parts = [_header(file) for file in files]
    end = path.stat().st_size - begin
    for name in shards["names"]:
        rows = sum(part[name]["shape"][0] for part, _ in parts)
        size = sum(part[name]["data_offsets"][1] - part[name]["data_offsets"][0] for part, _ in parts)
        one = parts[0][0][name]
        shape = [rows, *one["shape"][1:]]
        header[name] = {"dtype": one["dtype"], "shape": shape, "data_offsets": [end, end + size]}
        end += size
    header["__metadata__"] = {"state": "{}"}
    try:
        with replacing(target) as temporary, open(temporary, "wb") as out, ExitStack() as open_files:
            out.write(header_bytes(header))
            rest = open_files.enter_context(open(path, "rb"))
            rest.seek(begin)
            shutil.copyfileobj(rest, out)
            for name in shards["names"]:
                for block in _interleaved(files, parts, name):
                    out.write(block)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error}). Free space on that disk and resume.") from error


def _interleaved(files: list[Path], parts: list[tuple[dict[str, Any], int]], name: str) -> Iterator[memoryview]:
    """The rows of a tensor in order, as (n, bytes) blocks: row i is in file i % P."""
    views = []
    for file, (header, begin) in zip(files, parts, strict=True):
        first, last = header[name]["data_offsets"]
        rows = header[name]["shape"][0]
        views.append(np.memmap(file, np.uint8, "r", begin + first, (rows, (last - first) // max(rows, 1))))
    for start in range(0, len(views[0]), ROWS):
        some = [view[start : start + ROWS] for view in views]
        block = np.empty((sum(map(len, some)), views[0].shape[1]), np.uint8)
        for owner, rows in enumerate(some):
            block[owner :: len(views)] = rows
        yield block.data


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """What a safetensors file says of its tensors, and where their bytes begin. UserError when there is none."""
    try:
        return read_header(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged and cannot be read: {error}.") from error


def _sweep(path: Path, kept: list[str]) -> None:
    """Remove the shards of older states of a checkpoint."""
    for file in path.parent.glob(f"{path.stem}.*-of-*{path.suffix}"):
        if file.name not in kept:
            file.unlink(missing_ok=True)


def scorer_for(model: SequenceModel, base: Scorer | None, device: torch.device) -> Scorer | ShardedScorer:
    """What ranks with ``model`` while it is trained: by parts, where no process has all of its items."""
    return ShardedScorer(model, device) if model.sharded else scorer_of(model, base, device)
