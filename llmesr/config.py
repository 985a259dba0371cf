"""Every knob of the project, as frozen models in which an unknown key is an error.

The field names are the only names: the command line's ``--set key=value``, the YAML files, the
app's forms and the manifests all use them. ``description`` is the help text the app shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llmesr.errors import UserError

MethodName = Literal["popularity", "semantic-knn", "id", "llm-init", "adapter", "llm-esr", "llmemb"]
BackboneName = Literal["sasrec", "bert4rec", "gru4rec"]
Protocol = Literal["full", "uni100"]
GroupName = Literal["Overall", "Tail Item", "Head Item", "Tail User", "Head User"]
GROUPS: tuple[str, ...] = ("Overall", "Tail Item", "Head Item", "Tail User", "Head User")
Objective = Literal["Overall", "Tail Item", "Head Item", "Tail User", "Head User", "Balanced"]
RANK_METRIC = r"^(HR|NDCG|MRR)@\d+$"
EXTERNAL = "external"
"""The method of a run that is only the evaluation of a ranking made elsewhere: nothing trains or loads it."""
UNTRAINED: tuple[str, ...] = ("popularity", "semantic-knn", EXTERNAL)


class Config(BaseModel):
    """Base of all configs: frozen, no unknown keys, errors as sentences."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def read(cls, file: Path | None = None, **values: Any) -> Self:
        """Build from a YAML file overlaid with ``values``. UserError names the offending key."""
        merged: dict[str, Any] = {}
        if file is not None:
            try:
                loaded = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
            except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
                raise UserError(f"Cannot read the configuration {file}: {error}") from error
            if not isinstance(loaded, Mapping):
                raise UserError(f"The configuration {file} must be a mapping of keys to values.")
            merged.update(loaded)
        merged.update(values)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise UserError(_explain(cls, error)) from error

    def but(self, **changes: Any) -> Self:
        """A validated copy with ``changes``."""
        return type(self).read(None, **{**self.model_dump(), **changes})


def _explain(cls: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(p) for p in first["loc"]) or "configuration"
    if first["type"] == "extra_forbidden":
        return f"Unknown setting {key!r}. Known: {', '.join(cls.model_fields)}."
    return f"Setting {key!r} = {first['input']!r} is not valid: {first['msg']}."


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """``["epochs=30", "dropout=0.2"]`` -> values parsed as YAML. UserError on a pair without '='."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.strip():
            raise UserError(f"--set takes key=value, not {pair!r}.")
        value = yaml.safe_load(text)
        # YAML calls a bare off/no False; our switches are words.
        values[key.strip()] = (
            text.strip() if isinstance(value, bool) and text.strip() in ("off", "on", "no", "yes") else value
        )
    return values


class IngestConfig(Config):
    """From files of interactions and items to a dataset."""

    name: str = Field(min_length=1, description="Name of the dataset.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Field -> column: user_id, item_id, timestamp, weight (interactions); guessed when absent.",
    )
    item_columns: dict[str, str] = Field(
        default_factory=dict, description="item_id and title of the item file; other columns are attributes."
    )
    k_core: int = Field(
        2, ge=1, description="Keep users and items with at least this many interactions, repeated until stable."
    )
    min_weight: float | None = Field(None, description="Ignore interactions with a weight (rating) below this.")
    repeats: Literal["first", "last", "keep"] = Field(
        "first",
        description="A user choosing the same item again later: keep the first choice (recommend what is new to them), "
        "the last, or all of them.",
    )
    cold_items: bool = Field(False, description="Keep catalogue items without interactions as candidates.")
    max_rejected: float = Field(
        0.05, ge=0, le=1, description="Refuse the file when more than this share of its lines is unreadable."
    )
    seed: int = Field(42, description="Seed of the uni100 negatives, fixed for the dataset.")


class EmbedConfig(Config):
    """From item text to vectors."""

    embedder: str = Field(
        "minilm",
        description="minilm (bundled), hf:<id or folder>, gguf:<file>, openai:<model>, file:<precomputed vectors>.",
    )
    pooling: Literal["auto", "mean", "last", "cls"] = Field("auto", description="How token states become one vector.")
    max_tokens: int = Field(256, ge=8, description="Longer texts are cut to this many tokens.")
    batch_size: int = Field(64, ge=1, description="Texts per forward pass or request.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on cuda, float32 elsewhere."
    )
    template: str = Field("default", description="Item prompt template: a known domain or your own with {attributes}.")
    attributes: list[str] | None = Field(None, description="Item columns to use, in order; all when empty.")
    max_chars: int | None = Field(None, ge=1, description="Cut each attribute value to about this many characters.")
    reviews: int = Field(
        0, ge=0, description="Characters of review text (training part only) added to each item prompt."
    )
    users: Literal["mean", "prompt"] = Field(
        "mean", description="User vectors: mean of the training items' vectors, or an embedded history prompt (paper)."
    )
    dimension: int | None = Field(None, ge=2, description="Reduce item vectors to this size by PCA.")
    adapter: str | None = Field(None, description="A fine-tuned adapter (from `llmesr finetune`) on top of the model.")
    endpoint: str | None = Field(None, description="Base URL of an OpenAI-compatible embeddings service.")
    concurrency: int = Field(4, ge=1, le=64, description="Requests in flight to an endpoint.")
    price: float | None = Field(
        None, ge=0, description="Price per million tokens of the endpoint, to show the cost first."
    )
    ids: str | None = Field(None, description="file: the item ids of its rows, one per line, when not in the file.")
    row_order: bool = Field(
        False, description="file: trust that a file without ids has the catalogue's items in the catalogue's order."
    )
    missing: Literal["refuse", "allow"] = Field(
        "refuse",
        description="file: allow that items have no vector, as for images or sound. Such an embedding is a further "
        "view (`train --views`), and never taken for the text unless it is named.",
    )


class FinetuneConfig(Config):
    """Contrastive fine-tuning of a language model on a dataset's item attributes (SCFT of LLMEmb)."""

    base: str = Field("minilm", description="The model to tune: minilm, hf:<id or folder> or gguf:<file>.")
    template: str = Field("default", description="Item prompt template: a known domain or your own with {attributes}.")
    attributes: list[str] | None = Field(None, description="Item columns to use; all when empty.")
    max_characters: int = Field(
        100, ge=10, description="Longer attribute values are cut to about this many characters."
    )
    drop_ratio: float = Field(0.4, ge=0, lt=1, description="Share of the attributes dropped from each copy.")
    pooling: Literal["auto", "mean", "last", "cls"] = Field("auto", description="How token states become one vector.")
    max_tokens: int = Field(256, ge=8, description="Longer prompts are cut to this many tokens (the paper: 1,024).")
    lora_rank: int = Field(8, ge=1, description="Rank of the low-rank update of each projection.")
    lora_alpha: int = Field(32, ge=1, description="Scale of the update: alpha / rank.")
    lora_dropout: float = Field(0.1, ge=0, lt=1, description="Dropout in front of the update.")
    normalise: bool = Field(False, description="Compare directions only (cosine), not raw inner products (paper).")
    targets: Literal["soft", "hard"] = Field(
        "soft", description="Soft: similar items are not pushed apart (paper). Hard: every other item is a negative."
    )
    temperature: float = Field(3.0, gt=0, description="tau of the contrastive loss; use about 0.05 with normalise.")
    learn_temperature: bool = Field(False, description="Learn tau, starting from temperature.")
    steps: int = Field(300, ge=1, description="Most optimiser steps (the paper: 4,000).")
    batch_size: int = Field(32, ge=2, description="Items per batch; the others in it are an item's negatives.")
    accumulation: int = Field(1, ge=1, description="Batches per optimiser step; negatives stay within a batch.")
    chunk_size: int | None = Field(
        None, ge=1, description="Cached gradients: prompts per forward pass, so that memory does not bound batch_size."
    )
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory, about a third slower.")
    learning_rate: float = Field(2e-4, gt=0, description="AdamW learning rate after warm-up, decayed linearly to 0.")
    warmup: float = Field(0.05, ge=0, lt=1, description="Share of the steps over which the learning rate rises.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay of the update.")
    clip_norm: float = Field(1.0, gt=0, description="Gradients longer than this are scaled down to it.")
    held_out: float = Field(0.1, gt=0, lt=1, description="Share of the items kept aside to judge by.")
    evaluate_every: int = Field(50, ge=1, description="Steps between evaluations, each with a checkpoint.")
    patience: int = Field(5, ge=1, description="Evaluations without a better held-out accuracy before stopping.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on cuda, float32 elsewhere."
    )
    seed: int = Field(42, description="Seed of everything random in the tuning.")


class NeighbourConfig(Config):
    """Similar users by their vectors."""

    neighbours: int = Field(100, ge=1, description="Similar users kept per user (the paper stores 100).")
    metric: Literal["cosine", "dot", "euclidean"] = Field("cosine", description="Similarity between user vectors.")
    exact_up_to: int = Field(50_000, ge=1, description="Search exactly up to this many users, approximately above.")
    recall: float = Field(0.95, gt=0, le=1, description="Share of the true neighbours an approximate search must find.")
    seed: int = 42


DEFAULT_NEGATIVES = {"bce": 1, "gbce": 128, "sampled": 1024}
"""By loss, when ``negatives`` is not set."""


class RunConfig(Config):
    """One training run: method, backbone, objectives and optimisation."""

    method: MethodName = Field("llm-esr", description="What represents items and what is learned.")
    backbone: BackboneName = Field("sasrec", description="The sequence encoder.")
    # the encoder
    embedding_size: int = Field(64, ge=4, description="Size D of item and user representations (per view).")
    layers: int = Field(2, ge=1, le=12, description="Encoder blocks (GRU layers).")
    heads: int = Field(1, ge=1, description="Attention heads of the encoder; must divide embedding_size.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout in embeddings and encoder.")
    max_length: int = Field(50, ge=2, description="Most recent interactions the model reads.")
    causal: bool = Field(True, description="SASRec reads only the past at each position; the authors' code does not.")
    positions: Literal["recent", "start"] = Field(
        "recent", description="Positions counted back from the newest item, or from the oldest."
    )
    mask_ratio: float = Field(0.2, gt=0, lt=1, description="BERT4Rec: share of positions masked in training.")
    # next-item objective
    loss: Literal["ce", "bce", "gbce", "sampled"] = Field(
        "ce", description="Cross-entropy over the full catalogue, or a sampled loss."
    )
    negatives: int | None = Field(
        None, ge=1, description="Uniform negatives: per position for bce (1) and gbce (128), shared for sampled (1024)."
    )
    targets: Literal["all", "last"] = Field("all", description="Predict at every position, or only at the newest.")
    all_windows: bool = Field(
        True, description="Histories longer than max_length train in several windows, not only the newest one."
    )
    calibration: float = Field(0.75, ge=0, le=1, description="gBCE calibration t (Petrov and Macdonald 2023).")
    # views (llm-esr)
    collaborative_view: bool = Field(True, description="Use the id embedding view.")
    semantic_view: bool = Field(True, description="Use the frozen text view.")
    fusion: Literal["cross_attention", "residual", "none"] = Field(
        "none",
        description="How the views meet before the encoder: cross-attention (paper), added to each view, or none.",
    )
    shared_encoder: bool = Field(True, description="One encoder for both views, or one each.")
    views: list[str] | None = Field(
        None, description="Embeddings of the items (images, sound ...) that are further frozen views beside the text."
    )
    adapter_layers: Literal[1, 2] = Field(2, description="Linear layers from text space to the model.")
    adapter_init: Literal["auto", "pca", "random"] = Field(
        "auto",
        description="Start of the adapter: the main directions of the text, scaled, or random; auto is random in "
        "llm-esr, where it ranks no worse, and pca elsewhere.",
    )
    item_init: Literal["pca", "random"] = Field(
        "pca", description="Start of the id embeddings in llm-init and llm-esr."
    )
    # self-distillation (llm-esr)
    distillation: Literal["mse", "contrastive", "off"] = Field(
        "mse", description="Pull a user towards similar users' representations."
    )
    distillation_weight: float = Field(0.1, ge=0, description="alpha of the distillation term.")
    neighbours: int = Field(10, ge=1, description="Similar users that form the teacher.")
    teacher_refresh: int = Field(
        0, ge=0, description="Encode all teachers every this many steps; 0 means once per epoch."
    )
    # alignment (llmemb)
    alignment_loss: Literal["cosine", "inner_product"] = Field(
        "cosine",
        description="InfoNCE over cosines, or the published soft targets from inner products, which say nothing where "
        "vectors are short (then set a weight of 0.01 and a temperature of 2).",
    )
    alignment_weight: float = Field(
        0.3, ge=0, description="alpha of the alignment to an id-only run (LLMEmb); 0 switches it off."
    )
    alignment_temperature: float = Field(0.1, gt=0, description="tau of the alignment.")
    alignment_run: str | None = Field(
        None, description="The id-only run to align to; trained automatically when absent."
    )
    freeze_text: bool = Field(True, description="Keep the text table frozen (adapter, llm-esr, llmemb).")
    adapter: bool = Field(True, description="llmemb: learn an adapter; without it the text is reduced by PCA.")
    # optimisation
    epochs: int = Field(100, ge=1, description="Most epochs to train.")
    batch_size: int = Field(128, ge=1, description="Users per step.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam learning rate.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay.")
    patience: int = Field(10, ge=1, description="Evaluations without improvement before stopping.")
    evaluate_every: int = Field(1, ge=1, description="Epochs between evaluations on validation.")
    monitor: str = Field("NDCG@10", pattern=RANK_METRIC, description="Validation metric that decides when to stop.")
    monitor_group: GroupName = Field("Overall", description="Group in which the metric is watched.")
    monitor_protocol: Protocol = Field("full", description="Protocol in which the metric is watched.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on cuda, float32 elsewhere."
    )
    seed: int = Field(42, description="Seed of everything random in the run.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.embedding_size % self.heads:
            raise ValueError(f"heads {self.heads} must divide embedding_size {self.embedding_size}")
        if self.embedding_size % 2 and self.fusion != "none":
            raise ValueError("cross-attention has two heads: embedding_size must be even")
        if not (self.collaborative_view or self.semantic_view):
            raise ValueError("at least one of collaborative_view and semantic_view must stay on")
        if self.views and (self.method not in _ONLY["views"] or not self.semantic_view):
            raise ValueError("views stand beside the text: they need method llm-esr with its semantic_view, or adapter")
        return self


class SearchConfig(Config):
    """A search for the settings of one method that are best on validation."""

    trials: int = Field(20, ge=1, description="Combinations of settings to try, each an ordinary run.")
    objective: Objective = Field(
        "Overall", description="Group whose metric is maximised; Balanced: the geometric mean of Overall and Tail Item."
    )
    metric: str = Field("NDCG@10", pattern=RANK_METRIC, description="Validation metric that is maximised.")
    protocol: Protocol = Field("full", description="Protocol in which the metric is maximised.")
    epochs: int = Field(30, ge=1, description="Most epochs of a trial.")
    pruning: bool = Field(True, description="End a trial that is below the median of the earlier ones at its epoch.")
    random_trials: int = Field(
        5, ge=1, description="Trials drawn at random, unpruned, before earlier ones are a guide."
    )
    warmup: int = Field(3, ge=0, description="Epochs of a trial before it can be pruned.")
    seed: int = Field(42, description="Seed of the search and of every run in it.")
    preset: str = Field("default", description="Starting point of the settings that are neither fixed nor searched.")
    fixed: dict[str, Any] = Field(default_factory=dict, description="Settings that are the same in every trial.")
    space: dict[str, Any] = Field(
        default_factory=dict, description="Setting -> list of choices, or low, high and log; the usual ones when empty."
    )


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "loss": "bce",
        "dropout": 0.5,
        "max_length": 200,
        "fusion": "cross_attention",
        "mask_ratio": 0.6,
        "all_windows": False,
        "epochs": 200,
        "patience": 20,
        "monitor_protocol": "uni100",
        "adapter_init": "random",
        "alignment_loss": "inner_product",
        "alignment_weight": 0.01,
        "alignment_temperature": 2.0,
    },
}
"""Named starting points for :class:`RunConfig`; ``paper`` is LLM-ESR's published setting and LLMEmb's alignment."""


def preset(name: str, backbone: str) -> dict[str, Any]:
    """The values of a preset. UserError when there is none of that name."""
    if name not in PRESETS:
        raise UserError(f"There is no preset {name!r}; known: {', '.join(PRESETS)}.")
    values = dict(PRESETS[name])
    if name == "paper" and backbone == "gru4rec":
        values["targets"] = "last"  # the paper trains GRU4Rec on the newest item only
    return values


_TEXT_METHODS = ("adapter", "llm-esr", "llmemb")
_ONLY: dict[str, tuple[str, ...]] = {
    "collaborative_view": ("llm-esr",),
    "semantic_view": ("llm-esr",),
    "fusion": ("llm-esr",),
    "shared_encoder": ("llm-esr",),
    "distillation": ("llm-esr",),
    "distillation_weight": ("llm-esr",),
    "neighbours": ("llm-esr",),
    "teacher_refresh": ("llm-esr",),
    "item_init": ("llm-init", "llm-esr"),
    "adapter_layers": _TEXT_METHODS,
    "adapter_init": _TEXT_METHODS,
    "views": ("adapter", "llm-esr"),
    "freeze_text": _TEXT_METHODS,
    "alignment_loss": ("llmemb",),
    "alignment_weight": ("llmemb",),
    "alignment_temperature": ("llmemb",),
    "alignment_run": ("llmemb",),
    "adapter": ("llmemb",),
}
"""Settings that only some methods read; the others are read by every trained method."""


def reads(setting: str, method: str, backbone: str) -> bool:
    """Whether a method with a backbone looks at a setting: what forms show and ``--set`` accepts."""
    if setting in ("method", "seed"):
        return True
    if method in UNTRAINED:
        return setting == "max_length"
    if backbone == "gru4rec" and setting in ("heads", "causal", "positions"):
        return False
    if setting == "causal":
        return backbone == "sasrec"
    if setting == "mask_ratio":
        return backbone == "bert4rec"
    return method in _ONLY.get(setting, (method,))


def settings_read(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a run's config without the settings it never looks at; what is no setting stays (the source of a
    ranking made elsewhere)."""
    method, backbone = str(values["method"]), str(values["backbone"])
    known = RunConfig.model_fields
    return {name: value for name, value in values.items() if name not in known or reads(name, method, backbone)}


def unread_settings(config: RunConfig, given: Mapping[str, Any]) -> list[str]:
    """Settings somebody gave that the run would not look at."""
    ignorable = ("backbone", "method")
    return [k for k in given if k not in ignorable and not reads(k, config.method, config.backbone)]
