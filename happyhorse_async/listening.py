"""Starts a server on every address that a host name means, with one port for all of them."""

from __future__ import annotations

import asyncio
import errno
import socket

from aiohttp import web

# A name may mean "::1" on a machine that has no IPv6.
_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


async def listen(runner: web.AppRunner, host: str | None, port: int) -> int:
    """
    Start to answer on *host*, and return the port.

    :param host: a name or an address; `None` for every interface, with IPv4 and IPv6.
    :param port: 0 takes a free one. The system would choose another one for each address; here all get the same.
    :raises OSError: the host is unknown, or the port is in use.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A port that the system chose for the first address may be in use on the second, which is then left out.
    optional = _NO_SUCH_ADDRESS if port else _NO_SUCH_ADDRESS | {errno.EADDRINUSE}
    failure: OSError | None = None
    for address in dict.fromkeys(str(info[4][0]) for info in found):
        try:
            await web.TCPSite(runner, address, port).start()
        except OSError as error:
            if error.errno not in optional:
                raise
            failure = error
        else:
            port = int(runner.addresses[0][1])
    if failure is not None and not runner.addresses:
        raise failure
    return port
