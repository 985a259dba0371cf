"""Carrying a contest out: every candidate in its turn, as long as there is time for it.

Finished candidates are on record and their runs stay; what was interrupted goes on where it was.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from llmesr.config import BestConfig, EmbedConfig
from llmesr.contest import clock as clocks
from llmesr.contest.candidates import BLENDED, SOLVED, TRAINED, Candidate, candidates
from llmesr.contest.clock import Clock
from llmesr.contest.judge import METRIC, best_of, describe, measured, shares
from llmesr.contest.make import Making, make
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.prose import duration
from llmesr.runs.contest import FAILED, JUDGED, LEFT_OUT, UNFINISHED, Contest
from llmesr.runs.estimate import Timing
from llmesr.runs.live import Status
from llmesr.runs.record import Run
from llmesr.semantic.embed import Embedding, default_embedding, embed, load_embedding, whole_embeddings
from llmesr.store import Store
from llmesr.text.prompts import attribute_lists
from llmesr.training.devices import pick_device
from llmesr.training.stopping import Stopped, recorded_end, terminate

TEXT_SHARE = 0.5
"""Of the time, what embedding the texts may take."""
KEEP_EVERY = 10.0
"""Seconds after which it is kept how many have passed."""


def best(
    dataset: Dataset,
    config: BestConfig,
    store: Store,
    *,
    embedding: Embedding | None = None,
    contest_id: str | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Contest:
    """Train, blend and tune on ``dataset`` what the time allows; ``info["run"]`` of the result is the best run.

    Item texts that have no vectors yet are embedded first. Stopped by SIGTERM or an interrupt it raises
    :class:`~llmesr.training.stopping.Stopped`; :func:`resume_best` goes on with the time that is left.
    UserError when nobody can be asked on validation, or when no candidate came to an end.
    """
    if not len(dataset.split.users("valid")):
        raise UserError(f"Dataset {dataset.name!r} has nobody to validate on: nobody has a past and a target there.")
    parents = [dataset.manifest, *([embedding.manifest] if embedding else [])]
    on = pick_device(device)
    made = Contest.create(store, config, parents, name=f"{dataset.name} best", id=contest_id, device=str(on))
    with made.hold():
        return _Work(made, config, dataset, embedding, device, progress).carry_out()


def resume_best(found: Contest, *, device: str = "auto", progress: Progress = silent) -> Contest:
    """Go on with a contest that was stopped or broke off. UserError when it is finished already."""
    with found.hold():
        if found.status().state == "SUCCEEDED":
            raise UserError(f"Contest {found.id!r} is finished; its best run is {found.manifest.info['run']!r}.")
        dataset, (_, text) = load_dataset(found.store, found.dataset_id), found.text
        embedding = load_embedding(found.store, text, dataset) if text else None
        return _Work(found, found.config, dataset, embedding, device, progress).carry_out()


def reading(dataset: Dataset) -> float:
    """Seconds that embedding the item texts will likely take; 0 where there are none."""
    return clocks.SECONDS_PER_TEXT * sum(bool(row) for row in attribute_lists(dataset.catalogue))


def planned(dataset: Dataset, config: BestConfig, store: Store) -> list[tuple[Candidate, float, bool]]:
    """What would be tried, about how many seconds each takes, and whether the time is likely to be enough for it."""
    made = bool(whole_embeddings(store.list("embeddings"), dataset.id))
    seconds, texts, past = 60 * config.minutes, 0.0 if made else reading(dataset), clocks.timings(store)
    text = made or 0 < texts <= TEXT_SHARE * seconds
    tried, left = candidates(dataset, text=text), seconds - (texts if text else 0.0)
    took = [clocks.estimated(candidate, config, dataset, past) for candidate in tried]
    found = []
    for number, (candidate, (likely, least)) in enumerate(zip(tried, took, strict=True)):
        later = zip(tried[number + 1 :], took[number + 1 :], strict=True)
        kept = sum(time[0] for c, time in later if c.kind == BLENDED) if candidate.kind == TRAINED else 0.0
        fits = least <= left - kept
        spent = min(likely, left - kept) if fits else 0.0
        found.append((candidate, spent if fits else likely, fits))
        left -= spent
    return found


@dataclass
class _Work(Making):
    """One contest being carried out."""

    progress: Progress
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(60 * self.config.minutes, self.contest.spent)
        self.past: list[Timing] = clocks.timings(self.contest.store)
        self.took: list[tuple[float, float]] = []
        self.kept = 0.0

    def carry_out(self) -> Contest:
        with recorded_end(self.contest), self._timed(), terminate() as should_stop:
            self._read_text()
            tried = candidates(self.dataset, text=self.embedding is not None)
            known = {entry["candidate"] for entry in self.contest.entries()}
            for number, candidate in enumerate(tried):
                if candidate.name in known:
                    continue
                self._report(number, len(tried), candidate)
                self.contest.append_event(self._enter(candidate, tried[number + 1 :]))
                if should_stop():
                    raise Stopped
            self._finish(len(tried))
        return self.contest

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """Keep how long it has worked, however the block ends."""
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # the disk may be what failed
                self._keep_time()

    def _keep_time(self) -> None:
        self.kept = self.clock.elapsed
        self.contest.set_status(self.contest.status().model_copy(update={"spent": round(self.kept, 3)}))

    def _read_text(self) -> None:
        """Vectors of the item texts: those there are, or new ones where half of the time is enough for them. What is
        settled stays so, whatever is embedded while the contest is stopped."""
        if not self.contest.text[0]:
            self._settle_text()
        with self.contest.store.changing(Contest.kind, self.contest.id) as manifest:
            if self.embedding is not None and manifest.parent("embeddings") is None:
                manifest.parents.append(self.contest.store.parent_of(self.embedding.manifest))
            manifest.info["text"] = self.embedding.id if self.embedding else None

    def _settle_text(self) -> None:
        store, data = self.contest.store, self.dataset
        if whole_embeddings(store.list("embeddings"), data.id):
            self.embedding = default_embedding(store, data)
        elif 0 < reading(data) <= TEXT_SHARE * self.clock.left:
            self.embedding = embed(data, EmbedConfig(), store, self._said("reading the item texts"))

    def _enter(self, candidate: Candidate, later: list[Candidate]) -> dict[str, Any]:
        """Deal with one candidate; its entry."""
        started, entries = time.monotonic(), self._judged()
        likely, least = self._estimated(candidate)
        entry: dict[str, Any] = {"candidate": candidate.name, "kind": candidate.kind, "run": None, "metrics": {}}
        reserve = self._reserved(later) if candidate.kind == TRAINED else 0.0
        missing = [names for names in candidate.of if not any(name in entries for name in names)]
        room = self.clock.left - reserve
        if missing:
            return {**entry, "state": LEFT_OUT, "reason": f"{' or '.join(missing[0])} is missing", "seconds": 0.0}
        if entries and least > room:
            reason = f"it would take about {duration(least)}, and {duration(max(room, 0.0))} were left for it"
            return {**entry, "state": LEFT_OUT, "reason": reason, "seconds": 0.0}
        members = [self._best_among(names, entries) for names in candidate.made_of(entries)]
        enough = self._enough(started, reserve) if entries else (lambda: False)
        state, reason, run = JUDGED, "", None
        try:
            run = make(self, candidate, members, enough, self._said(candidate.name))
            if run.manifest.info.get("cut_short"):
                reason = f"its time was up after {run.manifest.info['epochs']} epochs"
        except Stopped:
            if not enough():
                raise
            state, reason = UNFINISHED, "its time was up before the first epoch ended; `llmesr resume` goes on with it"
        except (UserError, MemoryError) as error:
            state, reason = FAILED, str(error) or "The machine ran out of memory."
        seconds = round(time.monotonic() - started, 3)
        if state == JUDGED and candidate.kind == SOLVED:
            self.took.append((seconds, likely / self.clock.pace))
            self.clock.learn(self.took)
        id = self.contest.run_id(candidate.name)
        there = run.id if run else id if self.contest.store.exists("runs", id) else None
        made = {"metrics": measured(run, self.dataset), "ranking": run.manifest.timings.get("evaluate")} if run else {}
        return {**entry, **made, "state": state, "reason": reason, "run": there, "seconds": seconds}

    def _enough(self, started: float, reserve: float) -> Callable[[], bool]:
        """Whether a training that began then must end: for the blends to come, and where the split refits for training
        as long again."""
        again = self.dataset.split_config.refit
        return lambda: self.clock.left - reserve < (time.monotonic() - started if again else 0.0)

    def _estimated(self, candidate: Candidate) -> tuple[float, float]:
        """Seconds it will likely take, and the fewest worth beginning with; of a blend from what its members took."""
        if candidate.kind == BLENDED:
            entries = self._judged()
            took = {name: entry["ranking"] for name, entry in entries.items() if entry.get("ranking")}
            known = [[took[name] for name in names if name in took] for names in candidate.made_of(took)]
            slowest = [max(each, default=None) for each in known]
            seconds = clocks.blending(self.dataset, slowest, self.clock.pace)
            if candidate.settings.get("trees"):
                seconds += clocks.growing(self.dataset, len(known), self.clock.pace)
            return seconds, seconds
        return clocks.estimated(candidate, self.config, self.dataset, self.past, self.clock.pace)

    def _reserved(self, later: list[Candidate]) -> float:
        """What the blends to come need: without them the trained candidates would be of little use."""
        return sum(self._estimated(candidate)[0] for candidate in later if candidate.kind == BLENDED)

    def _judged(self) -> dict[str, dict[str, Any]]:
        """The entries of candidates that were measured, by name."""
        return {entry["candidate"]: entry for entry in self.contest.entries() if entry["state"] == JUDGED}

    def _best_among(self, names: tuple[str, ...], entries: dict[str, dict[str, Any]]) -> Run:
        there = {name: entries[name]["metrics"] for name in names if name in entries}
        return Run(self.contest.store, entries[best_of(there, self.config)]["run"])

    def _said(self, name: str) -> Progress:
        """Progress in time: how much of it has passed, whatever is being done."""

        def listen(stage: str, done: int, total: int) -> None:
            del stage, done, total  # of one part of one candidate
            if self.clock.elapsed > self.kept + KEEP_EVERY:
                self._keep_time()  # killed, it has lost that much and no more
            self.progress(name, min(int(self.clock.elapsed), int(self.clock.total)), int(self.clock.total))

        return listen

    def _report(self, number: int, of: int, candidate: Candidate) -> None:
        self._said(candidate.name)(candidate.name, 0, 0)
        found = [entry["metrics"].get(f"full/Overall/{METRIC}", 0.0) for entry in self._judged().values()]
        self.contest.set_status(
            Status(
                state="RUNNING",
                epoch=number,
                epochs=of,
                best=max(found, default=None),
                seconds_left=max(round(self.clock.left, 1), 0.0),
                message=f"{candidate.name}, {number + 1} of {of}",
                run=self.contest.run_id(candidate.name),
                spent=round(self.clock.elapsed, 3),
            )
        )

    def _finish(self, of: int) -> None:
        entries = self._judged()
        if not entries:
            last = self.contest.entries()[-1]["reason"]
            raise UserError(f"No candidate of {self.contest.id!r} came to an end. The last: {last}")
        measures = {name: entry["metrics"] for name, entry in entries.items()}
        chosen = best_of(measures, self.config)
        table = dict(zip(measures, shares(list(measures.values()), self.config), strict=True))
        run = Run(self.contest.store, entries[chosen]["run"])
        info = {
            "run": run.id,
            "candidate": chosen,
            "criterion": describe(self.config.objective),
            "shares": {name: round(share, 4) for name, share in table.items()},
        }
        _mark(run, {"contest": self.contest.id, **info, "candidates": self.contest.entries()})
        best = measures[chosen].get(f"full/Overall/{METRIC}")
        spent = round(self.clock.elapsed, 3)
        status = Status(state="SUCCEEDED", epoch=of, epochs=of, best=best, seconds_left=0.0, message=f"best: {chosen}")
        self.contest.finish(status.model_copy(update={"spent": spent}), {"candidates": spent}, info)


def _mark(run: Run, chosen_from: dict[str, Any]) -> None:
    """Say in the manifest of the best run what it was chosen from. Runs that were made from it name its manifest as it
    is now."""
    store = run.store
    with store.changing("runs", run.id) as manifest:
        manifest.info["chosen_from"] = chosen_from
    mark = store.parent_of(manifest)
    for id in [m.id for m in store.list("runs") if any((p.kind, p.id) == ("runs", run.id) for p in m.parents)]:
        with store.changing("runs", id) as other:
            other.parents = [mark if (p.kind, p.id) == ("runs", run.id) else p for p in other.parents]
