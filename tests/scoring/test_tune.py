"""Tuning against the evaluator: the grid must give the ranks that evaluating each policy gives."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from factories import make_dataset
from serving_doubles import WEIGHTS, Counts, FakeScorer, bare_run, text_vectors

from llmesr.data.dataset import Dataset
from llmesr.data.split import Part
from llmesr.errors import UserError
from llmesr.evaluation.ranks import evaluate
from llmesr.evaluation.results import evaluate_parts
from llmesr.evaluation.table import event_metrics
from llmesr.scoring.ground import Ground
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.policy_scorer import PolicyScorer
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.grid import rank_grid
from llmesr.scoring.tuning.outcome import (
    PolicyPoint,
    PolicyTuningConfig,
    TunedPolicy,
    best_point,
    load_tuned_policy,
    policy_front,
)
from llmesr.scoring.tuning.search import policy_grid, tune_policy
from llmesr.semantic.embed import Embedding
from llmesr.store import Store

POLICIES = [
    ScoringPolicy(),
    ScoringPolicy(gamma=1.5),
    ScoringPolicy(route_threshold=6, route_weight=0),
    ScoringPolicy(gamma=0.5, route_threshold=9, route_weight=0.5, whitening=0.5),
    ScoringPolicy(popularity=0.7),
    ScoringPolicy(gamma=1.5, popularity=-0.4),
    ScoringPolicy(linear=2.0),
    ScoringPolicy(gamma=1.5, linear=2.0, weights=WEIGHTS),
    ScoringPolicy(gamma=0.5, whitening=0.5, linear=2.0, weights=WEIGHTS),
    ScoringPolicy(gamma=1.5, weights=WEIGHTS, popularity=0.4, route_threshold=6, route_weight=0.5),
]


@pytest.mark.parametrize("part", ["valid", "test"])
@pytest.mark.parametrize("kind", ["neural", "counts"])
def test_the_grid_ranks_like_the_evaluator(store: Store, tiny: Dataset, part: Part, kind: str) -> None:
    # counts have many ties, and routing to 0 more of them
    scorer = FakeScorer(tiny.n_items) if kind == "neural" else Counts(np_to_tensor(tiny.item_counts))
    at = Ground.of(tiny, text_vectors(tiny.n_items).numpy())
    users = tiny.split.users("valid")
    ranks = rank_grid(scored(store, tiny, scorer), POLICIES, users, part=part)
    for i, policy in enumerate(POLICIES):
        frame = evaluate(PolicyScorer(scorer, policy, at), tiny, part, max_length=10).frame
        for protocol, found in ranks.items():
            expected = frame.loc[frame["protocol"] == protocol, "rank"].to_numpy()
            assert (found[i] == expected).mean() > 0.99  # sums in another order may round a near tie apart
            assert abs(found[i] - expected).max() <= 1


def test_the_grid_ranks_repeated_targets_like_the_evaluator(store: Store, tiny: Dataset) -> None:
    items = tiny.items.copy()
    ends = tiny.offsets[1:]
    items[ends[::3] - 2] = items[ends[::3] - 3]  # every third user's validation target repeats their last training item
    repeats = dataclasses.replace(tiny, items=items)
    scorer, at = FakeScorer(tiny.n_items), Ground.of(repeats, text_vectors(tiny.n_items).numpy())
    for part in ("valid", "test"):
        ranks = rank_grid(scored(store, repeats, scorer), POLICIES[:2], repeats.split.users(part), part=part)
        for i, policy in enumerate(POLICIES[:2]):
            frame = evaluate(PolicyScorer(scorer, policy, at), repeats, part, max_length=10).frame
            expected = frame.loc[frame["protocol"] == "full", "rank"].to_numpy()
            assert (ranks["full"][i] == expected).mean() > 0.99


def scored(store: Store, dataset: Dataset, scorer: Any = None) -> ScoredRun:
    """A run of ``dataset``, which has random text vectors."""
    vectors = text_vectors(dataset.n_items).numpy()[1:]
    text = Embedding(
        dataset.manifest, vectors, np.zeros((dataset.n_users, 6), np.float32), dataset.catalogue["item_id"]
    )
    scorer = scorer or FakeScorer(dataset.n_items)
    return ScoredRun(store, bare_run(store, dataset), scorer=scorer, dataset=dataset, embedding=text)


def np_to_tensor(counts: Any) -> Any:
    import torch

    return torch.from_numpy(np.asarray(counts))


def point(overall: float, tail: float, **others: float) -> PolicyPoint:
    values = {"Overall": overall, "Tail Item": tail, "Head Item": 0.5, "Tail User": 0.5, "Head User": 0.5} | others
    return PolicyPoint(policy=ScoringPolicy(), metrics={f"full/{g}/NDCG@10": v for g, v in values.items()}, users=9)


def test_the_front_is_what_no_other_point_beats_on_both() -> None:
    points = [point(0.3, 0.1), point(0.4, 0.05), point(0.2, 0.2), point(0.25, 0.15), point(0.3, 0.08), point(0.2, 0.19)]
    assert policy_front(points) == [1, 0, 3, 2]
    assert policy_front([point(0.3, 0.1), point(0.3, 0.1)]) == [0]


def test_each_objective_chooses_its_point() -> None:
    plain = point(0.30, 0.10)
    costly = point(0.40, 0.25, **{"Head Item": 0.49})
    fair = point(0.36, 0.12)
    mixed = point(0.34, 0.15, **{"Head Item": 0.56})
    tail = point(0.30, 0.16)
    lost = point(0.29, 0.90)
    points = [plain, costly, fair, mixed, tail, lost]
    strict = {"slack": 0.0}
    assert best_point(points, PolicyTuningConfig(objective="balanced", **strict)) == 3
    assert best_point(points[:5], PolicyTuningConfig(objective="balanced")) == 1  # a group may lose a twentieth
    assert best_point(points, PolicyTuningConfig(objective="overall", **strict)) == 1
    assert best_point(points, PolicyTuningConfig(objective="tail", **strict)) == 1
    assert best_point([plain, lost], PolicyTuningConfig(objective="tail", **strict)) == 0
    for each in points:
        each.metrics["uni100/Head User/NDCG@10"] = (
            0.4 if each is mixed else 0.5
        )  # worse than without a policy under the other protocol
    assert best_point(points, PolicyTuningConfig(objective="balanced", **strict)) == 4


def test_a_reference_is_a_floor_for_every_group() -> None:
    plain, tail = point(0.30, 0.10), point(0.32, 0.20, **{"Head Item": 0.5})
    head, nearly = point(0.33, 0.14, **{"Head Item": 0.6}), point(0.40, 0.15, **{"Head Item": 0.599})
    points = [plain, tail, head, nearly]
    assert best_point(points, PolicyTuningConfig()) == 1
    floor = {"full/Head Item/NDCG@10": 0.6}
    assert best_point(points, PolicyTuningConfig(), floor) == 2
    assert best_point(points[:2] + points[3:], PolicyTuningConfig(), floor) == 2  # nobody reaches it: the nearest


def test_a_reference_must_be_of_the_same_dataset(store: Store, tiny: Dataset) -> None:
    opened = scored(store, tiny)
    other = bare_run(store, make_dataset(store, name="other"))
    with pytest.raises(UserError, match="another dataset"):
        tune_policy(opened, PolicyTuningConfig(reference=other.id))


def test_what_the_reference_reaches_is_kept(store: Store, tiny: Dataset) -> None:
    opened, reference = scored(store, tiny), bare_run(store, tiny, method="id")
    counts = Counts(np_to_tensor(tiny.item_counts))
    reference.write_results(*evaluate_parts(counts, tiny, max_length=10))
    tuned = tune_policy(opened, PolicyTuningConfig(gammas=(0, 1), reference=reference.id))
    frame = evaluate(counts, tiny, "valid", max_length=10).frame
    assert tuned.reference == event_metrics(frame, tiny.thresholds)
    short = [sum(max(0, v - p.metrics[k]) / v for k, v in tuned.reference.items() if v) for p in tuned.points]
    assert short[tuned.chosen] <= short[0] + 1e-6


def test_the_grid_has_every_policy_once_and_no_policy_first() -> None:
    made = policy_grid(
        PolicyTuningConfig(gammas=(0, 1, 2), thresholds=(1, 2), weights=(0, 0.5)),
        units={0.0: 3.0, 0.5: 4.0},
        tail_threshold=4,
    )
    assert made[0].inert
    assert len(made) == len(set(made)) == 5 * 5
    assert {(p.gamma, p.whitening) for p in made} == {(0.0, 0.0), (3.0, 0.0), (6.0, 0.0), (4.0, 0.5), (8.0, 0.5)}
    assert {p.route_threshold for p in made} == {0, 4, 8}
    assert {p.gamma for p in policy_grid(PolicyTuningConfig(), units={}, tail_threshold=4)} == {0.0}


def test_tuning_keeps_every_point_and_reads_back(store: Store, tiny: Dataset) -> None:
    opened = scored(store, tiny)
    config = PolicyTuningConfig(gammas=(0, 0.5, 1), popularities=(-0.1, 0.1), refined=3, emphases=(0, 1, 3))
    tuned = tune_policy(opened, config)
    assert load_tuned_policy(opened.run) == tuned
    # each policy for all users and for tail users; the best three also with two popularity weights
    assert len(tuned.points) == 1 + 2 * (5 * 5 - 1) + 2 * 3 * 3 + 2 * 3 * 2
    fitted = {p.policy.weights.tail_emphasis for p in tuned.points if p.policy.weights}
    assert fitted == {0, 1, 3}
    without = tune_policy(opened, config.but(emphases=()))
    assert all(p.policy.weights is None and p.policy.linear == 0 for p in without.points)
    kinds = {p.policy.linear_kind for p in tuned.points if p.policy.weights}
    assert kinds == {"cosines", "ease", "text-ease"}
    apart = tune_policy(opened, config.but(linear_kinds=(), whitenings=()))
    assert any(p.policy.weights for p in apart.points)
    assert all(p.policy.linear == p.policy.gamma == 0 for p in apart.points)
    tuned.save(opened.run)
    assert {np.sign(p.policy.popularity) for p in tuned.points} == {-1, 0, 1}
    assert tuned.points[0].policy.inert
    assert tuned.sampled == []
    assert any(p.front for p in tuned.points)
    assert tuned.dataset == tiny.id
    assert tuned.part == "valid"
    tail_only = [p for p in tuned.points if p.policy.tail_users_only]
    for name in ("full/Head User/NDCG@10", "uni100/Head User/HR@10"):  # head users exactly as they were
        assert {p.metrics[name] for p in tail_only} == {tuned.points[0].metrics[name]}
    again = tuned.choose(3)
    again.save(opened.run)
    kept = load_tuned_policy(opened.run)
    assert kept is not None
    assert kept.policy == tuned.points[3].policy
    with pytest.raises(UserError, match="no point 999"):
        tuned.choose(999)


def test_a_sample_finds_finalists_that_all_users_judge(store: Store, tiny: Dataset) -> None:
    opened = scored(store, tiny)
    config = PolicyTuningConfig(sample=100, finalists=3)
    tuned = tune_policy(opened, config)
    everyone = len(tiny.split.users("valid"))
    assert everyone > 100
    assert {p.users for p in tuned.sampled} == {100}
    assert {p.users for p in tuned.points} == {everyone}
    assert len(tuned.points) <= 1 + 2 * 3
    frame = evaluate(
        PolicyScorer(FakeScorer(tiny.n_items), tuned.policy, Ground.of(tiny, text_vectors(tiny.n_items).numpy())),
        tiny,
        "valid",
        max_length=10,
    ).frame
    full = frame.loc[frame["protocol"] == "full", "rank"].to_numpy()
    value = np.where(full <= 10, 1 / np.log2(full + 1), 0).mean()
    assert tuned.points[tuned.chosen].metrics["full/Overall/NDCG@10"] == pytest.approx(value, abs=2e-3)


def test_damage_and_misuse_are_said_in_a_sentence(store: Store, tiny: Dataset) -> None:
    opened = scored(store, tiny)
    assert load_tuned_policy(opened.run) is None
    (opened.run.folder / "policy.json").write_text(json.dumps({"run": 1}))
    with pytest.raises(UserError, match="llmesr tune"):
        load_tuned_policy(opened.run)
    assert isinstance(tune_policy(opened, PolicyTuningConfig(gammas=(0,))), TunedPolicy)
