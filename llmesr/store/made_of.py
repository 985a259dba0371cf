"""What the manifest of a run says of its making, in the shapes that its readers rely on.

It is checked wherever a manifest is read: the checksums of an archive from elsewhere hold whatever its manifest says,
and a run that says nonsense of what it is made of must hurt nobody but itself.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

Id = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Policy(_Part):
    run: Id
    values: dict[str, Any]
    describe: StrictStr = ""


class _Trees(_Part):
    rounds: StrictInt = Field(ge=0, le=10_000)
    depth: StrictInt = Field(ge=1, le=16)


class _Blend(_Part):
    runs: list[Id] = Field(min_length=1)
    members: list[StrictStr] = []
    emphasis: float = Field(0.0, allow_inf_nan=False)
    trees: _Trees | None = None


class _Allocation(_Part):
    first: Id
    second: Id
    candidates: StrictInt = Field(ge=1)


class _Config(_Part):
    method: StrictStr
    backbone: StrictStr | None = None
    seed: StrictInt | None = None
    max_length: StrictInt = Field(1, ge=1)
    first: Id | None = None
    second: StrictStr | None = None
    base: StrictStr | None = None
    teacher: StrictStr | None = None


class _Info(_Part):
    policy: _Policy | None = None
    blend: _Blend | None = None
    allocation: _Allocation | None = None
    best_epoch: StrictInt | None = None
    epochs: StrictInt | None = None
    notes: list[StrictStr] = []


def check_run(config: dict[str, Any], info: dict[str, Any], parents: set[str]) -> None:
    """ValueError unless ``config`` and ``info`` of a run's manifest have the shapes that are read, and the runs whose
    models it uses are among its ``parents``: those are known to be no descendants of it."""
    read, said = _Config.model_validate(config), _Info.model_validate(info)
    if said.policy is not None:
        used = [said.policy.run]
    elif said.blend is not None:
        used = said.blend.runs
    elif said.allocation is not None:
        used = [said.allocation.first, said.allocation.second]
    else:
        used = []
    if read.method == "blend" and said.blend is None:
        raise ValueError("a blend that does not say of what")
    if strange := [run for run in used if run not in parents]:
        raise ValueError(f"it uses the model of {strange[0]}, which it was not made from")
