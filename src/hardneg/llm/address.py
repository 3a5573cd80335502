"""Where requests may go. An address is judged by what it stands for, however it is spelt, and judged again when it is
connected to: what a name server says in between changes nothing.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from hardneg.errors import PartError

METADATA = tuple(
    ip_network(block)
    for block in (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::254/128",  # AWS
        "fd20:ce::254/128",  # Google
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle
    )
)
"""Link-local addresses, and others where clouds keep what a machine may do."""
TRANSLATED = ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for an IPv4 address, in their last 32 bits."""

Address = IPv4Address | IPv6Address


def check(url: str, *, has_key: bool, proxies: bool) -> None:
    """Raises `PartError` for a ``base_url`` that is none, that gives a key away, or that is a metadata address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise PartError(f"`base_url` is no address ({error})") from error
    if parts.scheme not in ("http", "https") or not host:
        raise PartError("`base_url` must look like http://localhost:8000/v1 or https://host/v1")
    if parts.username or parts.password or parts.query:
        raise PartError("`base_url` must not hold a user, a password or a query; name the key by `api_key_env`")
    clear = has_key and parts.scheme == "http"
    address = spelt(host)
    if address is not None and (problem := refusal(address, loopback_only=clear)):
        raise PartError(f"`base_url`: {host} {problem}")
    if clear and address is None and host.rstrip(".") != "localhost":
        raise PartError(f"`base_url`: the key would go to {host} in the clear; use https, or leave out `api_key_env`")
    if clear and proxies:
        raise PartError(
            "`environment_proxies`: the key would go to the proxy in the clear; use https, or leave out one of them"
        )


def spelt(host: str) -> Address | None:
    """The address that a host stands for without asking a name server; None for a name.

    >>> spelt("2852039166"), spelt("::ffff:127.0.0.1"), spelt("example.org")
    (IPv4Address('169.254.169.254'), IPv4Address('127.0.0.1'), None)
    """
    try:
        found = socket.getaddrinfo(host.rstrip("."), None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return bare(str(found[0][4][0]))


def bare(text: str) -> Address:
    """An address, and the IPv4 address in it where it stands for one."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        within = IPv4Address(int(address) & 0xFFFFFFFF) if address in TRANSLATED else None
        return address.ipv4_mapped or address.sixtofour or within or address
    return address


def refusal(address: Address, *, loopback_only: bool) -> str | None:
    """Why nothing is sent to an address, or None. ``loopback_only``: a key goes there, and not by https."""
    if any(address in block for block in METADATA):
        return f"is {address}, a link-local address or one where clouds keep their metadata"
    if loopback_only and not address.is_loopback:
        return f"is {address}: the key would go there in the clear; use https, or leave out `api_key_env`"
    return None


class Loop(asyncio.SelectorEventLoop):
    """An event loop that connects to no address that ``judge`` gives a reason against."""

    def __init__(self, judge: Callable[[Address], str | None]) -> None:
        super().__init__()
        self._judge = judge
        self.refused: str | None = None
        """The last reason against an address."""

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connects, or raises OSError."""
        if sock.family in (socket.AF_INET, socket.AF_INET6) and (problem := self._judge(bare(address[0]))):
            self.refused = problem
            raise OSError(errno.EACCES, problem)
        await super().sock_connect(sock, address)
