"""What the guard can find, as values: kind, severity, who it is about, numbers, remedy. Sentences are made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llmesr.prose import counted, listed, signed

Severity = Literal["serious", "caution", "note"]
SEVERITIES: tuple[Severity, ...] = ("serious", "caution", "note")
Kind = Literal[
    "undertrained",
    "untraceable",
    "leakage",
    "one-seed",
    "few-seeds",
    "seeds-left-out",
    "budget",
    "search",
    "policy",
    "text",
    "weak-baseline",
    "missing-baseline",
    "few-hits",
    "few-candidates",
    "tied",
    "protocols",
    "elsewhere",
    "allocated",
    "shared-part",
    "seeds-archived",
    "chosen-there",
    "by-candidates",
    "file-order",
]
Action = Literal[
    "train-longer",
    "add-seeds",
    "part-seeds",
    "include-runs",
    "search-baseline",
    "compare-with",
    "train-baseline",
    "look-at",
    "order-by-time",
]


@dataclass(frozen=True)
class Remedy:
    """What would settle a doubt. ``runs`` are those whose settings are taken (or that are to be looked at),
    ``values`` the settings that change; ``seeds``, ``methods`` and ``trials`` as the action needs them."""

    action: Action
    runs: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    trials: int = 0

    @property
    def trains(self) -> bool:
        """Whether runs have to be made for it."""
        return self.action in ("train-longer", "add-seeds", "part-seeds", "search-baseline", "train-baseline")

    @property
    def sentence(self) -> str:
        return _REMEDIES[self.action](self)


@dataclass(frozen=True)
class Doubt:
    """One doubt about a comparison. ``names``: the contenders it is about, none where it is about all of them."""

    kind: Kind
    severity: Severity
    names: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    remedy: Remedy | None = None

    @property
    def short(self) -> str:
        """A clause, to stand within another sentence."""
        return _CLAUSES[self.kind](self)

    @property
    def sentence(self) -> str:
        text = self.short
        known = (*self.names, str(self.numbers.get("stronger", " ")))
        if not text.startswith(known):  # names are written as they are
            text = text[:1].upper() + text[1:]
        return f"{text}." + (f" {self.remedy.sentence}" if self.remedy else "")

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        remedy = None
        if self.remedy:
            parts = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self.remedy).items() if v}
            remedy = {**parts, "sentence": self.remedy.sentence}
        head = {"kind": self.kind, "severity": self.severity, "names": list(self.names), "runs": list(self.runs)}
        return {**head, "numbers": dict(self.numbers), "sentence": self.sentence, "remedy": remedy}


def serious(doubts: Iterable[Doubt]) -> list[Doubt]:
    """Those that withhold "better" and every ratio."""
    return [d for d in doubts if d.severity == "serious"]


def unsettled(doubts: Iterable[Doubt]) -> str:
    """Behind what a chart says its numbers are of, where something serious stands; nothing otherwise."""
    grave = serious(doubts)
    return f" Not settled: {counted(len(grave), 'serious doubt')}." if grave else ""


def about(doubts: Iterable[Doubt], *names: str) -> list[Doubt]:
    """Those that concern nobody but ``names``."""
    return [d for d in doubts if set(d.names) <= set(names)]


def rarely_hit(doubts: Iterable[Doubt], *names: str) -> set[str]:
    """The groups in which one of ``names`` hits too rarely for a ratio to hold."""
    few = [d for d in doubts if d.kind == "few-hits" and set(d.names) & set(names)]
    return {group for d in few for group in d.numbers["groups"]}


def in_order(doubts: Iterable[Doubt]) -> tuple[Doubt, ...]:
    """The most serious first, each once."""
    kept: list[Doubt] = []
    for doubt in doubts:
        if doubt not in kept:
            kept.append(doubt)
    return tuple(sorted(kept, key=lambda d: SEVERITIES.index(d.severity)))


def _undertrained(d: Doubt) -> str:
    waited, best, epochs = (d.numbers[k] for k in ("waited", "best_epoch", "epochs"))
    who = f"{d.names[0]} is made of {part}, which" if (part := d.numbers.get("part")) else d.names[0]
    if waited == 0:
        return f"{who} was still improving when its {counted(int(epochs), 'epoch')} ran out"
    return (
        f"{who} was at its best only {counted(int(waited), 'evaluation')} before its training ended "
        f"(epoch {best} of {epochs})"
    )


def _one_seed(d: Doubt) -> str:
    who = listed(d.names)
    return f"{who} {'was' if len(d.names) == 1 else 'were'} trained with one seed, so luck in training is not counted"


def _few_hits(d: Doubt) -> str:
    one = len(d.names) == 1
    return (
        f"{listed(d.names)} {'hits' if one else 'hit'} for fewer than {d.numbers['enough']} users "
        f"{'' if one else 'each '}in {listed(d.numbers['groups'])} "
        f"({'' if one else 'at most '}{listed([str(h) for h in d.numbers['hits']])})"
    )


def _few_candidates(d: Doubt) -> str:
    least, needed = d.numbers["candidates"], d.numbers["needed"]
    return f"some users choose among {least} candidates only, fewer than {needed}"


def _protocols(d: Doubt) -> str:
    here, there = d.numbers["difference"], d.numbers["other_difference"]
    return (
        f"under {d.numbers['other']} {d.names[0]} is {'ahead' if there > 0 else 'behind'} overall ({signed(there)} "
        f"{d.numbers['metric']}), and {'ahead' if here > 0 else 'behind'} here ({signed(here)})"
    )


def _weak(d: Doubt) -> str:
    away = ", which was archived," if d.numbers["archived"] else ""
    stronger = (
        f"{d.numbers['stronger']}{away} is stronger than the baseline {d.names[1]} on validation "
        f"({d.numbers['metric']} {d.numbers['best']:.3f} against {d.numbers['baseline']:.3f})"
    )
    if math.isnan(d.numbers["run"]):
        return f"{stronger}, and {d.names[0]} was not evaluated there, so nothing says that it is ahead"
    return stronger + ("" if d.numbers["ahead"] else f", and {d.names[0]} is not ahead of it ({d.numbers['run']:.3f})")


def _search(d: Doubt) -> str:
    mine, theirs = d.numbers["run"], d.numbers["baseline"]
    return f"{mine} configurations of {d.names[0]} were tried, and {theirs} of {d.names[1]}"


_CLAUSES: dict[Kind, Callable[[Doubt], str]] = {
    "undertrained": _undertrained,
    "untraceable": lambda d: f"{d.names[0]} does not record when it was at its best",
    "leakage": lambda d: (
        f"the text of {d.names[0]} was made by an adapter that learned what is chosen in dataset "
        f"{d.numbers['dataset']}, which may be what is asked here; tune it on this one and embed again"
    ),
    "one-seed": _one_seed,
    "few-seeds": lambda d: f"{d.names[0]} has {d.numbers['seeds']} seeds; three are the least that show its luck",
    "seeds-left-out": lambda d: (
        f"{counted(d.numbers['left_out'], 'seed')} of {d.names[0]} "
        f"{'is' if d.numbers['left_out'] == 1 else 'are'} left out"
    ),
    "budget": lambda d: f"{d.names[0]} and {d.names[1]} were not trained alike ({', '.join(d.numbers['settings'])})",
    "search": _search,
    "policy": lambda d: f"the scoring of {d.names[0]} was tuned on validation, that of {d.names[1]} was not",
    "text": lambda d: f"{d.names[0]} and {d.names[1]} read different text vectors",
    "weak-baseline": _weak,
    "missing-baseline": lambda d: f"no run of {listed(d.numbers['methods'])} is here to compare with",
    "few-hits": _few_hits,
    "few-candidates": _few_candidates,
    "tied": lambda d: f"{d.numbers['metric']} is 1 for every user of {d.names[0]}: it can tell nothing apart",
    "protocols": _protocols,
    "allocated": lambda d: f"in {d.names[0]} a second ranker orders the lists of some users, who were chosen here",
    "seeds-archived": lambda d: (
        f"{counted(d.numbers['archived'], 'seed')} of {d.names[0]} "
        f"{'was archived and does' if d.numbers['archived'] == 1 else 'were archived and do'} not count here"
    ),
    "chosen-there": lambda _: "epochs and settings were chosen on the validation part, which flatters them there",
    "shared-part": lambda d: (
        f"{listed(d.numbers['part'])} {'is' if len(d.numbers['part']) == 1 else 'are'} in several of the "
        f"{d.numbers['runs']} runs of {d.names[0]}, so that they are not {d.numbers['runs']} seeds of it"
    ),
    "by-candidates": lambda d: f"{d.names[0]} was {d.numbers['ranked']}; ranks beyond are estimates",
    "file-order": lambda d: (
        f"the held-out item of {d.numbers['share']:.0%} of users shares its time with the one before: the order of the "
        "file decides what is predicted"
    ),
    "elsewhere": lambda d: f"{d.names[0]} was made elsewhere: how it was trained and chosen is not known here",
}
_REMEDIES: dict[Action, Callable[[Remedy], str]] = {
    "train-longer": lambda r: (
        f"Train to convergence: up to {r.values['epochs']} epochs, patience {r.values['patience']}."
    ),
    "add-seeds": lambda r: f"Train seed{'s' * (len(r.seeds) != 1)} {listed([str(s) for s in r.seeds])} as well.",
    "part-seeds": lambda _: "Make each run of parts of its own seed.",
    "include-runs": lambda r: f"Take {'it' if len(r.runs) == 1 else 'them'} in.",
    "search-baseline": lambda r: f"Search the baseline's settings with {r.trials} trials.",
    "compare-with": lambda _: "Compare with that one.",
    "train-baseline": lambda r: f"Train {listed(r.methods)}.",
    "look-at": lambda r: f"Look at {r.values['protocol']} before saying which is better.",
    "order-by-time": lambda _: (
        "Import the data with a finer time column if there is one, or compare under a temporal split."
    ),
}
