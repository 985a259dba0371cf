"""What is wanted of runs that are made of others: blends, and runs that learn from a base or a teacher."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import make_dataset, make_embedding

from llmesr.cli.defend import _train
from llmesr.config import RunConfig, SplitConfig
from llmesr.data.dataset import Dataset
from llmesr.data.splitting import resplit
from llmesr.evaluation.across import like, repeatable
from llmesr.evaluation.claim import make_claim
from llmesr.evaluation.contenders import contenders
from llmesr.evaluation.doubts import Doubt, Remedy
from llmesr.evaluation.lacking import again, missing, trainings
from llmesr.jobs.wanted import wanted_steps
from llmesr.runs.record import Run, list_runs
from llmesr.runs.wanted import Training, in_turn
from llmesr.scoring.blend import blend
from llmesr.store import Store
from llmesr.training.train import train

SMALL = {"epochs": 1, "embedding_size": 8, "layers": 1, "max_length": 10}
CUTS = SplitConfig(kind="temporal", valid_from=0.5, test_from=0.7)


@pytest.fixture
def shop(store: Store) -> Dataset:
    data: Dataset = make_dataset(store, users=100, items=40)
    make_embedding(store, data)
    return data


def trained(store: Store, shop: Dataset, method: str, **settings: object) -> Run:
    return train(shop, RunConfig.read(None, method=method, **settings), store, device="cpu")


def summed(store: Store, shop: Dataset, seed: int = 42) -> Run:
    ease = next((r for r in list_runs(store, shop.id) if r.config.method == "ease"), None)
    return blend(
        [trained(store, shop, "id", seed=seed, **SMALL), ease or trained(store, shop, "ease", max_length=10)],
        emphasis=1.0,
    )


def test_a_further_seed_of_a_blend_trains_what_has_luck_and_takes_the_rest(store: Store, shop: Dataset) -> None:
    made = summed(store, shop)
    there = trained(store, shop, "id", seed=43, **SMALL)
    wanted = trainings(store, Remedy("add-seeds", (made.id,), seeds=(43, 44)), shop.id)
    second, third = wanted
    ease = made.manifest.info["blend"]["runs"][1]
    assert second.members == (there.id, ease)
    (part,) = third.parts
    assert (part.method, part.settings["seed"], part.settings["embedding_size"]) == ("id", 44, 8)
    assert third.members[1] == ease
    steps = wanted_steps(store, shop.manifest, wanted)
    assert [s.verb for s in steps] == ["blend", "train", "blend"]
    assert steps[2].arguments[:2] == [steps[1].run, ease]
    assert steps[2].arguments[2:4] == ["--emphasis", "1.0"]


def test_blends_that_share_a_part_are_made_of_parts_of_their_own_seeds(store: Store, shop: Dataset) -> None:
    factors = trained(store, shop, "ials", max_length=10, embedding_size=8, seed=42)
    first, second = (blend([trained(store, shop, "id", seed=s, **SMALL), factors], emphasis=1.0) for s in (42, 43))
    base = trained(store, shop, "popularity")

    def shared() -> list[Doubt]:
        return [d for d in make_claim(store, first, base).doubts if d.kind == "shared-part"]

    (doubt,) = shared()
    assert doubt.remedy is not None
    assert doubt.remedy.runs == (second.id,)
    (wanted,) = trainings(store, doubt.remedy, shop.id)
    (part,) = [p for p in wanted.parts if p.method == "ials"]
    assert (part.settings["seed"], part.settings["embedding_size"]) == (43, 8)
    assert [s.verb for s in wanted_steps(store, shop.manifest, [wanted])][-1] == "blend"
    _train(store, make_claim(store, first, base), in_turn([brief(wanted)]), "cpu")
    assert shared() == []


def test_a_blend_whose_member_was_cut_short_is_made_again_of_a_longer_one(store: Store, shop: Dataset) -> None:
    made = summed(store, shop)
    base = trained(store, shop, "popularity")
    claim = make_claim(store, made, base)
    assert [f.kind for f in claim.doubts if f.severity == "serious"] == ["undertrained", "one-seed"]
    here = [t for t in missing(claim) if not t.in_time and t.method in ("id", "blend")]
    assert [(t.method, t.settings.get("seed", 42)) for t in here] == [
        ("id", 42), ("blend", 42), ("id", 43), ("blend", 43), ("id", 44), ("blend", 44),
    ]  # fmt: skip
    assert all(t.settings["epochs"] == 200 for t in here if t.method == "id")
    later = [t for t in missing(claim) if t.in_time]
    assert [t.method for t in later].count("blend") == 3
    assert [t.method for t in later].count("ease") == 1


def test_blends_are_made_where_they_are_wanted_and_found_again(store: Store, shop: Dataset) -> None:
    claim = make_claim(store, summed(store, shop), trained(store, shop, "popularity"))
    small = [brief(t) for t in missing(claim) if t.method in ("blend", "id", "ease") and t.settings.get("seed") != 44]
    _train(store, claim, in_turn(small), "cpu")
    again_claimed = make_claim(store, claim.run.runs[0], claim.baseline.runs[0])
    assert again_claimed.run.seeds == (42, 43)
    assert again_claimed.run.ids != claim.run.ids
    assert again_claimed.in_time is not None
    ours, _ = again_claimed.in_time.sides
    assert ours is not None
    assert ours.seeds == (42, 43)


def brief(t: Training) -> Training:
    """The same with fewer epochs, so that a test need not wait."""
    settings = {**t.settings, **({"epochs": 2} if "epochs" in t.settings else {})}
    return replace(t, settings=settings, members=tuple(m if isinstance(m, str) else brief(m) for m in t.members))


def test_a_run_with_base_and_teacher_is_repeated_in_time_with_those(store: Store, shop: Dataset) -> None:
    teacher = trained(store, shop, "id", seed=7, **SMALL)
    run = trained(store, shop, "llm-init", base="ease", teacher=teacher.id, **SMALL)
    (here,) = contenders([run])
    assert repeatable(here)
    later = resplit(shop, CUTS, store)
    wanted = again(store, run.manifest, 42, "in time", later=later.id, in_time=True)
    assert {
        name: (g.method, g.settings.get("seed")) for name, g in wanted.guides.items() if not isinstance(g, str)
    } == {
        "base": ("ease", None),
        "teacher": ("id", 7),
    }
    steps = wanted_steps(store, shop.manifest, [wanted], in_time=later.id)
    assert [s.verb for s in steps] == ["embed", "train", "train", "train"]
    said = steps[-1].arguments
    assert f"base={steps[1].run}" in said
    assert f"teacher={steps[2].run}" in said
    for id in ("base", "teacher"):
        assert getattr(run.config, id) not in " ".join(said)


def test_it_is_known_again_under_the_other_split(store: Store, shop: Dataset) -> None:
    run = trained(store, shop, "id", base="ease", **SMALL)
    later = resplit(shop, CUTS, store)
    wanted = again(store, run.manifest, 42, "in time", later=later.id, in_time=True)
    claim = make_claim(store, run, trained(store, shop, "popularity"))
    _train(store, claim, in_turn([wanted]), "cpu")
    found = like(contenders([run])[0], contenders(list_runs(store, later.id)), store)
    assert found is not None
    assert found.runs[0].config.base != run.config.base
    plain = trained(store, later, "id", **SMALL)
    assert plain.id not in found.ids
    again_wanted = again(store, run.manifest, 43, "in time", later=later.id, in_time=True)
    assert again_wanted.guides == {"base": found.runs[0].config.base}  # solved there already
