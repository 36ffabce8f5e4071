"""A resolver that checks the addresses of a name. Connections go to addresses that were checked."""

from __future__ import annotations

from collections.abc import Callable
from socket import AddressFamily

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class FilteringResolver(AbstractResolver):
    """
    Resolves a name as aiohttp does, and has its addresses checked.

    :param check: called with the addresses, in numbers; raises an `OSError` if they are not to be used.
    """

    def __init__(self, check: Callable[[list[str]], None]) -> None:
        self._check = check
        self._resolver = aiohttp.DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        """Find the addresses of *host*."""
        found = await self._resolver.resolve(host, port, family)
        self._check([address["host"] for address in found])
        return found

    async def close(self) -> None:
        """Release its resources."""
        await self._resolver.close()
