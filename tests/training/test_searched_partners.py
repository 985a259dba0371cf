"""text-ease on a catalogue that counts as large: partners come from an index of texts, and the run says so."""

from __future__ import annotations

import pandas as pd
import pytest
from factories import make_embedding

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.linear import build
from llmesr.store import Store
from llmesr.training.train import train

pytest.importorskip("faiss")


def test_a_run_says_that_partners_were_searched(tiny: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig.read(None, method="text-ease", solver="local")
    text = make_embedding(store, tiny)
    whole = train(tiny, config, store, embedding=text)
    assert "partners_searched" not in whole.manifest.info
    monkeypatch.setattr(build, "SEARCHED_FROM", 0)
    searched = train(tiny, config, store, embedding=text)
    said = searched.manifest.info["partners_searched"]
    assert said["nearest_texts"] == 64
    assert said["recall"] > 0.9
    columns = ["user", "target", "candidates"]
    pd.testing.assert_frame_equal(searched.per_user()[columns], whole.per_user()[columns])
