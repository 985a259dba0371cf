"""The record of one fine-tuning of a language model; when finished, the adapter that came of it."""

from __future__ import annotations

from llmesr.config import FinetuneConfig
from llmesr.runs.live import Live
from llmesr.store import Store


class Finetune(Live):
    """A folder of kind ``adapters``. Events hold step, loss, accuracy, mean_cosine, uniformity, alignment (on held-out
    items), temperature, learning_rate and seconds; step 0 is the model before it. The peft files are in
    ``adapter/`` once it has finished."""

    kind, noun, unit, resume_command = "adapters", "Adapter", "step", "llmesr finetune --resume"

    @property
    def config(self) -> FinetuneConfig:
        return FinetuneConfig.read(None, **self.manifest.config)


def list_finetunes(store: Store, dataset: str | None = None) -> list[Finetune]:
    """Readable fine-tunings, newest first; of one dataset id when given."""
    manifests = store.list(Finetune.kind)
    return [Finetune(store, m.id) for m in manifests if dataset is None or m.parent("datasets") == dataset]


def find_finetune(store: Store, ref: str) -> Finetune:
    """A fine-tuning by id, unique prefix or name. UserError when unknown."""
    return Finetune(store, store.find(Finetune.kind, ref).id)
