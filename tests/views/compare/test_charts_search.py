"""The chart of a search shows the values it is given, and no point for a trial that has none."""

from __future__ import annotations

import pandas as pd
import pytest

from llmesr.views.compare.search_charts import trials_chart
from llmesr.views.shared.theme import Mode


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_points_by_state_and_the_best_so_far(mode: Mode) -> None:
    trials = pd.DataFrame(
        {
            "trial": [1, 2, 3],
            "state": ["complete", "pruned", "failed"],
            "value": [0.2, 0.1, float("nan")],
            "best": [0.2, 0.2, 0.2],
            "loss": ["ce", "<b>bce</b>", "ce"],
        }
    )
    figure = trials_chart(trials, ["loss"], "Overall NDCG@10", mode)
    traces = {t.name: t for t in figure.data}
    assert set(traces) == {"best so far", "complete", "pruned"}
    assert list(traces["best so far"].y) == [0.2, 0.2, 0.2]
    assert (list(traces["pruned"].x), list(traces["pruned"].y)) == ([2], [0.1])
    assert traces["pruned"].text[0] == "loss &lt;b&gt;bce&lt;/b&gt;"
    assert figure.layout.yaxis.title.text == "Overall NDCG@10 on validation"
