"""A catalogue embedded in parts, by processes that share nothing but a folder, is the catalogue embedded at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_embedder import FakeEmbedder
from typer.testing import CliRunner

from llmesr.cli.main import app
from llmesr.config import EmbedConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.semantic import embed as embedding
from llmesr.semantic import inputs
from llmesr.semantic.embed import embed, embed_shard
from llmesr.store import Store


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEmbedder:
    one = FakeEmbedder()
    monkeypatch.setattr(embedding, "open_embedder", lambda config, store: one)
    monkeypatch.setattr(inputs, "open_embedder", lambda config, store: one)
    return one


@pytest.mark.parametrize("users", ["mean", "prompt"])
def test_shards_give_the_artifact_of_one_call(users: str, tiny: Dataset, store: Store, fake: FakeEmbedder) -> None:
    config = EmbedConfig(users=users)
    whole = embed(tiny, config, store)
    asked = sorted(fake.asked)
    store.delete("embeddings", whole.id)
    for file in (store.root / "cache" / "vectors").iterdir():
        file.unlink()
    fake.asked.clear()
    made = [embed_shard(tiny, config, store, (k, 3)) for k in (2, 0, 1)]
    assert sorted(fake.asked) == asked  # each text once, by one of them
    assert max(made) - min(made) <= 1
    fake.asked.clear()
    assembled = embed(tiny, config, store)
    assert fake.asked == []
    assert assembled.id == whole.id
    np.testing.assert_array_equal(assembled.item_vectors, whole.item_vectors)
    np.testing.assert_array_equal(assembled.user_vectors, whole.user_vectors)


def test_a_shard_that_was_killed_goes_on_and_a_missing_one_is_embedded_at_the_end(
    tiny: Dataset, store: Store, fake: FakeEmbedder
) -> None:
    config = EmbedConfig()
    fake.fail_after = 8
    with pytest.raises(KeyboardInterrupt):
        embed_shard(tiny, config, store, (0, 2))
    fake.fail_after = None
    assert embed_shard(tiny, config, store, (0, 2)) == (tiny.n_items + 1) // 2 - 8
    fake.asked.clear()
    embed(tiny, config, store)
    assert len(fake.asked) == tiny.n_items // 2  # the second shard's


def test_the_command(tiny: Dataset, store: Store, fake: FakeEmbedder) -> None:
    result = CliRunner().invoke(app, ["embed", "tiny", "--shard", "1/4", "--json"], catch_exceptions=False)
    assert result.stdout.strip() == '{"shard": "1/4", "new": 15}'
    assert store.list("embeddings") == []
    for wrong, why in (("4/4", "with 4 shards they are 0 to 3"), ("1", "takes K/N"), ("0/0", "takes K/N")):
        with pytest.raises(UserError, match=why):
            app(["embed", "tiny", "--shard", wrong], standalone_mode=False)


def test_precomputed_vectors_need_no_shards(tiny: Dataset, store: Store, tmp_path: Path) -> None:
    ids = tiny.catalogue["item_id"].to_numpy(str)
    np.savez(tmp_path / "v.npz", item_ids=ids, vectors=np.ones((tiny.n_items, 4), np.float32))
    with pytest.raises(UserError, match="leave --shard out"):
        embed_shard(tiny, EmbedConfig(embedder=f"file:{tmp_path / 'v.npz'}"), store, (0, 2))
