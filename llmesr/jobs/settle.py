"""The run, adapter or search that a step makes: where it stands, and how it ends with its job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmesr.jobs.record import ACTIVE, State, Step
from llmesr.store import Store

if TYPE_CHECKING:
    from llmesr.runs.live import Live


def artifact_state(store: Store, step: Step) -> State | None:
    """The state that the artifact a step makes records, or None while there is none."""
    made = _artifact(store, step)
    return made.status().state if made else None


def settle(store: Store, step: Step, state: State, message: str) -> None:
    """Give what a step makes (of a search, a contest or a study also the run it was at), when its process is gone, the
    state of its job, unless it has a final one itself."""
    made = _artifact(store, step)
    if made is None:
        return
    at = made.status().run
    _settle(made, state, message)
    from llmesr.runs.contest import Contest
    from llmesr.runs.record import Run
    from llmesr.runs.search import Search
    from llmesr.runs.study import Study

    if isinstance(made, Search):
        trial = made.run_id(len(made.trials()) + 1)
        if store.exists("runs", trial):
            _settle(Run(store, trial), state, message)
    if isinstance(made, Contest | Study) and at is not None and store.exists("runs", at):
        _settle(Run(store, at), state, message)


def _settle(made: Live, state: State, message: str) -> None:
    if made.status().state in ACTIVE:
        made.set_state(state, message)


def _artifact(store: Store, step: Step) -> Live | None:
    if step.run is None or step.makes is None or not store.exists(step.makes, step.run):
        return None
    from llmesr.runs.contest import Contest
    from llmesr.runs.finetune import Finetune
    from llmesr.runs.record import Run  # pandas comes with it: too slow for every start of a worker
    from llmesr.runs.search import Search
    from llmesr.runs.study import Study

    known: tuple[type[Live], ...] = (Run, Finetune, Search, Contest, Study)
    return {live.kind: live for live in known}[step.makes](store, step.run)
