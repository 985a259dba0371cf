"""What the import says names the form's own controls."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import llmesr
from llmesr.views.shared.controls import for_the_form

SAID = {
    "Say which they are with --column, --item-column or --user-column, or leave it out.":
        "Say which they are in the form, or choose what the file holds, or leave it out.",
    "Say so with --column user_id=NAME.": "Say so with 'User'.",
    "name another with --column timestamp=NAME, or use none with --column timestamp=":
        "name another with 'Time', or use none with 'Time' = —",
    "or say --column timestamp= to take the order": "or say 'Time' = — to take the order",
    "say the encoding, such as --set encoding=cp1251.":
        "say the encoding, such as 'Encoding' = cp1251 under How the files are written.",
    "give a smaller --k-core.": "give a smaller 'K core' under Import options.",
    "or raise --set max_rejected=0.5.": "or raise 'Max rejected' = 0.5 under Import options.",
    "left out; `--set cold_items=true` keeps such items":
        "left out; 'Cold items' = true under Import options keeps such items",
    "how they are written: --set time_format='%d.%m.%Y %H:%M'.":
        "how they are written: 'Time format' = '%d.%m.%Y %H:%M'.",
    "or say --set delimiter=...": "or say 'Delimiter' under How the files are written",
    "Say so with --item-column item_id=NAME.": "Say so with 'Item ID'.",
    "Say --item-column item_id=Artikel, or leave": "Say 'Item ID' = Artikel, or leave",
    "Take one in with --item-column NAME=COLUMN.": "Take one in with 'Also read about each item'.",
}  # fmt: skip


@pytest.mark.parametrize("message", SAID)
def test_options_become_controls(message: str) -> None:
    assert for_the_form(message) == SAID[message]


def test_no_option_for_columns_and_settings_is_left() -> None:
    """Every sentence of the import that names one, as it stands in the code."""
    folder = Path(llmesr.__file__).parent / "data"
    option = r"--(?:(?:item-|user-)?column|set|k-core)[^\"\n]*"
    said = [line for path in sorted(folder.glob("*.py")) for line in re.findall(option, path.read_text())]
    assert len(said) > 10
    assert [line for line in said if "--set" in for_the_form(line)] == []
