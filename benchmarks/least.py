"""Are there weights of a sum under which no group has less than the best single method has there?

    python benchmarks/best.py PATH --name office --seeds 42 --emphasis .5        # trains what is not there
    python benchmarks/least.py DATASET --epochs 200 --by-history

Of all 20 measures of validation (two protocols, HR@10 and NDCG@10, five groups) the one that is furthest below the best
single method is raised, step by step, by the weights of the sum: of each member a curve over the popularity of an item,
as `llmesr blend` has them; with `--by-history` these also follow the length and the popularity of the history. Ranks
are made smooth for that, what is compared is counted exactly. Weights are searched on all of validation, then on each
half of its users, which the other half judges. `--pull` holds them near those that are likeliest.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from best import contenders, everything
from emphasis import MEASURES, METRICS, lacking, on_validation
from torch import Tensor

from llmesr.config import BLEND_EMPHASIS, GROUPS
from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.evaluation.questions import Questions
from llmesr.evaluation.ranks import full_ranks, sampled_ranks
from llmesr.evaluation.table import metric_values
from llmesr.models.boosted import context
from llmesr.models.scorers import Scorer
from llmesr.progress import silent
from llmesr.scoring.blend import fitted_blend
from llmesr.scoring.tuning.fit import knots
from llmesr.scoring.units import spread
from llmesr.scoring.weights import hats
from llmesr.semantic.embed import default_embedding
from llmesr.store import Store
from llmesr.training.load import load_scorer

K = 10
RATE, SHARP = 0.05, (150.0, 450.0)
"""How far a weight moves in a step at first; how much more the lowest measure counts than others, first and last."""
SOFT = (0.6, 0.25)
"""Differences of scores that count as half a place, first and last; likeliest scores spread over several."""


@dataclass(frozen=True, eq=False)
class Half:
    """Some users of validation: what members say to them, and what they are asked."""

    users: np.ndarray  # (U,)
    scores: Tensor  # (M, U, N + 1), in units of each member's spread
    targets: Tensor  # (U, 1)
    seen: Tensor  # (U, H)
    negatives: Tensor  # (U, 100)
    about: Tensor  # (U, C) what weights follow, the first 1
    groups: Mapping[str, Tensor]  # (U,) bool

    def of(self, rows: Tensor) -> Half:
        parts = {n: getattr(self, n)[rows] for n in ("targets", "seen", "negatives", "about")}
        groups = {name: mask[rows] for name, mask in self.groups.items()}
        return replace(self, users=self.users[rows.numpy()], scores=self.scores[:, rows], groups=groups, **parts)

    def measured(self, scores: Tensor) -> dict[str, float]:
        """The measures of (U, N + 1) scores."""
        full = full_ranks(scores, self.targets, self.seen)
        ranks = {"full": full, "uni100": sampled_ranks(scores, self.targets, self.negatives)}
        values = {(p, m): metric_values(found[:, 0, 0].numpy(), m) for p, found in ranks.items() for m in METRICS}
        split = (measure.split("/") for measure in MEASURES)
        return {f"{p}/{g}/{m}": float(values[p, m][self.groups[g].numpy()].mean()) for p, g, m in split}


def asked(members: list[Scorer], data: Dataset, max_length: int, *, by_history: bool) -> tuple[Half, Tensor]:
    """Everybody of validation, and the unit (M,) of each member's scores."""
    questions = Questions(data, "valid", Sequences(data, torch.device("cpu")), max_length)
    users = questions.users
    scores = torch.empty(len(members), len(users), data.n_items + 1)
    with torch.inference_mode():
        for rows in torch.arange(len(users)).split(256):
            batch = questions.batch(users[rows.numpy()])
            for number, member in enumerate(members):
                scores[number, rows] = member.score(batch.inputs, batch.users).float()
    unit = torch.stack([spread(of).median() for of in scores])
    scores /= unit[:, None, None]
    batch, counts = questions.batch(users), torch.from_numpy(np.asarray(data.item_counts))
    told = context(torch.log1p(counts.float()), batch.inputs)[1:, :, 0].T  # (U, 3)
    about = torch.cat([torch.ones(len(users), 1), (told - told.mean(0)) / told.std(0)], 1)
    masks = data.thresholds.members(counts[batch.targets[:, 0]].numpy(), data.split.train_lengths[users])
    groups = {name: torch.from_numpy(masks[name]) for name in GROUPS}
    seen = torch.cat([batch.seen, torch.zeros(len(users), 1, dtype=torch.long)], 1)
    about = about if by_history else about[:, :1]
    return Half(users, scores, batch.targets, seen, questions.negatives(batch), about, groups), unit


def summed(half: Half, weights: Tensor, bias: Tensor, places: Tensor) -> Tensor:
    """(U, N + 1) by curves (C, M, K) and (C, K), each over popularity at ``places`` (N + 1, K)."""
    total = half.about @ (bias @ places.T)
    for follows, curves in zip(half.about.T, weights, strict=True):
        part = torch.zeros_like(total)
        for scores, curve in zip(half.scores, curves, strict=True):
            part.addcmul_(scores, places @ curve)
        total.addcmul_(part, follows[:, None])
    return total


def slopes(half: Half, slope: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Of the weights and the bias, from that of the sum (U, N + 1)."""
    each = [[((slope * follows[:, None]) * scores).sum(0) for scores in half.scores] for follows in half.about.T]
    return torch.stack([torch.stack(of) for of in each]) @ places, half.about.T @ slope @ places


def smooth(half: Half, scores: Tensor, width: float) -> Tensor:
    """The measures with ranks that change little by little, in the order of ``MEASURES``."""
    own = scores.gather(1, half.targets)
    full = 0.5 + torch.sigmoid((scores.scatter(1, half.seen, -torch.inf) - own) / width).sum(1)  # less the target's own
    uni100 = 1 + torch.sigmoid((scores.gather(1, half.negatives) - own) / width).sum(1)
    values = {}
    for protocol, rank in (("full", full), ("uni100", uni100)):
        hit = torch.sigmoid((K + 0.5 - rank) / 1.5)
        values[protocol, "HR@10"], values[protocol, "NDCG@10"] = hit, hit / torch.log2(1 + rank)
    split = (measure.split("/") for measure in MEASURES)
    return torch.stack([values[p, m][half.groups[g]].mean() for p, g, m in split])


def search(
    half: Half, best: dict[str, float], begin: tuple[Tensor, Tensor], places: Tensor, steps: int, pull: float
) -> tuple[float, Tensor, Tensor]:
    """How far the lowest measure is ahead of the ``best`` single method's, less than 0 if behind, at the weights where
    that is most; and these."""
    weights, bias = (start.clone() for start in begin)
    adam, kept = torch.optim.Adam([weights, bias], lr=RATE), (-1.0, weights, bias)
    for step in range(steps):
        share = step / steps
        width, sharp = (first + (last - first) * share for first, last in (SOFT, SHARP))
        scores = summed(half, weights, bias, places).requires_grad_()
        found = half.measured(scores.detach())
        ahead = torch.tensor([found[measure] - best[measure] for measure in MEASURES])
        if float(ahead.min()) > kept[0]:
            kept = float(ahead.min()), weights.clone(), bias.clone()
        near = smooth(half, scores, width)
        lowest = torch.logsumexp(-sharp * (ahead + near - near.detach()), 0) / sharp
        (slope,) = torch.autograd.grad(lowest, scores)
        weights.grad, bias.grad = slopes(half, slope, places)
        weights.grad += 2 * pull * (weights - begin[0])
        bias.grad += 2 * pull * (bias - begin[1])
        adam.param_groups[0]["lr"] = RATE * (1 - 0.9 * share)
        adam.step()
        weights[0].clamp_(min=0)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--max-length", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=100, help="of the runs: what best.py was given")
    parser.add_argument("--leave-out", nargs="+", default=[])
    parser.add_argument("--emphasis", type=float, default=BLEND_EMPHASIS, help="of the weights that are begun with")
    parser.add_argument("--by-history", action="store_true", help="weights follow the history as well")
    parser.add_argument("--pull", type=float, default=0.0, help="what a squared step away from those costs")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    args.seeds, args.device = [args.seed], "cpu"
    torch.set_num_threads(args.threads)
    store = Store()
    data = load_dataset(store, store.find("datasets", args.dataset).id)
    single = contenders(data, default_embedding(store, data), store, args)
    members = [load_scorer(run, dataset=data, part="valid", device="cpu") for run in everything(single)[0]]
    whole, unit = asked(members, data, args.max_length, by_history=args.by_history)
    counts = np.asarray(data.item_counts)
    places = hats(knots(counts[1:]), torch.log1p(torch.from_numpy(counts).float()))

    def best(users: np.ndarray) -> dict[str, dict[str, float]]:
        return {label: on_validation(runs, data, users) for label, runs in single.items()}

    def found(half: Half) -> tuple[Tensor, Tensor]:
        _, _, said = fitted_blend(
            members, data, half.users, args.max_length, args.emphasis, torch.device("cpu"), silent
        )
        weights = torch.zeros(half.about.shape[1], len(members), places.shape[1])
        bias = torch.zeros(half.about.shape[1], places.shape[1])
        weights[0], bias[0] = torch.tensor(said["weights"]) * unit[:, None], torch.tensor(said["bias"])
        top = {m: max(values[m] for values in best(half.users).values()) for m in MEASURES}
        least, *made = search(half, top, (weights, bias), places, args.steps, args.pull)
        print(f"{len(half.users):,} users: the lowest measure has {least:+.4f} of the best single method's", flush=True)
        return made[0], made[1]

    found(whole)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(whole.users)))
    halves = [rows.sort().values for rows in order.chunk(2)]
    scores = torch.empty(whole.scores.shape[1:])
    for rows, others in (halves, halves[::-1]):
        scores[others] = summed(whole.of(others), *found(whole.of(rows)), places)
    print("\nEach half ranked by what was found on the other, below a single method in")
    for lack in sorted(lacking(whole.measured(scores), best(whole.users)), key=lambda lack: lack.value - lack.best):
        print(
            f"- {lack.measure}: {lack.value:.4f} against {lack.best:.4f} of {lack.name} ({lack.value - lack.best:+.4f})"
        )


if __name__ == "__main__":
    main()
