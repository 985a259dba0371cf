"""The Training page while runs go on and after: curves, jobs, the leaderboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from app_pages import healthy, metrics, pick, texts
from factories import make_dataset, make_run, make_running_run
from streamlit.testing.v1 import AppTest

from llmesr.data.dataset import Dataset
from llmesr.evaluation.table import quick_metrics
from llmesr.jobs import plans
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job, write_status
from llmesr.store import Store


@pytest.fixture
def shop(store: Store) -> Any:
    return make_dataset(store)


def test_a_finished_run_shows_its_curves_as_tables_too(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    run = make_run(store, shop, epochs=12)
    app = healthy(visit("training", part="watch", run=run.id))
    assert metrics(app)["State"] == "done"
    assert metrics(app)["Epoch"] == "12 of 12"
    frame = next(d.value for d in app.dataframe if {"epoch", "Tail Item"} <= set(d.value.columns))
    events = run.events()
    assert frame["Tail Item"].tolist() == events["full/Tail Item/NDCG@10"].tolist()
    assert len(frame) == 12
    uni = healthy(visit("training", part="watch", run=run.id, protocol="uni100"))
    frame = next(d.value for d in uni.dataframe if {"epoch", "Tail Item"} <= set(d.value.columns))
    assert frame["Overall"].tolist() == events["uni100/Overall/NDCG@10"].tolist()


def test_a_running_run_shows_progress_and_can_be_stopped(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, running_job: Callable[..., Job]
) -> None:
    run = make_running_run(store, shop, epoch=3, epochs=20)
    job = running_job("Train llm-esr/sasrec", parents=[f"datasets/{shop.id}"], run=run.id)
    app = healthy(visit("training", part="watch", run=run.id))
    shown = metrics(app)
    assert (shown["State"], shown["Epoch"], shown["Time left (at most)"]) == ("running", "3 of 20", "42 s")
    pick(app, f"job.stop.{job.id}").click().run()
    assert Jobs(store).get(job.id).status.stop_requested
    assert "stopping" in texts(healthy(app))


def test_the_runs_of_an_import_are_watched_before_they_begin(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, started: list[Job]
) -> None:
    """A job that made its dataset does not name it among its parents: only its status does."""
    jobs = Jobs(store)
    job = jobs.submit_steps(plans.good_defaults("{dataset}", "shop"), kind="pipeline", label="Import shop")
    status = jobs.get(job.id).status
    write_status(job.folder, status.model_copy(update={"saved": {"dataset": shop.id}}))
    app = healthy(visit("training", part="watch"))
    assert len(pick(app, "pick.run").options) == len(plans.defended())
    assert "Import shop" in texts(app)


def test_a_stopped_job_is_resumed(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, running_job: Callable[..., Job], started: list[Job]
) -> None:
    run = make_running_run(store, shop)
    job = running_job(run=run.id)
    with_lock = Jobs(store)
    with_lock.end(job, "STOPPED", "Stopped; it can go on where it was.")
    app = healthy(visit("training", part="watch", run=run.id))
    assert metrics(app)["State"] == "stopped"
    pick(app, f"job.resume.{job.id}").click().run()
    assert Jobs(store).get(job.id).state == "RUNNING"
    assert len(started) == 2
    assert "stopped" not in metrics(healthy(app)).values() or Jobs(store).get(job.id).active


def test_a_job_that_was_stopped_before_its_run_began_is_there(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, running_job: Callable[..., Job]
) -> None:
    job = running_job("Train id/sasrec", parents=[f"datasets/{shop.id}"], run="never-begun")
    app = healthy(visit("training", part="watch"))
    assert pick(app, "pick.run").options == ["never-begun (waiting)"]
    Jobs(store).end(job, "STOPPED", "Stopped before it began.")
    app = healthy(visit("training", part="watch", run="never-begun"))
    assert pick(app, "pick.run").options == ["never-begun (stopped before it began)"]
    assert "Train id/sasrec" in texts(app)
    assert "never began" in texts(app)
    assert pick(app, f"job.retry.{job.id}")


def test_a_failed_job_says_why(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, running_job: Callable[..., Job]
) -> None:
    run = make_running_run(store, shop)
    job = running_job(run=run.id)
    Jobs(store).end(job, "FAILED", "The loss became nan in epoch 2. Lower learning_rate.")
    app = visit("training", part="watch", run=run.id)
    assert "Lower learning" in app.error[0].value
    assert metrics(app)["State"] == "failed"


def test_a_selected_job_stays_selected_and_no_other_takes_its_place(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, running_job: Callable[..., Job]
) -> None:
    def chosen(app: AppTest) -> set[str]:
        return {b.key.split(".")[-1] for b in healthy(app).button if str(b.key).startswith("chosen.")}

    first, second, third = (running_job(f"Train {n}") for n in range(3))
    jobs = Jobs(store)
    for job in (first, second):
        write_status(job.folder, job.status.model_copy(update={"state": "STOPPED"}))
    app = visit("training", part="queue", job=second.id)
    assert chosen(app) == {second.id}
    write_status(third.folder, jobs.get(third.id).status.model_copy(update={"state": "SUCCEEDED"}))
    app.run()
    assert chosen(app) == {second.id}, "the rows have moved by one"
    pick(app, f"chosen.resume.{second.id}").click().run()
    assert jobs.get(second.id).active
    assert chosen(app) == set()


def test_the_leaderboard_orders_runs_by_validation_and_leads_to_compare(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    runs = [make_run(store, shop, "popularity"), *(make_run(store, shop, "id", seed=s) for s in (42, 43))]
    waiting = make_running_run(store, shop)
    app = healthy(visit("training", part="watch"))
    board = next(d.value for d in app.dataframe if "configuration" in d.value.columns)
    assert set(board["id"]) == {waiting.id, *(r.id for r in runs)}
    reached = {r.id: quick_metrics(f[f["part"] == "valid"], shop.thresholds) for r in runs for f in [r.per_user()]}
    shown = board.set_index("id")["Overall"]
    assert shown[list(reached)].to_dict() == pytest.approx(reached)
    assert shown.dropna().is_monotonic_decreasing
    assert pd.isna(shown[waiting.id])  # not evaluated yet: no number
    assert board.set_index("id").loc[runs[0].id, "best epoch"] == ""


def test_tags_filter_the_leaderboard_and_archived_runs_are_offered_nowhere(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    kept, put_away = make_run(store, shop, "id"), make_run(store, shop, "llm-esr")
    put_away.remark(archived=True)
    kept.remark(add=["paper"], note="the one we showed")

    def shown(app: AppTest) -> set[str]:
        boards = [d.value for d in healthy(app).dataframe if "configuration" in d.value.columns]
        return {id for board in boards for id in board["id"]}

    app = visit("training", part="watch", dataset=shop.id)
    assert shown(app) == {kept.id}
    assert "llm-esr" not in texts(healthy(visit("compare", dataset=shop.id)))
    pick(app, "board.archived").set_value(True).run()
    assert shown(app) == {kept.id, put_away.id}
    pick(app, "pick.tags").set_value(["paper"]).run()
    assert shown(app) == {kept.id}
    pick(app, "board.find").set_value("nothing like it").run()
    assert shown(app) == set()
    assert "No run has all of that" in texts(app)
