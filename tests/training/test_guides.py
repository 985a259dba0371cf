"""Sequence models that learn on top of a linear one, and from the lists of another run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from factories import make_dataset, make_embedding
from interruption import stopped
from tiny_models import encoder_at_hand
from torch import Tensor

from llmesr.config import RunConfig, reads
from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.linear.scorer import LinearScorer
from llmesr.methods import METHODS
from llmesr.models.blend import BlendScorer
from llmesr.models.scorers import NeuralScorer
from llmesr.objectives.base import EncodedBatch
from llmesr.objectives.imitation import Imitation
from llmesr.objectives.next_item import cross_entropy
from llmesr.runs.record import MODEL, Run
from llmesr.scoring.explanation import explain
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import Store
from llmesr.training.guides import out_of_fold
from llmesr.training.load import load_scorer
from llmesr.training.rows import Prefixes, cloze_batch, next_item_batch
from llmesr.training.train import resume, train

SMALL: dict[str, Any] = {"embedding_size": 8, "layers": 1, "epochs": 2, "batch_size": 16, "max_length": 8}
SEQUENCES = torch.tensor([[3, 9, 21, 0], [5, 0, 0, 0]])


def small(method: str, **settings: Any) -> RunConfig:
    return RunConfig.read(None, **{"method": method, **SMALL, **settings})


@pytest.mark.parametrize("method", [m for m in METHODS if reads("base", m, "sasrec")])
@pytest.mark.parametrize("backbone", ["sasrec", "bert4rec", "gru4rec"])
def test_the_score_is_the_base_by_its_weight_and_the_model(
    method: str, backbone: str, store: Store, tiny: Dataset
) -> None:
    text = make_embedding(store, tiny)
    reader = {"language_model": encoder_at_hand()} if method == "language" else {}
    run = train(tiny, small(method, backbone=backbone, base="text-ease", epochs=1, **reader), store, embedding=text)
    base = Run(store, str(run.config.base))
    assert base.config.method == "text-ease"
    assert base.id in {p.id for p in run.manifest.parents}
    scorer = load_scorer(run)
    assert isinstance(scorer, BlendScorer)
    linear, neural = scorer.members
    assert isinstance(linear, LinearScorer)
    assert isinstance(neural, NeuralScorer)
    weight = float(neural.model.base().detach())  # type: ignore[misc]
    assert weight > 0
    torch.testing.assert_close(
        scorer.score(SEQUENCES), weight * linear.score(SEQUENCES) + neural.score(SEQUENCES), rtol=1e-4, atol=1e-4
    )
    opened = ScoredRun(store, run)
    answer = Recommender(opened).recommend([3, 9, 21], 5)
    parts = answer["collaborative"] + answer["semantic"] + answer["content"]
    np.testing.assert_allclose(parts, answer["score"], rtol=1e-4, atol=1e-4)
    told = explain(opened, [3, 9, 21], [1])[0]
    assert told.reasons
    assert sum(told.parts.values()) == pytest.approx(told.score, rel=1e-4, abs=1e-4)
    own = float(linear.score(torch.tensor([[3, 9, 21]]))[0, 1])
    assert told.parts.get("linear", 0.0) == pytest.approx(weight * own, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("loss", ["ce", "bce", "gbce", "sampled"])
def test_every_loss_learns_the_weight_of_the_base(loss: str, store: Store, tiny: Dataset) -> None:
    run = train(tiny, small("id", base="ease", loss=loss, learning_rate=0.05), store)
    scorer = load_scorer(run)
    assert isinstance(scorer, BlendScorer)
    first = 8.0 / float(scorer.members[1].model.base.unit)  # type: ignore[attr-defined]
    assert float(scorer.weights[0, 1]) != pytest.approx(first, rel=1e-3)


def test_cross_entropy_on_a_base_has_the_gradients_of_the_plain_one() -> None:
    torch.manual_seed(0)
    targets = torch.tensor([1, 3, 2, 5, 4])
    base = torch.randn(5, 7)
    found = []
    for ours in (True, False):
        torch.manual_seed(1)
        hidden, table = torch.randn(5, 4, requires_grad=True), torch.randn(7, 4, requires_grad=True)
        weight = torch.tensor(1.7, requires_grad=True)
        if ours:
            loss = cross_entropy(hidden, table, targets, lambda some: base[some], weight)
        else:
            logits = hidden @ table.T + weight * base
            logits = torch.cat([torch.full((5, 1), -torch.inf), logits[:, 1:]], 1)
            loss = torch.nn.functional.cross_entropy(logits, targets)
        loss.backward()
        found.append([loss.detach(), hidden.grad, table.grad, weight.grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_prefixes_are_what_stands_before_each_position(tiny: Dataset) -> None:
    sequences = Sequences(tiny)
    users = torch.from_numpy(np.flatnonzero(tiny.split.train_lengths >= 4)[:6])
    ends = torch.from_numpy(np.asarray(tiny.split.train_lengths)[users.numpy()])
    following = next_item_batch(sequences, users, ends, max_length=8, last_only=False)
    masked = cloze_batch(sequences, users, ends, max_length=8, mask_ratio=0.5, n_items=tiny.n_items, last_only=False)
    for batch, width in ((following, 9), (masked, 8)):
        row, _ = (batch.targets != 0).nonzero(as_tuple=True)
        targets = batch.targets[batch.targets != 0]
        given = Prefixes(batch, tiny.n_items)(slice(0, len(targets)))
        for which, target, prefix in zip(row.tolist(), targets.tolist(), given.tolist(), strict=True):
            before = [item for item in prefix if item]
            whole = tiny.train_history(int(users[which]))[-width:].tolist()
            assert before == whole[: len(before)]
            assert target == whole[len(before)]


def test_the_base_of_a_user_in_training_knows_nothing_of_that_user(store: Store, tiny: Dataset) -> None:
    run = train(tiny, RunConfig(method="ease", max_length=8), store)
    base, unit = out_of_fold(run, tiny, small("id"))
    assert unit > 0
    user = int(np.flatnonzero(tiny.split.train_lengths >= 4)[0])
    own = base.scorers[int(base.fold[user])]
    others = tiny.without(np.flatnonzero(base.fold.numpy() == int(base.fold[user])))
    assert not others.split.train_lengths[user]
    assert others.split.users("valid").tolist() == tiny.split.users("valid").tolist()
    assert isinstance(own, LinearScorer)
    assert (own.weights.whole() != load_scorer(run).weights.whole()).any()  # type: ignore[attr-defined]


def test_resumed_on_a_base_it_ends_alike(store: Store, tiny: Dataset) -> None:
    teacher = train(tiny, RunConfig(method="item-knn", max_length=8), store)
    config = small("id", base="ease", teacher=teacher.id)
    whole = train(tiny, config, store)
    stopped(5, tiny, config, store, run_id="halted")
    assert (resume(Run(store, "halted")).folder / MODEL).read_bytes() == (whole.folder / MODEL).read_bytes()


def test_what_cannot_guide_is_refused(store: Store, tiny: Dataset) -> None:
    neural = train(tiny, small("id", epochs=1), store)
    other = train(make_dataset(store, name="other"), RunConfig(method="ease"), store)
    with pytest.raises(UserError, match="base is one of item-knn"):
        train(tiny, small("id", base=neural.id), store)
    for setting in ("base", "teacher"):
        with pytest.raises(UserError, match="not of"):
            train(tiny, small("id", **{setting: other.id}), store)


class Fixed:
    """Ranks items by their number, the highest first."""

    def __init__(self, n_items: int) -> None:
        self.n_items = n_items

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return torch.arange(self.n_items + 1.0).expand(len(sequences), -1)


def imitated(popularity: float = 0.0, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The loss and scores (N + 1,) of a table that was fitted to nothing but the teacher's lists."""
    torch.manual_seed(0)
    table = torch.randn(8, 4, requires_grad=True)

    class Model:
        base = None

        def candidates(self) -> Tensor:
            return table

    hidden = torch.ones(3, 4)
    term = Imitation(
        teacher=Fixed(7),
        weight=1.0,
        items=7,
        item_counts=torch.ones(8) if counts is None else counts,
        popularity=popularity,
    )
    batch = EncodedBatch(
        model=Model(),  # type: ignore[arg-type]
        users=torch.zeros(3),
        hidden=hidden,
        targets=torch.tensor([1, 2, 3]),
        owners=torch.zeros(3),
        user_states=hidden,
        sample=lambda owners, k: owners,
        prefixes=lambda some: torch.tensor([[1, 0]] * 3)[some],
    )
    optimizer = torch.optim.Adam([table], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss = term(batch)
        loss.backward()
        optimizer.step()
    return loss.detach(), (hidden[0] @ table.T).detach()


def test_a_student_of_nothing_else_ranks_as_its_teacher() -> None:
    loss, scores = imitated()
    assert float(loss) == pytest.approx(0.0, abs=1e-3)
    assert scores[2:].argsort(descending=True).tolist() == [5, 4, 3, 2, 1, 0]  # 1 was chosen already


def test_popular_items_of_the_teacher_can_count_less() -> None:
    counts = torch.ones(8)
    counts[7] = 1000
    _, plain = imitated(0.0, counts)
    _, fair = imitated(1.0, counts)
    assert plain[1:].argmax() == 6  # item 7
    assert fair[1:].argmax() == 5  # item 6: the bestseller counts less


def test_without_weight_a_teacher_changes_nothing(store: Store, tiny: Dataset) -> None:
    teacher = train(tiny, RunConfig(method="item-knn", max_length=8), store)
    plain = train(tiny, small("id"), store)
    off = train(tiny, small("id", teacher=teacher.id, teacher_weight=0.0), store)
    taught = train(tiny, small("id", teacher=teacher.id, teacher_weight=5.0), store)
    assert (plain.folder / MODEL).read_bytes() == (off.folder / MODEL).read_bytes()
    assert (plain.folder / MODEL).read_bytes() != (taught.folder / MODEL).read_bytes()
    fewer = train(tiny, small("id", teacher=teacher.id, teacher_weight=5.0, teacher_items=3), store)
    fair = train(tiny, small("id", teacher=teacher.id, teacher_weight=5.0, teacher_popularity=1.0), store)
    assert len({(r.folder / MODEL).read_bytes() for r in (taught, fewer, fair)}) == 3
    assert load_scorer(taught).score(SEQUENCES).isfinite().all()


@pytest.mark.slow
def test_a_large_weight_reproduces_the_order_of_a_teacher(store: Store, tiny: Dataset) -> None:
    """Of the histories it was trained on: nothing else is left to learn."""
    teacher = train(tiny, RunConfig(method="item-knn", max_length=8), store)
    settings = {"embedding_size": 32, "epochs": 60, "patience": 60, "dropout": 0.0, "learning_rate": 0.01}
    settings["evaluate_every"] = 60  # the last epoch is kept: which one ranks validation best is luck
    agreed = []
    for weight in (0.0, 1000.0):
        run = train(tiny, small("id", **settings, teacher=teacher.id, teacher_weight=weight), store)
        agreed.append(agreement(run, teacher, tiny))
    assert agreed[0] < 0.8
    assert agreed[1] > 0.9


def agreement(one: Run, other: Run, data: Dataset) -> float:
    """The share of pairs among the other's five best unseen items that one has in the same order."""
    users = torch.from_numpy(np.flatnonzero(data.split.train_lengths >= 3))
    ends = torch.from_numpy(np.asarray(data.split.train_lengths))[users] - 1
    histories, _ = Sequences(data).padded(users, ends, 8)
    ours, theirs = (load_scorer(r, part="valid").score(histories, users).clone() for r in (one, other))
    theirs.scatter_(1, histories, -torch.inf)
    value, items = theirs.topk(5)
    first, second = torch.triu_indices(5, 5, 1)
    sure = (value[:, first] - value[:, second]) > 0.1 * (value[:, :1] - value[:, 4:]).clamp(min=1e-6)
    own = ours.gather(1, items)
    return float((own[:, first] > own[:, second])[sure].float().mean())
