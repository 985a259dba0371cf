"""What a visitor of the app may make this machine reach: public addresses, and models that the operator allows.

Who has the command line may reach anything. The jobs that a visitor begins are marked, and their commands know it by
the environment (:data:`PUBLIC_ONLY`); they open connections through :func:`client`.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any

import httpx

from llmesr.errors import UserError

PUBLIC_ONLY = "LLMESR_PUBLIC_ONLY"
"""Set for the commands of a job that may reach public addresses only."""
PRIVATE = "LLMESR_PRIVATE_ADDRESSES"
"""``1``: visitors may make this machine reach private addresses too."""
MODELS = "LLMESR_MODELS"
"""The models that visitors may name, with commas between; ``*`` for any."""
BUNDLED = "minilm"
ANY = "*"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is handed out: outside of it are wrapped, local and future addresses of many kinds."""
_NOT_THE_INTERNET = [ipaddress.ip_network(n) for n in ("192.0.0.0/24", "168.63.129.16/32", "3fff::/20")]
"""What looks public: protocols and the metadata of one cloud, a service inside another, examples in documents."""


def models() -> list[str]:
    """The models a visitor may choose from; with ``*`` among them, any other too."""
    return list(dict.fromkeys([BUNDLED, *(m.strip() for m in os.environ.get(MODELS, "").split(",") if m.strip())]))


def check_model(ref: str) -> None:
    """UserError unless visitors may name this model."""
    if not {ref, ANY} & set(models()):
        raise UserError(
            f"This server does not offer the model {ref!r}. Its operator can allow it: `llmesr app --allow-model`."
        )


def public_only() -> bool:
    """Whether this process was begun by a visitor who may reach no private address."""
    return os.environ.get(PUBLIC_ONLY) == "1"


def private_allowed() -> bool:
    """Whether the operator lets visitors reach private addresses."""
    return os.environ.get(PRIVATE) == "1"


def client(**options: Any) -> httpx.Client:
    """An HTTP client with ``options``; for a visitor's job, one that connects to public addresses alone.

    A redirect is a connection of its own and checked as one. Proxies of the environment are left out then: they would
    reach for us what we may not.
    """
    if not public_only():
        return httpx.Client(**options)
    return httpx.Client(**options, transport=PublicOnly(), trust_env=False)


class PublicOnly(httpx.BaseTransport):
    """Connects to public addresses only, and to the very address that was checked, so that a name which is looked up
    twice cannot lead elsewhere the second time."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport(trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        address = public_address(request.url.host)
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,  # with the name as Host
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        return self._inner.handle_request(pinned)

    def close(self) -> None:
        self._inner.close()


def public_address(host: str) -> str:
    """An address of ``host``. UserError when one of its addresses is private: of this machine, its network, a cloud's
    metadata. One that cannot be looked up is an httpx.ConnectError, like any other that cannot be reached."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"{host}: {error}") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not all(map(is_public, addresses)):
        raise UserError(
            f"{host} is a private address, which visitors of this server may not reach. Its operator can allow that: "
            f"{PRIVATE}=1."
        )
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address is reachable on the internet at large, also one that is wrapped into another."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if found not in _UNICAST:
            return False
    if any(found in network for network in _NOT_THE_INTERNET if network.version == found.version):
        return False
    return found.is_global and not found.is_multicast and not getattr(found, "is_site_local", False)
