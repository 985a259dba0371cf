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
from llmesr.config import RunConfig, SplitConfig
from llmesr.data.dataset import Dataset
from llmesr.data.splitting import resplit
from llmesr.errors import UserError
from llmesr.evaluation.claim import make_claim
from llmesr.evaluation.lacking import missing
from llmesr.evaluation.statement import statement
from llmesr.jobs.queue import Jobs
from llmesr.runs.record import Run, list_runs
from llmesr.runs.wanted import Training
from llmesr.scoring.derived import derive
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import MANIFEST, Store, file_digest
from llmesr.training.train import train


def carry_out(store: Store, shop: Dataset, later: Dataset, wanted: list[Training]) -> None:
    """What is wanted, as if it had been trained."""
    for training in wanted:
        config = training.config.model_dump()
        settings = {k: config[k] for k in ("seed", "epochs", "patience")}
        skill = 3.0 if training.method == "llm-esr" else None
        make_run(store, later if training.in_time else shop, training.method, tail_skill=skill, **settings)


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
    every = missing(claim)
    lacking = [t for t in every if not t.in_time]
    ours = [t for t in lacking if t.method == "llm-esr"]
    assert [t.settings.get("seed", 42) for t in ours] == [42, 43, 44]
    assert all(t.settings["epochs"] == 200 for t in ours)
    assert [t.settings["seed"] for t in lacking if t.method == "id"] == [43, 44]
    assert all(t.settings["epochs"] == 12 for t in lacking if t.method == "id")  # trained out within its own budget
    assert {"popularity", "llm-init"} <= {t.method for t in lacking}
    assert ours[0].config.epochs == 200
    later = [(t.method, t.settings.get("seed", 42)) for t in every if t.in_time]
    assert later == [(m, s) for m in ("llm-esr", "id") for s in (42, 43, 44)]


def test_an_older_repetition_is_a_sentence(store: Store, shop: Dataset) -> None:
    older, newer, other = (make_run(store, shop, method) for method in ("id", "id", "llm-esr"))
    assert make_claim(store, other, newer).comparison.baseline.ids == (newer.id,)
    for run, baseline in ((other, older), (older, other)):
        with pytest.raises(UserError, match=f"{older.id}' is an older repetition of another one"):
            make_claim(store, run, baseline)


def test_the_trainings_settle_the_claim(store: Store, shop: Dataset) -> None:
    weak, base = cut_short(make_run(store, shop, "llm-esr", tail_skill=3.0)), make_run(store, shop, "id")
    later = resplit(shop, SplitConfig(kind="temporal", valid_from=0.5, test_from=0.7), store)
    first = make_claim(store, weak, base)
    assert first.in_time is not None
    assert first.in_time.comparison is None
    assert any("it lacks these runs" in s for s in first.overturned_by)
    carry_out(store, shop, later, missing(first))
    claim = make_claim(store, weak, base)
    assert missing(claim) == []
    assert claim.in_time is not None
    assert claim.in_time.comparison is not None
    assert claim.in_time.dataset == later.id
    assert [c.seeds for c in claim.in_time.comparison.chosen] == [(42, 43, 44)] * 2
    page = statement(claim, "llmesr defend")
    assert f"Under a temporal split ({later.id}, 3 runs and 3 runs)" in page
    assert page.count("<svg") == 2
    assert claim.run.seeds == claim.baseline.seeds == (42, 43, 44)
    assert claim.stands
    assert claim.standing == "It stands"
    assert {c.method for c, *_ in claim.tested_against} >= {"popularity", "llm-init"}
    assert any("leaves no sure difference" in s for s in claim.overturned_by)


LATER = {"graph_steps", "item_updates", "ranking", "text_table", "validation_users"}


def test_a_run_of_an_earlier_version_is_settled_by_one_of_this(store: Store, shop: Dataset) -> None:
    """Settings that came later stand in no manifest of before; the configuration is the same one."""
    weak, base = cut_short(make_run(store, shop, "llm-esr")), make_run(store, shop, "id")
    for run in (weak, base):
        written = json.loads((run.folder / MANIFEST).read_text())
        written["config"] = {k: v for k, v in written["config"].items() if k not in LATER}
        (run.folder / MANIFEST).write_text(json.dumps(written))
    again = make_run(store, shop, "llm-esr", epochs=200, patience=10)
    claim = make_claim(store, Run(store, weak.id), Run(store, base.id))
    assert claim.run.ids == (again.id,)
    wanted = next(t for t in missing(claim) if t.method == "id")
    assert not LATER & set(wanted.settings)
    assert "#2" not in claim.title


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


def test_the_baseline_itself_is_not_called_beaten_while_the_claim_is_not_settled(store: Store, shop: Dataset) -> None:
    sides = [("llm-esr", 0.0), ("id", -1.0)]
    runs = [make_run(store, shop, method, seed=s, tail_skill=skill) for method, skill in sides for s in (1, 2, 3)]
    make_run(store, shop, "ease", head_skill=4.0, tail_skill=4.0)
    claim = make_claim(store, runs[0], runs[3])
    assert {d.kind for d in claim.verdict.doubts} == {"weak-baseline"}
    against = {c.method: {d.kind for d in doubts} for c, _, doubts in claim.tested_against}
    assert against["id"] == {"weak-baseline"}
    assert against["ease"] == set()


def test_a_rival_that_was_cut_short_is_not_called_beaten(store: Store, shop: Dataset) -> None:
    sides = [("llm-esr", 3.0), ("id", -1.0)]
    runs = [make_run(store, shop, method, seed=s, tail_skill=skill) for method, skill in sides for s in (1, 2, 3)]
    cut_short(make_run(store, shop, "llm-init", head_skill=-1.0, tail_skill=-1.0))
    claim = make_claim(store, runs[0], runs[3])
    against = {c.method: {d.kind for d in doubts} for c, _, doubts in claim.tested_against}
    assert "undertrained" in against["llm-init"]
    assert against["id"] == set()
    assert "ahead, but not settled: llm-init/sasrec was still improving when its" in statement(claim, "llmesr defend")


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


def test_a_tuned_run_wants_a_tuned_baseline(store: Store, shop: Dataset) -> None:
    run, base = (train(shop, RunConfig(method=m), store, device="cpu") for m in ("item-knn", "popularity"))
    tuned = derive(ScoredRun(store, run), ScoringPolicy(popularity=0.05))
    (wanted,) = [t for t in missing(make_claim(store, tuned, base)) if t.of_run]
    assert (wanted.of_run, wanted.policy) == (base.id, {})
    later = [t for t in missing(make_claim(store, tuned, base)) if t.in_time]
    assert [(t.method, t.policy) for t in later] == [("item-knn", {}), ("popularity", None)]

    alike = derive(ScoredRun(store, base), ScoringPolicy(popularity=-0.05))
    claim = make_claim(store, tuned, base)
    assert claim.baseline.ids == (alike.id,)
    assert not [f for f in claim.doubts if f.kind == "policy"]
    assert not [t for t in missing(claim) if t.of_run]


def test_times_that_are_only_an_order_cannot_show_leakage(store: Store, shop: Dataset) -> None:
    with store.changing("datasets", shop.id) as manifest:
        manifest.info["time"] = "order"
    claim = make_claim(store, make_run(store, shop, "llm-esr"), make_run(store, shop, "id"))
    assert claim.in_time is None
    assert not [t for t in missing(claim) if t.in_time]
    assert any("has only an order" in s for s in claim.overturned_by)


def test_a_claim_is_queued_as_a_job_of_exactly_what_it_lacks(
    store: Store, shop: Dataset, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Jobs, "dispatch", lambda self: None)  # queued, not begun
    run, base = make_run(store, shop, "llm-esr"), make_run(store, shop, "id")
    words = ["defend", run.id, "--baseline", base.id, "--queue", "--out", str(tmp_path / "c.html"), "--json"]
    done = CliRunner().invoke(app, words, standalone_mode=False)
    assert done.exit_code == 0, done.exception
    found = json.loads(done.stdout)
    steps = Jobs(store).get(found["job"]).record.steps
    assert sum(s.verb == "train" for s in steps) == len(found["missing"])
    here = [s for s in steps if s.verb == "train" and s.arguments[0] == shop.id]
    assert sum(not t["in_time"] for t in found["missing"]) == len(here)
    (split,) = [s for s in steps if s.verb == "split"]
    assert split.saves == "temporal"
    assert all(s.arguments[0] == "{temporal}" for s in steps[steps.index(split) + 1 :])
