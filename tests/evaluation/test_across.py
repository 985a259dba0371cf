"""The same methods under several splits: who is like whom, places, and how far two orders agree."""

from __future__ import annotations

import pandas as pd
import pytest
from factories import make_dataset, make_embedding, make_run

from llmesr.config import SplitConfig
from llmesr.data.splitting import resplit, siblings
from llmesr.evaluation.across import Tests, agreements, like, named_splits, one_per_split, placed
from llmesr.evaluation.contenders import contenders
from llmesr.evaluation.origins import embedder
from llmesr.store import MANIFEST, Store, write_json

CUTS = SplitConfig(kind="temporal", valid_from=0.5, test_from=0.7)


def test_datasets_of_the_same_data_are_siblings(store: Store) -> None:
    shop, other = make_dataset(store), make_dataset(store, name="other", seed=1)
    later = resplit(shop, CUTS, store)
    again = resplit(later, CUTS.but(refit=True), store)
    for one in (shop, later, again):
        assert [m.id for m in siblings(store, one.id)] == [shop.id, later.id, again.id]
    assert [m.id for m in siblings(store, other.id)] == [other.id]
    said = named_splits(siblings(store, shop.id))
    assert said[shop.id] == "leave-one-out"
    assert said[again.id] == f"{said[later.id]}, refit"


def test_two_splits_that_read_alike_are_told_apart_by_name(store: Store) -> None:
    shop = make_dataset(store)
    made = [shop, *(resplit(shop, CUTS.but(valid_from=cut), store, name=f"at {cut}") for cut in (0.4, 0.5))]
    said = named_splits([d.manifest for d in made])
    assert said[made[1].id].endswith("(at 0.4)")
    assert len(set(said.values())) == 3


def test_a_configuration_is_found_under_another_split(store: Store) -> None:
    """The budget and the seeds may differ, the settings may not."""
    shop = make_dataset(store)
    later = resplit(shop, CUTS, store)
    (here,) = contenders([make_run(store, shop, "id", dropout=0.5)])
    make_run(store, later, "id")
    wanted = [make_run(store, later, "id", seed=s, dropout=0.5, epochs=200) for s in (1, 2)]
    short = make_run(store, later, "id", dropout=0.5)
    there = contenders([*wanted, short, make_run(store, later, "llm-esr", dropout=0.5)])
    found = like(here, there, store)
    assert found is not None
    assert set(found.ids) == {r.id for r in wanted}
    assert like(here, contenders([make_run(store, later, "id", dropout=0.1)]), store) is None


def test_an_embedding_of_an_earlier_version_is_known_by_its_fingerprint_of_then(store: Store) -> None:
    shop = make_dataset(store)
    before, now, other = (make_embedding(store, shop, id=name) for name in ("before", "now", "other"))
    for made, info in (
        (before, {"fingerprint": "sampled"}),
        (now, {"fingerprint": "whole", "earlier_fingerprint": "sampled"}),
        (other, {"fingerprint": "merged", "earlier_fingerprint": "another"}),
    ):
        manifest = made.manifest.model_copy(update={"info": {**made.manifest.info, **info}})
        write_json(store.path("embeddings", made.id) / MANIFEST, manifest.model_dump())
    assert [embedder(store, made.id) for made in (before, now, other)] == ["whole", "whole", "merged"]


def judged(p: dict[tuple[str, str, str], float]) -> Tests:
    """(split, run, baseline) -> p; who is not named there differs for certain."""

    def rows(split: str, baseline: str) -> pd.DataFrame:
        others = [name for name in "abc" if name != baseline]
        found = [p.get((split, name, baseline), 1e-4) for name in others]
        return pd.DataFrame({"run": others, "baseline": baseline, "group": "Overall", "p": found})

    return rows


def summary(values: dict[str, float]) -> pd.DataFrame:
    value = pd.Series(list(values.values()))
    rows = {"run": list(values), "value": value, "low": value - 0.06, "high": value + 0.06}
    return pd.DataFrame({**rows, "metric": "HR@10", "group": "Overall", "users": 90})


def test_places_are_among_the_methods_that_every_split_has() -> None:
    table = placed(
        {"one": summary({"a": 0.3, "b": 0.2, "c": 0.1, "x": 0.9}), "two": summary({"a": 0.1, "b": 0.5, "c": 0.2})}
    )
    place = table.pivot_table(index="run", columns="split", values="place")
    assert place["one"].to_dict() == {"a": 1, "b": 2, "c": 3}
    assert place["two"].to_dict() == {"a": 3, "b": 1, "c": 2}


def test_how_far_two_orders_agree_by_hand() -> None:
    table = placed({"one": summary({"a": 0.3, "b": 0.2, "c": 0.1}), "two": summary({"a": 0.1, "b": 0.5, "c": 0.2})})
    unsure = judged({("one", "a", "b"): 0.2, ("two", "a", "c"): 0.2})
    (found,) = agreements(table, "Overall", unsure)
    assert (found.first, found.second, found.methods) == ("one", "two", 3)
    assert found.turned == (("a", "b"), ("a", "c"))
    assert found.clear == ()  # a and b are alike under the first, a and c under the second
    (sure,) = agreements(table, "Overall", judged({("one", "a", "b"): 0.2}))
    assert sure.clear == (("a", "c"),)
    (corrected,) = agreements(table, "Overall", judged({("one", "a", "b"): 0.2, ("one", "a", "c"): 0.03}))
    assert corrected.clear == ()  # .03 is the smaller of two
    assert (found.tied, found.users) == (0, 90)
    assert found.tau == pytest.approx((1 - 2) / 3)
    (few,) = agreements(table[table["run"] != "c"], "Overall", judged({}))
    assert few.tau is None
    assert few.turned == (("a", "b"),)


def test_ties_are_no_order() -> None:
    table = placed({"one": summary({"a": 0.5, "b": 0.2, "c": 0.1}), "two": summary({"a": 0.1, "b": 0.4, "c": 0.1})})
    (found,) = agreements(table, "Overall", judged({}))
    assert found.turned == found.clear == (("a", "b"),)
    assert found.tied == 1
    level = placed({"one": summary({"a": 0.5, "b": 0.2, "c": 0.1}), "two": summary(dict.fromkeys("abc", 0.0))})
    (nothing,) = agreements(level, "Overall", judged({}))
    assert (nothing.turned, nothing.tied, nothing.tau) == ((), 3, None)


def test_data_that_was_read_twice_is_shown_once(store: Store) -> None:
    shop = make_dataset(store)
    later = resplit(shop, CUTS, store)
    again = shop.manifest.model_copy(update={"id": "again"})
    every, methods = [shop.manifest, again, later.manifest], {shop.id: 2, "again": 5, later.id: 1}
    assert [m.id for m in one_per_split(every, shop.id, methods)] == [shop.id, later.id]
    assert [m.id for m in one_per_split(every, later.id, methods)] == ["again", later.id]
