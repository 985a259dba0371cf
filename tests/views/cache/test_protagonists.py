"""The runs that pages open on: those that the Overview tells of, then the best of the others."""

from __future__ import annotations

from factories import corrupt, make_dataset, make_run

from llmesr.store import Store
from llmesr.views.cache.protagonists import first_runs, protagonists, ranked


def test_pages_open_on_the_two_of_the_overview_then_on_the_best_of_every_other_method(store: Store) -> None:
    data = make_dataset(store)
    skills = {"popularity": 0.0, "id": 1.0, "item-knn": 2.0, "llm-esr": 2.5, "llm-init": 3.0}
    runs = {
        method: make_run(store, data, method, head_skill=skill, tail_skill=skill) for method, skill in skills.items()
    }
    newest = make_run(store, data, "id", seed=43, head_skill=1.0, tail_skill=1.0)
    pair = protagonists(store, data.id)
    assert [c.method for c in pair if c] == ["item-knn", "llm-init"]
    assert [c.method for c in ranked(store, data.id)] == ["item-knn", "llm-init", "llm-esr", "id", "popularity"]

    every = [newest.id, *(r.id for r in runs.values())]
    first = first_runs(store, data.id, every)
    assert first[:4] == [runs[m].id for m in ("item-knn", "llm-init", "llm-esr", "id")]
    assert first[-1] == newest.id  # a second seed of what stands there already
    assert sorted(first) == sorted(every)
    with_text = first_runs(store, data.id, every, with_text=True)
    assert with_text[:3] == [runs[m].id for m in ("llm-init", "llm-esr", "item-knn")]
    assert first_runs(store, data.id, [runs["popularity"].id]) == [runs["popularity"].id]


def test_a_run_without_an_evaluation_plays_no_part(store: Store) -> None:
    data = make_dataset(store)
    best = make_run(store, data, "llm-esr", tail_skill=3.0)
    other = make_run(store, data, "llm-init")
    corrupt(store, "runs", best.id, how="per_user")
    assert protagonists(store, data.id)[1].ids == (other.id,)  # type: ignore[union-attr]
