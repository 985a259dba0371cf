"""Rows of length 1, of arrays and of tensors."""

from __future__ import annotations

import numpy as np
import torch

from llmesr.data.unit_rows import unit_rows

ROWS = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]])
UNIT = np.array([[0.6, 0.8], [0.0, 0.0], [0.0, -1.0]])


def test_rows_have_length_1_and_zero_rows_stay_zero() -> None:
    made = unit_rows(ROWS)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, UNIT, rtol=1e-6)


def test_tensors_are_treated_alike() -> None:
    made = unit_rows(torch.from_numpy(ROWS))
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, torch.from_numpy(UNIT).float())
