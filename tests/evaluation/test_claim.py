"""A claim from its first weak form to its statement: what it lacks is listed once, and what is trained settles it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset, make_run
from typer.testing import CliRunner

from llmesr.cli.main import app
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation.claim import make_claim, missing, trained_anew
from llmesr.evaluation.statement import statement
from llmesr.runs.record import Run, list_runs
from llmesr.store import MANIFEST, Store, file_digest


@pytest.fixture
def shop(store: Store) -> Dataset:
    made: Dataset = make_dataset(store, users=300, items=60)
    return made


def cut_short(run: Run) -> Run:
    """As if the budget of the run had ended its training."""
    run.finish(run.status(), {}, {"best_epoch": 12, "epochs": 12})
    return run


def test_what_a_weak_claim_lacks_is_written_down_once(store: Store, shop: Dataset) -> None:
    weak, base = cut_short(make_run(store, shop, "llm-esr")), make_run(store, shop, "id")
    claim = make_claim(store, weak, base)
    assert not claim.stands
    assert "not settled" in claim.sentence
    lacking = missing(claim)
    ours = [t for t in lacking if t.method == "llm-esr"]
    assert [t.settings.get("seed", 42) for t in ours] == [42, 43, 44]
    assert all(t.settings["epochs"] == 200 for t in ours)
    assert [t.settings["seed"] for t in lacking if t.method == "id"] == [43, 44]
    assert all(t.settings["epochs"] == 12 for t in lacking if t.method == "id")  # trained out within its own budget
    assert {"popularity", "llm-init"} <= {t.method for t in lacking}
    assert trained_anew(ours[0]).epochs == 200


def test_the_trainings_settle_the_claim(store: Store, shop: Dataset) -> None:
    weak, base = cut_short(make_run(store, shop, "llm-esr", tail_skill=3.0)), make_run(store, shop, "id")
    for training in missing(make_claim(store, weak, base)):
        config = trained_anew(training).model_dump()
        settings = {k: config[k] for k in ("seed", "epochs", "patience")}
        skill = 3.0 if training.method == "llm-esr" else None
        make_run(store, shop, training.method, tail_skill=skill, **settings)
    claim = make_claim(store, weak, base)
    assert missing(claim) == []
    assert claim.run.seeds == claim.baseline.seeds == (42, 43, 44)
    assert claim.stands
    assert {c.method for c, _ in claim.tested_against} >= {"popularity", "llm-init"}
    assert any("leaves no sure difference" in s for s in claim.overturned_by)


def test_the_statement_opens_offline_and_names_what_it_rests_on(store: Store, shop: Dataset) -> None:
    run, base = make_run(store, shop, "llm-esr", tail_skill=3.0), make_run(store, shop, "id")
    make_run(store, shop, "popularity")
    page = statement(make_claim(store, run, base), "llmesr defend <run> & more")
    assert not re.search(r"(src|href)=|https?://|<script", page)
    assert "default-src" in page
    for made in (run, base):
        assert made.id in page
        assert file_digest(made.folder / MANIFEST) in page
    assert "llmesr defend &lt;run&gt; &amp; more" in page
    assert "popularity" in page
    assert 'class="doubt"' in page  # one seed each


def test_two_seeds_of_one_configuration_are_no_claim(store: Store, shop: Dataset) -> None:
    runs = [make_run(store, shop, "id", seed=s) for s in (42, 43)]
    with pytest.raises(UserError, match="differ in nothing but the seed"):
        make_claim(store, *runs)


def test_defend_from_the_command_line(store: Store, shop: Dataset, tmp_path: Path, monkeypatch: Any) -> None:
    run, base = make_run(store, shop, "semantic-knn"), make_run(store, shop, "popularity")
    words = ["defend", run.id, "--baseline", base.id, "--out", str(tmp_path / "claim.html"), "--json"]
    done = CliRunner().invoke(app, words, standalone_mode=False)
    assert done.exit_code == 0, done.exception
    found = json.loads(done.stdout)
    assert found["claim"].startswith("semantic-knn against popularity: ")
    assert found["stands"] in (True, False)
    assert (tmp_path / "claim.html").read_text().startswith("<!doctype html>")
    assert len(list_runs(store)) == 2  # nothing is trained unless it is asked for
