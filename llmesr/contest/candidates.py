"""What is tried: linear models, sequence models, sums of both, and a scoring policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llmesr.config import WORDS, BestConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.linear.build import ridge_of

STRONGER = 3.0
"""How many times the usual ridge is tried too."""
EVENED = 0.5
"""How far the directions of texts and words are evened out in the further kinds of semantic-knn."""
Kind = Literal["solved", "trained", "blended", "tuned"]
SOLVED: Kind = "solved"
TRAINED: Kind = "trained"
BLENDED: Kind = "blended"
TUNED: Kind = "tuned"


@dataclass(frozen=True)
class Candidate:
    """``settings`` of a run of its own, or of a blend; of a blend, and of a run under a policy, ``of`` says what it is
    made of: the names of candidates, several of them standing for the best of them. Of ``also`` those are taken in
    that there are."""

    name: str
    kind: Kind
    settings: Mapping[str, Any] = field(default_factory=dict)
    of: tuple[tuple[str, ...], ...] = ()
    also: tuple[str, ...] = ()

    def made_of(self, there: Collection[str]) -> list[tuple[str, ...]]:
        """Whom a blend or a policy is made of, where ``there`` are the candidates that there are."""
        return [*self.of, *((name,) for name in self.also if name in there)]

    def run_config(self, config: BestConfig) -> RunConfig:
        """The run of a candidate that is solved or trained."""
        shared = {"max_length": config.max_length, "seed": config.seed}
        return RunConfig.read(None, **shared, **self.settings)


def candidates(dataset: Dataset, *, text: bool) -> list[Candidate]:
    """What is tried on ``dataset``, the cheapest first; ``text``: whether its items have vectors."""
    solved = [*_simple(text), *(_with_text(dataset) if text else _without_text(dataset))]
    trained = [
        Candidate(method, TRAINED, {"method": method, "epochs": 200})
        for method in (("llm-init", "llm-esr") if text else ("id",))
    ]
    weights = tuple(c.name for c in solved if c.settings["method"] in ("ease", "text-ease"))
    beside = (("item-knn", "markov"), ("semantic-knn",)) if text else (("item-knn",), ("markov",))
    names = tuple(c.name for c in trained)
    best_two = (weights, *beside)
    blends = [
        Candidate("blend of linear", BLENDED, of=best_two),
        Candidate("blend", BLENDED, of=(names, *best_two)),
    ]
    if len(names) > 1:
        blends.append(Candidate("blend of all", BLENDED, of=(*((name,) for name in names), *best_two)))
    each = (*((name,) for name in names), weights, *((name,) for group in beside for name in group))
    near = _neighbours() if text else []
    also = tuple(c.name for c in near)
    blends.append(Candidate("blend with trees", BLENDED, {"trees": True}, of=each, also=also))
    tuned = Candidate("policy", TUNED, of=(names,))
    return [*solved, blends[0], *trained, *blends[1:-1], *near, blends[-1], tuned]


def _simple(text: bool) -> list[Candidate]:
    methods = ("popularity", "item-knn", "markov", *(("semantic-knn",) if text else ()))
    return [Candidate(method, SOLVED, {"method": method}) for method in methods]


def _neighbours() -> list[Candidate]:
    """Further kinds of likeness, worth something beside others only: nearest items for short histories, sums for long
    ones, which cost less than nearest items and come first."""
    kinds: dict[str, dict[str, Any]] = {
        "semantic-knn, whole history": {"whitening": EVENED, "pooling": "sum"},
        "semantic-knn, words, whole history": {"compared": "words", "whitening": EVENED, "pooling": "sum"},
        "semantic-knn, evened out": {"whitening": EVENED},
        "semantic-knn, words": {"compared": "words", "whitening": EVENED},
        "semantic-knn, attributes": {"compared": "attributes"},
    }
    return [Candidate(name, SOLVED, {"method": "semantic-knn", **settings}) for name, settings in kinds.items()]


def _without_text(dataset: Dataset) -> list[Candidate]:
    stronger = _stronger(dataset, "ease")
    return [
        Candidate("ease", SOLVED, {"method": "ease"}),
        Candidate("ease, stronger ridge", SOLVED, {"method": "ease", **stronger}),
    ]


def _with_text(dataset: Dataset) -> list[Candidate]:
    stronger = _stronger(dataset, "text-ease")
    words = {"views": [WORDS], "text_weight": 3.0, "view_weight": 3.0}
    return [
        Candidate("ease", SOLVED, {"method": "ease"}),
        Candidate("text-ease", SOLVED, {"method": "text-ease"}),
        Candidate("text-ease, stronger ridge", SOLVED, {"method": "text-ease", **stronger}),
        Candidate("text-ease and words", SOLVED, {"method": "text-ease", **words}),
        Candidate("text-ease and words, stronger ridge", SOLVED, {"method": "text-ease", **words, **stronger}),
    ]


def _stronger(dataset: Dataset, method: Literal["ease", "text-ease"]) -> dict[str, float]:
    return {"ridge": STRONGER * ridge_of(RunConfig(method=method), dataset)}
