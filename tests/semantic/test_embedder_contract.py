"""One suite over every backend: rows stay with their texts, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from embedding_service import running
from fake_embedder import FakeEmbedder, fake_vector
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import write_decoder, write_encoder

from llmesr.config import EmbedConfig
from llmesr.errors import UserError
from llmesr.semantic.cache import embed_cached
from llmesr.semantic.embedders import BUILDERS, open_embedder
from llmesr.semantic.embedders.contract import Embedder
from llmesr.semantic.embedders.pooling import pool
from llmesr.semantic.embedders.precomputed import write_vectors
from llmesr.semantic.embedders.transformer import TransformerEmbedder
from llmesr.store import Store

TEXTS = ["a b c", "name is a", "d e f g h; brand is x y z", "z", "a b", "brand is x", "The item has category y"]
MAKERS = ("fake", "minilm", "encoder", "decoder", "openai", "npz")


@pytest.fixture(params=MAKERS)
def embedder(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> Iterator[Embedder]:
    if request.param == "openai":
        with running() as service:
            yield open_embedder(EmbedConfig(embedder="openai:small", endpoint=service.url, batch_size=3), store)
        return
    makers: dict[str, Callable[[], Embedder]] = {
        "fake": FakeEmbedder,
        "minilm": lambda: open_embedder(EmbedConfig(batch_size=3), store),
        "encoder": lambda: _local(write_encoder(tmp_path / "bert", TEXTS), store),
        "decoder": lambda: _local(write_decoder(tmp_path / "llama", TEXTS), store),
        "npz": lambda: _file(tmp_path, store),
    }
    yield makers[request.param]()


def _local(folder: Path, store: Store, **settings: object) -> Embedder:
    return open_embedder(EmbedConfig(embedder=f"hf:{folder}", batch_size=3, **settings), store)


def _file(folder: Path, store: Store) -> Embedder:
    path = write_vectors(folder / "v.npz", np.stack([fake_vector(t) for t in TEXTS[::-1]]), TEXTS[::-1])
    return open_embedder(EmbedConfig(embedder=f"file:{path}"), store)


def test_shape_type_and_name(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimension)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert embedder.name
    assert embedder.fingerprint == embedder.fingerprint


def test_each_row_is_its_text_alone(embedder: Embedder) -> None:
    together = embedder.embed(TEXTS)
    alone = np.concatenate([embedder.embed([t]) for t in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len({row.tobytes() for row in together.round(4)}) == len(TEXTS)


def test_order_of_texts_is_order_of_rows(embedder: Embedder) -> None:
    np.testing.assert_allclose(embedder.embed(TEXTS)[::-1], embedder.embed(TEXTS[::-1]), atol=1e-5)


def test_every_row_is_streamed_once(embedder: Embedder) -> None:
    rows = np.concatenate([rows for rows, _ in embedder.stream(TEXTS)])
    assert sorted(rows.tolist()) == list(range(len(TEXTS)))


def test_progress_ends_at_the_total(embedder: Embedder) -> None:
    seen: list[tuple[int, int]] = []
    embedder.embed(TEXTS, lambda stage, done, total: seen.append((done, total)))
    assert seen[-1] == (len(TEXTS), len(TEXTS))


def test_through_the_cache_it_is_the_same(embedder: Embedder, store: Store) -> None:
    if embedder.reads == "item_id":
        pytest.skip("precomputed vectors are not cached")
    repeated = [*TEXTS, TEXTS[2]]
    direct = embedder.embed(repeated)
    np.testing.assert_allclose(embed_cached(embedder, repeated, store), direct, atol=1e-5)
    np.testing.assert_allclose(embed_cached(embedder, repeated[::-1], store), direct[::-1], atol=1e-5)


def test_the_suite_covers_every_backend() -> None:
    covered = {"minilm": "minilm", "hf": "encoder", "openai": "openai", "file": "npz", "gguf": "test_embedder_gguf"}
    assert set(covered) == set(BUILDERS)


def test_minilm_knows_what_is_alike(store: Store) -> None:
    """Against vectors of no meaning: office things are nearer to one another than to a film."""
    ink, toner, film = open_embedder(EmbedConfig(), store).embed(
        ["HP black ink cartridge", "Toner for a Brother laser printer", "A romantic comedy set in Paris"]
    )
    assert ink @ toner > ink @ film + 0.2
    assert np.linalg.norm(ink) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("how", ["mean", "last", "cls"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_pooling_ignores_padding_on_either_side(how: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 5))
    left, right = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))
    states = torch.randn(1, left + length + right, 3, generator=torch.Generator().manual_seed(length))
    mask = torch.tensor([[0] * left + [1] * length + [0] * right])
    real = states[:, left : left + length]
    expected = {"mean": real.mean(1), "last": real[:, -1], "cls": real[:, 0]}[how]
    torch.testing.assert_close(pool(states, mask, how), expected)  # type: ignore[arg-type]


def test_pooling_in_bfloat16_sums_in_float32() -> None:
    states = torch.ones(1, 1000, 1, dtype=torch.bfloat16)
    assert pool(states, torch.ones(1, 1000), "mean").item() == pytest.approx(1.0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
def test_a_tokenizers_padding_side_changes_nothing(side: str, pooling: str, tmp_path: Path, store: Store) -> None:
    embedder = _local(write_decoder(tmp_path / "llama", TEXTS), store, pooling=pooling)
    assert isinstance(embedder, TransformerEmbedder)
    embedder._tokenizer.padding_side = side
    together, alone = embedder.embed(TEXTS), np.concatenate([embedder.embed([t]) for t in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_auto_pooling(tmp_path: Path, store: Store) -> None:
    decoder, encoder = write_decoder(tmp_path / "llama", TEXTS), write_encoder(tmp_path / "bert", TEXTS)
    assert _local(decoder, store).pooling == "last"  # type: ignore[attr-defined]
    assert _local(encoder, store).pooling == "mean"  # type: ignore[attr-defined]
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert _local(encoder, store).pooling == "cls"  # type: ignore[attr-defined]
    assert _local(encoder, store, pooling="mean").pooling == "mean"  # type: ignore[attr-defined]
    (encoder / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(UserError, match="pooling"):
        _ = _local(encoder, store).pooling  # type: ignore[attr-defined]


def test_fingerprint_changes_with_what_changes_vectors(tmp_path: Path, store: Store) -> None:
    folder = write_encoder(tmp_path / "bert", TEXTS)
    kinds = [
        _local(folder, store),
        _local(folder, store, pooling="cls"),
        _local(folder, store, max_tokens=8),
        _local(folder, store, precision="bfloat16"),
        _local(write_encoder(tmp_path / "other", [*TEXTS, "another word"]), store),
    ]
    assert len({k.fingerprint for k in kinds}) == len(kinds)
    assert _local(folder, store, template="beauty").fingerprint == kinds[0].fingerprint  # the texts say that


def test_long_texts_are_cut(tmp_path: Path, store: Store) -> None:
    embedder = _local(write_decoder(tmp_path / "llama", TEXTS), store, max_tokens=8)
    short, cut = embedder.embed(["a " * 8, "a " * 500])
    np.testing.assert_allclose(np.asarray(short), np.asarray(cut), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("word2vec", "not known"),
        ("hf:", "names no local"),
        ("gguf:nothing.gguf", "no GGUF file"),
        ("openai:", "Name the model"),
        ("file:nothing.npz", "no file of vectors"),
    ],
)
def test_unknown_embedders_are_refused_in_a_sentence(name: str, says: str, store: Store) -> None:
    with pytest.raises(UserError, match=says):
        open_embedder(EmbedConfig(embedder=name), store)


def test_a_folder_without_a_model(tmp_path: Path, store: Store) -> None:
    with pytest.raises(UserError, match="cannot be read as a language model"):
        _local(tmp_path, store).embed(["a"])


def test_only_safe_weights_are_read(tmp_path: Path, store: Store) -> None:
    folder = write_encoder(tmp_path / "bert", TEXTS)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="weights"):
        _local(folder, store).embed(["a"])
