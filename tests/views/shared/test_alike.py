"""What text changes about one and the same model, in a sentence."""

from __future__ import annotations

import pandas as pd

from llmesr.evaluation.contenders import Contender, like_for_like
from llmesr.evaluation.doubts import Doubt
from llmesr.evaluation.verdict import Answer, Outcome, Verdict
from llmesr.views.shared.alike import sentence

CUT = Doubt("undertrained", "serious", ("id/sasrec",), (), {"best_epoch": 15, "epochs": 15, "waited": 0})


def verdict(run: str, baseline: str, outcome: Outcome, *doubts: Doubt) -> Verdict:
    answer = Answer("Tail Item", outcome, 0.1, 0.05, 0.15, 0.001, False, 0.2, 300)
    return Verdict(run, baseline, "HR@10", (answer,), doubts)


def test_each_plain_model_stands_before_those_that_read() -> None:
    tail = {"ease": 0.194, "text-ease": 0.294, "id/sasrec": 0.192, "llm-init/sasrec": 0.253, "llm-esr/sasrec": 0.2}
    rows = [(run, "Tail Item", value) for run, value in tail.items()] + [(run, "Overall", 0.5) for run in tail]
    values = pd.DataFrame(rows, columns=["run", "group", "value"])
    found = [
        verdict("text-ease", "ease", "better"),
        verdict("llm-init/sasrec", "id/sasrec", "better", CUT),
        verdict("llm-esr/sasrec", "id/sasrec", "same"),
    ]
    assert sentence(found, values, "Tail Item", "HR@10") == (
        "The same model without text and with it, in the tail: ease 19.4%, text-ease 29.4% (better); id/sasrec 19.2%, "
        "llm-init/sasrec 25.3% (ahead) and llm-esr/sasrec 20.0% (no clear difference). Ahead is not "
        "settled: id/sasrec was still improving when its 15 epochs ran out."
    )
    assert sentence([], values, "Tail Item", "HR@10") == ""


def test_twins_have_one_backbone_and_are_the_best_on_validation() -> None:
    labels = ["ease", "text-ease", "id/sasrec", "id/gru4rec", "llm-init/sasrec", "llm-esr/gru4rec", "semantic-knn"]
    made = [Contender(label, label, (), ()) for label in labels]
    score = {"id/sasrec": 0.3, "id/gru4rec": 0.2}

    class Quiet(Contender):
        tuned = False

    every = [Quiet(c.name, c.label, (), ()) for c in made]
    pairs = like_for_like(every, lambda c: score.get(c.label, 0.1))
    assert [(a.label, b.label) for a, b in pairs] == [("ease", "text-ease"), ("id/sasrec", "llm-init/sasrec")]
