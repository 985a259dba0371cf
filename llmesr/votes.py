"""Blind votes: two recommendation lists for one history, and what an audience that knows neither method prefers.

<root>/votes/<id>/lists.json      the history and both lists, as titles
<root>/votes/<id>/ballots.jsonl   a line per vote: who stood as A, what was chosen; written at once, so that a
                                  restart loses nothing, and no part of the checksums
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from llmesr.errors import UserError
from llmesr.prose import counted
from llmesr.runs.record import Run
from llmesr.store import Manifest, Store, config_digest, now, read_json, slug, write_json

KIND = "votes"
LISTS, BALLOTS = "lists.json", "ballots.jsonl"
REMEDY = "Delete it and prepare another."
Choice = Literal["A", "B", "same"]
MOST_BYTES = 10_000_000
"""Of the votes of one vote, about a hundred thousand: whoever looks at it reads all of them."""
LONGEST = 1_000
"""Titles of a list, or of the history, at the most."""
Z = 1.959963984540054
"""The normal quantile of a 95% interval."""


@dataclass(frozen=True)
class Tally:
    """Votes for the first run, for the second, and for no difference."""

    first: int = 0
    second: int = 0
    same: int = 0

    @property
    def votes(self) -> int:
        return self.first + self.second + self.same

    @property
    def decided(self) -> int:
        """Votes that name a list."""
        return self.first + self.second

    def sentence(self, first: str, second: str) -> str:
        """The result with its interval, about the run that is ahead; chance is called chance."""
        if not self.decided:
            return f"{counted(self.votes, 'vote')}, none of which names a list."
        ahead, votes = (first, self.first) if self.first >= self.second else (second, self.second)
        low, high = wilson(votes, self.decided)
        said = (
            f"Of {counted(self.decided, 'vote')} that name a list, {votes} ({votes / self.decided:.0%}, 95% interval "
            f"{low:.0%} to {high:.0%}) prefer {ahead}; {self.same} see no difference."
        )
        return said if low > 0.5 else f"{said} That may be chance: the interval holds one half."


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927). ValueError for no observations."""
    if not 0 <= hits <= n or n == 0:
        raise ValueError(f"{hits} of {n} is no share")
    share, spread = hits / n, Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


class _Settings(BaseModel):
    runs: tuple[str, str]
    labels: tuple[str, str]


Titles = Annotated[list[str], Field(max_length=LONGEST)]


class _Lists(BaseModel):
    history: Titles
    lists: dict[str, Titles]


class _Ballot(BaseModel):
    a: str
    choice: Choice


@dataclass(frozen=True, eq=False)
class Vote:
    """A vote that was prepared."""

    store: Store
    manifest: Manifest

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def runs(self) -> tuple[str, str]:
        """The ids of both runs, the first and the second. UserError when the manifest does not say."""
        return self._settings().runs

    @property
    def labels(self) -> dict[str, str]:
        """Run id -> what it is called once the vote is revealed."""
        return dict(zip(self.runs, self._settings().labels, strict=True))

    @property
    def history(self) -> list[str]:
        """The titles of the history, newest first."""
        return self._lists().history

    def titles(self, run: str) -> list[str]:
        """What a run recommends, best first."""
        if (titles := self._lists().lists.get(run)) is None:
            raise self._damaged()
        return titles

    def cast(self, as_a: str, choice: Choice) -> None:
        """Count a vote of somebody to whom the run ``as_a`` was shown as A. UserError for another run or choice, for a
        vote that has been deleted, and beyond :data:`MOST_BYTES`."""
        if as_a not in self.runs or choice not in get_args(Choice):
            raise UserError(f"A vote is for A, B or no difference of {' and '.join(self.runs)}.")
        line = json.dumps({"time": now(), "a": as_a, "choice": choice}) + "\n"
        try:
            with open(self.store.path(KIND, self.id) / BALLOTS, "ab+") as ballots:
                fcntl.flock(ballots, fcntl.LOCK_EX)  # or a line that is being written looks like one cut off
                if (size := ballots.seek(0, os.SEEK_END)) > MOST_BYTES:
                    raise UserError("This vote has as many votes as it can hold; prepare another.")
                if size:
                    ballots.seek(-1, os.SEEK_END)
                    line = line if ballots.read(1) == b"\n" else f"\n{line}"  # the last one was cut off by a crash
                ballots.write(line.encode())
                ballots.flush()
                os.fsync(ballots.fileno())
        except FileNotFoundError as error:
            raise UserError("This vote has been deleted; what is chosen now is not counted.") from error

    def tally(self) -> Tally:
        """All votes so far; a line that is none, as one cut off by a crash, does not count."""
        path = self.store.path(KIND, self.id) / BALLOTS
        counts = {"first": 0, "second": 0, "same": 0}
        for line in path.read_bytes().split(b"\n") if path.is_file() else []:
            try:
                ballot = _Ballot.model_validate_json(line)
            except ValidationError:
                continue
            if ballot.choice == "same":
                counts["same"] += 1
            elif ballot.a in self.runs:
                first = (ballot.a == self.runs[0]) == (ballot.choice == "A")
                counts["first" if first else "second"] += 1
        return Tally(**counts)

    def _settings(self) -> _Settings:
        try:
            return _Settings.model_validate(self.manifest.config)
        except ValidationError as error:
            raise self._damaged() from error

    def _lists(self) -> _Lists:
        found = read_json(self.store.path(KIND, self.id) / LISTS, f"The vote {self.id!r}", REMEDY)
        try:
            return _Lists.model_validate(found)
        except ValidationError as error:
            raise self._damaged() from error

    def _damaged(self) -> UserError:
        return UserError(f"The vote {self.id!r} is damaged: it does not say what it is of. {REMEDY}")


def prepare(first: Run, second: Run, lists: Sequence[Sequence[str]], history: Sequence[str], *, user: str = "") -> Vote:
    """A vote between two runs. ``lists``: the titles that each recommends; ``history``: titles, newest first.

    UserError for one run against itself, for runs of two datasets and for lists that are alike.
    """
    if first.id == second.id:
        raise UserError("A vote needs two different runs.")
    if first.dataset_id != second.dataset_id:
        raise UserError("Both runs must be of the same dataset: choose two that are.")
    if list(lists[0]) == list(lists[1]):
        raise UserError("Both runs recommend the same list to this history: choose another user or other runs.")
    store, data = first.store, first.store.manifest("datasets", first.dataset_id)
    labels = [first.label, second.label] if first.label != second.label else [first.id, second.id]
    config = {
        "dataset": data.id,
        "runs": [first.id, second.id],
        "labels": labels,
        "user": user,
        "k": len(lists[0]),
    }
    name = f"{data.name}: {' or '.join(labels)}" + (f", user {user}" if user else "")
    id = f"{slug(data.name)}-vote-{config_digest(config, now())}"
    with store.draft(KIND, id, name=name, config=config) as draft:
        shown = {run.id: list(titles) for run, titles in zip((first, second), lists, strict=True)}
        write_json(draft.path / LISTS, {"history": list(history), "lists": shown})
    return Vote(store, store.manifest(KIND, id))
