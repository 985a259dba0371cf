"""Numbers and lists in sentences."""

import pytest

from llmesr.prose import counted, listed, signed


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.0123, 3, "+0.012"), (-0.0123, 3, "−0.012"), (0.0001, 3, "0.000"), (-0.0001, 3, "0.000"), (0.0, None, "0"),
     (-0.25, None, "−0.25"), (2.0, None, "+2")],
)  # fmt: skip
def test_a_difference_has_one_minus_sign_and_zero_has_none(value: float, digits: int | None, text: str) -> None:
    assert signed(value, digits) == text


def test_one_is_singular() -> None:
    assert [counted(n, "user") for n in (0, 1, 2, 1200)] == ["0 users", "1 user", "2 users", "1,200 users"]
    assert [counted(2, "query"), counted(2, "mouse", "mice")] == ["2 queries", "2 mice"]


def test_a_list_ends_with_and() -> None:
    assert [listed("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
