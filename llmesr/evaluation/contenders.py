"""Which runs belong together, and which are shown first.

A *contender* is one configuration: its runs differ in nothing but the seed. One rule chooses among them everywhere:
of each method the contender that is best on validation, with all its seeds (:func:`best_of_each`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from llmesr.config import (
    BLEND_EMPHASIS,
    EXTERNAL,
    MADE_FOR_IT,
    NEEDS_TEXT,
    PRESETS,
    BackboneName,
    MethodName,
    RunConfig,
    has_backbone,
)
from llmesr.evaluation.origins import described, identity, lucky, origins, sources
from llmesr.evaluation.table import metric_values
from llmesr.runs.record import Run
from llmesr.runs.settings import settings_of
from llmesr.store import Manifest

_QUIET = ("epochs", "patience", "evaluate_every", "validation_users", "ranking", "batch_size", "precision")
"""How long and how fast it was trained is said only where nothing else tells two configurations apart."""
TUNED = "tuned scoring"
CHOSEN_BY = "NDCG@10"
"""What the best of several is best in: on validation, under full ranking, overall."""
_METHODS, _BACKBONES = get_args(MethodName), get_args(BackboneName)


@dataclass(frozen=True)
class Contender:
    """``name`` is unique among those it was made with; ``label`` (method/backbone) decides its colour."""

    name: str
    label: str
    runs: tuple[Run, ...]
    manifests: tuple[Manifest, ...]  # of the runs, in the same order

    @classmethod
    def named(cls, name: str, runs: Sequence[Run]) -> Contender:
        """The runs of one configuration under a name of one's own."""
        return cls(name, runs[0].label, tuple(runs), tuple(run.manifest for run in runs))

    @property
    def method(self) -> str:
        return self.label.split("/", 1)[0]

    @property
    def trained(self) -> bool:
        """Whether it was trained by epochs, and so may have been trained too briefly."""
        return has_backbone(self.method)

    @cached_property
    def behind(self) -> tuple[tuple[Manifest, ...], ...]:
        """For each run the trainings its scores are made of (see :mod:`evaluation.origins`)."""
        return tuple(tuple(origins(r.store, m)) for r, m in zip(self.runs, self.manifests, strict=True))

    @property
    def seeded(self) -> bool:
        """Whether luck is part of its numbers, which only several seeds can show."""
        return any(lucky(m) for m in self.behind[0])

    @property
    def elsewhere(self) -> bool:
        """Whether it is a ranking that was made elsewhere, so that nothing is known of its training."""
        return self.method == EXTERNAL and not sources(self.manifests[0])

    @property
    def alone(self) -> bool:
        """Whether its numbers are known to have no luck in them, so that no variance between seeds is theirs."""
        return not self.seeded and self.method != EXTERNAL

    @property
    def tuned(self) -> bool:
        """Whether it is a model under a scoring policy."""
        return "policy" in self.manifests[0].info

    @property
    def with_text(self) -> bool:
        """Whether it reads item text."""
        return self.method in NEEDS_TEXT or self.manifests[0].parent("embeddings") is not None

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(run.id for run in self.runs)

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(int(m.seed or 0) for m in self.manifests)

    def of_seeds(self, seeds: Iterable[int]) -> Contender | None:
        """This contender with only the runs of ``seeds``; None when that leaves nothing."""
        wanted = set(seeds)
        kept = [(r, m) for r, m, s in zip(self.runs, self.manifests, self.seeds, strict=True) if s in wanted]
        if not kept:
            return None
        runs, manifests = zip(*kept, strict=True)
        return Contender(self.name, self.label, runs, manifests)


def contenders(runs: Sequence[Run]) -> list[Contender]:
    """Group runs that differ only in their seed; of several runs with the same seed the newest counts.

    A name is ``method/backbone``, followed by what sets it apart where several configurations share that label.
    """
    known = [(run, run.manifest) for run in runs]
    groups: dict[tuple[Any, ...], list[tuple[Run, Manifest]]] = {}
    for run, manifest in known:
        groups.setdefault(_configuration(run, manifest), []).append((run, manifest))
    found = [part for group in groups.values() for part in _one_policy_per_seed(group)]
    features = [_features(group) for group in found]
    _shorten_policies([group[0][0].label for group in found], features)
    names = _names([group[0][0].label for group in found], features)
    made = []
    for name, group in zip(names, found, strict=True):
        newest = {m.seed: (r, m) for r, m in sorted(group, key=lambda pair: pair[1].created)}
        ordered = sorted(newest.values(), key=lambda pair: pair[1].seed or 0)
        made.append(Contender(name, ordered[0][0].label, tuple(r for r, _ in ordered), tuple(m for _, m in ordered)))
    return sorted(made, key=lambda c: (_rank(c.label), c.name))


def configuration(c: Contender) -> tuple[Any, ...]:
    """What the runs of a contender share, the same for another of the same settings."""
    return _configuration(c.runs[0], c.manifests[0])


_TWINS = {"text-ease": "ease", "llm-init": "id", "adapter": "id", "llm-esr": "id", "llmemb": "id"}
"""Methods that read text, and what each would be without it."""
Validation = Callable[[Contender], float]
"""How good a contender is on validation (:func:`validation_score` of its runs); NaN where that is not known."""


def validation_score(runs: Iterable[Run]) -> float:
    """Mean over seeds of NDCG@10 on validation under full ranking; NaN for a ranking made elsewhere, which has none."""
    ranks = [run.per_user("valid", "full", ["rank"])["rank"].to_numpy() for run in runs]
    if not ranks or any(len(r) == 0 for r in ranks):
        return math.nan
    return float(sum(metric_values(r, CHOSEN_BY).mean() for r in ranks) / len(ranks))


def best_of_each(every: Sequence[Contender], validation: Validation) -> list[Contender]:
    """Of each method the contender that is best on validation, in the methods' order: what is shown first everywhere.

    The test part chooses nothing, so what is shown is not the luckiest of several. Contenders under a scoring policy
    and rankings made elsewhere are left out: they are rivals to choose by hand.
    """
    best: dict[str, tuple[float, Contender]] = {}
    for c in every:
        score = -math.inf if c.tuned or c.method == EXTERNAL else validation(c)
        if score > best.get(c.method, (-math.inf, c))[0]:
            best[c.method] = (score, c)
    return [c for _, c in sorted(best.values(), key=lambda pair: _rank(pair[1].label))]


def best_without_and_with_text(
    every: Sequence[Contender], validation: Validation
) -> tuple[Contender | None, Contender | None]:
    """The two that headlines are about: the best on validation that reads no text, and the best that does."""
    shown = best_of_each(every, validation)
    kinds = [[c for c in shown if c.with_text is text] for text in (False, True)]
    blind, reading = (max(kind, key=validation, default=None) for kind in kinds)
    return blind, reading


def like_for_like(every: Sequence[Contender], validation: Validation) -> list[tuple[Contender, Contender]]:
    """The same model without text and with it, for every method that has such a twin: of each the one that is best on
    validation, where both have the same backbone."""
    shown = {c.method: c for c in best_of_each(every, validation)}
    pairs = [(shown.get(plain), shown.get(method)) for method, plain in _TWINS.items()]
    return [
        (plain, text)
        for plain, text in pairs
        if plain is not None and text is not None and plain.label.partition("/")[2] == text.label.partition("/")[2]
    ]


def _rank(label: str) -> tuple[int, int]:
    method, _, backbone = label.partition("/")
    known = _METHODS.index(method) if method in _METHODS else len(_METHODS)
    return known, _BACKBONES.index(backbone) if backbone in _BACKBONES else len(_BACKBONES)


def _configuration(run: Run, manifest: Manifest) -> tuple[Any, ...]:
    """What runs of one contender share. A policy is tuned per seed, so only having one is part of it."""
    settings = tuple(sorted((k, repr(v)) for k, v in _settings(run, manifest).items()))
    blend = manifest.info.get("blend")
    made_of = identity(run.store, manifest)[-1] if isinstance(blend, Mapping) else ()
    return manifest.parent("datasets"), manifest.parent("embeddings"), settings, made_of, "policy" in manifest.info


def _settings(run: Run, manifest: Manifest) -> dict[str, Any]:
    """What a run depends on but its seed: a setting its method never looks at sets no run apart."""
    read = {k: v for k, v in settings_of(manifest).items() if k not in ("seed", *MADE_FOR_IT)}
    blend = manifest.info.get("blend")
    if not isinstance(blend, Mapping):
        return read
    ids = blend.get("runs", ())
    members = {"members": " + ".join(described(run.store, id) for id in ids)}
    if blend.get("emphasis", BLEND_EMPHASIS) != BLEND_EMPHASIS:
        members["emphasis"] = str(blend["emphasis"])
    if "trees" in blend:
        members["trees"] = "yes"
    return members | read


def _one_policy_per_seed(group: list[tuple[Run, Manifest]]) -> list[list[tuple[Run, Manifest]]]:
    """Several policies for one seed are rivals, not repetitions: split by policy."""
    policies: dict[str, list[tuple[Run, Manifest]]] = {}
    for run, manifest in group:
        policies.setdefault(_policy(manifest), []).append((run, manifest))
    each = [{m.seed for _, m in part} for part in policies.values()]
    rivals = sum(map(len, each)) > len(set().union(*each))
    return list(policies.values()) if rivals else [group]


def _policy(manifest: Manifest) -> str:
    info = manifest.info.get("policy")
    return str(info.get("describe", "policy")) if isinstance(info, Mapping) else ""


def _features(group: list[tuple[Run, Manifest]]) -> dict[str, str]:
    """Everything that could set a contender apart from another of the same label, most telling first."""
    (run, first), policies = group[0], {_policy(m) for _, m in group}
    policy = policies.pop() if len(policies) == 1 else TUNED
    features = {"policy": policy, "text": first.parent("embeddings") or "none"}
    features |= {k: str(v) for k, v in _settings(run, first).items()}
    return {**features, "dataset": str(first.parent("datasets"))}


def _shorten_policies(labels: list[str], features: list[dict[str, str]]) -> None:
    """Where a label has one policy alone, one word tells it from the scores as trained."""
    for label in set(labels):
        own = [f for other, f in zip(labels, features, strict=True) if other == label]
        tuned = [f for f in own if f["policy"]]
        if len({f["policy"] for f in tuned}) == 1:
            for feature in tuned:
                feature["policy"] = TUNED


def _names(labels: list[str], features: list[dict[str, str]]) -> list[str]:
    told = []
    for label, own in zip(labels, features, strict=True):
        rivals = [f for other, f in zip(labels, features, strict=True) if other == label]
        differing = {k: own[k] for k in own if len({r.get(k) for r in rivals}) > 1}
        loud, all_said = _said({k: v for k, v in differing.items() if k not in _QUIET}, own), _said(differing, own)
        told.append((label, tuple(loud), tuple(all_said)))
    short = [t[:2] for t in told]
    names = [_joined(t[0], t[1] if short.count(t[:2]) == 1 else t[2]) for t in told]
    return [n if names.count(n) == 1 else f"{n} #{names[: i + 1].count(n)}" for i, n in enumerate(names)]


def _joined(label: str, said: tuple[str, ...]) -> str:
    return f"{label} ({', '.join(said)})" if said else label


def _said(differing: dict[str, str], own: dict[str, str]) -> list[str]:
    """A default needs no words, and a preset is one word."""
    said = []
    for preset, values in PRESETS.items():
        read = {k: v for k, v in values.items() if k in own}
        if read and all(own[k] == str(v) for k, v in read.items()) and set(read) & set(differing):
            said.append(f"{preset} settings")
            differing = {k: v for k, v in differing.items() if k not in read}
    for key, value in differing.items():
        if key == "policy":
            said += [value] if value else []
        elif key == "members":
            said.append(f"of {value}")
        elif key not in RunConfig.model_fields or value != str(RunConfig.model_fields[key].default):
            said.append(f"{key}={value}")
    return said
