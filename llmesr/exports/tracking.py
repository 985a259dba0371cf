"""A run as experiment trackers know one: settings, curves by epoch, metrics of the test part.

Exported twice it is there once.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from llmesr import __version__
from llmesr.errors import UserError, masked
from llmesr.runs.record import Run
from llmesr.store import slug

HINT = "pip install 'llmesr[tracking]'"
TAG, STATE = "llmesr.run", "llmesr.state"
NAMED = ("overall", "item", "user")
"""Kinds of groups that have names of their own; buckets are called alike in several runs and mean others."""
LONGEST = 500
"""Characters of a parameter that MLflow takes."""


def to_mlflow(run: Run, where: str | None = None) -> str:
    """Log a finished run; returns its id at MLflow.

    ``where`` is a tracking URI, such as ``sqlite:///mlflow.db`` or that of a server (what MLflow takes when absent).
    The experiment is called after the dataset. A run that is there already, as it is now, stays; one that has changed
    since is logged anew. UserError without MLflow, for a run that has not finished, and for a server that cannot be
    reached.
    """
    _check(run)
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise UserError(f"Export to MLflow needs it: {HINT}") from None
    try:
        return _logged(mlflow.MlflowClient(tracking_uri=where), run)
    except (MlflowException, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"MLflow at {masked(where or 'the default place')} does not take the run: {reason}") from error


def _logged(client: Any, run: Run) -> str:
    from mlflow.entities import DatasetInput, Metric, Param, RunTag

    state = run.store.digest("runs", run.id)
    name = run.store.manifest("datasets", run.dataset_id).name
    found = client.get_experiment_by_name(name)
    experiment = found.experiment_id if found else client.create_experiment(name)
    for old in client.search_runs([experiment], f"tags.`{TAG}` = '{run.id}'"):
        if old.data.tags.get(STATE) == state and old.info.status == "FINISHED":
            return str(old.info.run_id)
        client.delete_run(old.info.run_id)  # half logged, or of an earlier state
    begun, ended = (_milliseconds(t) for t in (run.manifest.created, run.status().updated))
    # seeds of one method have one label: the id tells them apart, and is what commands take
    made = str(client.create_run(experiment, run_name=run.id, start_time=begun).info.run_id)
    client.log_inputs(made, datasets=[DatasetInput(_dataset(run, name))])
    written = [Metric(key, value, ended, step) for key, value, step in (*curves(run), *results(run))]
    for start in range(0, len(written), 1000):
        client.log_batch(made, metrics=written[start : start + 1000])
    settings = {**run.manifest.config, "dataset": name}
    tags = {TAG: run.id, STATE: state, "llmesr.dataset": run.dataset_id, "mlflow.source.name": f"llmesr {__version__}"}
    client.log_batch(
        made,
        params=[Param(key, _text(value)[:LONGEST]) for key, value in settings.items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )
    client.set_terminated(made, end_time=ended)  # last: what is not terminated is logged anew
    return made


def _dataset(run: Run, name: str) -> Any:
    """What MLflow shows as the dataset of a run."""
    from mlflow.entities import Dataset

    digest = run.store.digest("datasets", run.dataset_id)[:36]
    return Dataset(name=name, digest=digest, source_type="llmesr", source=json.dumps({"dataset": run.dataset_id}))


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def to_tensorboard(run: Run, folder: Path) -> Path:
    """Write a finished run as TensorBoard's logs into ``folder``/<run>, in place of what was there; returns its folder.

    UserError without TensorBoard, and for a run that has not finished.
    """
    _check(run)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(f"Export to TensorBoard needs it: {HINT}") from None
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / slug(run.id)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as name:
        made = Path(name) / "run"
        with _raised_here(), SummaryWriter(made) as writer:
            for key, value, step in (*curves(run), *results(run)):
                writer.add_scalar(key, value, step)
            lines = (f"    {key}: {_text(value)}" for key, value in run.manifest.config.items())
            writer.add_text("settings", "\n".join(lines))
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    return target


@contextlib.contextmanager
def _raised_here() -> Iterator[None]:
    """TensorBoard writes in a thread of its own: an error there is raised here, and is no trace on the terminal."""
    failed: list[BaseException] = []
    before = threading.excepthook
    threading.excepthook = lambda told: failed.append(told.exc_value or told.exc_type())
    try:
        yield
    finally:
        threading.excepthook = before
    if failed:
        raise failed[0]


def curves(run: Run) -> Iterator[tuple[str, float, int]]:
    """Name, value, epoch of everything a run recorded while it trained, such as ``loss/next_item``, and of the
    validation part ``valid/full/Overall/NDCG_at_10``."""
    for event in run.events().to_dict("records"):
        step = event.pop(run.unit, math.nan)
        for key, value in event.items():
            if _is_number(value) and _is_number(step):
                validated = "/" in key and not key.startswith("loss/")  # parts of the loss are of the training
                yield _name(f"valid/{key}" if validated else key), float(value), int(step)


def results(run: Run) -> Iterator[tuple[str, float, int]]:
    """Name, value, 0 of the test part's metrics in the named groups, such as ``test/full/Tail_Item/NDCG_at_10``."""
    for row in run.metrics():
        if row["dimension"] in NAMED and _is_number(row["value"]):  # a group without users has no value
            yield _name(f"test/{row['protocol']}/{row['group']}/{row['metric']}"), float(row["value"]), 0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _name(key: str) -> str:
    """A name both trackers take: no ``@``, no spaces."""
    return key.replace("@", "_at_").replace(" ", "_")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (Mapping, list, tuple)) else str(value)


def _check(run: Run) -> None:
    state = run.status().state
    if state != "SUCCEEDED":
        raise UserError(f"Run {run.id!r} has not finished (state {state}); only what has can be exported.")
