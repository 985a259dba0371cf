"""Codes of item texts: alike texts share them, every setting tells, and what there is too little of is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llmesr.errors import UserError
from llmesr.semantic.codes import NONE, describe, quantise

KINDS = ("projections", "residual")
PLAIN: dict[str, Any] = {"codebooks": 3, "size": 4, "kind": "projections", "seed": 1}


def texts(items: int = 200, size: int = 12) -> np.ndarray:
    """Eight topics, and a little of its own for each item."""
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(8, size))
    return np.asarray(topics[np.arange(items) % 8] + 0.05 * rng.normal(size=(items, size)), np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_alike_texts_share_codes_and_the_same_text_shares_all(kind: str) -> None:
    rows = texts()
    rows[9] = rows[1]
    codes = quantise(rows, **{**PLAIN, "kind": kind, "size": 8}).values
    assert codes.shape == (200, 3)
    assert codes.min() == 1
    assert codes.max() <= 8
    assert (codes[1] == codes[9]).all()
    agree = [(codes[0] == codes[i]).sum() for i in range(1, 200)]
    near, far = agree[7::8], [a for i, a in enumerate(agree, 1) if i % 8]
    assert np.mean(near) > np.mean(far) + 1


@pytest.mark.parametrize("change", [{"seed": 2}, {"size": 6}, {"kind": "residual"}])
def test_every_setting_tells(change: dict[str, Any]) -> None:
    plain = quantise(texts(), **PLAIN).values
    assert (plain == quantise(texts(), **PLAIN).values).all()
    assert (plain != quantise(texts(), **{**PLAIN, **change}).values).any()
    assert quantise(texts(), **{**PLAIN, "codebooks": 2}).values.shape[1] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_catalogue_of_three_items_has_three_codes_and_says_so(kind: str) -> None:
    codes = quantise(texts(3), codebooks=2, size=256, kind=kind, seed=1)
    assert len(np.unique(codes.values, axis=0)) == 3
    said = describe(codes.report(), 256)
    assert "of the 256 codes of a codebook" in said
    assert "0 items share" in said


def test_items_without_text_have_one_code_together_and_are_counted() -> None:
    rows = texts()
    rows[[3, 50]] = 0
    codes = quantise(rows, **PLAIN)
    assert (codes.values[[3, 50]] == NONE).all()
    assert (np.delete(codes.values, [3, 50], 0) != NONE).all()
    assert codes.report()["items_without_text"] == 2
    assert "2 items have no text" in describe(codes.report(), 4)
    nothing = quantise(np.zeros((4, 6), np.float32), **PLAIN)
    assert nothing.report()["codes"] == [0, 0, 0]
    assert "4 items have no text" in describe(nothing.report(), 4)


def test_collisions_are_counted_by_hand() -> None:
    rows = np.array([[1, 0], [1, 0], [0, 1], [-1, -1], [-1, -1]], np.float32)
    report = quantise(rows, codebooks=1, size=3, kind="residual", seed=0).report()
    assert report == {
        "codes": [3],
        "distinct": 3,
        "items_that_share_all_codes": 4,
        "items_without_text": 0,
        "bytes_per_item": 2,
    }


def test_more_codebooks_than_directions_are_refused() -> None:
    with pytest.raises(UserError, match="at most 2, or quantisation=residual"):
        quantise(texts(20, 2), **PLAIN)
    assert quantise(texts(20, 2), **{**PLAIN, "kind": "residual"}).values.shape == (20, 3)
