"""Which addresses a name may have. A connection goes to one that was judged, so a name that changes gains nothing."""

from __future__ import annotations

from collections.abc import Callable
from socket import AddressFamily

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class FilteringResolver(AbstractResolver):
    """
    Finds the addresses of a name as anybody does, and has them judged.

    :param check: called with the addresses, in numbers; raises an `OSError` where they are not to be used.
    """

    def __init__(self, check: Callable[[list[str]], None]) -> None:
        self._check = check
        self._resolver = aiohttp.DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        """Find the addresses of *host*."""
        found = await self._resolver.resolve(host, port, family)
        self._check([place["host"] for place in found])
        return found

    async def close(self) -> None:
        """Let go of what is used for it."""
        await self._resolver.close()
