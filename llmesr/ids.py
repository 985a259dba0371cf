"""The integer ids of items inside a dataset. They are said here and nowhere else.

Items are numbered 1..N in the order of the dataset's catalogue, so row ``i - 1`` of the
catalogue (and of every embedding matrix) is item ``i``, and row ``i`` of a *padded* table is
item ``i`` because row 0 is the padding row. Users are numbered 0..U-1.
"""

PAD = 0
"""Padding item: never a candidate, never a target, its row in every table is zero."""


def mask_id(n_items: int) -> int:
    """The item id that stands for a masked position (BERT4Rec): one past the last item."""
    return n_items + 1
