"""The one error a person is meant to read."""


class UserError(ValueError):
    """Something the user can put right.

    The message is a sentence that names what was wrong (file, line, column, value) and what to
    do about it. The command line prints it and exits with code 2; the app shows it as it is.
    """
