"""
The keys that a provider publishes for its callbacks: requested when they are needed, and kept.

A callback whose signature fits no known key may come from a stranger, or be the first one with a new key. So the keys
are requested again, but at most once a minute, so that strangers cannot cause more requests.
"""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime

from ..errors import CallbackRejectedError, HappyHorseError, TransportError
from ..exchange import Exchange
from ..logs import get_logger
from ..messages import HttpRequest

_log = get_logger(__name__)

_BETWEEN_REQUESTS = 60.0


class CallbackKeys:
    """The published keys of one account's provider."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._keys: tuple[str, ...] = ()
        self._known_since = -math.inf
        self._asked_at = -math.inf
        self._failure: HappyHorseError | None = None
        self._asking = asyncio.Lock()

    @property
    def are_published(self) -> bool:
        """Whether the provider publishes keys at all; raises what `Adapter.encode_callback_keys` raises."""
        return bool(self._exchange.adapter.encode_callback_keys(self._exchange.account))

    async def verify(self, message: HttpRequest) -> None:
        """
        Check that *message* is signed with a published key.

        :raises CallbackRejectedError: it is not, or it is stale or malformed.
        :raises HappyHorseError: the keys cannot be fetched now. The provider must send the callback again.
        """
        known = self._usable()
        try:
            self._verify(message, known)
        except CallbackRejectedError as error:
            if not error.fits_no_key:
                raise
            keys = await self._newer_than(known)
        else:
            return
        self._verify(message, keys)

    def _verify(self, message: HttpRequest, keys: tuple[str, ...]) -> None:
        self._exchange.adapter.verify_callback(message, keys, datetime.now(UTC))

    def _usable(self) -> tuple[str, ...]:
        age = asyncio.get_running_loop().time() - self._known_since
        return self._keys if age < self._exchange.adapter.callback_keys_lifetime else ()

    async def _newer_than(self, known: tuple[str, ...]) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        async with self._asking:
            # Another callback may have asked while this one waited for the lock.
            if self._usable() == known and loop.time() - self._asked_at >= _BETWEEN_REQUESTS:
                try:
                    self._keys, self._failure = await self._exchange.callback_keys(), None
                    self._known_since = loop.time()
                except HappyHorseError as error:
                    _log.warning("the published keys for callbacks cannot be had: %s", error)
                    self._failure = error
                self._asked_at = loop.time()
            if self._failure is not None:
                problem = f"the published keys for callbacks cannot be had: {self._failure.message}"
                raise TransportError(problem, sent=False, provider=self._exchange.account.provider)
            return self._usable()
