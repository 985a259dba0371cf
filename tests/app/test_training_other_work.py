"""What else the Training page begins: fine-tuning a text model, contests for the best, blends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from app_pages import healthy, texts
from factories import make_dataset, make_embedding, make_run
from streamlit.testing.v1 import AppTest

from llmesr.config import FinetuneConfig
from llmesr.data.dataset import Dataset
from llmesr.jobs.record import Job
from llmesr.runs.finetune import Finetune
from llmesr.store import Store
from llmesr.views.shared.words import as_text


@pytest.fixture
def shop(store: Store) -> Any:
    return make_dataset(store)


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
    assert "adapter={adapter}" in read.command  # and reads as far as the adapter was tuned, by itself
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


@pytest.mark.parametrize("more", [[], ["--trees"]])
def test_runs_of_ones_choice_are_blended(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, started: list[Job], more: list[str]
) -> None:
    made = [make_run(store, shop, m) for m in ("ease", "id")]
    app = visit("training", part="best")
    app.multiselect(key="pick.blend").set_value([r.id for r in made]).run()
    app.toggle(key="trees").set_value(bool(more)).run()
    next(b for b in app.button if b.label == "Blend").click().run()
    command = started[0].record.steps[0].command
    assert command == ["blend", *(r.id for r in made), *more, "--json"]


def test_a_visitor_fine_tunes_only_models_the_operator_allows(
    visit: Callable[..., AppTest], shop: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tune_field(healthy(visit("training", part="tune")), "base").options == ["minilm"]
    monkeypatch.setenv("LLMESR_MODELS", "hf:some/model")
    assert tune_field(healthy(visit("training", part="tune")), "base").options == ["minilm", "hf:some/model"]
    monkeypatch.setenv("LLMESR_MODELS", "*")
    app = healthy(visit("training", part="tune"))
    assert not hasattr(tune_field(app, "base"), "options")  # a text to write
