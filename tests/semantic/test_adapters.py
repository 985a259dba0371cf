"""What an adapter may be used for: the model and the data it was tuned on, in the wording it was tuned with."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories import make_embedding, make_run
from resumed_tuning import small_tuning
from safetensors.torch import load_file, save_file

from llmesr.config import EmbedConfig, FinetuneConfig, SplitConfig
from llmesr.data.dataset import Dataset
from llmesr.data.splitting import resplit
from llmesr.errors import UserError
from llmesr.evaluation.contenders import contenders
from llmesr.evaluation.guard.training import leakage
from llmesr.evaluation.origins import embedder
from llmesr.jobs.wanted import wanted_steps
from llmesr.maps.spaces import open_space
from llmesr.runs.finetune import Finetune
from llmesr.runs.wanted import Training
from llmesr.semantic.embed import embed, load_embedding
from llmesr.semantic.embedders.backbone import locate, sampled_digest
from llmesr.store import MANIFEST, Manifest, Store, write_json
from llmesr.training.finetune import finetune

CUTS = SplitConfig(kind="temporal", valid_from=0.5, test_from=0.7)


@pytest.fixture
def config(tiny: Dataset, tmp_path: Path) -> FinetuneConfig:
    return small_tuning(tiny, tmp_path).but(template="beauty", attributes=["title", "brand"], max_characters=30)


def rewrite(store: Store, manifest: Manifest) -> None:
    write_json(store.path(manifest.kind, manifest.id) / MANIFEST, manifest.model_dump())


def stored_as_earlier(store: Store, dataset: Dataset, adapter: Finetune) -> str:
    """An embedding of ``dataset`` by any adapter and without it as a parent, as earlier versions made them."""
    made = make_embedding(store, dataset)
    values = {**made.manifest.config, "embedder": adapter.config.base, "adapter": adapter.id}
    rewrite(store, made.manifest.model_copy(update={"config": values}))
    return made.id


def test_items_are_read_as_it_was_tuned(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    adapter = finetune(tiny, config, store)
    said = embed(tiny, EmbedConfig(adapter=adapter.id), store).manifest
    assert {k: said.config[k] for k in ("template", "attributes", "max_chars", "max_tokens")} == {
        "template": "beauty", "attributes": ["title", "brand"], "max_chars": 30, "max_tokens": 32,
    }  # fmt: skip
    other = embed(tiny, EmbedConfig(adapter=adapter.id, template="default", max_chars=None), store).manifest
    assert (other.config["template"], other.config["max_chars"]) == ("default", None)
    assert other.config["attributes"] == ["title", "brand"]


def test_it_is_a_parent_and_stays(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    adapter = finetune(tiny, config, store)
    made = embed(tiny, EmbedConfig(adapter=adapter.id), store)
    assert (made.manifest.parent("datasets"), made.manifest.parent("adapters")) == (tiny.id, adapter.id)
    with pytest.raises(UserError, match="is used by"):
        store.delete("adapters", adapter.id)


def test_one_of_an_earlier_version_is_used_until_its_model_changes(
    store: Store, tiny: Dataset, config: FinetuneConfig
) -> None:
    adapter = finetune(tiny, config, store)
    source = locate(config.base)
    manifest = adapter.manifest
    rewrite(store, manifest.model_copy(update={"info": {**manifest.info, "base_digest": sampled_digest(source)}}))
    assert embed(tiny, EmbedConfig(adapter=adapter.id), store).dimension == 32
    weights = source.folder / "model.safetensors"
    save_file({k: v + 1 for k, v in load_file(weights).items()}, weights, metadata={"format": "pt"})
    with pytest.raises(UserError, match="is another model now"):
        embed(tiny, EmbedConfig(adapter=adapter.id), store)


def test_what_learned_choices_is_refused_for_another_split(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    later = resplit(tiny, CUTS, store)
    words = finetune(tiny, config, store)
    assert embed(later, EmbedConfig(adapter=words.id), store).manifest.parent("datasets") == later.id
    chosen = finetune(tiny, config.but(objective="co_chosen"), store)
    embed(tiny, EmbedConfig(adapter=chosen.id), store)
    with pytest.raises(UserError, match="holds out"):
        embed(later, EmbedConfig(adapter=chosen.id), store)


def test_such_text_of_an_earlier_version_is_doubted(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    later = resplit(tiny, CUTS, store)
    chosen = finetune(tiny, config.but(objective="co_chosen"), store)
    for dataset, grave in ((tiny, []), (later, ["serious"])):
        text = load_embedding(store, stored_as_earlier(store, dataset, chosen), dataset)
        run = make_run(store, dataset, "llm-init", parents=(text.manifest,))
        assert [d.severity for d in leakage(contenders([run])[0])] == grave
        assert "what is chosen" in open_space(store, f"embedding:{text.id}", dataset).mixed


def test_a_claim_tunes_it_again_under_the_temporal_split(store: Store, tiny: Dataset, config: FinetuneConfig) -> None:
    chosen = finetune(tiny, config.but(objective="co_chosen"), store)
    text = embed(tiny, EmbedConfig(adapter=chosen.id), store)
    wanted = Training("text-ease", "", {}, embedding=text.id, in_time=True, why="")
    later = resplit(tiny, CUTS, store)
    tune, read, _ = wanted_steps(store, tiny.manifest, [wanted], in_time=later.id)
    assert (tune.verb, tune.arguments[0], read.verb) == ("finetune", later.id, "embed")
    assert {"objective=co_chosen", "template=beauty", f"base={config.base}"} <= set(tune.arguments)
    assert {"adapter={adapter}", "template=beauty", "max_chars=30"} <= set(read.arguments)
    again = finetune(later, chosen.config, store)
    there = embed(later, EmbedConfig(adapter=again.id), store)
    assert there.fingerprint != text.fingerprint
    assert embedder(store, there.id) == embedder(store, text.id)
