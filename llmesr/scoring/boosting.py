"""Trees on top of a blend, grown on validation: gradient boosting of the likelihood of what users chose.

The probability of a choice is the softmax over the catalogue of the blend's score plus the trees'. The catalogue of a
user is stood for by candidates of two kinds, each counted as often as it stands for others: items that the blend ranks
high, and items drawn from all the rest. So one score is fitted for full ranking and for uniform negatives alike.
Trees are grown level by level on features cut into bins (Chen and Guestrin 2016, "XGBoost", equations 6 and 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmesr.data.batches import Sequences, in_order
from llmesr.data.dataset import Dataset
from llmesr.evaluation.questions import Questions
from llmesr.ids import PAD
from llmesr.models.blend import BlendScorer
from llmesr.models.boosted import BoostedScorer, Trees, Usual, context, many_features, standardised
from llmesr.models.folded import Folded
from llmesr.progress import Progress

HIGH, DRAWN = 300, 60
"""Items of a user that count as ranked high, and how many are drawn from all others."""
OF_HIGH = 80
"""How many of those ranked high are looked at."""
ROUNDS, DEPTH, BINS = 120, 3, 63
RATE, RIDGE, LEAST = 0.1, 10.0, 1.0
"""Of a tree's answer what is added; what pulls a leaf to zero; the least curvature of the likelihood in a leaf."""
CELLS = 2**23
"""Scores of a member that are looked at together."""


@dataclass(frozen=True, eq=False)
class Sample:
    """C candidates of each of U users, the one that was chosen first."""

    items: np.ndarray  # (U, C)
    scores: np.ndarray  # (M, U, C) of the members
    known: np.ndarray  # (F, U, C) features
    stands_for: np.ndarray  # (U, C) how many items of the catalogue each is, 0: none after all
    users: np.ndarray  # (U,)
    counted: np.ndarray  # (U,) how much each user's choice counts; the mean is 1

    def of(self, rows: np.ndarray) -> Sample:
        counted = self.counted[rows] / max(self.counted[rows].mean(), 1e-12)
        scores, known = self.scores[:, rows], self.known[:, rows]
        return Sample(self.items[rows], scores, known, self.stands_for[rows], self.users[rows], counted)

    def by(self, blend: BlendScorer) -> np.ndarray:
        """(U, C) what a blend of the members says."""
        weights, bias = blend.weights.cpu().numpy()[:, self.items], blend.bias.cpu().numpy()[self.items]
        return np.asarray((self.scores * weights).sum(0) + bias, np.float64)


def boosted(
    blend: BlendScorer,
    judging: Folded,
    dataset: Dataset,
    users: np.ndarray,
    *,
    max_length: int,
    emphasis: float,
    device: torch.device,
    progress: Progress,
) -> tuple[BoostedScorer, Folded, dict[str, object]]:
    """``blend`` with trees, what judges it on validation, and what the manifest says of them.

    ``users`` are those that ``blend`` was fitted on; ``judging`` has for each half of them a blend fitted on the other
    half. There are as many rounds as were likeliest for the half that was not grown on, maybe none. A half is
    judged, and ``gain`` measured, by as many as were likeliest for the other one: its own choices do not count twice.
    """
    logs = torch.log1p(torch.from_numpy(np.asarray(dataset.item_counts)).to(device).float())
    sample, usual = _sampled(blend, dataset, users, logs, max_length, emphasis, device, progress)
    halves = judging.scorers[:-1]
    fold = judging.fold.cpu().numpy()[sample.users] if halves else np.zeros(len(sample.users), int)
    grown: list[Trees] = []
    heard: list[np.ndarray] = []
    for number, half in enumerate(halves):
        progress("growing trees", number, len(halves) + 1)
        there, other = (sample.of(np.flatnonzero(chosen)) for chosen in (fold == number, fold != number))
        trees, likely = grow(other, half, beside=there)  # type: ignore[arg-type]
        grown.append(trees)
        heard.append(likely * len(there.users))
    total = sum(heard, np.zeros(ROUNDS + 1))
    rounds = int(total.argmax())
    apart = [int((total - own).argmax()) for own in heard]
    whole, _ = grow(sample, blend, rounds=rounds)
    progress("growing trees", len(halves) + 1, len(halves) + 1)
    made = BoostedScorer(blend, whole.to(device), logs, usual)
    judged = [
        BoostedScorer(half, trees.first(count).to(device), logs, usual)  # type: ignore[arg-type]
        for half, trees, count in zip(halves, grown, apart, strict=True)
    ]
    gain = float(sum(own[count] - own[0] for own, count in zip(heard, apart, strict=True))) / max(len(users), 1)
    said: dict[str, object] = {"rounds": rounds, "halves": apart, "depth": DEPTH, "gain": round(gain, 6)}
    return made, Folded([*judged, made], judging.fold), said


def grow(
    sample: Sample, blend: BlendScorer, *, beside: Sample | None = None, rounds: int = ROUNDS
) -> tuple[Trees, np.ndarray]:
    """Trees for ``sample`` on top of ``blend``, and the mean log-likelihood of ``beside`` after 0, 1, ... of them."""
    edges = [_edges(feature[sample.stands_for > 0]) for feature in sample.known]
    binned = np.stack([_binned(f.ravel(), e) for f, e in zip(sample.known, edges, strict=True)])
    score, rng = sample.by(blend), np.random.default_rng(0)
    other = None if beside is None else (beside.by(blend), torch.from_numpy(beside.known).flatten(1))
    likely = [0.0 if beside is None or other is None else _likelihood(beside, other[0])]
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for _ in range(rounds):
        chance = _chances(score, sample.stands_for)
        slope = chance * sample.counted[:, None]
        bend = slope * (1 - chance)
        slope[:, 0] -= sample.counted
        some = np.sort(rng.permutation(len(edges))[: (len(edges) + 1) // 2])
        tree, leaf = _tree(binned, edges, some, slope.ravel(), bend.ravel())
        found.append(tree)
        score = score + tree[2][leaf].reshape(score.shape)
        if beside is not None and other is not None:
            total = other[0] + _joined([tree]).score(other[1]).numpy().reshape(other[0].shape)
            other = total, other[1]
            likely.append(_likelihood(beside, total))
    return _joined(found), np.array(likely)


def _joined(trees: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Trees:
    inner = 2**DEPTH - 1
    shapes = ((np.int64, inner), (np.float32, inner), (np.float32, 2 * inner + 1))
    columns = zip(*trees, strict=True) if trees else ((), (), ())
    made = [
        np.asarray(list(c), kind).reshape(len(trees), width) for c, (kind, width) in zip(columns, shapes, strict=True)
    ]
    return Trees(*(torch.from_numpy(table) for table in made))


def _tree(
    binned: np.ndarray, edges: Sequence[np.ndarray], some: np.ndarray, slope: np.ndarray, bend: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Features and cuts of the inner nodes and the values of all, by the features ``some``; the leaf of each row."""
    inner = 2**DEPTH - 1
    feature, cut = np.zeros(inner, np.int64), np.full(inner, np.inf, np.float32)
    values, node = np.zeros(2 * inner + 1, np.float32), np.zeros(len(slope), np.int64)
    for level in range(DEPTH + 1):
        first, many = 2**level - 1, 2**level
        at = node - first
        total, curve = (np.bincount(at, part, many) for part in (slope, bend))
        values[first : first + many] = -RATE * total / (curve + RIDGE)
        if level == DEPTH:
            break
        best, place = np.full(many, 1e-9), np.full(many, BINS)
        for f in some:
            key = at * BINS + binned[f]
            left, mass = (np.bincount(key, p, many * BINS).reshape(many, BINS).cumsum(1) for p in (slope, bend))
            gain = _gain(left, mass, total[:, None], curve[:, None])
            gain[:, len(edges[f]) :] = 0.0
            better = gain.max(1) > best
            best = np.where(better, gain.max(1), best)
            place = np.where(better, gain.argmax(1), place)
            feature[first : first + many][better] = f
        for n in np.flatnonzero(place < BINS):
            cut[first + n] = edges[feature[first + n]][place[n]]
        right = binned[feature[node], np.arange(len(node))] > place[at]
        node = 2 * node + 1 + right
    return (feature, cut, values), node


def _gain(left: np.ndarray, mass: np.ndarray, total: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """How much likelier the choices become by each cut; 0 where it leaves too little on a side."""
    right, rest = total - left, curve - mass
    gain = left**2 / (mass + RIDGE) + right**2 / (rest + RIDGE) - total**2 / (curve + RIDGE)
    return np.where((mass >= LEAST) & (rest >= LEAST), gain, 0.0)


def _edges(values: np.ndarray) -> np.ndarray:
    """At most BINS - 1 cuts, with about as many candidates between any two."""
    return np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]).astype(np.float32))[: BINS - 1]


def _binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.searchsorted(edges, values, side="left").astype(np.uint8)


def _chances(score: np.ndarray, stands_for: np.ndarray) -> np.ndarray:
    """(U, C) of each candidate with all that it stands for."""
    raised = stands_for * np.exp(score - score.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def _likelihood(sample: Sample, score: np.ndarray) -> float:
    """The mean logarithm of the chance of what was chosen."""
    return float((sample.counted * np.log(np.maximum(_chances(score, sample.stands_for)[:, 0], 1e-300))).mean())


def _sampled(
    blend: BlendScorer,
    dataset: Dataset,
    users: np.ndarray,
    logs: Tensor,
    max_length: int,
    emphasis: float,
    device: torch.device,
    progress: Progress,
) -> tuple[Sample, Usual]:
    """Candidates of ``users``, and what the members say of all items to them."""
    asked = Questions(dataset, "valid", Sequences(dataset, device), max_length)
    generator = torch.Generator().manual_seed(dataset.seed)
    members, width = len(blend.members), dataset.n_items + 1
    rows = max(1, min(1024, CELLS // (many_features(members) * width)))
    found: list[tuple[Tensor, ...]] = []
    total, squares = torch.zeros(2, members, width, dtype=torch.float64, device=device)
    done = 0
    with torch.inference_mode():
        for some in in_order(users, dataset.split.input_lengths("valid"), rows):
            batch = asked.batch(some)
            scores = blend.of_members(batch.inputs, batch.users)
            target = batch.targets[:, :1]
            items, stands_for = _candidates(blend.summed(scores), target, batch.seen, generator)
            own, within = [], []
            for number, score in enumerate(scores):
                level = standardised(score)
                total[number] += level.sum(0)
                squares[number] += level.square().sum(0)
                own.append(score.float().gather(1, items))
                within.append(level.gather(1, items))
            told = context(logs, batch.inputs)
            about = told.gather(2, items.expand(len(told), -1, -1))
            found.append((items, stands_for, batch.users, torch.stack(own), torch.stack(within), about))
            done += len(some)
            progress("looking at candidates", done, len(users))
    items, shares, who = (torch.cat([f[n] for f in found]) for n in range(3))
    scores_of, level_of, about = (torch.cat([f[n] for f in found], 1) for n in (3, 4, 5))
    usual = Usual.of(total, squares, len(users))
    known = torch.cat([level_of, usual.beyond(level_of, items), about])
    rare = dataset.thresholds.tail_items(np.asarray(dataset.item_counts)[items[:, 0].cpu().numpy()])
    counted = 1 + emphasis * rare
    chosen, said, seen, stands, asked_of = (t.cpu().numpy() for t in (items, scores_of, known, shares, who))
    return Sample(chosen, said, seen, stands, asked_of, counted / counted.mean()), usual


def _candidates(scores: Tensor, target: Tensor, seen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(B, 1 + OF_HIGH + DRAWN) items, the target first, and how many items of the catalogue each stands for."""
    n_items = scores.shape[1] - 1
    high = min(HIGH, max(1, n_items // 4))
    barred = torch.zeros_like(scores, dtype=torch.bool)
    barred.scatter_(1, seen, True).scatter_(1, target, True)
    barred[:, PAD] = True
    top = scores.masked_fill(barred, -torch.inf).topk(high, dim=1).indices
    among = torch.rand(top.shape, generator=generator).argsort(1)[:, :OF_HIGH].to(top.device)
    above = top.gather(1, among)
    drawn = torch.randint(1, n_items + 1, (len(scores), DRAWN), generator=generator).to(top.device)
    rest = barred.clone().scatter_(1, top, True)
    stands = torch.cat(
        [
            torch.ones_like(target, dtype=torch.float32),
            (~barred.gather(1, above)).float() * (high / above.shape[1]),
            (~rest.gather(1, drawn)).float() * (n_items / DRAWN),
        ],
        1,
    )
    return torch.cat([target, above, drawn], 1), stands
