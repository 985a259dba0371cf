"""Colours: contrast on the page, and distinguishable under the three common colour-vision deficiencies."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from llmesr.config import EVERY_GROUP, RunConfig
from llmesr.views.compare.trade_off_charts import outcome_chart
from llmesr.views.embeddings.colouring import CATEGORY_COLOURS
from llmesr.views.shared import theme
from llmesr.views.shared.theme import Mode

MODES: tuple[Mode, ...] = ("light", "dark")

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
DEFICIENCIES = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
DISTANCE = 0.06
"""OKLab distance; about three times the step at which two patches side by side stop looking the same."""


def linear(color: str) -> np.ndarray:
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    to_lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.asarray(np.array(to_lab) @ np.cbrt(np.array(to_lms) @ rgb))


def contrast(one: str, other: str) -> float:
    first, second = (float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)


def test_contrast_is_the_one_of_the_guideline() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_text_reads_on_both_backgrounds(mode: Mode) -> None:
    surface = theme.SURFACE[mode]
    texts = [surface["text"], surface["muted"], surface["primary"], *theme.SEMANTIC[mode].values()]
    for color, ground in itertools.product(texts, (surface["background"], surface["panel"])):
        assert contrast(color, ground) >= 4.5, (color, ground)


@pytest.mark.parametrize("mode", MODES)
def test_marks_stand_out_from_the_page(mode: Mode) -> None:
    palettes = (theme.METHODS, theme.GROUP_COLORS, theme.PARTS, theme.SEMANTIC)
    colors = [color for palette in palettes for color in palette[mode].values()]
    colors += [str(color) for _, color in theme.POINT_SCALE[mode]]
    colors += CATEGORY_COLOURS[mode]
    colors.append(theme.SURFACE[mode]["muted"])  # whiskers, the line at zero, what was missed
    assert [c for c in colors if contrast(c, theme.SURFACE[mode]["background"]) < 3] == []


@pytest.mark.parametrize("mode", MODES)
def test_what_is_fainter_than_a_mark_carries_no_value(mode: Mode) -> None:
    """Frames, grid lines and panels: numbers stand beside the lines, and words in the frames. Bars in the colour of
    frames carry their number, and lie between bars that stand out from them."""
    surface = theme.SURFACE[mode]
    faint = {name for name, color in surface.items() if 1 < contrast(color, surface["background"]) < 3}
    assert faint == {"panel", "border", "grid"}
    assert contrast(surface["text"], surface["border"]) >= 4.5
    for beside in (theme.SEMANTIC[mode]["good"], surface["muted"]):
        assert contrast(surface["border"], beside) >= 3


@pytest.mark.parametrize("mode", MODES)
def test_a_number_in_a_bar_reads_and_the_parts_of_a_bar_are_apart(mode: Mode) -> None:
    rows = pd.DataFrame({"group": ["Overall"], "gained": 0.2, "same": 0.3, "missed": 0.4, "lost": 0.1, "users": 90})
    bars = outcome_chart(rows, "one", "other", "Cut.", mode).data
    assert len(bars) == 4
    for bar in bars:
        assert contrast(bar.insidetextfont.color, bar.marker.color) >= 4.5
        assert bar.marker.line.width >= 1
        assert bar.marker.line.color == theme.SURFACE[mode]["background"]


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("palette", ["METHODS", "GROUP_COLORS", "PARTS"])
@pytest.mark.parametrize("mode", MODES)
def test_colours_stay_apart_under_every_common_deficiency(mode: Mode, palette: str, deficiency: str) -> None:
    matrix = np.array(DEFICIENCIES[deficiency])
    seen = {k: oklab(np.clip(matrix @ linear(c), 0, 1)) for k, c in getattr(theme, palette)[mode].items()}
    for (a, one), (b, other) in itertools.combinations(seen.items(), 2):
        assert np.linalg.norm(one - other) >= DISTANCE, (a, b)


def test_the_simulation_can_fail() -> None:
    """Red and green of equal lightness merge for a deuteranope, so the check above means something."""
    matrix = np.array(DEFICIENCIES["deuteranopia"])
    red, green = (oklab(np.clip(matrix @ linear(c), 0, 1)) for c in ("#c06a50", "#8a8a50"))
    assert np.linalg.norm(red - green) < DISTANCE


def test_every_method_and_group_has_its_own_colour_and_marker() -> None:
    methods = set(get_args(RunConfig.model_fields["method"].annotation))
    assert set(theme.SYMBOLS) == methods
    assert len(set(theme.SYMBOLS.values())) == len(methods)
    for mode in MODES:
        assert set(theme.METHODS[mode]) == methods
        assert set(theme.GROUP_COLORS[mode]) == set(EVERY_GROUP)


def test_streamlit_uses_the_same_surface() -> None:
    config = tomllib.loads((Path(theme.__file__).parents[3] / ".streamlit" / "config.toml").read_text())
    names = {
        "primaryColor": "primary",
        "backgroundColor": "background",
        "secondaryBackgroundColor": "panel",
        "textColor": "text",
        "borderColor": "border",
    }
    for mode in MODES:
        for option, name in names.items():
            assert config["theme"][mode][option] == theme.SURFACE[mode][name]
    assert config["client"]["showErrorDetails"] == "none"


def test_labels_are_drawn_by_method_and_backbone() -> None:
    assert theme.method_color("llm-esr/gru4rec") == theme.method_color("llm-esr") == theme.METHODS["light"]["llm-esr"]
    assert theme.dash("llm-esr/gru4rec") == "dot"
    assert theme.dash("popularity") == "solid"
    assert theme.group_color("Tail User x Head Item") == theme.GROUP_COLORS["light"]["Head Item"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (theme.metric(0.42349), "0.423"),
        (theme.metric(float("nan")), "–"),
        (theme.signed(-0.0124), "−0.012"),
        (theme.percent(0.4321), "43%"),
        (theme.count(1234567), "1,234,567"),
        (theme.duration(8.2), "8 s"),
        (theme.duration(125), "2 min 05 s"),
        (theme.duration(4800), "1 h 20 min"),
        (theme.date("2025-01-31T14:05:59.1+00:00"), "2025-01-31 14:05 UTC"),
    ],
)
def test_numbers_have_one_format(text: str, wanted: str) -> None:
    assert text == wanted


@pytest.mark.parametrize("mode", MODES)
def test_numbers_beside_a_mark_that_was_clicked_stay_readable(mode: Mode) -> None:
    (drawn,) = theme.template(mode).data.scatter
    faded = drawn.unselected.textfont.color
    assert contrast(faded, theme.SURFACE[mode]["background"]) >= 4.5
    assert drawn.unselected.marker.opacity < 1
