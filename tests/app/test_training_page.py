"""The training page: the form from the schema, the launch, the queue, live curves, stop, resume, clone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from app_pages import healthy, pick, texts
from factories import corrupt, make_dataset, make_embedding, make_run
from streamlit.testing.v1 import AppTest

from llmesr.config import RunConfig, reads
from llmesr.data.dataset import Dataset
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job
from llmesr.store import Store
from llmesr.views.shared import forms


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
        ("codes", "sasrec"),
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


def test_text_neighbours_are_asked_what_they_compare(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, started: list[Job]
) -> None:
    make_embedding(store, shop)
    app = healthy(visit("training", method="semantic-knn"))
    assert form_settings(app) == {"compared", "whitening", "pooling", "decay", "max_length"}
    launch(field(app, "compared").set_value("words").run())
    command = started[0].record.steps[-1].command
    assert command[:4] == ["train", shop.id, "--method", "semantic-knn"]
    assert command[command.index("--set") + 1] == "compared=words"


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


def test_a_visitor_lets_only_models_the_operator_allows_read_histories(
    visit: Callable[..., AppTest], shop: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = healthy(visit("training", method="language"))
    assert not [box for box in app.selectbox if box.label == "Backbone"]
    field(app, "language_model").set_value("hf:somebody/elses").run()
    assert "does not offer the model" in app.error[0].value
    monkeypatch.setenv("LLMESR_MODELS", "hf:somebody/elses")
    assert not app.run().error


def test_who_comes_back_finds_the_settings_that_were_left(visit: Callable[..., AppTest], shop: Dataset) -> None:
    app = visit("training", method="id")
    field(app, "epochs").set_value(7).run()
    for page in ("datasets", "training"):
        app.query_params.clear()
        app.switch_page(f"pages/{page}.py").run()
    healthy(app)
    assert field(app, "epochs").value == 7
