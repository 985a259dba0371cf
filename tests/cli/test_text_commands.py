"""embed and neighbours as commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from embedding_service import running
from fake_embedder import fake_vector
from typer.testing import CliRunner

from llmesr.cli.main import app
from llmesr.config import EmbedConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.retrieval.similar import load_similar
from llmesr.semantic.embed import load_embedding
from llmesr.semantic.embedders.precomputed import write_vectors
from llmesr.store import Store

runner = CliRunner()


def run(*words: str) -> dict[str, object]:
    result = runner.invoke(app, [*words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    document: dict[str, object] = json.loads(result.stdout)
    return document


def vectors_of(dataset: Dataset, path: Path) -> str:
    ids = dataset.catalogue["item_id"].tolist()
    write_vectors(path, np.stack([fake_vector(i) for i in ids]), ids)
    return f"file:{path}"


def test_embed_then_neighbours(tiny: Dataset, store: Store, tmp_path: Path) -> None:
    source = vectors_of(tiny, tmp_path / "v.npz")
    made = run("embed", "tiny", "--embedder", source, "--set", "dimension=4")
    assert made["dimension"] == 4
    assert load_embedding(store, str(made["id"]), tiny).dimension == 4
    near = run("neighbours", "tiny", "--set", "neighbours=5")
    assert near["recall"] == 1.0
    assert load_similar(store, str(near["id"])).users.shape == (tiny.n_users, 5)
    again = run("neighbours", "tiny", "--embedding", str(made["id"]), "--set", "neighbours=5")
    assert again["id"] == near["id"]


def test_exported_vectors_can_be_read_back(tiny: Dataset, store: Store, tmp_path: Path) -> None:
    source = vectors_of(tiny, tmp_path / "v.npz")
    out = tmp_path / "out.parquet"
    first = run("embed", "tiny", "--embedder", source, "--export", str(out))
    second = run("embed", "tiny", "--embedder", f"file:{out}")
    one, two = (load_embedding(store, str(m["id"])) for m in (first, second))
    np.testing.assert_array_equal(one.item_vectors, two.item_vectors)


def test_the_cost_is_shown_before_a_service_is_asked(tiny: Dataset, store: Store) -> None:
    with running() as service:
        words = ["embed", "tiny", "--embedder", "openai:m", "--set", f"endpoint={service.url}", "--set", "price=1000"]
        with pytest.raises(UserError, match="say --yes"):  # nobody is there to be asked
            runner.invoke(app, [*words, "--json"], catch_exceptions=False)
        assert service.requests == []
        words.append("--yes")
        result = runner.invoke(app, [*words, "--json"], catch_exceptions=False)
        assert result.exit_code == 0
        shown = " ".join(result.stderr.split())
        assert "openai:m: 60 of 60 texts are new, about" in shown
        assert "at the price given." in shown
        json.loads(result.stdout)
        again = runner.invoke(app, [*words, "--set", "users=prompt", "--json"], catch_exceptions=False)
        assert "texts are new" in again.stderr
        assert "60 of 60" not in again.stderr
        asked = [t for body in service.requests for t in body["input"]]
        assert len(asked) == len(set(asked))


def test_reviews_enrich_prompts(tiny: Dataset, store: Store) -> None:
    with running() as service:
        words = ("embed", "tiny", "--embedder", "openai:m", "--set", f"endpoint={service.url}", "--set", "reviews=12")
        with pytest.raises(UserError, match="without review texts"):
            run(*words)
        frame = pd.DataFrame({"item": [60], "text": ["dries fast; smells bad"]})
        frame.to_parquet(store.path("datasets", tiny.id) / "reviews.parquet")
        run(*words)
        sent = [t for body in service.requests for t in body["input"]]
        title = tiny.catalogue["title"].iloc[-1]
        assert [t for t in sent if "reviews say" in t] == [t for t in sent if title in t and "dries fast" in t]
        assert any(t.endswith("reviews say dries fast.") for t in sent)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("embed", "nothing"), "no dataset called 'nothing'"),
        (("embed", "tiny", "--set", "pooling=max"), "'pooling' = 'max'"),
        (("embed", "tiny", "--set", "poling=mean"), "Unknown setting 'poling'"),
        (("embed", "tiny", "--set", "attributes=[colour]"), "no attribute 'colour'"),
        (("embed", "tiny", "--set", "template=bueaty"), "neither a known one"),
        (("embed", "tiny", "--embedder", "file:absent.npy"), "no file of vectors"),
        (("embed", "tiny", "--embedder", "openai:m", "--set", "adapter=a"), "needs a model on this machine"),
        (("embed", "tiny", "--set", "adapter=a"), "no adapter called 'a'"),
        (("neighbours", "tiny"), "run `llmesr embed tiny-.* first"),
        (("neighbours", "tiny", "--set", "metric=manhattan"), "'metric' = 'manhattan'"),
        (("neighbours", "tiny", "--embedding", "absent"), "no embedding called 'absent'"),
    ],
)
def test_what_goes_wrong_is_a_sentence(words: tuple[str, ...], says: str, tiny: Dataset, store: Store) -> None:
    with pytest.raises(UserError, match=says):
        runner.invoke(app, list(words), catch_exceptions=False)
    assert store.list("embeddings") == store.list("neighbours") == []


def test_how_texts_are_sent_does_not_make_another_artifact(tiny: Dataset, store: Store, tmp_path: Path) -> None:
    source = vectors_of(tiny, tmp_path / "v.npz")
    ids = {run("embed", "tiny", "--embedder", source, "--set", f"batch_size={b}")["id"] for b in (8, 64)}
    assert len(ids) == 1
    assert EmbedConfig().batch_size == 64
