"""Which model it is: a digest of whole files, and what earlier versions kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmesr.semantic.embedders import backbone
from llmesr.semantic.embedders.backbone import Source, same_weights, sampled_digest, weights_digest

MEGABYTE = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A model whose weights are 8 MB: the bytes are not read as such."""
    (tmp_path / "model.safetensors").write_bytes(bytes(8 * MEGABYTE))
    (tmp_path / "README.md").write_text("a model")
    return Source("hf:model", tmp_path)


def test_every_weight_counts(source: Source) -> None:
    whole, sampled = weights_digest(source), sampled_digest(source)
    with open(source.folder / "model.safetensors", "r+b") as handle:
        handle.seek(2 * MEGABYTE)  # between the first, the middle and the last megabyte
        handle.write(b"tuned")
    assert sampled_digest(source) == sampled
    assert weights_digest(source) != whole


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json", "spiece.model"]
)
def test_so_does_what_turns_text_into_tokens(source: Source, name: str) -> None:
    found = {weights_digest(source)}
    for content in ("one", "two"):
        (source.folder / name).write_text(content)
        found.add(weights_digest(source))
    assert len(found) == 3
    (source.folder / "README.md").write_text("the same model")
    assert weights_digest(source) in found


def test_files_that_stayed_are_read_once(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    found = weights_digest(source)
    with monkeypatch.context() as patched:
        patched.setattr(backbone, "file_digest", None)
        assert weights_digest(source) == found


def test_what_an_earlier_version_kept_is_compared_as_it_did(source: Source) -> None:
    kept = (weights_digest(source), sampled_digest(source))
    assert all(same_weights(source, digest) for digest in kept)
    (source.folder / "model.safetensors").write_bytes(bytes([1]) * 8 * MEGABYTE)
    assert not any(same_weights(source, digest) for digest in kept)
