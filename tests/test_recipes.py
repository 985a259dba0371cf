"""Each recipe of CONTRIBUTING.md, run as it stands there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from factories import make_dataset, make_run
from serving_doubles import FakeScorer, bare_run
from streamlit.testing.v1 import AppTest

from llmesr import methods
from llmesr.config import EmbedConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.synthetic import make
from llmesr.evaluation.table import GAINS, metric_table, metric_values
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.terms import TERMS
from llmesr.semantic import embedders
from llmesr.semantic.embed import embed
from llmesr.store import Store
from llmesr.training.train import train
from llmesr.views.cache.kept import clear

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"```python\n# recipe: (\w+), [^\n]*\n(.*?)```", PAGE, re.DOTALL))


def followed(name: str) -> dict[str, Any]:
    """What is defined once the recipe has been followed."""
    module = ModuleType(f"recipe_{name}")
    exec(RECIPES[name], module.__dict__)
    return module.__dict__


@pytest.fixture(autouse=True)
def tables_as_they_were() -> Iterator[None]:
    """Recipes write into the tables of the package."""
    tables: list[dict[str, Any]] = [methods.METHODS, TERMS, GAINS, embedders.BUILDERS]
    kept = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, kept, strict=True):
        table.clear()
        table.update(entries)


def test_every_recipe_is_there_and_short() -> None:
    assert set(RECIPES) == {"method", "objective", "embedder", "term", "metric", "page"}
    assert [name for name, code in RECIPES.items() if len(code.splitlines()) >= 40] == []


def small_inputs(n_items: int = 11) -> methods.Inputs:
    text = torch.randn(n_items + 1, 6)
    text[0] = 0
    return methods.Inputs(n_items=n_items, text=text)


def test_a_method() -> None:
    followed("method")
    config = RunConfig.read(None, embedding_size=8, max_length=6, adapter_init="random")
    built = methods.METHODS["two-views"](small_inputs(), config)
    assert list(built.model.view_slices) == ["collaborative", "semantic"]
    assert built.model.represent(torch.tensor([[1, 2, 3, 0, 0, 0]])).shape == (1, 16)


def test_an_objective(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    term = followed("objective")["ShortStates"]
    plain = methods.METHODS["id"]

    def with_short_states(inputs: methods.Inputs, config: RunConfig) -> methods.Method:
        built = plain(inputs, config)
        return methods.Method(built.model, [*built.objectives, term(weight=10.0)])

    data = make(store, users=60, items=30, seed=1)
    config = RunConfig.read(None, method="id", epochs=2, embedding_size=8, max_length=8, dropout=0.0)
    lengths = {}
    for name, builder in (("plain", plain), ("short", with_short_states)):
        monkeypatch.setitem(methods.METHODS, "id", builder)
        run = train(data, config, store)
        scored = ScoredRun(store, run)
        sequences = torch.tensor([[3, 4, 5, 0, 0, 0, 0, 0]])
        lengths[name] = float(scored.scorer.represent(sequences).norm())  # type: ignore[attr-defined]
        assert ("loss/short_states" in run.events().columns) == (name == "short")
    assert lengths["short"] < lengths["plain"]


def test_an_embedder(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("letters")
    module.__dict__.update(followed("embedder"))
    monkeypatch.setitem(sys.modules, "llmesr.semantic.embedders.letters", module)
    embedders.BUILDERS["letters"] = "letters"
    data = make_dataset(store)
    vectors = embed(data, EmbedConfig(embedder="letters:"), store)
    assert vectors.item_vectors.shape == (data.n_items, 26)
    assert np.unique(vectors.item_vectors, axis=0).shape[0] > 5


def test_a_term(store: Store, tiny: Dataset) -> None:
    followed("term")
    scored = ScoredRun(store, bare_run(store, tiny), scorer=FakeScorer(tiny.n_items))
    recommender = Recommender(scored)
    request = recommender.request([3, 7], 5, ScoringPolicy.read(None, early=1e4))
    assert recommender.answer([request])[0].items.tolist() == [1, 2, 4, 5, 6]  # 3 was chosen


def test_a_metric(store: Store, tiny: Dataset) -> None:
    followed("metric")
    np.testing.assert_allclose(metric_values(np.array([1, 2, 5]), "SRR@4"), [1, 0.25, 0])
    frame: pd.DataFrame = make_run(store, tiny, "id").per_user()
    assert "SRR@10" in metric_table(frame, tiny.thresholds)["metric"].unique()


def test_a_page(store: Store) -> None:
    data = make_dataset(store)
    clear()
    page = AppTest.from_string(RECIPES["page"], default_timeout=60).run()
    assert not page.exception
    assert [e.value for e in page.error] == []
    assert page.title[0].value == "Popular"
    table = page.dataframe[0].value
    assert len(table) == 10
    assert table["times"].iloc[0] == data.item_counts.max()
    clear()
