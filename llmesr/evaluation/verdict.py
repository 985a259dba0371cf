"""What a comparison says, in words an analyst can repeat. A sentence says no more than the guard lets stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from llmesr.config import EVERY_GROUP
from llmesr.evaluation.doubts import Doubt, about, serious
from llmesr.evaluation.statistics import FEW_USERS
from llmesr.prose import counted, listed, signed

WHERE = {
    "Overall": "overall",
    "Tail Item": "on tail items",
    "Head Item": "on head items",
    "Tail User": "for tail users",
    "Head User": "for head users",
    "Cold Item": "on cold items",
}
Outcome = Literal["better", "worse", "same", "equal", "few"]
_WORDS: dict[Outcome, str] = {
    "better": "better",
    "worse": "worse",
    "same": "no clear difference",
    "equal": "exactly the same",
    "few": "too little data to judge",
}
_GUARDED: dict[Outcome, str] = {**_WORDS, "better": "ahead", "worse": "behind"}
"""Said while something serious stands against the comparison: where a run is, and not what it proves."""


@dataclass(frozen=True)
class Answer:
    """What was found in one group, with its 95% interval. ``bound``: no larger difference is left by two one-sided
    tests at 5%."""

    group: str
    outcome: Outcome
    difference: float
    low: float
    high: float
    p: float
    floor: bool
    bound: float
    users: int

    @property
    def p_text(self) -> str:
        return p_text(self.p, self.floor)

    def numbers(self, metric: str) -> str:
        """In brackets behind the group; ``metric`` may be empty where it stands elsewhere."""
        if self.outcome == "few":
            return f" ({counted(self.users, 'user')})" if self.users else " (no users)"
        if self.outcome == "same":
            measured = f"{signed(self.difference)}{metric and f' {metric}'}"
            return f" ({measured}, between {signed(self.low)} and {signed(self.high)})"
        if self.outcome == "equal":
            return ""
        few = f", {counted(self.users, 'user')}" if self.users < FEW_USERS else ""
        return f" ({signed(self.difference)}{metric and f' {metric}'}, {self.p_text}{few})"


@dataclass(frozen=True)
class Verdict:
    """One run against one baseline in one metric, with the serious doubts that qualify it."""

    run: str
    baseline: str
    metric: str
    answers: tuple[Answer, ...]
    doubts: tuple[Doubt, ...] = ()

    @property
    def significant(self) -> bool:
        """Whether any group differs."""
        return any(a.outcome in ("better", "worse") for a in self.answers)

    @property
    def judged(self) -> bool:
        """Whether there was enough to judge any group by."""
        return any(a.outcome != "few" for a in self.answers)

    def answer(self, group: str) -> Answer | None:
        return next((a for a in self.answers if a.group == group), None)

    def word(self, answer: Answer) -> str:
        """What a group comes to in a word or three: *ahead* instead of *better* while something serious stands."""
        return (_GUARDED if self.doubts else _WORDS)[answer.outcome]

    def sentence(self, *, metric: bool = True, doubts: bool = True) -> str:
        """The whole in one sentence; ``metric`` False leaves its name, ``doubts`` False what is serious against it to
        the place around it."""
        parts: dict[str, list[str]] = {word: [] for word in (_GUARDED if self.doubts else _WORDS).values()}
        for a in self.answers:
            where = WHERE.get(a.group, f"for {a.group}")
            parts[self.word(a)].append(where + a.numbers(self.metric if metric else ""))
        said = [f"{word} {listed(places)}" for word, places in parts.items() if places]
        text = "; ".join(said)
        if self.doubts and doubts:
            text += f", but that is not settled: {'; '.join(d.short for d in self.doubts)}"
        return text[:1].upper() + text[1:] + "."


def p_text(p: float, floor: bool = False) -> str:
    """``p = .003``; ``p ≤ .0001`` where no permutation was as extreme, so that the test can say no more."""
    digits = 3 if p >= 0.001 and not floor else 4
    written = f"{p:.{digits}f}"
    if float(written) == 0:
        return f"p < .{'1'.zfill(digits)}"
    return f"p {'≤' if floor else '='} {written.removeprefix('0')}"


def verdict(
    comparison: pd.DataFrame, doubts: Sequence[Doubt], groups: Sequence[str] = ("Overall", "Tail Item", "Head Item")
) -> Verdict:
    """What one run against one baseline in one metric comes to.

    ``comparison``: rows of :func:`evaluation.statistics.compare` for them; ``doubts``: of :mod:`evaluation.guard`.
    """
    if len(comparison[["run", "baseline", "metric"]].drop_duplicates()) != 1:
        raise ValueError("a verdict is about one run, one baseline and one metric")
    run, baseline, metric = (str(comparison[c].iloc[0]) for c in ("run", "baseline", "metric"))
    by_group = {row["group"]: row for row in comparison.to_dict("records")}
    answers = tuple(_answer(by_group[name]) for name in groups if name in by_group)
    return Verdict(run, baseline, metric, answers, tuple(serious(about(doubts, run, baseline))))


def verdicts(comparison: pd.DataFrame, doubts: Sequence[Doubt], groups: Sequence[str] = EVERY_GROUP) -> list[Verdict]:
    """One per run and metric of a whole comparison, in its order."""
    return [verdict(rows, doubts, groups) for _, rows in comparison.groupby(["run", "baseline", "metric"], sort=False)]


def _answer(row: dict[str, object]) -> Answer:
    number = {k: float(str(row[k])) for k in ("difference", "low", "high", "bound")}
    return Answer(
        group=str(row["group"]),
        outcome=_outcome(row),
        p=float(str(row["p_adjusted"])),
        floor=bool(row["floor"]),
        users=int(str(row["users"])),
        **number,
    )


def _outcome(row: dict[str, object]) -> Outcome:
    if row["users"] == 0:
        return "few"
    if row["better"] == row["worse"] == 0:
        return "few" if int(str(row["users"])) < FEW_USERS else "equal"
    if row["significant"]:
        return "better" if float(str(row["difference"])) > 0 else "worse"
    return "few" if row["warning"] else "same"
