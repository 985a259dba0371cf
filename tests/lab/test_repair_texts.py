"""Flawed texts and their order of repair: by hand, and in a shop whose texts were spoilt on purpose."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from factories import make_dataset
from lab_shop import opened

from llmesr.config import EmbedConfig, RunConfig
from llmesr.data.dataset import load_dataset
from llmesr.data.frame import ITEMS
from llmesr.evaluation.ranks import evaluate
from llmesr.lab.change import with_texts
from llmesr.lab.flaws import flawed, spoilt, words_of
from llmesr.lab.repair import Gain, _gain, repairs
from llmesr.lab.rewritten import changed
from llmesr.scoring.scored_run import ScoredRun
from llmesr.semantic.embed import embed
from llmesr.store import MANIFEST, Store, file_digest, write_json
from llmesr.training.train import train

pytest_plugins = ("lab_shop",)

CATALOGUE = pd.DataFrame(
    {
        "item_id": ["a", "b", "c", "d", "e", "f"],
        "title": ["Red desk lamp", "b", "Wool blanket", "wool  Blanket", "Tent", "Green garden chair"],
        "brand": ["Norodis", "", "Kelp", "Kelp", "", "Kelp"],
        "description": ["warm light for reading at night", "", "for cold days", "for cold days", "", "with arm rests"],
    }
)


def test_words_are_those_of_the_attributes() -> None:
    assert words_of(CATALOGUE).tolist() == [10, 0, 6, 6, 1, 7]
    assert words_of(CATALOGUE, ["brand"]).tolist() == [1, 0, 1, 1, 0, 1]


def test_missing_short_and_duplicate_texts() -> None:
    found = flawed(CATALOGUE, short=0.25)
    assert found["item"].tolist() == [2, 3, 4, 5]
    assert found["flaw"].tolist() == ["missing", "duplicate", "duplicate", "short"]
    assert found["words"].tolist() == [0, 6, 6, 1]
    assert found["same"].tolist() == [0, 1, 1, 0]
    assert "short" not in flawed(CATALOGUE, short=0.1)["flaw"].tolist()


def test_words_without_a_title_are_a_flaw_where_others_have_one() -> None:
    titles = CATALOGUE["title"].tolist()
    untitled = CATALOGUE.assign(title=["a", *titles[1:]])
    assert flawed(untitled)["flaw"].tolist() == ["untitled", "missing", "duplicate", "duplicate", "short"]
    assert "untitled" not in flawed(untitled, ["brand"])["flaw"].tolist()
    assert "untitled" not in flawed(CATALOGUE.assign(title=CATALOGUE["item_id"]))["flaw"].tolist()
    twins = np.array([3])
    assert spoilt(CATALOGUE, np.array([1]), "untitled", words=4, twins=twins) == {1: {"title": ""}}


def test_texts_are_spoilt_as_flawed_ones_are() -> None:
    items, twins = np.array([1, 6]), np.array([3, 5])
    blank = {"title": "", "brand": "", "description": ""}
    assert spoilt(CATALOGUE, items, "missing", words=0, twins=twins) == {1: blank, 6: blank}
    assert spoilt(CATALOGUE, items, "duplicate", words=0, twins=twins)[1] == {
        "title": "Wool blanket",
        "brand": "Kelp",
        "description": "for cold days",
    }
    cut = spoilt(CATALOGUE, items, "short", words=4, twins=twins)
    assert cut[1] == {"title": "Red desk lamp", "brand": "Norodis", "description": ""}


def test_the_gain_is_the_share_of_those_who_miss_that_is_won_back() -> None:
    hits = pd.DataFrame({"item": np.repeat(np.arange(30), 2), "good": [True, False] * 30, "bad": [False, False] * 30})
    found = _gain("missing", "Tail Item", hits)
    assert (found.items, found.misses, found.rate) == (30, 60, 0.5)
    hits.loc[:9, "bad"], hits.loc[:9, "good"] = True, False  # ten find it only with the bad text
    assert _gain("missing", "Tail Item", hits).rate == pytest.approx((25 - 10) / 50)
    assert math.isnan(_gain("missing", "Tail Item", hits.iloc[10:20]).rate)


def _blanked(store: Store, many: int) -> tuple[ScoredRun, np.ndarray, pd.DataFrame]:
    """A run of a shop in which ``many`` texts are blank, the items, and the catalogue as it was."""
    data = make_dataset(store, name="market", users=900, items=150, seed=5)
    whole = data.catalogue
    _, targets = data.split.pairs("valid")
    items = np.sort(np.random.default_rng(0).choice(np.unique(targets), many, replace=False))
    folder = store.path("datasets", data.id)
    spoilt_catalogue = whole.copy()
    spoilt_catalogue.loc[items - 1, data.text_columns] = ""
    spoilt_catalogue.loc[items - 1, "title"] = spoilt_catalogue.loc[items - 1, "item_id"]
    spoilt_catalogue.to_parquet(folder / ITEMS, index=False)
    manifest = store.manifest("datasets", data.id)
    manifest.files[ITEMS] = file_digest(folder / ITEMS)
    write_json(folder / MANIFEST, manifest.model_dump())
    data = load_dataset(store, data.id)
    embed(data, EmbedConfig(), store)
    return ScoredRun(store, train(data, RunConfig(method="semantic-knn"), store, device="cpu")), items, whole


def test_what_repairing_brings_is_what_was_forecast(store: Store) -> None:
    """The texts of a third of the items are blank: the forecast of what writing them brings, against writing them."""
    scored, items, whole = _blanked(store, 45)
    found = repairs(scored)
    assert set(found.texts["item"]) == set(items.tolist())
    assert set(found.texts["flaw"]) == {"missing"}
    data = scored.dataset
    rows = {int(i): {str(k): str(v) for k, v in whole[data.text_columns].iloc[i - 1].items()} for i in items}
    mended = changed(scored, with_texts(data, rows))
    hits = []
    for one in (scored, mended):
        frame = evaluate(one.under(), one.dataset, "valid", protocols=["full"], top=0).frame
        hits.append(int((frame[frame["target"].isin(items)]["rank"] <= found.k).sum()))
    measured = hits[1] - hits[0]
    forecast, low, high = (found.texts[c].sum() for c in ("gain", "low", "high"))
    assert forecast > 0
    assert measured > 0
    assert low <= measured <= high, (forecast, low, high, measured)
    assert found.lacking == ()


def test_where_no_text_is_good_no_gain_is_said() -> None:
    scored = opened("text-ease")
    data = scored.dataset
    alike = data.catalogue.assign(**dict.fromkeys(data.text_columns, "Lamp"))
    found = repairs(ScoredRun(scored.store, scored.run, dataset=replace(data, catalogue=alike)))
    assert len(found.texts) == data.n_items
    assert set(found.texts["flaw"]) == {"duplicate"}
    assert [(gain.items, gain.misses) for gain in found.gains] == [(0, 0)] * 2
    assert found.lacking == found.gains


def test_texts_with_most_to_gain_stand_first_and_name_their_users(store: Store) -> None:
    scored, items, _ = _blanked(store, 12)
    found = repairs(scored)
    frame = found.texts
    ranks = scored.run.per_user()
    valid = ranks[(ranks["part"] == "valid") & (ranks["protocol"] == "full")]
    by = {(g.flaw, g.group): g for g in found.gains}
    assert sorted(frame["item"]) == items.tolist()
    for row in frame.itertuples():
        mine = valid[valid["target"] == row.item]
        assert (row.users, row.misses) == (len(mine), int((mine["rank"] > found.k).sum()))
        gain: Gain = by[row.flaw, row.group]
        assert row.gain == pytest.approx(row.misses * gain.rate, nan_ok=True)
    assert frame["gain"].dropna().is_monotonic_decreasing
