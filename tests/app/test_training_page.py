"""The training page: the form from the schema, the launch, the queue, live curves, stop, resume, clone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from app_pages import healthy, metrics, pick, texts
from factories import corrupt, make_dataset, make_embedding, make_run, make_running_run
from streamlit.testing.v1 import AppTest

from llmesr.config import FinetuneConfig, RunConfig, reads
from llmesr.data.dataset import Dataset
from llmesr.evaluation.table import quick_metrics
from llmesr.jobs import plans
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job, write_status
from llmesr.runs.finetune import Finetune
from llmesr.store import Store
from llmesr.views.shared import forms
from llmesr.views.shared.words import as_text


@pytest.fixture
def shop(store: Store) -> Any:
    return make_dataset(store)


def launch(app: AppTest) -> Any:
    next(b for b in app.button if b.label == "Launch").click().run()
    return app


def form_settings(app: AppTest) -> set[str]:
    kinds = (app.number_input, app.selectbox, app.toggle, app.text_input, app.multiselect)
    return {e.key.split(".")[3] for kind in kinds for e in kind if e.key and e.key.startswith("set.")}


def field(app: AppTest, name: str) -> Any:
    for kind in (app.number_input, app.selectbox, app.toggle, app.text_input, app.multiselect):
        for element in kind:
            if element.key and element.key.startswith("set.") and element.key.split(".")[3] == name:
                return element
    raise AssertionError(name)


def test_no_dataset_says_where_to_begin(visit: Callable[..., AppTest]) -> None:
    assert "no dataset yet" in texts(healthy(visit("training")))


@pytest.mark.parametrize(
    ("method", "backbone"),
    [
        ("id", "sasrec"),
        ("llm-esr", "gru4rec"),
        ("llmemb", "bert4rec"),
        ("language", "sasrec"),
        ("generative", "gru4rec"),
    ],
)
def test_the_form_offers_exactly_what_the_method_reads(
    visit: Callable[..., AppTest], shop: Dataset, method: str, backbone: str
) -> None:
    app = healthy(visit("training", method=method, backbone=backbone))
    wanted = {n for n in RunConfig.model_fields if n not in ("method", "backbone") and reads(n, method, backbone)}
    assert form_settings(app) == wanted
    assert field(app, "learning_rate").help == RunConfig.model_fields["learning_rate"].description


def test_an_untrained_method_has_no_settings(visit: Callable[..., AppTest], shop: Dataset, started: list[Job]) -> None:
    app = healthy(visit("training", method="popularity"))
    assert form_settings(app) == set()
    launch(app)
    command = started[0].record.steps[0].command
    assert command[:4] == ["train", shop.id, "--method", "popularity"]
    assert "--backbone" not in command


def test_launch_submits_what_was_changed_and_only_that(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, started: list[Job]
) -> None:
    embedding = make_embedding(store, shop)
    app = visit("training", method="llm-esr")
    field(app, "epochs").set_value(7).run()
    field(app, "shared_encoder").set_value(False).run()
    assert "epochs=7" in app.code[0].value
    launch(app)
    healthy(app)
    (job,) = started
    (step,) = job.record.steps
    sets = [step.command[i + 1] for i, word in enumerate(step.command) if word == "--set"]
    assert sets == ["epochs=7", "shared_encoder=false"]
    assert step.command[step.command.index("--embedding") + 1] == embedding.id
    assert step.run == step.command[step.command.index("--run-id") + 1]
    assert set(job.record.parents) == {f"datasets/{shop.id}", f"embeddings/{embedding.id}"}
    assert app.query_params["part"] in ("watch", ["watch"])


def test_the_submitted_settings_are_read_back_by_the_command(
    visit: Callable[..., AppTest], shop: Dataset, started: list[Job]
) -> None:
    from llmesr.config import parse_overrides

    app = visit("training", method="id")
    field(app, "learning_rate").set_value(0.0005).run()
    field(app, "loss").set_value("gbce").run()
    field(app, "negatives").set_value(16).run()
    launch(app)
    command = started[0].record.steps[0].command
    values = parse_overrides([command[i + 1] for i, word in enumerate(command) if word == "--set"])
    config = RunConfig.read(None, method="id", **values)
    assert (config.learning_rate, config.loss, config.negatives) == (0.0005, "gbce", 16)


def test_without_vectors_the_text_is_read_first(
    visit: Callable[..., AppTest], shop: Dataset, started: list[Job]
) -> None:
    launch(visit("training", method="llm-init"))
    steps = started[0].record.steps
    assert [s.command[0] for s in steps] == ["embed", "train"]
    assert "{embedding}" in steps[1].command


def test_several_seeds_are_several_runs(visit: Callable[..., AppTest], shop: Dataset, started: list[Job]) -> None:
    app = visit("training", method="id")
    pick(app, "train.repeats").set_value(3).run()
    launch(app)
    commands = [s.command for s in started[0].record.steps]
    assert [c[c.index("--set") + 1] for c in commands] == ["seed=42", "seed=43", "seed=44"]
    assert len({s.run for s in started[0].record.steps}) == 3


def test_further_views_are_other_embeddings_than_the_text(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, started: list[Job]
) -> None:
    pictures = make_embedding(store, shop, id="shop-pictures")
    text = make_embedding(store, shop, id="shop-text")
    app = visit("training", method="llm-esr", embedding=text.id)
    assert field(app, "views").options == [pictures.id]
    field(app, "views").set_value([pictures.id]).run()
    launch(healthy(app))
    (job,) = started
    command = job.record.steps[0].command
    assert f'views=["{pictures.id}"]' in command
    assert f"embeddings/{pictures.id}" in job.record.parents
    assert "views" not in form_settings(visit("training", method="id"))


def test_search_submits_its_trials_with_what_was_changed_held(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, started: list[Job]
) -> None:
    from llmesr.config import SearchConfig
    from llmesr.training.search import settled

    embedding = make_embedding(store, shop)
    app = visit("training", method="llm-esr", goal="search")
    assert "learning rate (0.0003 to 0.005)" in texts(app)
    assert "dropout (0.1 to 0.6)" in texts(app)
    field(app, "dropout").set_value(0.4).run()
    field(app, "epochs").set_value(7).run()
    pick(app, "search.trials").set_value(6).run()
    pick(app, "search.objective").set_value("Tail Item").run()
    assert "dropout (0.1 to 0.6)" not in texts(healthy(app))
    assert not [n for n in app.number_input if n.key == "train.repeats"]
    launch(app)
    (job,) = started
    (step,) = job.record.steps
    assert step.command[:6] == ["search", shop.id, "--method", "llm-esr", "--backbone", "sasrec"]
    assert step.command[6:10] == ["--trials", "6", "--objective", "Tail Item"]
    sets = [step.command[i + 1] for i, word in enumerate(step.command) if word == "--set"]
    assert sets == ["epochs=7", "dropout=0.4"] or sorted(sets) == ["dropout=0.4", "epochs=7"]
    assert step.command[step.command.index("--embedding") + 1] == embedding.id
    assert job.runs == []  # its runs are the search's
    assert app.query_params["part"] in ("queue", ["queue"])
    held = SearchConfig(fixed={"method": "llm-esr", "dropout": 0.4})
    assert "dropout" not in settled(held).space


def test_a_search_counts_as_its_trials_in_the_estimate(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    make_run(store, shop, "id", epochs=12)
    app = visit("training", method="id", goal="search")
    field(app, "epochs").set_value(30).run()
    assert "at most 10 min" in texts(app)  # 20 trials of 30 epochs of one second


def test_the_paper_preset_is_passed_by_name(visit: Callable[..., AppTest], shop: Dataset, started: list[Job]) -> None:
    app = visit("training", method="id", preset="paper")
    assert field(app, "max_length").value == 200
    launch(app)
    command = started[0].record.steps[0].command
    assert command[command.index("--preset") + 1] == "paper"
    assert "--set" not in command


def test_an_impossible_setting_is_a_sentence(visit: Callable[..., AppTest], shop: Dataset) -> None:
    app = visit("training", method="id")
    field(app, "heads").set_value(3).run()
    assert not app.exception
    assert "must divide" in app.error[0].value
    assert not [b for b in app.button if b.label == "Launch"]


def test_two_launches_queue(visit: Callable[..., AppTest], store: Store, shop: Dataset, started: list[Job]) -> None:
    launch(visit("training", method="id"))
    app = launch(visit("training", method="popularity"))
    assert [j.state for j in sorted(Jobs(store).list(), key=lambda j: j.status.queued)] == ["RUNNING", "PENDING"]
    assert len(started) == 1
    assert "waiting" in texts(healthy(app))
    queue = healthy(visit("training", part="queue"))
    assert sum(b.label == "Stop" for b in queue.button) == 2


def test_the_estimate_is_measured_on_earlier_runs(visit: Callable[..., AppTest], store: Store, shop: Dataset) -> None:
    assert "A guess" in texts(visit("training", method="id"))
    make_run(store, shop, "id", epochs=12)
    app = visit("training", method="id")
    assert "Measured on 1 id/sasrec run on this machine." in texts(app)
    assert "at most 1 min 40 s" in texts(app)  # 100 epochs of one second, as in the run


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


def test_clone_fills_the_form(visit: Callable[..., AppTest], store: Store, shop: Dataset) -> None:
    run = make_run(store, shop, "id", "gru4rec", 44, learning_rate=0.01)
    app = visit("training", part="watch", run=run.id)
    next(b for b in app.button if b.label == "Clone these settings").click().run()
    healthy(app)
    assert pick(app, "pick.method").value == "id"
    assert pick(app, "pick.backbone").value == "gru4rec"
    assert field(app, "learning_rate").value == 0.01
    assert field(app, "seed").value == 44


def test_a_damaged_run_does_not_hide_the_form(visit: Callable[..., AppTest], store: Store, shop: Dataset) -> None:
    run = make_run(store, shop, "id")
    corrupt(store, "runs", run.id)
    app = healthy(visit("training"))
    assert any("damaged" in e.label for e in app.expander)
    assert [b for b in app.button if b.label == "Launch"]


def test_every_setting_has_a_help_text_and_a_place() -> None:
    schema = forms.settings(RunConfig)
    assert all(s.help for s in schema.values())
    placed = {*forms.BASIC, *(n for names in forms.GROUPS.values() for n in names), "method", "backbone"}
    assert set(schema) == placed


def tune_field(app: AppTest, name: str) -> Any:
    kinds = (app.number_input, app.selectbox, app.toggle, app.text_input)
    return next(e for kind in kinds for e in kind if e.key == f"tune.{name}")


def test_fine_tuning_is_launched_with_the_reading_that_follows(
    visit: Callable[..., AppTest], shop: Dataset, started: list[Job]
) -> None:
    app = healthy(visit("training", part="tune"))
    assert "A guess for two processor cores" in texts(app)
    tune_field(app, "steps").set_value(40).run()
    tune_field(app, "max_tokens").set_value(64).run()
    next(b for b in app.button if b.label == "Fine-tune").click().run()
    healthy(app)
    (job,) = started
    tune, read = job.record.steps
    sets = [tune.command[i + 1] for i, word in enumerate(tune.command) if word == "--set"]
    assert sorted(sets) == ["max_tokens=64", "steps=40"]
    assert (tune.makes, tune.saves, job.runs) == ("adapters", "adapter", [])
    assert f"adapters/{tune.run}" in job.artifacts
    assert read.command[0] == "embed"
    assert {"adapter={adapter}", "max_tokens=64"} <= set(read.command)
    assert job.record.label == f"Fine-tune on {shop.name}"
    assert any(b.key == f"job.stop.{job.id}" for b in app.button)


def test_a_finished_tuning_shows_what_it_did(visit: Callable[..., AppTest], store: Store, shop: Dataset) -> None:
    config = FinetuneConfig(steps=8, batch_size=4)
    tuning = Finetune.create(store, config, [shop.manifest], name="shop tuned", device="cpu")
    for step, accuracy in ((0, 0.25), (8, 0.75)):
        tuning.append_event({"step": step, "accuracy": accuracy, "mean_cosine": 0.9 - accuracy, "seconds": 2.0})
    measures = {"mean_cosine": 0.5, "uniformity": -1.0, "alignment": 0.1}
    info: dict[str, Any] = {"before": {"accuracy": 0.25, **measures}, "after": {"accuracy": 0.75, **measures}}
    info |= {"steps": 8, "best_step": 8, "seconds_per_step": 0.5, "prompts_per_second": 16.0}
    tuning.finish(tuning.status().model_copy(update={"state": "SUCCEEDED"}), {"tune": 4.0}, info)
    app = healthy(visit("training", part="tune"))
    frame = next(f.value for f in app.dataframe if "Before" in f.value)
    assert frame.iloc[0].tolist() == ["Retrieval accuracy on held-out items", 0.25, 0.75]
    assert "Measured on 1 fine-tuning run of this model on this machine" in texts(app)
    assert "About 4 s per step" in texts(app)  # 2 x 32 prompts at 16 a second


def test_the_best_is_one_button_with_its_plan(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, started: list[Job]
) -> None:
    make_embedding(store, shop)
    app = healthy(visit("training", part="best"))
    assert "Likely tried" in texts(app)
    assert "text-ease and words" in texts(app)
    next(n for n in app.number_input if n.key == "best.minutes").set_value(3.0).run()
    next(b for b in app.button if b.label == "Find the best").click().run()
    (job,) = started
    (step,) = job.record.steps
    assert step.command[:4] == ["best", shop.id, "--minutes", "3.0"]
    assert step.resume_command == ["best", "--resume", step.run, "--json"]
    assert step.makes == "contests"
    healthy(app)


def test_a_contest_is_shown_with_every_candidate_and_why(visit: Callable[..., AppTest], store: Store) -> None:
    from llmesr.config import BestConfig
    from llmesr.runs.contest import Contest
    from llmesr.runs.live import Status

    shop = make_dataset(store)
    run = make_run(store, shop, "llm-esr")
    contest = Contest.create(store, BestConfig(), [shop.manifest], name="shop best", id="held", device="cpu")
    metrics = {"full/Overall/NDCG@10": 0.12, "uni100/Overall/NDCG@10": 0.34}
    entry = {"candidate": "llm-esr", "state": "judged", "run": run.id, "metrics": metrics, "seconds": 61, "reason": ""}
    late: dict[str, Any] = {
        "candidate": "policy",
        "state": "left out",
        "run": None,
        "metrics": {},
        "seconds": 0,
        "reason": "too long",
    }
    for each in (entry, late):
        contest.append_event(each)
    info = {"run": run.id, "candidate": "llm-esr", "criterion": "Judged on validation.", "shares": {"llm-esr": 1.0}}
    contest.finish(Status(state="SUCCEEDED"), {}, info)
    app = healthy(visit("training", part="best"))
    table = next(d.value for d in app.dataframe if "candidate" in d.value.columns)
    assert table["outcome"].tolist() == ["chosen", "left out: too long"]
    assert table["uni100 NDCG@10"].tolist()[0] == 0.34
    assert f"Best: **{as_text('llm-esr')}**" in "".join(s.value for s in app.success)
    assert as_text("Judged on validation.") in texts(app)


def test_what_a_contest_of_others_says_is_text(visit: Callable[..., AppTest], store: Store) -> None:
    from llmesr.config import BestConfig
    from llmesr.runs.contest import Contest
    from llmesr.runs.live import Status

    alive = "![x](https://evil.example/x.png) :material/home: [go](https://evil.example)"
    shop = make_dataset(store)
    contest = Contest.create(store, BestConfig(), [shop.manifest], name="shop best", id="held", device="cpu")
    entry = {"candidate": alive, "state": "judged", "run": "a", "metrics": {}, "seconds": 61, "reason": alive}
    contest.append_event(entry)
    contest.finish(Status(state="SUCCEEDED"), {}, {"run": "a", "candidate": alive, "criterion": alive, "shares": {}})
    app = healthy(visit("training", part="best"))
    said = texts(app) + "".join(s.value for s in app.success)
    assert said.count(as_text(alive, 600)) >= 2
    assert alive not in said


def test_runs_of_ones_choice_are_blended(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, started: list[Job]
) -> None:
    made = [make_run(store, shop, m) for m in ("ease", "id")]
    app = visit("training", part="best")
    app.multiselect(key="pick.blend").set_value([r.id for r in made]).run()
    next(b for b in app.button if b.label == "Blend").click().run()
    command = started[0].record.steps[0].command
    assert command[:3] == ["blend", *(r.id for r in made)]


def test_a_visitor_fine_tunes_only_models_the_operator_allows(
    visit: Callable[..., AppTest], shop: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tune_field(healthy(visit("training", part="tune")), "base").options == ["minilm"]
    monkeypatch.setenv("LLMESR_MODELS", "hf:some/model")
    assert tune_field(healthy(visit("training", part="tune")), "base").options == ["minilm", "hf:some/model"]
    monkeypatch.setenv("LLMESR_MODELS", "*")
    app = healthy(visit("training", part="tune"))
    assert not hasattr(tune_field(app, "base"), "options")  # a text to write


def test_a_visitor_lets_only_models_the_operator_allows_read_histories(
    visit: Callable[..., AppTest], shop: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = healthy(visit("training", method="language"))
    assert not [box for box in app.selectbox if box.label == "Backbone"]
    field(app, "language_model").set_value("hf:somebody/elses").run()
    assert "does not offer the model" in app.error[0].value
    monkeypatch.setenv("LLMESR_MODELS", "hf:somebody/elses")
    assert not app.run().error


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


def test_a_link_holds_the_settings_of_the_form(visit: Callable[..., AppTest], shop: Dataset) -> None:
    app = visit("training", method="id")
    field(app, "epochs").set_value(7).run()
    assert app.query_params["set"] in ("epochs=7", ["epochs=7"])
    linked = healthy(visit("training", method="id", set="epochs=7"))
    assert field(linked, "epochs").value == 7
    field(linked, "dropout").set_value(0.15).run()
    assert sorted(linked.query_params["set"]) == ["dropout=0.15", "epochs=7"]
    field(linked, "epochs").set_value(100).run()
    assert linked.query_params["set"] in ("dropout=0.15", ["dropout=0.15"])
    assert "cannot be read" in texts(healthy(visit("training", method="id", set="epochs=many")))
