"""The curves of a fitted policy as a chart."""

from __future__ import annotations

import pytest

from llmesr.scoring.weights import PopularityWeights
from llmesr.views.compare.scoring_charts import weights_chart, weights_frame
from llmesr.views.shared import theme
from llmesr.views.shared.theme import Mode

WEIGHTS = PopularityWeights(
    counts=(0, 9, 99),
    collaborative=(0.2, 0.7, 1.1),
    semantic=(0.0, 0.0, 0.0),
    content=(2.0, 1.0, 0.5),
    linear=(0.1, 0.4, 0.9),
    bias=(0.3, 0.0, -0.8),
)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_each_part_with_a_weight_is_a_line_over_popularity(mode: Mode) -> None:
    figure = weights_chart(WEIGHTS, 20, mode)
    lines = {trace.name: trace for trace in figure.data}
    assert list(lines) == ["collaborative", "content", "linear"]
    assert list(lines["content"].x) == [1, 10, 100]
    assert list(lines["content"].y) == [2.0, 1.0, 0.5]
    assert lines["linear"].line.color == theme.PARTS[mode]["linear"]
    assert list(figure.layout.xaxis.ticktext) == ["0", "9", "99"]
    assert [(s.x0, s.x1) for s in figure.layout.shapes] == [(1, 21)]
    assert [(a.text, a.x) for a in figure.layout.annotations] == [("tail items", 0.0)]  # the logarithm of 1
    assert not weights_chart(WEIGHTS, 500, mode).layout.shapes  # all of them are tail items


def test_the_table_has_every_curve_and_the_bias() -> None:
    frame = weights_frame(WEIGHTS)
    assert frame["Training interactions"].tolist() == [0, 9, 99]
    assert frame["bias"].tolist() == [0.3, 0.0, -0.8]
    assert frame["semantic"].tolist() == [0.0] * 3
