"""Head, tail and cold, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from llmesr.config import EVERY_GROUP, GROUPS
from llmesr.data.groups import Thresholds

CUT = Thresholds(item=3, user=5)


def test_the_threshold_itself_is_head() -> None:
    assert CUT.tail_items(np.array([0, 2, 3, 9])).tolist() == [True, True, False, False]
    assert CUT.tail_users(np.array([4, 5])).tolist() == [True, False]
    assert CUT.cold_items(np.array([0, 1, 3])).tolist() == [True, False, False]


def test_the_answer_is_of_the_kind_of_what_was_asked() -> None:
    assert CUT.tail_items(2) is True
    assert CUT.tail_users(5) is False
    assert torch.equal(CUT.tail_items(torch.tensor([2, 3])), torch.tensor([True, False]))
    assert CUT.tail_users(pd.Series([4, 5], index=[7, 8])).to_dict() == {7: True, 8: False}


def test_members_by_name() -> None:
    members = CUT.members(np.array([0, 3, 4]), np.array([5, 4, 9]))
    assert tuple(members) == EVERY_GROUP
    assert tuple(CUT.members(np.array([1, 3]), np.array([5, 4]))) == GROUPS  # nothing cold among them
    assert {name: m.tolist() for name, m in members.items()} == {
        "Overall": [True, True, True],
        "Tail Item": [True, False, False],
        "Head Item": [False, True, True],
        "Tail User": [False, True, False],
        "Head User": [True, False, True],
        "Cold Item": [True, False, False],
    }
