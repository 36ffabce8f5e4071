"""Carries callbacks to their receivers over real HTTP, again and again until they are taken."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self

import aiohttp
from attrs import define, field
from yarl import URL

from ..background import Background
from ..messages import HttpRequest
from ..redaction import redact_url
from ..transports.ip_filter import is_public
from ..transports.resolver import FilteringResolver
from .account import Entry
from .provider import EmulatedProvider
from .webhook_log import WebhookDelivery, WebhookLog
from .webhook_plan import DeliveryCopy, DeliveryPlan, Webhook

_LONGEST_HOLD = 60.0
"""Emulated seconds for which a callback waits for another one to pass it."""


@define(eq=False)
class _PendingWebhook:
    """The callback of one task, on its way."""

    provider: EmulatedProvider
    entry: Entry
    webhook: Webhook
    sent: asyncio.Event = field(factory=asyncio.Event)
    """Set once it has been sent for the first time."""
    overtaken: asyncio.Event | None = None
    """What the callback that it passes waits for."""

    @property
    def delivery_plan(self) -> DeliveryPlan:
        """How it fares."""
        return self.webhook.delivery_plan

    def mark_sent(self) -> None:
        """Let go on whoever waits for it."""
        self.sent.set()
        if self.overtaken is not None:
            self.overtaken.set()


class WebhookSender:
    """
    Sends what the providers' tasks owe. Whatever it has begun ends with it.

    It goes to private addresses only: what an emulator makes up must never reach a service in earnest.

    :param speed: every duration is divided by it, but for the time that a receiver has.
    :param clock: gives the time in Unix seconds.
    """

    def __init__(
        self, providers: Iterable[EmulatedProvider], *, log: WebhookLog, speed: float, clock: Callable[[], float]
    ) -> None:
        self._providers = tuple(providers)
        self._log = log
        self._speed = speed
        self._clock = clock
        self._background = Background()
        # A connection that a receiver closes while a callback is written to it would be one more try.
        connector = aiohttp.TCPConnector(resolver=FilteringResolver(_check_private), force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "happyhorse-emulator"}
        )
        self._sooner = asyncio.Event()
        self._wakes_at = math.inf
        self._held: dict[EmulatedProvider, asyncio.Event] = {}

    async def __aenter__(self) -> Self:
        self._background.spawn(self._tracked())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._background.aclose()
        await self._session.close()
        self._log.close()

    async def after_call(self, provider: EmulatedProvider) -> None:
        """Look what a call to *provider* has brought about. Returns once all that overtakes its answer was sent."""
        early = self._send_ended(provider)
        if provider.webhook_queue.next_end() < self._wakes_at:
            self._sooner.set()
        for pending in early:
            await pending.sent.wait()

    async def _tracked(self) -> None:
        while True:
            self._sooner.clear()
            for provider in self._providers:
                self._send_ended(provider)
            self._wakes_at = min((provider.webhook_queue.next_end() for provider in self._providers), default=math.inf)
            wait = None if self._wakes_at == math.inf else self._wakes_at - self._clock()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._sooner.wait()

    def _send_ended(self, provider: EmulatedProvider) -> list[_PendingWebhook]:
        """Begin to tell of the tasks that have ended. Return what has to overtake an answer."""
        letters = [
            _PendingWebhook(provider, entry, webhook) for entry, webhook in provider.webhook_queue.take(self._clock())
        ]
        for pending in letters:
            self._background.spawn(self._deliver(pending))
        return [pending for pending in letters if pending.delivery_plan.early]

    async def _deliver(self, pending: _PendingWebhook) -> None:
        try:
            if pending.delivery_plan.lost:
                self._record(pending, attempt=1, lost=True)
                return
            pending.overtaken = self._held.pop(pending.provider, None)
            if pending.delivery_plan.held and pending.overtaken is None:
                await self._let_pass(pending.provider)
            if pending.delivery_plan.forged:
                await self._try(pending, 1, forged=True)
            async with asyncio.TaskGroup() as copies:
                for copy in pending.delivery_plan.copies:
                    copies.create_task(self._carry(pending, copy))
        finally:
            pending.mark_sent()

    async def _carry(self, pending: _PendingWebhook, copy: DeliveryCopy) -> None:
        waits = (0.0 if pending.delivery_plan.early else copy.delay, *copy.pauses)
        for attempt, wait in enumerate(waits, start=1):
            await asyncio.sleep(wait / self._speed)
            taken = await self._try(pending, attempt)
            pending.mark_sent()
            if taken:
                return

    async def _let_pass(self, provider: EmulatedProvider) -> None:
        passed = self._held[provider] = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_HOLD / self._speed):
                await passed.wait()
        if self._held.get(provider) is passed:
            del self._held[provider]

    async def _try(self, pending: _PendingWebhook, attempt: int, *, forged: bool = False) -> bool:
        provider = pending.provider
        message = provider.callback(pending.entry, pending.webhook, now=self._clock(), forged=forged)
        rules = provider.emulated_api.callback_rules
        status, problem = await self._post(message, timeout=rules.timeout if rules else None)
        return self._record(pending, attempt=attempt, status=status, problem=problem, forged=forged).taken

    def _record(self, pending: _PendingWebhook, **facts: Any) -> WebhookDelivery:
        delivery = WebhookDelivery(
            provider=pending.provider.emulated_api.name,
            task_id=pending.entry.id,
            url=redact_url(pending.webhook.url),
            **facts,
        )
        self._log.add(delivery)
        return delivery

    async def _post(self, message: HttpRequest, *, timeout: float | None) -> tuple[int | None, str | None]:
        """Send *message*. Return the status of the answer, or why there is none."""
        try:
            url = URL(message.url, encoded=True)
            # The resolver is not asked about an address in numbers.
            if is_public(url.host or ""):
                raise _PublicError
            async with self._session.request(
                message.method,
                url,
                headers=message.headers,
                data=message.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as answer:
                return answer.status, None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return None, _why(error)


class _PublicError(OSError):
    """The host is on the public internet."""


def _check_private(addresses: list[str]) -> None:
    if any(is_public(address) for address in addresses):
        raise _PublicError


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError) and isinstance(error.os_error, _PublicError):
        error = error.os_error
    match error:
        case _PublicError():
            return "the host is on the public internet, where an emulator sends nothing"
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorDNSError():
            return "the host name cannot be resolved"
        case aiohttp.ClientConnectorError():
            return "no connection"
        case aiohttp.InvalidURL() | ValueError():
            return "the URL is not valid"
        case _:
            return "the connection broke"
