"""
Decides which network addresses belong to the public internet.

A URL that comes from outside may name a machine of the network that this program runs in: the metadata service of a
cloud, a database, a printer. Such a host is only contacted if its user allows it.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# https://www.rfc-editor.org/rfc/rfc6052#section-2.1
_NAT64 = IPv6Network("64:ff9b::/96")
# Global by the registries, but internal: the block of the metadata service of Oracle's cloud, and the host that serves
# the machines of Azure.
_RESERVED = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"))


def is_public(address: str) -> bool:
    """
    Whether *address*, in numbers, belongs to the public internet.

    Private, loopback, link-local, multicast, unspecified and reserved addresses do not, nor does text that is not an
    address.
    """
    try:
        number = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(number, IPv6Address):
        number = _embedded(number)
    if isinstance(number, IPv6Address):
        return number.is_global and not (number.is_multicast or number.is_reserved or number.is_site_local)
    return number.is_global and not (number.is_multicast or any(number in network for network in _RESERVED))


def _embedded(number: IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address leads to, if it does."""
    if number in _NAT64:
        return IPv4Address(int(number) & 0xFFFFFFFF)
    return number.ipv4_mapped or number.sixtofour or (number.teredo[1] if number.teredo else number)


def is_private_host(host: str) -> bool:
    """Whether *host*, without a name lookup, is this machine or an address that is not public."""
    if ":" in host or host.replace(".", "").isdigit():
        # Resolvers read `127.1` and `2130706433` as addresses, which nothing honest is written as.
        return not is_public(host)
    return host.lower().rstrip(".").endswith("localhost")


async def is_public_host(host: str) -> bool:
    """Whether *host* is public by every address that it resolves to. One that does not resolve counts as public."""
    if is_private_host(host):
        return False
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return True
    return all(is_public(str(address[0])) for *_, address in found)
