"""The record of one fine-tuning of a language model; when finished, the adapter that came of it."""

from __future__ import annotations

from llmesr.config import FinetuneConfig
from llmesr.runs.live import Live
from llmesr.store import Manifest, Store

TUNED_WITH = {
    "embedder": "base",
    "template": "template",
    "attributes": "attributes",
    "max_chars": "max_characters",
    "max_tokens": "max_tokens",
}
"""Settings of a reading that are those of its adapter's tuning by themselves -> their names there."""


class Finetune(Live):
    """A folder of kind ``adapters``. Events hold step, loss, accuracy, mean_cosine, uniformity, alignment (on held-out
    items), temperature, learning_rate and seconds; step 0 is the model before it. The peft files are in
    ``adapter/`` once it has finished."""

    kind, noun, unit, resume_command = "adapters", "Adapter", "step", "llmesr finetune --resume"

    @property
    def config(self) -> FinetuneConfig:
        return FinetuneConfig.read(None, **self.manifest.config)


def tuned_on_choices(store: Store, embedding: Manifest) -> Finetune | None:
    """The adapter that made an embedding, where it learned what users choose; None where text alone taught it."""
    ref = embedding.config.get("adapter")
    known = {m.id: m for m in store.list(Finetune.kind)} if ref else {}
    adapter = known.get(str(ref)) or next((m for m in known.values() if m.name == ref), None)
    return Finetune(store, adapter.id) if adapter is not None and learned_choices(adapter) else None


def learned_choices(adapter: Manifest) -> bool:
    """Whether it learned from the training part of its dataset: another split may hold that out."""
    return str(adapter.config.get("objective", "attributes")) != "attributes"


def list_finetunes(store: Store, dataset: str | None = None) -> list[Finetune]:
    """Readable fine-tunings, newest first; of one dataset id when given."""
    manifests = store.list(Finetune.kind)
    return [Finetune(store, m.id) for m in manifests if dataset is None or m.parent("datasets") == dataset]


def find_finetune(store: Store, ref: str) -> Finetune:
    """A fine-tuning by id, unique prefix or name. UserError when unknown."""
    return Finetune(store, store.find(Finetune.kind, ref).id)
