"""The record of a contest: what was tried to find the best recommender of a dataset, and how each candidate did."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, FiniteFloat, StrictStr

from llmesr.config import BestConfig
from llmesr.runs.live import Live
from llmesr.store import Store, slug

JUDGED, LEFT_OUT, UNFINISHED, FAILED = "judged", "left out", "unfinished", "failed"


class _Entry(BaseModel):
    candidate: StrictStr
    kind: StrictStr = ""
    state: StrictStr
    run: StrictStr | None
    metrics: dict[str, FiniteFloat]
    seconds: FiniteFloat = Field(ge=0)
    ranking: FiniteFloat | None = None
    reason: StrictStr


class Contest(Live):
    """A folder of kind ``contests``. An event is a candidate that was dealt with: candidate, kind, state (judged, left
    out, unfinished or failed), run, metrics (validation), seconds and of them those of ranking, reason. The result
    names the best run."""

    kind, noun, unit, resume_command = "contests", "Contest", "candidate", "llmesr best --resume"
    shape = _Entry

    @property
    def config(self) -> BestConfig:
        return BestConfig.read(None, **self.manifest.config)

    def run_id(self, candidate: str) -> str:
        """The id of a candidate's run, whether it has begun or not."""
        return f"{self.id}-{slug(candidate)}"

    def entries(self) -> list[dict[str, Any]]:
        """What became of each candidate, in order."""
        return self._lines()

    @property
    def spent(self) -> float:
        """Seconds that the candidates dealt with have taken."""
        return float(sum(entry["seconds"] for entry in self.entries()))


def find_contest(store: Store, ref: str) -> Contest:
    """A contest by id, unique prefix or name. UserError when unknown."""
    return Contest(store, store.find(Contest.kind, ref).id)
