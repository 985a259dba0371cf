"""One comparison for the command line and for Python: same rows, same verdicts, same refusals."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from factories import make_dataset, make_run
from typer.testing import CliRunner

import llmesr
from llmesr.cli.main import app
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.store import Store


@pytest.fixture
def shop(store: Store) -> Dataset:
    made: Dataset = make_dataset(store)
    return made


def test_python_says_what_the_command_line_says(store: Store, shop: Dataset) -> None:
    runs = [make_run(store, shop, "id", seed=s) for s in (42, 43)]
    runs += [make_run(store, shop, "id", dropout=0.5), make_run(store, shop, "llm-esr", tail_skill=2.5)]
    found = llmesr.compare(runs, protocol="uni100", metric="HR@10")
    words = ["compare", *(r.id for r in runs), "--protocol", "uni100", "--metric", "HR@10", "--json"]
    printed = json.loads(CliRunner().invoke(app, words, standalone_mode=False).stdout)
    assert [v.sentence() for v in found.verdicts] == [v["verdict"] for v in printed["verdicts"]]
    assert [f.document() for f in found.doubts] == printed["doubts"]
    assert found.summary["value"].tolist() == pytest.approx([r["value"] for r in printed["configurations"]])
    names = ["id/sasrec", "id/sasrec (dropout=0.5)", "llm-esr/sasrec"]
    assert list(found.table().index) == names  # two configurations are two rows
    assert found.verdicts[0].sentence() in str(found)


def test_runs_of_two_datasets_and_unknown_metrics_are_refused(store: Store, shop: Dataset) -> None:
    runs = [make_run(store, shop, "id"), make_run(store, make_dataset(store, name="other", seed=9), "id")]
    with pytest.raises(UserError, match="different datasets"):
        llmesr.compare(runs)
    with pytest.raises(UserError, match="'Precision@10' is not a metric"):
        llmesr.compare(runs[:1], metric=("HR@10", "Precision@10"))
    with pytest.raises(UserError, match="the protocol is full or uni100"):
        llmesr.compare(runs[:1], protocol="uni50")
    with pytest.raises(UserError, match="at least one run"):
        llmesr.compare([])


def test_the_first_run_is_the_baseline_unless_another_is_named(store: Store, shop: Dataset) -> None:
    runs: list[Run] = [make_run(store, shop, "llm-esr"), make_run(store, shop, "popularity")]
    assert llmesr.compare(runs).baseline.name == "llm-esr/sasrec"
    assert llmesr.compare(runs, baseline=runs[1]).verdicts[0].baseline == "popularity"


def test_slices_are_the_same_on_the_command_line(store: Store, shop: Dataset) -> None:
    runs = [make_run(store, shop, "id"), make_run(store, shop, "llm-esr", tail_skill=2.5)]
    found = llmesr.compare(runs, metric="HR@10")
    words = ["slices", *(r.id for r in runs), "--json"]
    shown = CliRunner().invoke(app, words, standalone_mode=False)
    printed = json.loads(shown.stdout)
    assert printed["doubts"] == [d.document() for d in found.doubts]
    assert "Not settled: llm-esr/sasrec and id/sasrec were trained with one seed" in " ".join(shown.stderr.split())
    assert [r["value"] for r in printed["rows"]] == pytest.approx(found.values_by_slice["value"].tolist())
    assert [t["p"] for t in printed["tests"]] == pytest.approx(found.tests_by_slice["p"].tolist())
    listed = {r["dimension"] for r in printed["rows"]}
    assert listed == {"category", "history length"}  # too few users for five buckets of popularity
    one = json.loads(CliRunner().invoke(app, [*words, "--by", "category"], standalone_mode=False).stdout)["rows"]
    assert {r["dimension"] for r in one} == {"category"}
    with pytest.raises(UserError, match="no slices by 'colour'"):
        CliRunner().invoke(app, [*words, "--by", "colour"], standalone_mode=False, catch_exceptions=False)
    with pytest.raises(UserError, match="fails, helps, hurts"):
        CliRunner().invoke(app, [*words, "--find", "odd"], standalone_mode=False, catch_exceptions=False)


def test_a_search_names_where_the_text_helps(store: Store) -> None:
    shop: Dataset = make_dataset(store, name="large", users=900, items=60)
    runs = [make_run(store, shop, "id"), make_run(store, shop, "llm-esr", tail_skill=4.0)]
    words = ["slices", *(r.id for r in runs), "--find", "helps", "--metric", "MRR@20", "--json"]
    printed = json.loads(CliRunner().invoke(app, words, standalone_mode=False).stdout)
    best = printed["rows"][0]
    assert best["confirmed"] is True
    assert best["slice"].startswith("item popularity: ")
    assert best["difference"] > 0
    found = llmesr.compare(runs, metric="MRR@20")
    assert [f.group.name for f in found.stand_out("llm-esr/sasrec", "helps")] == [r["slice"] for r in printed["rows"]]
    with pytest.raises(UserError, match="'x' is not compared"):
        found.stand_out("x")


def test_gaps_and_worth_are_the_same_on_the_command_line(store: Store) -> None:
    from llmesr.data import synthetic

    interactions, items = synthetic.frames(300, 60, seed=2)
    items["price"] = [f"{5 + i % 9}" for i in range(len(items))]
    ids = interactions["user_id"].drop_duplicates()
    people = pd.DataFrame({"user_id": ids, "plan": ["paid" if i % 2 else "free" for i in range(len(ids))]})
    shop = llmesr.ingest(interactions, items, users=people, name="priced", store=store, k_core=1)
    runs = [make_run(store, shop, "id"), make_run(store, shop, "llm-esr", tail_skill=2.5)]
    found = llmesr.compare(runs, metric="HR@10")
    words = ["slices", *(r.id for r in runs), "--json"]
    gaps = json.loads(CliRunner().invoke(app, [*words, "--gaps"], standalone_mode=False).stdout)
    served = found.disparities("llm-esr/sasrec")
    assert {"user plan"} <= {r["column"] for r in gaps["rows"]}
    assert [r["difference"] for r in gaps["rows"]] == pytest.approx([d.difference for d in served])
    paid = json.loads(CliRunner().invoke(app, [*words, "--worth", "price"], standalone_mode=False).stdout)
    assert [r["weighted"] for r in paid["rows"]] == pytest.approx(found.worth("price")["weighted"].tolist())
    with pytest.raises(UserError, match="'brand' is no column of money of the items; there is price"):
        found.worth("brand")
    assert "value-weighted HR@10, by price" in CliRunner().invoke(app, [*words[:-1], "--worth", "price"]).stdout
    assert "users by" in CliRunner().invoke(app, [*words[:-1], "--gaps"]).stdout
