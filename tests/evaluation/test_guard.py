"""What makes a comparison unfair is found, as a value, with its remedy; and a fair one is left in peace."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from evaluation_cases import frame_of

from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import Contender, contenders, validation_score
from llmesr.evaluation.doubts import Doubt, in_order
from llmesr.evaluation.guard import Case, by_group, examine, standing
from llmesr.evaluation.statistics import compare
from llmesr.evaluation.verdict import verdict
from llmesr.runs.record import Run
from llmesr.store import Manifest, Parent, Store

THRESHOLDS = Thresholds(item=5, user=5)
USERS = 300
Make = Callable[..., Run]


class Known(Run):
    """A run that is only its manifest and its ranks."""

    def __init__(self, store: Store, manifest: Manifest, frame: pd.DataFrame) -> None:
        super().__init__(store, manifest.id)
        self.known, self.frame = manifest, frame

    @property
    def manifest(self) -> Manifest:
        return self.known

    def per_user(self) -> pd.DataFrame:
        return self.frame


def ranks(skill: float, seed: int) -> pd.DataFrame:
    """Validation and test, both protocols: a share ``skill`` of the users is hit at rank 3."""
    rng = np.random.default_rng(seed)
    parts = []
    for part in ("valid", "test"):
        for protocol in ("full", "uni100"):
            hit = rng.random(USERS) < skill
            frame = frame_of(
                np.where(hit, 3, 50),
                popularity=np.tile([1, 10], USERS // 2),
                length=np.repeat([2, 9], USERS // 2),
                protocol=protocol,
                part=part,
            )
            parts.append(frame.assign(candidates=101 if protocol == "uni100" else 400))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def make(store: Store) -> Make:
    """``make(method, seed=, skill=, best=, epochs=, **settings)``: a run that trained 30 epochs, the best at 18."""
    count = itertools.count()

    def made(
        method: str = "id", *, seed: int = 42, skill: float = 0.3, best: int = 18, epochs: int = 30, **more: Any
    ) -> Any:
        parents = [Parent(kind="datasets", id="shop", digest="")]
        if text := more.pop("text", None):
            parents.append(Parent(kind="embeddings", id=text, digest=""))
        info = {"best_epoch": best, "epochs": epochs, **more.pop("info", {})}
        values = {"method": method, "backbone": "sasrec", "seed": seed, "epochs": 100, "patience": 10}
        values |= {"evaluate_every": 1, "monitor": "NDCG@10", **more}
        manifest = Manifest(kind="runs", id=f"{method}-{next(count)}", name="x", config=values, seed=seed, info=info)
        manifest.parents, manifest.created = parents, f"2026-01-01T00:00:{seed:02d}"
        frame = ranks(skill, [*map(ord, method), seed])  # type: ignore[arg-type]
        return Known(store, manifest, more.pop("frame", frame))

    return made


def classics(make: Make) -> list[Run]:
    return [make("popularity", skill=0.1), make("llm-init", skill=0.2, text="t")]


def seeds(make: Make, method: str, **settings: Any) -> list[Run]:
    return [make(method, seed=s, **settings) for s in (42, 43, 44)]


def found(
    runs: list[Run], rest: list[Run], *, metrics: tuple[str, ...] = ("HR@10",), base: str = "id"
) -> tuple[Doubt, ...]:
    chosen = contenders(runs)
    return examine(case(chosen, contenders([*runs, *rest]), metrics, base))


def case(chosen: list[Contender], everyone: list[Contender], metrics: tuple[str, ...], base: str) -> Case:
    return Case(
        chosen=chosen,
        baseline=next(c.name for c in chosen if c.method == base),
        frames={c.name: [r.per_user() for r in c.runs] for c in chosen},
        everyone=everyone,
        validation=lambda c: validation_score(r.per_user() for r in c.runs),
        thresholds=THRESHOLDS,
        metrics=metrics,
    )


def of(kind: str, doubts: tuple[Doubt, ...]) -> Doubt:
    (one,) = [f for f in doubts if f.kind == kind]
    return one


def test_a_fair_comparison_is_left_in_peace(make: Make) -> None:
    runs = [*seeds(make, "id"), *seeds(make, "llm-esr", text="t", skill=0.4)]
    assert [f.kind for f in found(runs, classics(make)) if f.kind != "missing-baseline"] == []


@pytest.mark.parametrize(
    ("best", "epochs", "says"),
    [
        (15, 15, "id/sasrec was still improving when its 15 epochs ran out"),
        (1, 1, "id/sasrec was still improving when its 1 epoch ran out"),
        (13, 15, "id/sasrec was at its best only 2 evaluations before its training ended (epoch 13 of 15)"),
    ],
)
def test_training_cut_short_is_serious_and_says_how_long_to_train(
    make: Make, best: int, epochs: int, says: str
) -> None:
    cut = make("id", seed=43, best=best, epochs=epochs)
    runs = [make("id", seed=42), cut, make("id", seed=44), *seeds(make, "llm-esr", text="t")]
    doubt = of("undertrained", found(runs, classics(make)))
    assert (doubt.severity, doubt.names, doubt.runs) == ("serious", ("id/sasrec",), (cut.id,))
    assert doubt.short == says
    assert doubt.remedy is not None
    assert (doubt.remedy.action, dict(doubt.remedy.values)) == ("train-longer", {"epochs": 200, "patience": 10})
    assert doubt.document()["remedy"]["sentence"] == "Train to convergence: up to 200 epochs, patience 10."


def test_evaluations_are_counted_and_not_epochs(make: Make) -> None:
    runs = [*seeds(make, "id", best=10, epochs=30, evaluate_every=5), *seeds(make, "llm-esr", text="t")]
    assert of("undertrained", found(runs, classics(make))).numbers["waited"] == 4


def test_untrained_methods_have_neither_epochs_nor_luck(make: Make) -> None:
    runs = [make("popularity", best=1, epochs=1), make("semantic-knn", best=1, epochs=1, text="t")]
    kinds = {f.kind for f in found(runs, [*classics(make), *seeds(make, "id")], base="popularity")}
    assert not kinds & {"undertrained", "one-seed", "few-seeds"}


def test_one_seed_each_is_serious_and_one_against_three_is_not(make: Make) -> None:
    alone = found([make("id"), make("llm-esr", text="t")], classics(make))
    doubt = of("one-seed", alone)
    assert doubt.severity == "serious"
    assert doubt.remedy is not None
    assert doubt.remedy.seeds == (43, 44)
    assert len(doubt.remedy.runs) == 2
    assert of("one-seed", found([*seeds(make, "id"), make("llm-esr", text="t")], classics(make))).severity == "caution"


def test_seeds_that_are_there_and_were_left_out_are_named(make: Make) -> None:
    every = seeds(make, "id")
    doubt = of("seeds-left-out", found([every[0], *seeds(make, "llm-esr", text="t")], [*every[1:], *classics(make)]))
    assert set(doubt.runs) == {every[1].id, every[2].id}
    assert doubt.sentence == "2 seeds of id/sasrec are left out. Take them in."
    assert doubt.severity == "serious"  # of five seeds, three can be picked that prove anything


def test_a_stronger_baseline_of_the_same_kind_is_serious_where_the_run_does_not_beat_it(make: Make) -> None:
    runs = [*seeds(make, "popularity", skill=0.1)[:1], *seeds(make, "llm-esr", text="t", skill=0.3)]
    strong = of("weak-baseline", found(runs, seeds(make, "id", skill=0.5), base="popularity"))
    assert (strong.severity, strong.numbers["stronger"]) == ("serious", "id/sasrec")
    assert "is not ahead of it" in strong.short
    unknown = replace(strong, numbers={**strong.numbers, "run": float("nan")})  # a ranking made elsewhere has no more
    assert unknown.short.endswith("llm-esr/sasrec was not evaluated there, so nothing says that it is ahead")
    mild = of("weak-baseline", found(runs, seeds(make, "id", skill=0.2), base="popularity"))
    assert mild.severity == "caution"


def test_classic_baselines_that_are_missing_are_named(make: Make) -> None:
    doubt = of("missing-baseline", found([*seeds(make, "id"), *seeds(make, "llm-esr", text="t")], []))
    assert doubt.remedy is not None
    assert {"popularity", "llm-init"} <= set(doubt.remedy.methods)
    assert "id" not in doubt.remedy.methods


def test_unequal_search_is_serious(make: Make) -> None:
    tried = [make("llm-esr", text="t", dropout=d / 10) for d in range(6)]
    doubt = of("search", found([*seeds(make, "id"), tried[0]], [*tried[1:], *classics(make)]))
    assert (doubt.severity, doubt.numbers["run"], doubt.numbers["baseline"]) == ("serious", 6, 1)
    assert doubt.remedy is not None
    assert doubt.remedy.trials == 6


def test_other_text_other_budgets_and_tuned_scoring_are_cautions(make: Make) -> None:
    base = seeds(make, "llm-init", text="mini", monitor="HR@10")
    runs = [*base, *seeds(make, "llm-esr", text="large", info={"policy": {"describe": "content weight 4"}})]
    doubts = found(runs, [make("popularity")], base="llm-init")
    assert of("text", doubts).numbers == {"run": "large", "baseline": "mini"}
    assert of("budget", doubts).numbers["settings"] == ["monitor NDCG@10 and HR@10"]
    assert of("policy", doubts).severity == "caution"


def test_only_what_is_said_of_groups_reads_where_head_and_tail_part(make: Make) -> None:
    runs = [make("id", skill=0.02, best=30), make("llm-esr", text="t", skill=0.02)]
    one = case(contenders(runs), contenders([*runs, *classics(make)]), ("HR@10",), "id")
    other = replace(one, thresholds=Thresholds(item=10**6, user=10**6))
    assert standing(one) == standing(other) != []
    assert {f.kind for f in by_group(one)} == {"few-hits"}
    assert by_group(one) != by_group(other)
    assert examine(one) == in_order([*standing(one), *by_group(one)])


def test_few_hits_few_candidates_and_certain_hits(make: Make) -> None:
    runs = [*seeds(make, "id", skill=0.01), *seeds(make, "llm-esr", text="t")]
    few = of("few-hits", found(runs, classics(make)))
    assert "Tail Item" in few.numbers["groups"]
    for run in runs:
        frame = run.per_user()
        frame["candidates"], frame["rank"] = 8, np.minimum(frame["rank"], 8)
    doubts = found(runs, classics(make))
    assert of("few-candidates", doubts).short == "some users choose among 8 candidates only, fewer than 11"
    assert {f.names for f in doubts if f.kind == "tied"} == {("id/sasrec",), ("llm-esr/sasrec",)}
    assert doubts[0].severity == "serious"


def test_protocols_that_disagree_are_said(make: Make) -> None:
    runs = [*seeds(make, "id", skill=0.3), *seeds(make, "llm-esr", text="t", skill=0.6)]
    for run in runs[3:]:
        frame = run.per_user()
        frame.loc[frame["protocol"] == "uni100", "rank"] = 80
    doubt = of("protocols", found(runs, classics(make)))
    assert doubt.numbers["difference"] > 0 > doubt.numbers["other_difference"]
    assert "under uni100 llm-esr/sasrec is behind overall" in doubt.short


def test_what_was_chosen_on_validation_is_not_better_there(make: Make) -> None:
    chosen = contenders([*seeds(make, "id"), *seeds(make, "llm-esr", text="t", skill=0.6)])
    at = case(chosen, chosen, ("HR@10",), "id")
    assert of("chosen-there", examine(replace(at, part="valid"))).severity == "serious"
    assert "chosen-there" not in {f.kind for f in examine(at)}


def test_the_most_serious_comes_first_and_each_once() -> None:
    note, serious = Doubt("text", "note", ("a", "b")), Doubt("tied", "serious", ("a",), (), {"metric": "HR@10"})
    assert in_order([note, serious, note]) == (serious, note)


@pytest.mark.slow
def test_stopped_early_against_trained_out_is_never_called_better(make: Make) -> None:
    """500 pairs of one and the same method: noisy curves that level off, one side's budget ending too early."""
    rng = np.random.default_rng(21)
    apart, unguarded = 0, 0
    for pair in range(500):
        pace = rng.uniform(4, 15)
        sides: dict[str, list[Run]] = {"id": [], "llm-esr": []}
        for method, budget in (("id", int(rng.integers(1, max(2, int(2 * pace))))), ("llm-esr", 200)):
            for seed in (42, 43, 44):
                best, epochs = trained(rng, pace, budget)
                skill = 0.4 * (1 - np.exp(-best / pace)) + 0.01 * rng.normal()
                run = make(method, seed=seed, best=best, epochs=epochs, text="t")
                run.frame = ranks(float(np.clip(skill, 0, 1)), 100 * pair + seed + len(method))  # type: ignore[attr-defined]
                sides[method].append(run)
        chosen = contenders([*sides["id"], *sides["llm-esr"]])
        at = case(chosen, chosen, ("HR@10",), "id")
        table = compare(at.frames, THRESHOLDS, baseline=at.baseline, metrics=["HR@10"], flips=999, resamples=200)
        said = verdict(table, examine(at))
        apart += said.significant
        unguarded += said.significant and not said.doubts and said.answers[0].outcome == "better"
    assert apart > 200  # the difference is there to be misread
    assert unguarded == 0


def trained(rng: np.random.Generator, pace: float, budget: int) -> tuple[int, int]:
    """Best and last epoch of early stopping with patience 10 on a noisy curve that levels off."""
    best, value, epoch = 0, -np.inf, 0
    while epoch < budget and epoch - best < 10:
        epoch += 1
        now = 0.4 * (1 - np.exp(-epoch / pace)) + 0.004 * rng.normal()
        if now > value:
            best, value = epoch, now
    return best, epoch


def blended(make: Make, seed: int, members: list[Run], **info: Any) -> Run:
    """A blend of ``members``, which are put where it finds them."""
    for run in members:
        put(run)
    blend = {"runs": [r.id for r in members], "members": [r.label for r in members], "emphasis": 0.5, **info}
    made: Any = make("blend", seed=seed, best=0, epochs=0, info={"blend": blend})
    made.known.config = {"method": "blend", "backbone": None, "max_length": 50}
    made.known.info = {"blend": blend}
    found: Run = made
    return found


def put(run: Run) -> None:
    """The manifest of a run on disk, so that others can name it."""
    with run.store.draft("runs", run.id, name="x", parents=[], config=run.manifest.config, seed=run.manifest.seed) as d:
        d.manifest.info = dict(run.manifest.info)
        d.manifest.parents = list(run.manifest.parents)


def test_a_blend_of_a_run_that_was_cut_short_was_cut_short(make: Make) -> None:
    members = [[make("id", seed=s, best=b, epochs=15), make("ease")] for s, b in ((42, 15), (43, 5), (44, 5))]
    blends = [blended(make, s, of) for s, of in zip((42, 43, 44), members, strict=True)]
    doubt = of("undertrained", found([*blends, *seeds(make, "llm-esr", text="t")], classics(make), base="llm-esr"))
    assert (doubt.severity, doubt.names, doubt.runs) == ("serious", ("blend",), (members[0][0].id,))
    assert doubt.short == "blend is made of id/sasrec, which was still improving when its 15 epochs ran out"
    assert doubt.remedy is not None
    assert doubt.remedy.runs == tuple(b.id for b in blends)


def test_a_part_that_all_runs_of_a_blend_share_is_no_three_seeds(make: Make) -> None:
    shared = make("llm-init", seed=42, text="t")
    blends = [blended(make, s, [make("id", seed=s), shared]) for s in (42, 43, 44)]
    doubt = of("shared-part", found([*blends, *seeds(make, "llm-esr", text="t")], classics(make), base="llm-esr"))
    assert (doubt.severity, doubt.runs) == ("serious", (shared.id,))
    free = [blended(make, s, [make("id", seed=s), make("ease")]) for s in (42, 43, 44)]
    assert "shared-part" not in {
        f.kind for f in found([*free, *seeds(make, "llm-esr", text="t")], classics(make), base="llm-esr")
    }


def test_a_blend_without_training_has_no_luck(make: Make) -> None:
    linear = blended(make, 42, [make("ease"), make("markov")])
    (contender,) = contenders([linear])
    assert not contender.seeded
    assert contender.alone
    kinds = {f.kind for f in found([linear, make("popularity")], [], base="popularity")}
    assert not kinds & {"one-seed", "undertrained", "untraceable"}


def test_blends_of_other_settings_are_other_configurations(make: Make) -> None:
    one = blended(make, 42, [make("id", dropout=0.1), make("ease")])
    two = blended(make, 43, [make("id", seed=43, dropout=0.5), make("ease")])
    other = blended(make, 42, [make("id", dropout=0.1), make("ease")], emphasis=2.0)
    names = [c.name for c in contenders([one, two, other])]
    assert len(names) == 3
    assert any("dropout=0.5" in n for n in names)
    assert any("emphasis=2.0" in n for n in names)


def test_a_ranking_made_elsewhere_may_have_luck_and_an_allocated_run_has_that_of_its_first(make: Make) -> None:
    first = make("id", best=30, epochs=30)
    put(first)
    far, near = make("external"), make("external", first=first.id, info={"allocation": {"first": first.id}})
    for run, kind in ((far, "elsewhere"), (near, "allocated")):
        (contender,) = contenders([run])
        assert not contender.alone
        doubts = found([run, *seeds(make, "llm-esr", text="t")], classics(make), base="llm-esr")
        assert of(kind, doubts).severity == "caution"
        assert {"elsewhere", "allocated"} & {f.kind for f in doubts} == {kind}
        assert contender.seeded == (kind == "allocated")
    assert of("undertrained", doubts).runs == (first.id,)


def test_several_targets_of_a_user_are_one_user(make: Make) -> None:
    """HR of a user is of any of the targets; ranks of several are never put beside those of other users."""
    runs = [*seeds(make, "id", skill=0.3), *seeds(make, "llm-esr", text="t", skill=0.6)]
    for run in runs:
        frame = run.per_user()
        again = frame.assign(target_id=frame["target_id"].astype(str) + "b", rank=60)
        run.frame = pd.concat([frame, again], ignore_index=True)  # type: ignore[attr-defined]
    for run in runs[3:]:
        uni = run.per_user()["protocol"] == "uni100"
        run.per_user().loc[uni, "rank"] = 80
    doubt = of("protocols", found(runs, classics(make)))
    assert doubt.numbers["difference"] == pytest.approx(0.3, abs=0.08)
    for run in runs:  # each user is hit by one target of two: every HR is 1, though half of the ranks are not
        run.per_user()["rank"] = np.tile(np.repeat([1, 60], USERS * 4), 1)
    assert {f.kind for f in found(runs, classics(make))} >= {"tied"}
