"""The time there is, and how long candidates will likely take."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from llmesr.config import BestConfig, RunConfig, has_backbone
from llmesr.contest.candidates import BLENDED, SOLVED, TRAINED, Candidate
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.split import PARTS
from llmesr.runs.estimate import USUAL_EPOCHS, Timing, estimate
from llmesr.runs.record import Run
from llmesr.scoring.blend import FITTED_USERS
from llmesr.store import Store

SECONDS_PER_SCORE = 4e-8
"""Of ranking a user's target among the items, on one plain core."""
SLOWER = {"semantic-knn": 5.0, "text-ease": 3.0}
"""What ranking costs where the nearest item of the history is looked for, as a multiple."""
SECONDS_PER_ITEM, SECONDS_PER_PAIR = 4e-4, 3e-8
"""Of solving for the weights of an item, and of looking at each other item for it."""
SECONDS_PER_COUNT = 5e-7
"""Of counting a pair of items, and of sorting it among the others."""
OVERHEAD = 1.0
"""Seconds that any run takes, however small its data."""
SLOWEST, FASTEST = 4.0, 0.25
"""Bounds of the pace: one surprise must not leave out everything that follows."""
FALLBACK_PASSES, FALLBACK_USERS = 6.0, 4000
"""What finding a fallback costs, in rankings of so many users."""
SECONDS_PER_TEXT = 0.02
"""Of embedding with the bundled encoder."""
TUNING_PASSES = 60.0
"""What tuning a policy costs, in rankings of the users of validation."""
GROWN_USER, GROWN_MEMBER = 4e-3, 6e-4
"""Seconds of growing all trees on a user of validation, and for each member (`benchmarks/growing.py`)."""
ASKED_TREES, ASKED_MEMBER = 1.2e-6, 4e-8
"""Seconds of asking all trees for a score, and of making ready what each member says (the same)."""
LEAST_EPOCHS = 3


def ranking(dataset: Dataset, method: str = "") -> float:
    """Seconds of ranking validation and test once."""
    users = len(dataset.split.users("valid")) + len(dataset.split.users("test"))
    return users * dataset.n_items * SECONDS_PER_SCORE * SLOWER.get(method, 1.0)


def solving(config: RunConfig, dataset: Dataset) -> float:
    """Seconds of a candidate without epochs, its ranking included."""
    lengths = np.asarray(dataset.split.train_lengths, np.float64)
    pairs = min(float((lengths**2).sum()), float(dataset.n_items) ** 2)
    counted = config.method not in ("popularity", "semantic-knn")
    seconds = OVERHEAD + ranking(dataset, config.method) + counted * pairs * SECONDS_PER_COUNT
    if config.method in ("ease", "text-ease"):
        users = min(len(dataset.split.users("valid")), FALLBACK_USERS)
        seconds += FALLBACK_PASSES * users * dataset.n_items * SECONDS_PER_SCORE
        kernels = 1 + len(config.views or []) if config.method == "text-ease" else 0
        seconds += dataset.n_items * (SECONDS_PER_ITEM + (1 + kernels) * SECONDS_PER_PAIR * dataset.n_items)
    return seconds


def blending(dataset: Dataset, members: Sequence[float | None], pace: float) -> float:
    """Seconds of blending: its ``members`` rank everybody once more, and the fitted users of validation before that.

    ``members``: the seconds that ranking with each took, None for one that is not there yet.
    """
    users = len(dataset.split.users("valid"))
    both = users + len(dataset.split.users("test"))
    again = 1 + min(users, FITTED_USERS) / max(both, 1)
    guess = pace * ranking(dataset, "text-ease")
    return sum(OVERHEAD + again * (guess if took is None else took) for took in members)


def growing(dataset: Dataset, members: int, pace: float = 1.0) -> float:
    """Seconds of growing trees on top of a blend of so many, and of asking them for all scores. Trees see means of the
    histories, whatever their length."""
    valid, test = (len(dataset.split.users(part)) for part in PARTS)
    asked = (valid + test) * dataset.n_items * (ASKED_TREES + members * ASKED_MEMBER)
    return pace * (min(valid, FITTED_USERS) * (GROWN_USER + members * GROWN_MEMBER) + asked)


def tuning(dataset: Dataset) -> float:
    """Seconds of tuning a policy on all of validation and on each half of it, and of ranking under it."""
    users = min(len(dataset.split.users("valid")), FALLBACK_USERS)
    return 2 * TUNING_PASSES * users * dataset.n_items * SECONDS_PER_SCORE + ranking(dataset)


def training(config: RunConfig, dataset: Dataset, past: Sequence[Timing]) -> tuple[float, float]:
    """Seconds until a sequence model usually stops improving, and the fewest that are worth beginning with."""
    found = estimate(config, len(dataset.split.train_items), dataset.n_items, past)
    if found is None or not has_backbone(config.method):
        raise ValueError(f"{config.method} has no epochs")
    usual = min(found.per_epoch * USUAL_EPOCHS, found.longest) if found.likely is None else found.likely
    return usual + ranking(dataset), LEAST_EPOCHS * found.per_epoch + ranking(dataset)


def estimated(
    candidate: Candidate, config: BestConfig, dataset: Dataset, past: Sequence[Timing], pace: float = 1.0
) -> tuple[float, float]:
    """Seconds that a candidate will likely take, and the fewest that are worth beginning with."""
    times = 2 if dataset.split_config.refit else 1
    if candidate.kind == TRAINED:
        likely, least = training(candidate.run_config(config), dataset, past)
        return times * likely, times * least
    if candidate.kind == SOLVED:
        seconds = times * solving(candidate.run_config(config), dataset)
    elif candidate.kind == BLENDED:
        many = len(candidate.of) + len(candidate.also)
        seconds = blending(dataset, [None] * many, pace)
        seconds += growing(dataset, many, pace) if candidate.settings.get("trees") else 0.0
        return seconds, seconds
    else:
        seconds = OVERHEAD + tuning(dataset)
    return seconds * pace, seconds * pace


class Clock:
    """Counts down ``seconds``; ``spent`` of them were used before."""

    def __init__(self, seconds: float, spent: float = 0.0) -> None:
        self.total = seconds
        self._started = time.monotonic() - spent
        self.pace = 1.0
        """How much longer things take here than was thought, as far as was seen."""

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        return self.total - self.elapsed

    def learn(self, took: Sequence[tuple[float, float]]) -> None:
        """Set the pace from pairs (seconds it took, seconds that were thought)."""
        thought = sum(guess for _, guess in took)
        if thought > 0:
            self.pace = min(max(sum(seconds for seconds, _ in took) / thought, FASTEST), SLOWEST)


def timings(store: Store, newest: int = 20) -> list[Timing]:
    """What the ``newest`` finished trainings took on this machine; runs whose dataset is gone are passed over."""
    trained = [m for m in store.list("runs") if "train" in m.timings and has_backbone(str(m.config.get("method")))]
    found = []
    for manifest in trained[:newest]:
        run, parent = Run(store, manifest.id), manifest.parent("datasets")
        events = run.events()
        if parent is None or not store.exists("datasets", parent) or "seconds" not in events:
            continue
        data = load_dataset(store, parent)
        took = float(events["seconds"].median())
        found.append(Timing(run.config, len(data.split.train_items), data.n_items, took, int(run.status().epoch)))
    return found
