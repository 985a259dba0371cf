"""Who may reach a server: what listening beyond this machine asks for, and the names a server answers to."""

from __future__ import annotations

import ipaddress
import socket
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import psutil
import typer

from llmesr.errors import UserError
from llmesr.serving.hosts import host_name

AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        help="Another name clients may call this server by, such as shop.example.com, or *.example.com for all below; "
        "may be repeated; * for any.",
    ),
]
SECRETS = Path(".streamlit") / "secrets.toml"


def beyond_this_machine(host: str) -> bool:
    """Whether an address to listen on can be reached from other machines."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def guarded(host: str, *, guard: bool, waived: bool, remedy: str) -> None:
    """UserError when anybody who reaches this machine could come in and nobody said that this is meant."""
    if beyond_this_machine(host) and not guard and not waived:
        raise UserError(f"--host {host} lets everybody on the network in. {remedy}")


def answered_names(host: str, more: Sequence[str] | None = None) -> list[str]:
    """The names and addresses under which clients may call a server; empty when ``more`` has ``*``: any.

    A page elsewhere can make a browser call this server under a name of its own (DNS rebinding); such names are
    not among them. UserError for one of ``more`` that is no name.
    """
    if "*" in (more or ()):
        return []
    names = ["localhost", "127.0.0.1", "::1", host, *map(_plain_name, more or ())]
    if beyond_this_machine(host):
        names += [socket.gethostname(), socket.getfqdn()]
        names += [
            address.address.partition("%")[0]
            for addresses in psutil.net_if_addrs().values()
            for address in addresses
            if address.family in (socket.AF_INET, socket.AF_INET6)
        ]
    return sorted({name.lower().rstrip(".") for name in names})


def _plain_name(given: str) -> str:
    """As requests of clients have it. UserError for what is none, such as an address with a port or a path."""
    wide = "*." if given.startswith("*.") else ""
    rest = given.removeprefix(wide)
    rest = f"[{rest}]" if rest.count(":") > 1 and not rest.startswith("[") else rest
    name = host_name(rest)
    if name is None or ":" in rest.rpartition("]")[2]:
        raise UserError(f"--allow-host {given!r} is no name: give it alone, such as shop.example.com, without a port.")
    return f"{wide}{name}"


def has_sign_in(*folders: Path) -> bool:
    """Whether a secrets file of Streamlit under one of ``folders`` sets up a sign-in. UserError on a broken one."""
    for file in (folder / SECRETS for folder in folders):
        if file.is_file():
            try:
                if "auth" in tomllib.loads(file.read_text(encoding="utf-8")):
                    return True
            except (OSError, ValueError) as error:
                raise UserError(f"{file} cannot be read: {error}. Put it right, or move it away.") from error
    return False
