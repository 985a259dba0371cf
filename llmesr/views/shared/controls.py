"""What an import says, for those before its form: the name of a control where the command line has an option."""

from __future__ import annotations

import re

FIELDS = {
    "user_id": "User",
    "item_id": "Item",
    "timestamp": "Time",
    "weight": "Rating or weight",
    "review": "Review text",
}
"""The controls of the columns of interactions."""
NONE = "—"
WRITTEN = ("encoding", "delimiter", "quote", "header")
"""Settings that say how files are written."""
_WHOLE = {
    "--column, --item-column or --user-column": "in the form, or choose what the file holds",
    "--column user_id=NAME --column item_id=NAME": "'User' and 'Item'",
    "--item-column item_id=": "'Item ID' = ",
    "--user-column user_id=": "'User ID' = ",
    "--item-column NAME=COLUMN": "'Also read about each item'",
    "--k-core": "'K core' under Import options",
}
_OPTION = re.compile(r"`?--(?:column|set) (\w+)=('[^']*'|[^\s`,;:]*[^\s`,;:.)])?(?:\.\.\.)?`?")


def for_the_form(message: str) -> str:
    """``message`` with the controls of the import's form in place of options of the command line."""
    for option, control in _WHOLE.items():
        message = message.replace(f"with {option}" if control.startswith("in ") else option, control)
    return _OPTION.sub(_control, message).replace(" = NAME", "")


def _control(found: re.Match[str]) -> str:
    name, value = found[1], found[2] or ""
    if name in FIELDS:
        return f"'{FIELDS[name]}' = {value or NONE}"
    label = name.replace("_", " ").capitalize()
    place = (
        ""
        if name == "time_format"
        else " under " + ("How the files are written" if name in WRITTEN else "Import options")
    )
    return f"'{label}'" + (f" = {value}" if value else "") + place
