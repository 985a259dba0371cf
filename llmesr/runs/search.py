"""The record of one search for settings: a line per finished trial, which is all that going on needs."""

from __future__ import annotations

from typing import Any

import pandas as pd
from pydantic import BaseModel, Field, StrictInt, StrictStr

from llmesr.config import SearchConfig
from llmesr.runs.live import Live
from llmesr.store import Store, slug

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"


class _Trial(BaseModel):
    trial: StrictInt = Field(ge=1)
    state: StrictStr
    settings: dict[str, Any]
    value: float | None
    reported: dict[str, float]
    run: StrictStr | None
    reason: StrictStr
    seconds: float


class Search(Live):
    """A folder of kind ``searches``. An event is a finished trial: trial (from 1), state (complete, pruned or failed),
    settings, value (validation; None when it failed), reported (epoch -> value), run, reason and seconds."""

    kind, noun, unit, resume_command = "searches", "Search", "trial", "llmesr search --resume"
    shape = _Trial

    @property
    def config(self) -> SearchConfig:
        return SearchConfig.read(None, **self.manifest.config)

    @property
    def thresholds(self) -> dict[str, int] | None:
        """What is head and what is tail in the trials, by item and user; None of a search begun before that was
        kept with it."""
        return self.manifest.info.get("thresholds")

    @property
    def label(self) -> str:
        """``method/backbone``, and nothing but letters whatever the manifest says (see ``Run.label``)."""
        said = self.manifest.config.get("fixed")
        fixed = said if isinstance(said, dict) else {}
        return "/".join(slug(str(fixed.get(name))) for name in ("method", "backbone"))

    def run_id(self, trial: int) -> str:
        """The id of the run of a trial (from 1), whether it has begun or not."""
        return f"{self.id}-{trial:02d}"

    def trials(self) -> list[dict[str, Any]]:
        """The finished trials, in order."""
        return self._lines()

    def table(self) -> pd.DataFrame:
        """One row per finished trial: trial, state, value, best (so far), one column per setting, run, reason."""
        trials = self.trials()
        settings = pd.DataFrame([t["settings"] for t in trials])
        frame = pd.DataFrame(trials, columns=["trial", "state", "value", "run", "reason"])
        frame["value"] = frame["value"].astype(float)
        frame.insert(3, "best", frame["value"].where(frame["state"].eq(COMPLETE)).cummax().ffill())
        return pd.concat([frame.iloc[:, :4], settings, frame.iloc[:, 4:]], axis=1)


def find_search(store: Store, ref: str) -> Search:
    """A search by id, unique prefix or name. UserError when unknown."""
    return Search(store, store.find(Search.kind, ref).id)
