"""The names a server answers to, as clients write them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{0,5})?")


def host_name(host: str) -> str | None:
    """The name in a Host header, without its port, in the one way names are compared: ``[0:0::1]:8000`` -> ``::1``,
    ``Shop.Example.com.`` -> ``shop.example.com``. None for what is no name."""
    found = _HOST.fullmatch(host)
    if found is None:
        return None
    name = found["name"]
    if not name.startswith("["):
        return name.lower().removesuffix(".") or None
    try:
        return str(ipaddress.IPv6Address(name[1:-1]))
    except ValueError:
        return None


def is_one_of(name: str | None, names: Collection[str]) -> bool:
    """Whether a name is among ``names``, of which ``*.example.com`` is every name below."""
    if name is None:
        return False
    return name in names or any(wide.startswith("*.") and name.endswith(wide[1:]) for wide in names)
