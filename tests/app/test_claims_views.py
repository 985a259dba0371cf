"""Splits, Defend and the remedies of the guard: what they say, and exactly what their buttons queue."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from app_pages import Visit
from factories import make_dataset, make_run
from streamlit.testing.v1 import AppTest

from llmesr.config import SplitConfig
from llmesr.data.dataset import Dataset
from llmesr.data.splitting import resplit
from llmesr.evaluation import verdict
from llmesr.evaluation.verdict import Verdict
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job
from llmesr.store import Store
from llmesr.views.cache import evidence
from llmesr.views.compare import splits

CUTS = SplitConfig(kind="temporal", valid_from=0.5, test_from=0.7)


@pytest.fixture
def shop(store: Store) -> Dataset:
    """A dataset with two methods of one seed each; llm-esr was still improving when its training ended."""
    made = make_dataset(store, users=200, items=50)
    make_run(store, made, "popularity")
    make_run(store, made, "id")
    run = make_run(store, made, "llm-esr", tail_skill=3.0)
    run.finish(run.status(), {}, {"best_epoch": 12, "epochs": 12})
    return made


def said(app: AppTest) -> str:
    kinds = (app.markdown, app.info, app.warning, app.caption)
    return "\n".join(str(e.value).replace("\\", "").replace("\u2060", "") for kind in kinds for e in kind)


def buttons(app: AppTest) -> dict[str, str]:
    return {str(b.label): str(b.key) for b in app.button}


def test_remedies_are_buttons_that_queue_exactly_those_runs(
    store: Store, shop: Dataset, visit: Visit, started: list[Job]
) -> None:
    app = visit("compare", dataset=shop.id, compare="id/sasrec", against="id/sasrec")
    app.multiselect(key="pick.compare").set_value(["id/sasrec", "llm-esr/sasrec"]).run()
    there = buttons(app)
    (longer,) = [label for label in there if label.endswith("to convergence")]
    assert longer == "Train llm-esr/sasrec to convergence"
    app.button(key=there[longer]).click().run()
    assert not app.exception
    (step,) = started[0].record.steps
    assert (step.verb, step.arguments[0]) == ("train", shop.id)
    assert {"epochs=200"} <= set(step.arguments)
    assert longer not in buttons(app)  # it is under way, and its progress stands in place of the button

    (seeds,) = [label for label in buttons(app) if label.startswith("Add 2 seeds")]
    app.button(key=buttons(app)[seeds]).click().run()
    (job,) = [j for j in Jobs(store).list() if j.label == f"{seeds} (43 and 44)"]
    given = sorted(a for s in job.record.steps for a in s.arguments if a.startswith("seed="))
    assert given == ["seed=43", "seed=43", "seed=44", "seed=44"]


def test_defend_lists_what_is_missing_and_queues_it(
    store: Store, shop: Dataset, visit: Visit, started: list[Job]
) -> None:
    app = visit("compare", dataset=shop.id, view="defend", against="id/sasrec", claim="llm-esr/sasrec")
    assert not app.exception
    assert "llm-esr/sasrec against id/sasrec" in said(app)
    assert "It lacks" in said(app)
    assert "llm-esr/sasrec under a temporal split" in said(app)
    app.button(key="claim.defend").click().run()
    assert not app.exception
    (job,) = started
    assert job.label == "Defend llm-esr/sasrec against id/sasrec"
    verbs = [s.verb for s in job.record.steps]
    assert verbs.count("split") == 1
    assert verbs.index("split") < len(verbs) - 1
    assert "claim.defend" not in buttons(app).values()


def test_defend_opens_from_the_verdict(shop: Dataset, visit: Visit) -> None:
    app = visit("compare", dataset=shop.id)
    app.button(key="defend").click().run()
    assert not app.exception
    assert app.segmented_control(key="pick.view").value == "defend"


def test_a_split_without_a_common_method_is_named_and_the_others_are_shown(
    store: Store, shop: Dataset, visit: Visit
) -> None:
    later, early = (resplit(shop, CUTS.but(valid_from=share), store) for share in (0.5, 0.4))
    make_run(store, later, "popularity")
    make_run(store, early, "semantic-knn")
    app = visit("compare", dataset=shop.id, view="splits")
    assert not app.exception
    assert "Not shown, as no method is common to it and the others: temporal" in said(app)
    table = next(d.value for d in app.dataframe if "method" in d.value.columns)
    assert set(table["method"]) == {"popularity"}


def test_splits_says_who_changes_places(
    store: Store, shop: Dataset, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = resplit(shop, CUTS, store)
    make_run(store, later, "popularity", head_skill=3.0, tail_skill=3.0)
    make_run(store, later, "id", head_skill=-2.0, tail_skill=-2.0)
    app = visit("compare", dataset=shop.id, view="splits")
    assert "Too little data to compare the orders" in said(app)
    monkeypatch.setattr(splits, "FEW_USERS", 1)
    app.run()
    assert not app.exception
    assert "1 of 1 pair changes places" in said(app).replace("**", "")
    table = next(d.value for d in app.dataframe if "method" in d.value.columns)
    assert set(table["method"]) == {"popularity", "id"}
    assert list(table.filter(like="place").iloc[:, 1]) in ([1, 2], [2, 1])
    assert "Not settled under temporal" in said(app)  # one seed of id there
    assert "but that is not settled" in said(app)
    assert "Train 1 run under a temporal split" in buttons(app)  # llm-esr is not there yet


def test_splits_of_data_without_a_temporal_split_offers_to_make_it(
    store: Store, shop: Dataset, visit: Visit, started: list[Job]
) -> None:
    app = visit("compare", dataset=shop.id, view="splits")
    app.button(key="splits.train").click().run()
    assert not app.exception
    (job,) = started
    assert [s.verb for s in job.record.steps] == ["split", "train", "train", "train"]


def test_an_order_cannot_be_split_in_time(store: Store, shop: Dataset, visit: Visit) -> None:
    with store.changing("datasets", shop.id) as manifest:
        manifest.info["time"] = "order"
    app = visit("compare", dataset=shop.id, view="splits")
    assert "has only an order" in said(app)
    assert "splits.train" not in buttons(app).values()


def test_a_pair_has_one_p_wherever_it_stands(shop: Dataset, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[Verdict] = []

    def verdicts(tested: pd.DataFrame, *more: Any) -> list[Verdict]:
        judged.extend(made := real(tested, *more))
        return made

    def answers(page: str, **query: str) -> set[tuple[str, float]]:
        judged.clear()
        assert not visit(page, dataset=shop.id, **query).exception
        return {(a.group, a.p) for v in judged for a in v.answers if v.run.startswith("llm-esr")}

    real = verdict.verdicts
    monkeypatch.setattr(evidence, "verdicts", verdicts)
    overview = answers("overview")
    assert len(overview) >= 5
    assert overview == answers("story", step="4") == answers("compare")
