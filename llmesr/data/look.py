"""A look at the beginning of a file in a process of its own: what a hostile one takes, or breaks, is not the server.

The process may take so much memory and time, and write no file. It answers in JSON, since what it has read is not to be
trusted; ``python -m llmesr.data.look`` is that process.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from llmesr.config import IngestConfig
from llmesr.data.dialect import Dialect
from llmesr.data.sources import Source, describe
from llmesr.errors import UserError

SECONDS = 30
"""Of processor time; a busy machine may need several times as long for it."""
PATIENCE = 5
OCTETS = 4 << 30
"""Address space: libraries reserve more of it than they use."""
PROGRAM = (sys.executable, "-m", "llmesr.data.look")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""Each thread would reserve memory of its own, on a large machine more than there may be."""


def look(path: Path, config: IngestConfig) -> Source:
    """What ``sources.describe`` says of a file. UserError as there, and when it takes too much or the reader breaks."""
    asked = json.dumps({"path": str(path), "config": config.model_dump(mode="json")})
    try:
        done = subprocess.run(
            PROGRAM,
            input=asked.encode(),
            capture_output=True,
            timeout=PATIENCE * SECONDS,
            env={**os.environ, **ONE_THREAD},
        )
        late = done.returncode == -signal.SIGXCPU
    except subprocess.TimeoutExpired:
        late = True
    if late:
        raise UserError(
            f"{path.name} takes longer than {SECONDS} seconds to look into. Write it again as plain CSV or Parquet, "
            "with fewer columns."
        )
    if done.returncode:
        raise UserError(
            f"{path.name} cannot be looked into: what reads it broke off. It is damaged, or needs too much memory; "
            "write it again."
        )
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise UserError(answer["error"])
    return _source(path, answer)


def _source(path: Path, answer: Mapping[str, Any]) -> Source:
    values = dict(answer)
    sample = pd.DataFrame(values.pop("rows"), columns=values["columns"], dtype="str")
    lists: dict[str, Any] = {name: tuple(values.pop(name)) for name in ("flags", "types", "repeated", "nested")}
    return Source(path, sample=sample, dialect=Dialect(**values.pop("dialect")), **lists, **values)


def _answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    path = Path(asked["path"])
    try:
        found = describe(path, IngestConfig.model_validate(asked["config"]))
    except UserError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": f"{path.name} cannot be looked into: it needs too much memory. Write it again, in parts."}
    return {
        "layout": found.layout,
        "columns": found.columns,
        "rows": found.sample.to_numpy().tolist(),
        "dialect": asdict(found.dialect),
        "header": found.header,
        "flags": found.flags,
        "types": found.types,
        "repeated": found.repeated,
        "nested": found.nested,
    }


def main() -> None:
    """Read what is asked from standard input, and answer on standard output."""
    for limit, most in (
        (resource.RLIMIT_AS, OCTETS),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most if limit != resource.RLIMIT_CPU else most + 5))  # a signal, then the end
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
