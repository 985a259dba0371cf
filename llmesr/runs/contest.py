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
        """Seconds that it has worked: on text, on what was interrupted and on the candidates dealt with. Of a contest
        written before all of that was counted, those of the candidates alone."""
        dealt_with = float(sum(entry["seconds"] for entry in self.entries()))
        return max(self.status().spent or 0.0, dealt_with)

    @property
    def text(self) -> tuple[bool, str | None]:
        """Whether it is settled which embedding its members read, and which, None for no text. A contest that was begun
        before that was kept has settled it where one of its runs says so."""
        manifest = self.manifest
        if (own := manifest.parent("embeddings")) or "text" in manifest.info:
            return True, own
        made = [e["run"] for e in self.entries() if e["run"] and self.store.exists("runs", e["run"])]
        read = [text for id in made if (text := self.store.manifest("runs", id).parent("embeddings"))]
        return bool(read), next(iter(read), None)


def find_contest(store: Store, ref: str) -> Contest:
    """A contest by id, unique prefix or name. UserError when unknown."""
    return Contest(store, store.find(Contest.kind, ref).id)
