"""Why an item is recommended: what each item of the history contributes to its score.

For linear runs the answer is exact: their score is a sum over the history (:mod:`llmesr.linear.scorer`). For all others
it is *leave-one-out*: by how much the score falls behind the rest of the catalogue when an item of the history is
taken out (in the content and the linear term 256 items drawn once stand for a larger one). The two are never mixed up:
every explanation says which it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, Literal, NamedTuple, TypeGuard, overload

import numpy as np
import torch
from torch import Tensor

from llmesr.data.batches import pad_histories
from llmesr.ids import PAD
from llmesr.linear.factors import FactorScorer
from llmesr.linear.scorer import LinearScorer
from llmesr.models.blend import BlendScorer
from llmesr.models.boosted import BoostedScorer
from llmesr.models.scorers import NeuralScorer, PopularityScorer, Scorer, SemanticKnnScorer, WritingScorer
from llmesr.scoring.left_out import Lost, Reading, lost
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.policy_scorer import PolicyScorer
from llmesr.scoring.scored_run import ScoredRun

Kind = Literal["exact", "leave-one-out"]
_KINDS: dict[str, tuple[type, ...]] = {
    "linear": (LinearScorer, FactorScorer),
    "sequence model": (NeuralScorer, WritingScorer),
    "text": (SemanticKnnScorer,),
    "popularity": (PopularityScorer,),
    "blend": (BlendScorer, BoostedScorer),
}
NEGLIGIBLE = 0.005
"""Shares below half a percent are not mentioned in sentences."""


class Reason(NamedTuple):
    """What one item of the history contributes to a score: ``behaviour + text``."""

    item: int
    behaviour: float
    text: float
    share: float
    """Of all that speaks for the recommended item, 0 to 1; below 0 where it speaks against it."""

    @property
    def value(self) -> float:
        return self.behaviour + self.text


class LeftOut(Sequence[Reason]):
    """Reasons by leave-one-out as columns, greatest first: a list has hundreds, and few of them are looked at."""

    def __init__(self, items: list[int], losses: list[float], shares: list[float]) -> None:
        """D each."""
        self.items, self.losses, self.shares = items, losses, shares

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, at: int) -> Reason: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Reason]: ...
    def __getitem__(self, at: int | slice) -> Reason | Sequence[Reason]:
        if isinstance(at, slice):
            return LeftOut(self.items[at], self.losses[at], self.shares[at])
        return Reason(self.items[at], self.losses[at], 0.0, self.shares[at])


@dataclass(frozen=True)
class Explanation:
    """Of one recommended item. Exact: the values of ``reasons`` and of ``others`` sum to ``score``. Leave-one-out:
    they do not, and all of a value stands under behaviour."""

    kind: Kind
    item: int
    score: float
    reasons: Sequence[Reason]  # greatest value first
    others: dict[str, float]  # what no single item of the history accounts for, such as popularity
    text_share: float | None
    """Exact: of all that speaks for the item, how much the text does."""
    parts: dict[str, float] = field(default_factory=dict)
    """Of a sum of models (a blend, a model on a linear base), without a policy: what each kind of them adds to the
    score, exactly: ``linear``, ``sequence model``, ``text``, ``popularity``."""

    def top(self, many: int = 2) -> list[Reason]:
        """The reasons worth naming."""
        return [r for r in self.reasons if r.share >= NEGLIGIBLE][:many]


@dataclass(frozen=True)
class Asked:
    """Items to be explained: why they score as they do after ``history`` (numbers, oldest first)."""

    history: Sequence[int]
    items: Sequence[int]
    user: int = -1
    """A known one, or -1."""


def explain(
    scored: ScoredRun, history: Sequence[int], items: Sequence[int], policy: ScoringPolicy | None = None, user: int = -1
) -> list[Explanation]:
    """Why each of ``items`` (numbers) scores as it does after ``history`` (numbers, oldest first).

    ``policy``: the run's own when None. ``user`` is a known one or -1.
    """
    return explain_many(scored, [Asked(history, items, user)], scored.under(policy))[0]


def is_exact(scorer: Scorer) -> TypeGuard[LinearScorer | FactorScorer]:
    """Whether scores are sums over the history, whose summands are the reasons."""
    return isinstance(scorer, LinearScorer | FactorScorer)


@torch.inference_mode()
def explain_many(scored: ScoredRun, asked: Sequence[Asked], policed: PolicyScorer) -> list[list[Explanation]]:
    """The same for many at once, under one policy: leave-one-out scores all their histories in few batches."""
    reads = [list(one.history)[-scored.max_length :] for one in asked]
    if is_exact(scored.scorer):
        found = []
        for read, one in zip(reads, asked, strict=True):
            sequence = torch.tensor([read], device=scored.device)
            found.append(_exact(scored.scorer, policed, sequence, list(one.items), one.user) if one.items else [])
        return found
    if not asked:
        return []
    items = [one.items for one in asked]
    found = left_out(lost(policed, Reading.of(policed, reads), items, [one.user for one in asked]), items)
    if isinstance(scored.scorer, BlendScorer | BoostedScorer) and policed.policy.inert:
        for at, (read, one) in enumerate(zip(reads, asked, strict=True)):
            summed = _summands(scored.scorer, torch.tensor([read], device=scored.device), list(one.items), one.user)
            found[at] = [replace(each, parts=parts) for each, parts in zip(found[at], summed, strict=True)]
    return found


def _exact(
    scorer: LinearScorer | FactorScorer, policed: PolicyScorer, sequence: Tensor, items: list[int], user: int
) -> list[Explanation]:
    at = torch.tensor([items], device=sequence.device)
    users = torch.tensor([user], device=sequence.device)
    behaviour, text = (part[0].double() for part in scorer.shares(sequence, at))  # (C, L)
    popular = torch.zeros(len(items), dtype=torch.float64, device=sequence.device)
    if isinstance(scorer, LinearScorer) and scorer.fallback is not None:
        bias, nearest = scorer.fallback.parts(sequence, at)
        popular, text = bias[0].double(), text + nearest[0]
    parts = {name: part[0].double() for name, part in policed.split(sequence, users, at).items()}
    # A policy weighs the model's own terms: each is scaled to what is left of it.
    together = {"collaborative": behaviour.sum(1) + popular, "semantic": text.sum(1)}
    if "semantic" not in parts:
        together = {"collaborative": together["collaborative"] + together["semantic"], "semantic": together["semantic"]}
        parts["semantic"] = parts["collaborative"] * _ratio(together["semantic"], together["collaborative"])
        parts["collaborative"] = parts["collaborative"] - parts["semantic"]
        together["collaborative"] = together["collaborative"] - together["semantic"]
    scale = {name: _ratio(parts[name], whole) for name, whole in together.items()}
    behaviour, text = behaviour * scale["collaborative"][:, None], text * scale["semantic"][:, None]
    found = []
    for row, item in enumerate(items):
        others = {name: float(part[row]) for name, part in parts.items() if name not in together}
        own = float(popular[row] * scale["collaborative"][row])
        others["popularity"] = others.get("popularity", 0.0) + own
        score = float(sum(part[row] for part in parts.values()))
        reasons = _by_item(sequence[0], behaviour[row], text[row])
        found.append(_told(item, score, reasons, {k: v for k, v in others.items() if v}))
    return found


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """1 where there is nothing to divide by."""
    return torch.where(whole == 0, 1.0, part / torch.where(whole == 0, 1.0, whole))


def left_out(lost: Lost, items: Sequence[Sequence[int]]) -> list[list[Explanation]]:
    """By leave-one-out, of each of the ``items`` of every history by what it was found to lose."""
    losses, order = lost.losses.sort(dim=2, descending=True, stable=True)  # (H, C, D), of each item the greatest first
    speaking = losses.clamp(min=0).sum(2, keepdim=True)
    shares = losses / speaking.masked_fill(speaking == 0, 1.0)
    different = pad_histories(lost.different, losses.shape[2], losses.device)  # (H, D)
    listed = torch.tensor([len(some) for some in items], device=losses.device)
    real = torch.arange(losses.shape[1], device=losses.device) < listed[:, None]  # (H, C)
    said = real[:, :, None] & (different != PAD)[:, None]
    read = different[:, None].expand_as(order).gather(2, order)
    columns = [part[said].tolist() for part in (read, losses, shares)]  # at once: by rows it costs several times more
    found, first = [], 0
    for one, some, scores in zip(lost.different, items, lost.scores.tolist(), strict=True):
        mine = []
        for item, score in zip(some, scores, strict=False):  # beyond a list there is padding
            reasons = LeftOut(*(column[first : first + len(one)] for column in columns))
            mine.append(Explanation("leave-one-out", item, score, reasons, {}, None))
            first += len(one)
        found.append(mine)
    return found


def _summands(
    scorer: BlendScorer | BoostedScorer, sequence: Tensor, items: list[int], user: int
) -> list[dict[str, float]]:
    """For each of ``items`` what the members of a sum, and trees by what these say, add to its score, by kind."""
    users = torch.tensor([user], device=sequence.device)
    at = torch.tensor(items, device=sequence.device)
    added, rest = scorer.shares(sequence, users, at)
    total = {"popularity": rest.double()}
    for member, part in zip(_members(scorer), (share.double() for share in added), strict=True):
        name = next(name for name, kinds in _KINDS.items() if isinstance(member, kinds))
        total[name] = total[name] + part if name in total else part
    rows = zip(*(part.tolist() for part in total.values()), strict=True)
    return [{name: value for name, value in zip(total, row, strict=True) if value} for row in rows]


def _members(scorer: BlendScorer | BoostedScorer) -> Sequence[Scorer]:
    return (scorer.blend if isinstance(scorer, BoostedScorer) else scorer).members


def _by_item(history: Tensor, behaviour: Tensor, text: Tensor) -> list[tuple[int, float, float]]:
    """Item of the history, behaviour, text; an item that stands there twice once."""
    total: dict[int, tuple[float, float]] = {}
    for item, by, from_text in zip(history.tolist(), behaviour.tolist(), text.tolist(), strict=True):
        before = total.get(item, (0.0, 0.0))
        total[item] = (before[0] + by, before[1] + from_text)
    return [(item, *values) for item, values in total.items()]


def _told(item: int, score: float, reasons: list[tuple[int, float, float]], others: dict[str, float]) -> Explanation:
    summands = [value for _, by, text in reasons for value in (by, text)] + list(others.values())
    values = [by + text for _, by, text in reasons] + list(others.values())
    speaking = sum(v for v in values if v > 0) or 1.0
    ordered = sorted(reasons, key=lambda r: -(r[1] + r[2]))
    positive = sum(v for v in summands if v > 0)
    said = sum(max(text, 0.0) for *_, text in reasons)
    return Explanation(
        kind="exact",
        item=item,
        score=score,
        reasons=tuple(Reason(i, by, text, (by + text) / speaking) for i, by, text in ordered),
        others=others,
        text_share=said / positive if positive else 0.0,
    )


def document(
    explanation: Explanation, item_ids: Sequence[str] | np.ndarray, titles: Sequence[str] | np.ndarray
) -> dict[str, Any]:
    """As JSON holds it; ``item_ids`` and ``titles`` in catalogue order."""
    reasons = explanation.reasons
    numbers: Iterator[tuple[int, float, float, float]] = iter(reasons)
    if isinstance(reasons, LeftOut):
        numbers = zip(reasons.items, reasons.losses, repeat(0.0), reasons.shares)
    return {
        "kind": explanation.kind,
        "history": [
            {
                "item_id": item_ids[item - 1],
                "title": titles[item - 1],
                "share": share,
                "behaviour": behaviour,
                "text": text,
            }
            for item, behaviour, text, share in numbers
        ],
        "others": explanation.others,
        "parts": explanation.parts,
        "text_share": explanation.text_share,
    }


def sentence(explanation: Explanation, titles: Sequence[str], many: int = 2, longest: int = 40) -> str:
    """``because of X 62%, Y 21%; 35% of it by text``, of leave-one-out ``leans on X 62%, Y 21%``; ``titles`` in
    catalogue order. Empty where nothing speaks for it."""
    named = [f"{_short(titles[r.item - 1], longest)} {r.share:.0%}" for r in explanation.top(many)]
    if not named:
        rest = max(explanation.others, key=lambda name: explanation.others[name], default="")
        return f"because of {rest} alone" if rest and explanation.others[rest] > 0 else ""
    text = explanation.text_share
    tail = f"; {text:.0%} of it by text" if text and text >= NEGLIGIBLE else ""
    return f"{'because of' if explanation.kind == 'exact' else 'leans on'} {', '.join(named)}{tail}"


def _short(title: str, longest: int) -> str:
    return title if len(title) <= longest else title[: longest - 1].rstrip() + "…"
