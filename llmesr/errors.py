"""The one error a person is meant to read."""

import re

_PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):[^\s/@]+@")


class UserError(ValueError):
    """Something the user can put right.

    The message is a sentence that names what was wrong (file, line, column, value) and what to
    do about it. The command line prints it and exits with code 2; the app shows it as it is.
    Passwords in URLs are masked.
    """

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


def masked(text: str) -> str:
    """``text`` with the passwords in its URLs as ``***``."""
    return _PASSWORD.sub(r"\1:***@", text)
