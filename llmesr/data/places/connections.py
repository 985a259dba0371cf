"""Places that the configuration of a server names, so that nobody has to type an address or a password.

``LLMESR_CONNECTIONS`` is the path of a TOML file with a table for each:

    [shop]
    url = "postgresql://reader@db.example.org/shop"
    password = "SHOP_PASSWORD"               # the environment variable that holds it
    sql = ["SELECT user_id, item_id, bought_at FROM orders", "SELECT item_id, title FROM products"]
    any_sql = false                          # true: visitors of the app may write queries of their own

Visitors of the app reach these, and addresses that begin with one of those in ``LLMESR_ADDRESSES`` (separated by
spaces); no others.
"""

from __future__ import annotations

import os
import posixpath
import tomllib
import urllib.parse
from pathlib import Path

from pydantic import Field, ValidationError

from llmesr.config import Config
from llmesr.errors import UserError

CONNECTIONS = "LLMESR_CONNECTIONS"
ADDRESSES = "LLMESR_ADDRESSES"
PREFIX = "connection:"


class Connection(Config):
    """A database or an address under a name."""

    url: str = Field(min_length=1, description="A database or an address of files, without a password.")
    password: str | None = Field(None, description="The environment variable that holds the password.")
    sql: tuple[str, ...] = Field((), description="The queries that are offered: interactions, items, users.")
    any_sql: bool = Field(False, description="Whether visitors of the app may write queries of their own.")

    def secret(self) -> str | None:
        """The password, from the environment. UserError when the variable is not set."""
        if self.password is None:
            return None
        found = os.environ.get(self.password)
        if found is None:
            raise UserError(f"The password is to be in the environment variable {self.password}, which is not set.")
        return found


def connections() -> dict[str, Connection]:
    """The connections of this server by name; none without a file. UserError when that cannot be read."""
    file = os.environ.get(CONNECTIONS)
    if not file:
        return {}
    try:
        found = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        return {name: Connection.model_validate(values) for name, values in found.items()}
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{file}, {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} ({CONNECTIONS}) cannot be read: {error}.") from error


def connection(source: str) -> Connection:
    """The connection that ``connection:NAME`` names. UserError when there is none."""
    known, name = connections(), source.removeprefix(PREFIX)
    if name not in known:
        there = ", ".join(known) or f"none; {CONNECTIONS} names the file that lists them"
        raise UserError(f"There is no connection {name!r}. Known: {there}.")
    return known[name]


def places_of_visitors() -> list[str]:
    """The beginnings of addresses that visitors of the app may give; usually none."""
    return os.environ.get(ADDRESSES, "").split()


def check_visitor(address: str) -> None:
    """UserError unless the server allows an address that a visitor of the app gives.

    What a server reaches, its visitors would: machines behind it, and its own files. So the operator says what may be
    reached, host and folder; everything else is refused, also what leads out of such a folder.
    """
    given = urllib.parse.urlsplit(address)
    path = urllib.parse.unquote(given.path)
    clean = posixpath.normpath(path) == path.rstrip("/") and "\\" not in path and "::" not in address
    for allowed in map(urllib.parse.urlsplit, places_of_visitors()):
        folder = allowed.path.rstrip("/") + "/"
        same = (given.scheme, given.netloc) == (allowed.scheme, allowed.netloc) and bool(given.netloc)
        if same and clean and path.startswith(folder):
            return
    raise UserError(
        "This server does not read from that address. Its operator can allow it in LLMESR_ADDRESSES, or name it as a "
        "connection."
    )
