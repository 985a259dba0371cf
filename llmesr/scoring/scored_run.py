"""A run opened for scoring: its model, its dataset and text, and the policy it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from llmesr.config import BLEND
from llmesr.data.batches import whole_pasts
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.split import Part
from llmesr.errors import UserError
from llmesr.models.allocated import AllocatedScorer
from llmesr.models.folded import Folded
from llmesr.models.scorers import Scorer
from llmesr.runs.record import Run
from llmesr.scoring.ground import Ground
from llmesr.scoring.halves import halved
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.policy_scorer import PolicyScorer
from llmesr.scoring.terms import remembered
from llmesr.semantic.embed import Embedding, load_embedding, whole_embeddings
from llmesr.store import Store
from llmesr.training.load import load_scorer, part_of, stored_tensors

ALLOCATION = "allocation"
"""In the manifest of a run whose weak users are handed to another run: first, second, and how many candidates."""


def own_policy(run: Run) -> ScoringPolicy | None:
    """The policy a derived run stands for; None for a run with a model of its own."""
    info = run.manifest.info.get("policy")
    return None if info is None else ScoringPolicy.read(None, **info["values"])


def model_run(run: Run) -> Run:
    """The run whose model is used: the run itself, or the parent of a derived run."""
    info = run.manifest.info.get("policy")
    if info is None:
        return run
    if not run.store.exists("runs", info["run"]):
        raise UserError(f"Run {run.id!r} uses the model of run {info['run']!r}, which is gone.")
    return Run(run.store, info["run"])


def made_of(run: Run) -> list[tuple[str, str]]:
    """Kind and id of every run and embedding that a run is made of, and those of their runs."""
    found: list[tuple[str, str]] = []
    for parent in run.manifest.parents:
        if parent.kind in ("runs", "embeddings"):
            found.append((parent.kind, parent.id))
        if parent.kind == "runs" and run.store.exists("runs", parent.id):
            found += made_of(Run(run.store, parent.id))
    return found


def judged_by(run: Run) -> list[ScoringPolicy] | None:
    """The policies tuned for each half of the users of validation, by which a derived run was ranked there: those of a
    half are tuned on the other half. None where the policy was not tuned."""
    halves = run.manifest.info.get("policy", {}).get("halves")
    return None if halves is None else [ScoringPolicy.read(None, **values) for values in halves]


def text_of(store: Store, run: Run, dataset: Dataset) -> Embedding | None:
    """The embedding a run was made with, be it for its model or for its policy; else the newest of its dataset, else
    None."""
    if made_with := run.manifest.parent("embeddings") or model_run(run).manifest.parent("embeddings"):
        return load_embedding(store, made_with, dataset)
    whole = whole_embeddings(store.list("embeddings"), dataset.id)
    return load_embedding(store, whole[0].id, dataset) if whole else None


@dataclass(frozen=True, eq=False)
class Shared:
    """A dataset, its text and what terms need of them: in memory once, however many runs read them."""

    dataset: Dataset
    embedding: Embedding | None
    ground: Ground
    part: Part


class ScoredRun:
    """A run opened for scoring. What it needs is loaded when it is first asked for, and kept.

    ``policy``: what its scores follow when nothing else is asked for; nothing for a run with a model of its own.
    ``part``: whose questions it answers. Where a split trains again for the test, validation has a model of its own,
    and where a run was fitted on validation, others judge it there: what is chosen by a model that knows the answers
    would be worthless (:meth:`of`).
    """

    def __init__(
        self,
        store: Store,
        run: Run,
        device: torch.device | str = "cpu",
        *,
        scorer: Scorer | None = None,
        dataset: Dataset | None = None,
        embedding: Embedding | None = None,
        part: Part = "test",
        shared: Shared | None = None,
    ) -> None:
        """``scorer`` replaces that of the run; ``dataset`` and ``embedding`` spare loading them. ``shared`` is of a run
        of the same dataset on the same device: its dataset is used and, where it has the same text, that and its terms.

        UserError here when the model's run is gone; from the attributes when an artifact they need is.
        """
        self.store = store
        self.run = run
        self.device = torch.device(device)
        self.model_run = model_run(run)
        self.policy = own_policy(run) or ScoringPolicy()
        self.max_length = self.model_run.config.max_length
        self.part: Part = part
        self._given = scorer, dataset, embedding
        self._shared = shared
        self._other: ScoredRun | None = None

    def of(self, part: Part) -> ScoredRun:
        """The run opened for the questions of ``part``: this one, unless the part has a model of its own."""
        if part == self.part or not (self.dataset.split_config.refit or self._fitted_there):
            return self
        if self._other is None:
            given = self._given[2]
            self._other = ScoredRun(self.store, self.run, self.device, dataset=self.dataset, embedding=given, part=part)
            self._other._other = self
        return self._other

    @property
    def _fitted_there(self) -> bool:
        """Whether some of the run was fitted on validation."""
        return self.model_run.config.method == BLEND or judged_by(self.run) is not None

    @cached_property
    def dataset(self) -> Dataset:
        if self._given[1] is None and self._shared is not None:
            return self._shared.dataset
        return self._given[1] or load_dataset(self.store, self.run.dataset_id)

    @cached_property
    def embedding(self) -> Embedding | None:
        """The text the model was trained with, else the newest of its dataset, if there is any."""
        if self._given[2] is not None:
            return self._given[2]
        found = text_of(self.store, self.run, self.dataset)
        other = None if self._shared is None else self._shared.embedding
        return other if found and other and found.manifest == other.manifest else found

    @cached_property
    def scorer(self) -> Scorer:
        """The model, without a policy. UserError when there is none, or it does not fit the dataset."""
        scorer = self._given[0] or self._loaded()
        if scorer.n_items != self.dataset.n_items:
            raise UserError(
                f"Run {self.run.id!r} knows {scorer.n_items} items, its dataset {self.dataset.name!r} has "
                f"{self.dataset.n_items}. Train it again."
            )
        return scorer

    def _loaded(self) -> Scorer:
        run = self.model_run
        if (handed := run.manifest.info.get(ALLOCATION)) is None:
            text = self.embedding
            return load_scorer(run, dataset=self.dataset, embedding=text, part=self.part, device=self.device)
        (weak,) = stored_tensors(run, {"weak": (self.dataset.n_users,)})
        first, second = (self._member(handed[name]) for name in ("first", "second"))
        pasts = whole_pasts(self.dataset, self.part, self.device)
        return AllocatedScorer(first, second, weak.to(self.device, torch.bool), handed["candidates"], pasts)

    def _member(self, id: str) -> PolicyScorer:
        """One of the two runs that an allocated one is made of, under the policy it stands for."""
        run = part_of(self.model_run, id, "hands users from or to run")
        return ScoredRun(self.store, run, self.device, dataset=self.dataset, part=self.part).under()

    @cached_property
    def ground(self) -> Ground:
        other, shared = self._other, self._shared
        if other is not None and "ground" in vars(other) and not self.dataset.split_config.refit:
            return other.ground
        if shared and shared.part == self.part and shared.embedding is self.embedding:
            return shared.ground
        text, text_folder = None if self.embedding is None else self.embedding.padded(), None
        folder = self.store.path("datasets", self.dataset.id)
        if self.embedding is not None and self._given[2] is None:  # one that is passed in may have other vectors
            text_folder = self.store.path("embeddings", self.embedding.id)
        trained_on, lengths = self.dataset.training_for(self.part), self.dataset.split.train_lengths
        return Ground.of(trained_on, text, self.device, folder, text_folder, lengths)

    @property
    def shared(self) -> Shared:
        """What other runs of the dataset may use, too."""
        return Shared(self.dataset, self.embedding, self.ground, self.part)

    def under(self, policy: ScoringPolicy | None = None) -> PolicyScorer:
        """The model under a policy; under its own when None."""
        return PolicyScorer(self._remembered, self.policy if policy is None else policy, self.ground)

    def judging(self) -> Scorer:
        """What ranks its part: the model under its own policy; on validation, where the policy was tuned, each half of
        the users under the one that was tuned on the other half."""
        halves = judged_by(self.run) if self.part == "valid" else None
        if halves is None:
            return self.scorer if self.policy.inert else self.under()
        return self.folded(halves)

    def folded(self, halves: Sequence[ScoringPolicy]) -> Folded:
        """The model under a policy for each half of the users of validation."""
        fold = halved(self.dataset.split.users("valid"), self.dataset.n_users, self.dataset.seed)[0]
        return Folded([self.under(policy) for policy in halves], fold.to(self.device))

    @cached_property
    def _remembered(self) -> Scorer:
        """One for all policies, so that a history is encoded once however many are asked about it."""
        return remembered(self.scorer)
