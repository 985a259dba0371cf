"""Settings: one name each, errors in sentences."""

from pathlib import Path
from typing import Any, get_args

import pytest

from llmesr.config import (
    NEEDS_TEXT,
    EmbedConfig,
    FinetuneConfig,
    IngestConfig,
    MethodName,
    RunConfig,
    check_given,
    parse_overrides,
    preset,
    reads,
    settings_read,
    unread_settings,
)
from llmesr.config.needs import needs_reference, needs_text
from llmesr.errors import UserError


def test_unknown_key_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"Unknown setting 'epoch'\. Known: .*epochs"):
        RunConfig.read(None, epoch=3)


def test_a_bad_value_names_key_and_value() -> None:
    with pytest.raises(UserError, match="'dropout' = 1.5 is not valid"):
        RunConfig.read(None, dropout=1.5)
    with pytest.raises(UserError, match="heads 3 must divide"):
        RunConfig.read(None, heads=3)
    with pytest.raises(UserError, match="at least one"):
        RunConfig.read(None, collaborative_view=False, semantic_view=False)
    for values in ({"method": "llmemb"}, {"method": "llm-esr", "collaborative_view": False}):
        with pytest.raises(UserError, match="graph_steps spread a start"):
            RunConfig.read(None, graph_steps=1, **values)


def test_file_is_overlaid_with_values(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("epochs: 7\ndropout: 0.4\n")
    config = RunConfig.read(file, epochs=9)
    assert (config.epochs, config.dropout) == (9, 0.4)
    file.write_text("- a list")
    with pytest.raises(UserError, match="must be a mapping"):
        RunConfig.read(file)


def test_overrides_keep_words_words() -> None:
    assert parse_overrides(["distillation=off", "epochs=3", "causal=false"]) == {
        "distillation": "off",
        "epochs": 3,
        "causal": False,
    }
    with pytest.raises(UserError, match="key=value"):
        parse_overrides(["epochs"])


def test_paper_preset_follows_the_backbone() -> None:
    assert "targets" not in preset("paper", "sasrec")
    assert preset("paper", "gru4rec")["targets"] == "last"
    with pytest.raises(UserError, match="no preset 'papers'"):
        preset("papers", "sasrec")


def test_settings_a_method_does_not_look_at_are_told() -> None:
    config = RunConfig(method="id", backbone="gru4rec")
    assert unread_settings(config, {"fusion": "none", "heads": 1, "epochs": 3}) == ["fusion", "heads"]
    assert reads("mask_ratio", "id", "bert4rec")
    assert not reads("mask_ratio", "id", "sasrec")
    assert not reads("epochs", "popularity", "sasrec")


@pytest.mark.parametrize(
    ("given", "needed", "then"),
    [
        ({"negatives": 500}, "loss=sampled, bce or gbce", {"loss": "bce"}),
        ({"popular_negatives": 0.5}, "loss=sampled", {"loss": "sampled"}),
        ({"calibration": 0.1, "loss": "bce"}, "loss=gbce", {"loss": "gbce"}),
        ({"teacher_items": 9}, "a teacher", {"teacher": "a-run"}),
        ({"teacher_weight": 2.0}, "a teacher", {"teacher": "a-run"}),
        (
            {"method": "llm-esr", "fusion": "residual", "collaborative_view": False},
            "both",
            {"collaborative_view": True},
        ),
        ({"method": "llmemb", "alignment_weight": 5.0, "adapter": False}, "are learned", {"freeze_text": False}),
    ],
)
def test_a_setting_that_would_do_nothing_is_told(given: dict[str, Any], needed: str, then: dict[str, Any]) -> None:
    given = {"method": "id", **given}
    config = RunConfig.read(None, **given)  # one that is stored so is still read
    with pytest.raises(UserError, match=f"does nothing here: it needs .*{needed}"):
        check_given(config, given)
    check_given(config, given, varied=then)  # a search that tries that as well
    check_given(RunConfig.read(None, **{**given, **then}), {**given, **then})
    idle = set(given) - set(settings_read(config.model_dump()))
    assert len(idle) == 1
    assert idle <= set(settings_read({**config.model_dump(), **then}))


def test_what_is_switched_off_may_be_said() -> None:
    off: dict[str, Any] = {"popular_negatives": 0.0, "negatives": None, "teacher_weight": 0.0}
    check_given(RunConfig.read(None, method="id", **off), off)
    one_view: dict[str, Any] = {"method": "llm-esr", "semantic_view": False, "fusion": "none"}
    check_given(RunConfig.read(None, **one_view), one_view)


def test_frozen_items_are_aligned_to_nothing() -> None:
    frozen = RunConfig(method="llmemb", adapter=False)
    assert not needs_reference(frozen)
    assert needs_reference(frozen.but(freeze_text=False))
    assert needs_reference(RunConfig(method="llmemb"))


@pytest.mark.parametrize("kind", [RunConfig, EmbedConfig, IngestConfig, FinetuneConfig])
def test_every_setting_has_help(kind: type) -> None:
    fields = kind.model_fields  # type: ignore[attr-defined]
    assert [n for n, f in fields.items() if not f.description and n not in ("seed",)] == []


def test_configs_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("text", [",", ";", "|", "::", '"', "'", "~~", "%d.%m.%Y", "%Y-%m-%d %H:%M"])
def test_overrides_keep_punctuation_as_it_is(text: str) -> None:
    assert parse_overrides([f"delimiter={text}"]) == {"delimiter": text}


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Half a kilobyte of YAML that stands for 9**9 letters."""


@pytest.mark.parametrize(
    "content", [LAUGHS, "epochs: &e 3\nseed: *e\n", "[" * 20_000, "a: 2024-99-99\n", "epochs: " + "9" * 5000, "- 1\n"]
)
def test_a_hostile_file_of_settings_is_a_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(content)
    with pytest.raises(UserError, match=r"run\.yaml"):
        RunConfig.read(tmp_path / "run.yaml")


def test_an_alias_on_the_command_line_is_text() -> None:
    assert parse_overrides(["name=[&a [x, x], *a, *a]"]) == {"name": "[&a [x, x], *a, *a]"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "1e999", ".nan"])
def test_no_setting_is_infinite(value: object) -> None:
    for setting in ("learning_rate", "ridge", "epochs", "balance_weight"):
        with pytest.raises(UserError, match=f"'{setting}' = .* is not valid"):
            RunConfig.read(None, method="id", **{setting: value})


def test_no_setting_is_too_large_to_be_counted_with() -> None:
    with pytest.raises(UserError, match="'epochs' = 1000.* is not valid"):
        RunConfig.read(None, epochs=10**30)


@pytest.mark.parametrize("method", get_args(MethodName))
def test_the_list_of_methods_that_read_text_is_what_they_need_by_default(method: MethodName) -> None:
    config = RunConfig(method=method)
    assert needs_text(config) is (method in NEEDS_TEXT)
    assert not needs_text(config.but(item_init="random")) or method != "llm-init"
