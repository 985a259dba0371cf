"""One training run: method, backbone, objectives and optimisation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Self

from pydantic import model_validator

from llmesr.config.methods import READ_ONLY_BY, WORDS, method_named, reads
from llmesr.config.run_settings import RunSettings
from llmesr.errors import UserError

DEFAULT_NEGATIVES = {"bce": 1, "gbce": 128, "sampled": 1024}
"""By loss, when ``negatives`` is not set."""


class RunConfig(RunSettings):
    """One training run: method, backbone, objectives and optimisation."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.embedding_size % self.heads:
            raise ValueError(f"heads {self.heads} must divide embedding_size {self.embedding_size}")
        if self.embedding_size % 2 and self.fusion != "none":
            raise ValueError("cross-attention has two heads: embedding_size must be even")
        if not (self.collaborative_view or self.semantic_view):
            raise ValueError("at least one of collaborative_view and semantic_view must stay on")
        if self.views and (self.method not in READ_ONLY_BY["views"] or not self.semantic_view):
            raise ValueError(
                "views stand beside the text: they need method llm-esr with its semantic_view, adapter or text-ease"
            )
        if self.graph_steps and not self._has_start:
            raise ValueError(
                "graph_steps spread a start of trainable item vectors: llmemb has one with adapter=false, llm-esr with "
                "its collaborative_view"
            )
        if WORDS in (self.views or ()) and self.method != "text-ease":
            raise ValueError(f"the view {WORDS} is for text-ease only: {self.method} needs an embedding")
        if self.ranking == "two-stage" and self.base is not None:
            raise ValueError("ranking=two-stage searches the vectors of a model that stands alone: leave out its base")
        if self.fallback == "content" and self.method in READ_ONLY_BY["fallback"] and self.method != "text-ease":
            raise ValueError(f"{self.method} reads no text: its fallback is popularity or none")
        return self

    @model_validator(mode="after")
    def _updates_fit(self) -> Self:
        if self.item_updates in ("sparse", "sharded") and not self.touches_rows:
            raise ValueError(
                f"item_updates={self.item_updates} needs a loss that looks at some items only: loss=sampled, bce or "
                "gbce, no teacher"
            )
        if self.item_updates == "sharded":
            if not self._has_start:
                raise ValueError(
                    "item_updates=sharded spreads a table of item vectors: llmemb has one with adapter=false, llm-esr "
                    "with its collaborative_view"
                )
            whole = {"graph_steps": self.graph_steps, "base": self.base, "ranking=two-stage": self.ranking != "exact"}
            if asked := [name for name, given in whole.items() if given]:
                raise ValueError(
                    "item_updates=sharded leaves no process with all item vectors, which "
                    f"{' and '.join(asked)} would need: choose one or the other"
                )
        return self

    @model_validator(mode="after")
    def _text_fits(self) -> Self:
        if self.text_table != "file" or self.method not in READ_ONLY_BY["text_table"]:
            return self
        if not self.adapts_text:
            raise ValueError(
                "text_table=file is about the text that an adapter reads: llmemb has one with adapter=true, llm-esr "
                "with its semantic_view"
            )
        if not (self.touches_rows and self.freeze_text):
            raise ValueError(
                "text_table=file reads the rows that a step touches, and changes none: it needs freeze_text=true, a "
                "loss that looks at some items only (loss=sampled, bce or gbce), no teacher"
            )
        return self

    @property
    def adapts_text(self) -> bool:
        """Whether the method reads the text of items through an adapter."""
        view = {"llm-esr": self.semantic_view, "llmemb": self.adapter, "adapter": True}
        return view.get(self.method, False)

    @property
    def _has_start(self) -> bool:
        """Whether item vectors of the method are learned from a start of their own."""
        return not (self.method == "llmemb" and self.adapter) and (self.method != "llm-esr" or self.collaborative_view)

    @property
    def touches_rows(self) -> bool:
        """Whether a training step looks at some items only, and not at the whole catalogue."""
        return self.loss != "ce" and not (self.teacher is not None and self.teacher_weight > 0)


class _Need(NamedTuple):
    """What must hold for settings to do anything: ``said`` in a sentence, and decided by the settings ``on``."""

    of: tuple[str, ...]
    on: tuple[str, ...]
    said: str
    met: Callable[..., bool]


_NEEDS = (
    _Need(("negatives",), ("loss",), "loss=sampled, bce or gbce", lambda loss: loss != "ce"),
    _Need(("popular_negatives",), ("loss",), "loss=sampled", lambda loss: loss == "sampled"),
    _Need(("calibration",), ("loss",), "loss=gbce", lambda loss: loss == "gbce"),
    _Need(
        ("teacher_weight", "teacher_items", "teacher_popularity"),
        ("teacher",),
        "a teacher",
        lambda teacher: teacher is not None,
    ),
    _Need(
        ("fusion",),
        ("collaborative_view", "semantic_view"),
        "both collaborative_view and semantic_view",
        lambda collaborative, semantic: collaborative and semantic,
    ),
    _Need(
        ("alignment_loss", "alignment_weight", "alignment_temperature", "alignment_run"),
        ("adapter", "freeze_text"),
        "item vectors that are learned (adapter=true, or freeze_text=false)",
        lambda adapter, freeze_text: adapter or not freeze_text,
    ),
)


def settings_read(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a run's config without the settings it never looks at; what is no setting stays (the source of a
    ranking made elsewhere)."""
    method, backbone = str(values["method"]), str(values["backbone"])
    known, idle = RunConfig.model_fields, idle_settings(values, values)
    return {
        name: value
        for name, value in values.items()
        if name not in known or (reads(name, method, backbone) and name not in idle)
    }


def unread_settings(config: RunConfig, given: Mapping[str, Any]) -> list[str]:
    """Settings somebody gave that the run would not look at, as its method never does."""
    ignorable = ("backbone", "method")
    return [k for k in given if k not in ignorable and not reads(k, config.method, config.backbone)]


def idle_settings(values: Mapping[str, Any], given: Iterable[str], varied: Iterable[str] = ()) -> dict[str, str]:
    """Of the settings ``given`` those that do nothing beside the other ``values``, and what each needs; ``varied`` are
    settings that are not decided yet. Values that are missing are the defaults."""
    usual, asked, open_ = RunConfig.model_fields, set(given), set(varied)
    found: dict[str, str] = {}
    for need in _NEEDS:
        decided = [values.get(name, usual[name].default) for name in need.on]
        if not (need.met(*decided) or open_ & set(need.on)):
            found |= dict.fromkeys((name for name in need.of if name in asked), need.said)
    return found


def check_given(config: RunConfig, given: Mapping[str, Any], varied: Iterable[str] = ()) -> None:
    """UserError when somebody gave a setting that does nothing; what is switched off may be given. ``varied`` are
    settings that trials of a search have in many values."""
    if unread := unread_settings(config, given):
        named = method_named(config.method, config.backbone)
        raise UserError(f"Method {named} does not read {', '.join(unread)}; leave it out.")
    on = [name for name, value in given.items() if value not in (None, 0, "none")]
    for name, needed in idle_settings(config.model_dump(), on, varied).items():
        raise UserError(f"Setting {name!r} does nothing here: it needs {needed}. Set that, or leave {name} out.")
