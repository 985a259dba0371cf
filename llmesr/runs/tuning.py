"""The record of one fine-tuning of a language model; when finished, the adapter that came of it."""

from __future__ import annotations

from llmesr.config import FinetuneConfig
from llmesr.runs.live import Live
from llmesr.store import Store


class Tuning(Live):
    """A folder of kind ``adapters``. Events hold step, loss, accuracy, mean_cosine, uniformity, alignment (on held-out
    items), temperature, learning_rate and seconds; step 0 is the model before tuning. The peft files are in
    ``adapter/`` once the tuning has finished."""

    kind, noun, unit, resume_command = "adapters", "Adapter", "step", "llmesr finetune --resume"

    @property
    def config(self) -> FinetuneConfig:
        return FinetuneConfig.read(None, **self.manifest.config)


def list_tunings(store: Store, dataset: str | None = None) -> list[Tuning]:
    """Readable tunings, newest first; of one dataset id when given."""
    manifests = store.list(Tuning.kind)
    return [Tuning(store, m.id) for m in manifests if dataset is None or m.parent("datasets") == dataset]


def find_tuning(store: Store, ref: str) -> Tuning:
    """A tuning by id, unique prefix or name. UserError when unknown."""
    return Tuning(store, store.find(Tuning.kind, ref).id)
