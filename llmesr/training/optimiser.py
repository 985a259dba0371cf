"""Adam, for dense gradients as torch has it, and for gradients of a few rows at a cost that grows with those rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from llmesr.models.sharded_table import ShardedTable
from llmesr.models.tables import IdTable
from llmesr.processes import ALONE, Processes


class RowwiseAdam(torch.optim.AdamW):
    """AdamW for dense gradients; parameters in a group with ``rowwise`` get sparse ones, and a step leaves every row
    without a gradient alone.

    Adam moves a row on by its first moment for some twenty steps after a gradient. Here a row moves at once, by what
    those steps add up to: the first moment is left out. The second moment is that of Adam, but one number for a row,
    the mean square of its gradient (as in row-wise Adagrad, Gupta et al. 2014, "Training highly multiclass
    classifiers"); for the steps in which the row had none it decays when the next gradient comes. State: 8 bytes a row,
    where Adam has 8 a number.
    Decay of weights (decoupled) is made up for in the same way.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step. Sparse gradients are used up; the dense ones go the way of AdamW, which skips what has none."""
        for group in self.param_groups:
            for parameter in group["params"] if group.get("rowwise") else ():
                if parameter.grad is not None:
                    self._move(parameter, group)
                    parameter.grad = None
        return super().step(closure)

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            for name in ("second", "touched"):  # steps as floating point: so the optimiser's own loading leaves them
                state[name] = torch.zeros(len(parameter), device=parameter.device)
        state["step"] += 1
        now, decay = float(state["step"]), group["betas"][1]
        gradient = parameter.grad
        assert gradient is not None  # the caller has looked
        gradient = gradient.coalesce()
        rows, values = gradient.indices()[0], gradient.values()  # (n,), (n, D)
        past = now - state["touched"][rows]
        second = state["second"][rows] * decay**past + (1 - decay) * values.square().mean(1)
        state["second"][rows], state["touched"][rows] = second, torch.full_like(second, now)
        spread = (second / (1 - decay**now)).sqrt() + group["eps"]
        if group["weight_decay"]:
            kept = (1 - group["lr"] * group["weight_decay"]) ** past
            parameter[rows] = parameter[rows] * kept[:, None]
        parameter.index_add_(0, rows, values / spread[:, None], alpha=-group["lr"])


def optimiser_of(model: nn.Module, *, learning_rate: float, weight_decay: float, fused: bool) -> torch.optim.Optimizer:
    """AdamW over what is trained, and row by row over the tables whose gradients are sparse."""
    tables = [t for t in model.modules() if isinstance(t, ShardedTable) or (isinstance(t, IdTable) and t.sparse)]
    rows = {id(t.vectors) for t in tables if t.vectors.requires_grad}
    trained = [p for p in model.parameters() if p.requires_grad]
    settings: dict[str, Any] = {"lr": learning_rate, "weight_decay": weight_decay, "fused": fused}
    if not rows:
        return torch.optim.AdamW(trained, **settings)
    groups = [
        {"params": [p for p in trained if id(p) not in rows], "rowwise": False},
        {"params": [p for p in trained if id(p) in rows], "rowwise": True},
    ]
    return RowwiseAdam(groups, **settings)


def clip(
    parameters: Iterable[nn.Parameter],
    most: float,
    *,
    own: Collection[nn.Parameter] = (),
    processes: Processes = ALONE,
) -> None:
    """Scale all gradients, dense and sparse, so that their common norm is no greater than ``most``. Of those of ``own``
    each of the ``processes`` has a part, which counts once; the others are the same everywhere."""
    parameters = [p for p in parameters if p.grad is not None]
    if not any(p.grad.is_sparse for p in parameters if p.grad is not None):
        torch.nn.utils.clip_grad_norm_(parameters, most)
        return
    kept = {id(p) for p in own}
    found: dict[bool, list[Tensor]] = {True: [], False: []}
    for parameter in parameters:
        gradient = parameter.grad
        assert gradient is not None
        if gradient.is_sparse:
            parameter.grad = gradient = gradient.coalesce()
        found[id(parameter) in kept].append(gradient.values() if gradient.is_sparse else gradient)
    norm = torch.nn.utils.get_total_norm(found[False])
    if kept:
        parts = processes.total(torch.nn.utils.get_total_norm(found[True]).square())
        norm = (norm.square() + parts).sqrt()
    scale = (most / (norm + 1e-6)).clamp(max=1)
    for values in (*found[False], *found[True]):
        values.mul_(scale)
