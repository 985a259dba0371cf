"""The runs a server holds, swapped for newer ones while requests go on.

A request keeps the :class:`Served` it started with, so a swap never takes anything away from it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from llmesr.errors import UserError
from llmesr.retrieval.similar import SimilarUsers, load_similar
from llmesr.runs.record import POLICY, Run
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun, Shared, made_of
from llmesr.scoring.tuning.outcome import tuned_policy
from llmesr.store import Store

log = logging.getLogger(__name__)


class Opener(Protocol):
    """Opens a run, with what is ``shared`` by runs of its dataset where another one is served."""

    def __call__(
        self, store: Store, run: Run, device: torch.device | str, *, shared: Shared | None = None
    ) -> ScoredRun: ...


@dataclass(frozen=True, eq=False)
class Served:
    """A run ready to answer: its recommender, its tuned policy and its similar users, where it has them."""

    run: Run
    recommender: Recommender
    tuned: ScoringPolicy | None
    similar: SimilarUsers | None
    signature: tuple[object, ...]


class Hub:
    """Served runs by the reference they were asked for: an id, or a name that stands for its newest finished run."""

    def __init__(
        self,
        store: Store,
        refs: list[str],
        device: torch.device | str = "cpu",
        *,
        open_run: Opener = ScoredRun,
    ) -> None:
        """Loads every run. UserError when one cannot be served."""
        self.store = store
        self.refs = list(dict.fromkeys(refs))
        self.device = device
        self._open = open_run
        self.observe: Callable[[str, Literal["loaded", "failed"]], None] = lambda ref, outcome: None
        self._served: dict[str, Served] = {}
        for ref in self.refs:
            self._served[ref] = self._load(ref)

    def get(self, ref: str | None) -> Served:
        """By reference or run id; the first when None. UserError when it is not served here."""
        if ref is None:
            return self._served[self.refs[0]]
        for name, served in self._served.items():
            if ref in (name, served.run.id):
                return served
        raise UserError(f"Run {ref!r} is not served here; there is {', '.join(self._served)}.")

    def all(self) -> list[Served]:
        """Every run served, the default first."""
        return [self._served[ref] for ref in self.refs]

    def warm(self) -> bool:
        """Work out some of what the next requests will need; whether there was anything left to do."""
        return any(served.recommender.warm() for served in self.all())

    async def reload(self, force: bool = False) -> list[str]:
        """Load again what changed on disk (everything under ``force``) and swap it in; returns those references.

        A run that can no longer be loaded keeps being served as it was, and the reason is logged.
        """
        changed = []
        for ref in self.refs:
            try:
                if not force and self._signature(self._find(ref)) == self._served[ref].signature:
                    continue
                self._served[ref] = await asyncio.to_thread(self._load, ref)
                changed.append(ref)
                self.observe(ref, "loaded")
            except (UserError, OSError) as error:
                log.warning("run %r stays as it was: %s", ref, error)
                self.observe(ref, "failed")
        return changed

    async def watch(self, seconds: float) -> None:
        """Reload every ``seconds``, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self.reload()

    def _find(self, ref: str) -> Run:
        named = [Run(self.store, m.id) for m in self.store.list("runs") if m.name == ref]  # newest first
        for run in named:
            if run.status().state == "SUCCEEDED":
                return run
        return Run(self.store, self.store.find("runs", ref).id)

    def _load(self, ref: str) -> Served:
        run = self._find(ref)
        signature = self._signature(run)
        similar_id = run.manifest.parent("neighbours")
        tuned = tuned_policy(run)
        recommender = Recommender(self._open(self.store, run, self.device, shared=self._shared(run, signature)))
        for policy in dict.fromkeys((recommender.policy, tuned or recommender.policy)):
            recommender.prepare(policy)
        return Served(
            run=run,
            recommender=recommender,
            tuned=tuned,
            similar=load_similar(self.store, similar_id) if similar_id else None,
            signature=signature,
        )

    def _shared(self, run: Run, signature: tuple[object, ...]) -> Shared | None:
        """Of a run that is served and has the same dataset, as it is on disk now."""
        for served in self._served.values():
            if served.run.dataset_id == run.dataset_id and served.signature[-1] == signature[-1]:
                return served.recommender.scored.shared
        return None

    @staticmethod
    def _signature(run: Run) -> tuple[object, ...]:
        """Changes when the run, one that it is made of, its text, its dataset's thresholds or its policy change."""
        stamp = run.store.stamp
        return (
            run.id,
            stamp("runs", run.id),
            stamp("runs", run.id, POLICY),
            *(stamp(kind, id) for kind, id in made_of(run)),
            stamp("datasets", run.dataset_id),
        )
