"""Doubts about one contender: trained out, all of its seeds, what it is made of."""

from __future__ import annotations

import pytest
from guard_cases import Make, blended, case, classics, found, maker, of, put, seeds

from llmesr.evaluation.contenders import contenders
from llmesr.evaluation.guard import examine
from llmesr.store import Store


@pytest.fixture
def make(store: Store) -> Make:
    return maker(store)


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


def test_seeds_that_are_there_and_were_left_out_are_named(make: Make) -> None:
    every = seeds(make, "id")
    doubt = of("seeds-left-out", found([every[0], *seeds(make, "llm-esr", text="t")], [*every[1:], *classics(make)]))
    assert set(doubt.runs) == {every[1].id, every[2].id}
    assert doubt.sentence == "2 seeds of id/sasrec are left out. Take them in."
    assert doubt.severity == "serious"  # of five seeds, three can be picked that prove anything


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
    assert doubt.remedy is not None
    assert (doubt.remedy.action, doubt.remedy.runs) == ("part-seeds", (blends[1].id, blends[2].id))
    assert doubt.remedy.trains
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
        assert of(kind, doubts).severity == {"elsewhere": "serious", "allocated": "caution"}[kind]
        assert {"elsewhere", "allocated"} & {f.kind for f in doubts} == {kind}
        assert contender.seeded == (kind == "allocated")
    assert of("undertrained", doubts).runs == (first.id,)


def test_what_does_not_show_how_it_was_trained_is_not_called_better(make: Make) -> None:
    """Whoever deletes the run that a blend or a policy was made of would hide that it was cut short."""
    cut = make("id", best=15, epochs=15)
    blend = blended(make, 42, [cut, make("ease")])
    blend.store.delete("runs", cut.id)
    doubts = found([blend, make("popularity")], classics(make), base="popularity")
    assert of("untraceable", doubts).severity == "serious"


def test_seeds_that_were_put_away_are_as_serious_as_those_left_out(make: Make) -> None:
    every = seeds(make, "id")
    chosen = contenders([*every[:2], *seeds(make, "llm-esr", text="t")])
    doubt = of("seeds-archived", examine(case(chosen, chosen, ("HR@10",), "id", archived=contenders(every[2:]))))
    assert (doubt.severity, doubt.runs) == ("serious", (every[2].id,))
    assert doubt.sentence == "1 seed of id/sasrec was archived and does not count here. Take it in."
