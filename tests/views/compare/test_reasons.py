"""The report says what each configuration recommends to one user, and because of what."""

from __future__ import annotations

import numpy as np
import pytest
from factories import make_embedding, make_run

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.evaluation.contenders import contenders
from llmesr.store import Store
from llmesr.training.train import train
from llmesr.views.cache.kept import clear
from llmesr.views.compare.reasons import SHOWN, example, history_line, reasons


@pytest.fixture(autouse=True)
def no_caches() -> None:
    clear()


def test_the_example_has_a_history_of_median_length(tiny: Dataset) -> None:
    user = example(tiny)
    assert user is not None
    lengths = np.asarray(tiny.lengths)[tiny.split.users("test")]
    assert (lengths < tiny.lengths[user]).sum() <= len(lengths) / 2 <= (lengths <= tiny.lengths[user]).sum()
    assert tiny.user_ids[user] in history_line(tiny)
    newest = str(tiny.catalogue["title"].iloc[int(tiny.history(user)[-1]) - 1])
    assert history_line(tiny).endswith(f"{newest}.")


def test_each_item_has_its_reasons_and_a_run_without_a_model_says_so(store: Store, tiny: Dataset) -> None:
    text = make_embedding(store, tiny)
    solved = train(tiny, RunConfig(method="text-ease"), store, embedding=text)
    bare = make_run(store, tiny, "id")
    table = reasons(store, tiny, contenders([solved, bare]))
    linear = table[table["configuration"] == "text-ease"]
    assert linear["rank"].tolist() == list(range(1, SHOWN + 1))
    assert linear["why"].str.startswith("because of").all()
    assert linear["why"].str.contains("%").all()
    without = table[table["configuration"] == "id/sasrec"]
    assert without["rank"].isna().all()
    assert "no trained model" in without["why"].tolist()[0]
