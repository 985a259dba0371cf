"""Second rankers: what re-orders the candidates of the users it is handed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from llmesr.config import EXTERNAL, AllocationConfig
from llmesr.data.batches import Sequences, in_order
from llmesr.data.dataset import Dataset
from llmesr.data.split import Part
from llmesr.errors import UserError
from llmesr.evaluation.external import RankingScorer, read_ranking
from llmesr.ids import PAD
from llmesr.models.scorers import Scorer
from llmesr.progress import Progress, silent
from llmesr.scoring.allocation.lists import Lists
from llmesr.scoring.scored_run import ScoredRun


class SecondRanker(Protocol):
    """Gives back the candidates (V, n) that it was given in an order of its own, padding last."""

    name: str
    paid: bool
    """Whether every list costs money or much time: then only what is needed is asked for."""

    def report(self) -> dict[str, Any]:
        """What only this ranker knows of its answers."""

    def order(self, lists: Lists, progress: Progress = silent) -> np.ndarray: ...


class ByScore:
    """By the scores of another model or ranking; candidates that it scores alike keep their order."""

    paid = False

    def __init__(
        self,
        name: str,
        scorers: Mapping[Part, Scorer | RankingScorer],
        dataset: Dataset,
        *,
        max_length: int = 50,
        device: torch.device | str = "cpu",
        run: ScoredRun | None = None,
    ) -> None:
        """``scorers``: those that each part is asked of, where there are any; ``run``: the run that they are of."""
        self.run = run
        self.name, self.scorers, self.dataset = name, scorers, dataset
        self.max_length, self.device = max_length, torch.device(device)

    def report(self) -> dict[str, Any]:
        return {}

    @torch.inference_mode()
    def order(self, lists: Lists, progress: Progress = silent) -> np.ndarray:
        if lists.part not in self.scorers:
            raise UserError(f"{self.name} has no ranking of the {lists.part} part.")
        scorer, sequences = self.scorers[lists.part], Sequences(self.dataset, self.device)
        given = self.dataset.split.input_lengths(lists.part)
        ordered = lists.items.copy()
        row = np.zeros(self.dataset.n_users, np.int64)
        row[lists.users] = np.arange(len(lists.users))
        done = 0
        for some in in_order(lists.users, given, 256):
            who = torch.from_numpy(some).to(self.device)
            lengths = torch.from_numpy(given[some].astype(np.int64)).to(self.device)
            histories, _ = sequences.padded(who, lengths, self.max_length)
            items = lists.items[row[some]]
            asked = torch.from_numpy(items.astype(np.int64)).to(self.device)
            scores = scorer.score(histories, who).float().gather(1, asked).cpu().numpy()
            scores = np.where(items == PAD, -np.inf, np.where(np.isneginf(scores), np.finfo(np.float32).min, scores))
            ordered[row[some]] = np.take_along_axis(items, np.argsort(-scores, axis=1, kind="stable"), 1)
            done += len(some)
            progress(f"second ranker ({lists.part})", done, len(lists.users))
        return ordered


def by_run(scored: ScoredRun, first: ScoredRun) -> ByScore:
    """By the scores of another run, its policy included, as its models for each part have them. UserError for the same
    run, one of another dataset, or a ranking made elsewhere, of which only the lists' ranks are kept."""
    run = scored.run
    if run.id == first.run.id:
        raise UserError(f"Run {run.id!r} would re-order its own lists; name another run.")
    if run.dataset_id != first.run.dataset_id:
        raise UserError(
            f"Run {run.id!r} is of dataset {run.dataset_id!r}, {first.run.id!r} of {first.run.dataset_id!r}."
        )
    if run.config.method == EXTERNAL:
        raise UserError(f"Run {run.id!r} is a ranking made elsewhere: give its file as --second.")
    parts: tuple[Part, ...] = ("valid", "test")
    scorers: dict[Part, Scorer | RankingScorer] = {part: scored.of(part).judging() for part in parts}
    name = f"{scored.run.label} {scored.run.id}"
    options: dict[str, Any] = {"max_length": scored.max_length, "device": scored.device}
    return ByScore(name, scorers, scored.dataset, **options, run=scored)


def by_file(test: Path, valid: Path | None, dataset: Dataset, config: AllocationConfig) -> ByScore:
    """By rankings made elsewhere, read as :func:`evaluation.external.read_ranking` does. UserError where a share is to
    be chosen and there is none of the validation part: that of the test knows too much, or too little."""
    if valid is None and config.share is None:
        raise UserError(
            f"{test.name} ranks the test part. To choose the share give --validation FILE, made from what lies before "
            "validation; or give the share: --set share=0.2."
        )
    files: dict[Part, Path | None] = {"valid": valid, "test": test}
    scorers: dict[Part, Scorer | RankingScorer] = {
        part: read_ranking(path, dataset).scorer for part, path in files.items() if path is not None
    }
    return ByScore(test.name, scorers, dataset)


class AtRandom:
    """In any order, the same each time: what a second ranker that knows nothing would do."""

    name, paid = "random order", False

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def report(self) -> dict[str, Any]:
        return {}

    def order(self, lists: Lists, progress: Progress = silent) -> np.ndarray:
        ordered = lists.items.copy()
        for row, user in zip(ordered, lists.users, strict=True):
            real = int((row != PAD).sum())
            row[:real] = np.random.default_rng((self.seed, lists.part == "test", int(user))).permutation(row[:real])
        return ordered
