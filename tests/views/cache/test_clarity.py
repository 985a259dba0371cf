"""Which of two comparisons is the clearer, and of what a clarity is made."""

from __future__ import annotations

import pytest
from factories import corrupt, make_dataset, make_run

from llmesr.store import Store
from llmesr.views.cache import evidence
from llmesr.views.cache.clarity import METRIC, PROTOCOL, Clarity, clarity
from llmesr.views.cache.kept import clear


def test_what_is_clearer() -> None:
    clearest = [
        Clarity(),
        Clarity(True, False, -0.001, 9.0, 3),  # something serious stands against it
        Clarity(True, True, -0.2, 9.0, 3),
        Clarity(True, True, -0.001, 2.0, 3),
        Clarity(True, True, -0.001, 4.0, 2),
        Clarity(True, True, -0.001, 4.0, 3),
    ]
    assert sorted(clearest) == clearest
    assert max(clearest) == clearest[-1]


def test_it_is_of_the_comparison_that_overview_shows(store: Store) -> None:
    dataset = make_dataset(store, users=150, items=40)
    blind = [make_run(store, dataset, "id", seed=s, head_skill=-1.0, tail_skill=-1.0) for s in (1, 2, 3)]
    assert clarity(store, dataset.id) == Clarity(), "nothing here reads text"
    reads = [make_run(store, dataset, "llm-init", seed=s, head_skill=2.0, tail_skill=2.0) for s in (1, 2)]
    found = clarity(store, dataset.id)
    lineup = {"id/sasrec": [r.id for r in blind], "llm-init/sasrec": [r.id for r in reads]}
    table = evidence.comparison(store, lineup, "id/sasrec", dataset.thresholds, METRIC, PROTOCOL).set_index("group")
    assert found.compared
    assert found.seeds == 2
    assert found.sure == pytest.approx(-table["p_adjusted"].min())
    assert found.apart == pytest.approx(abs(table.loc["Tail Item", "difference"]) / table.loc["Tail Item", "error"])
    corrupt(store, "runs", reads[0].id, how="per_user")
    clear()
    assert not clarity(store, dataset.id).compared, "a damaged run is named by its page, and stops no other page"
