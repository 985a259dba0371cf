"""What a study compares: the default, and what differs from it in one thing or in several."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace
from typing import Any

from llmesr.config import EmbedConfig, StudyConfig
from llmesr.config.study import ALL, REVERSED
from llmesr.data.dataset import Dataset
from llmesr.semantic.embedders import open_embedder
from llmesr.semantic.inputs import Plan, plan
from llmesr.store import Store

ADAPTER = "adapter:"
DEFAULT = "default"
AXES = {
    "prompt": "prompts",
    "attributes": "attributes",
    "reviews": "reviews",
    "encoder": "embedders",
    "pooling": "poolings",
    "similarity": "similarities",
    "users": "users",
}
"""What is varied, and the setting that lists its values."""
TEXT = ("prompt", "attributes", "reviews", "encoder", "pooling")
"""What item vectors depend on."""


@dataclass(frozen=True)
class Cell:
    """One value of everything that is varied."""

    prompt: str
    attributes: str
    reviews: int
    encoder: str
    pooling: str
    similarity: str
    users: str

    @property
    def reader(self) -> str:
        """What reads the texts."""
        return f"{self.encoder}, {self.pooling}"

    def read(self, axes: tuple[str, ...]) -> tuple[Any, ...]:
        """The values of ``axes``."""
        return tuple(getattr(self, axis) for axis in axes)

    def only(self, axes: tuple[str, ...], default: Cell) -> Cell:
        """The cell with everything else as in ``default``."""
        return replace(default, **{axis: getattr(self, axis) for axis in axes})

    def changes(self, default: Cell) -> dict[str, Any]:
        """Axis -> value, where it is not that of ``default``."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return {axis: value for axis, value in own.items() if value != getattr(default, axis)}

    def label(self, default: Cell) -> str:
        """What is changed, in words."""
        return ", ".join(f"{axis} {value}" for axis, value in self.changes(default).items()) or DEFAULT

    def embed_config(self, config: StudyConfig, dataset: Dataset, store: Store) -> EmbedConfig:
        """The settings of its item and user vectors. UserError for an adapter that is not in ``store``."""
        values: dict[str, Any] = {
            "template": self.prompt,
            "attributes": _attributes(self.attributes, dataset),
            "reviews": self.reviews,
            "pooling": self.pooling,
            "users": self.users,
            "max_tokens": config.max_tokens,
            "max_chars": config.max_chars,
            "batch_size": config.batch_size,
        }
        if self.encoder.startswith(ADAPTER):
            adapter = store.find("adapters", self.encoder.removeprefix(ADAPTER))
            values |= {"adapter": adapter.id, "embedder": adapter.config["base"]}
        else:
            values["embedder"] = self.encoder
        if self.encoder.startswith("openai:"):
            values |= {"endpoint": config.endpoint, "price": config.price}
        return EmbedConfig.read(None, **values)


def cells(config: StudyConfig) -> list[Cell]:
    """The default first, then one thing changed at a time or every combination, each once."""
    values = {axis: list(dict.fromkeys(getattr(config, name))) for axis, name in AXES.items()}
    if config.design == "grid":
        return [Cell(*combination) for combination in itertools.product(*values.values())]
    default = Cell(*(own[0] for own in values.values()))
    return [default, *(replace(default, **{axis: value}) for axis, own in values.items() for value in own[1:])]


def planned(dataset: Dataset, config: StudyConfig, store: Store) -> list[tuple[str, Plan]]:
    """What each of the texts asks of its encoder beyond the cache. Texts that several cells read count once for each:
    what one has embedded the next one finds. UserError for an encoder, a template or an attribute that is not there."""
    found = cells(config)
    default = found[0]
    seen: set[tuple[Any, ...]] = set()
    plans: list[tuple[str, Plan]] = []
    for cell in found:
        read = cell.read((*TEXT, "users"))
        if read not in seen:
            seen.add(read)
            label = cell.only((*TEXT, "users"), default).label(default)
            plans.append((label, plan(dataset, cell.embed_config(config, dataset, store), store)))
    return plans


def fingerprints(dataset: Dataset, config: StudyConfig, store: Store) -> dict[str, str]:
    """Encoder -> fingerprint of the numbers it has now, whatever it is called; one for each pooling."""
    found: dict[str, str] = {}
    for cell in cells(config):
        if cell.reader not in found:
            found[cell.reader] = open_embedder(cell.embed_config(config, dataset, store), store).fingerprint
    return found


def _attributes(given: str, dataset: Dataset) -> list[str] | None:
    if given == ALL:
        return None
    return [*reversed(dataset.text_columns)] if given == REVERSED else [name.strip() for name in given.split("+")]
