"""Sends webhooks over real HTTP, with the provider's retries."""

from __future__ import annotations

import asyncio
import ipaddress
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
from .webhook_queue import Webhook

_LONGEST_HOLD = 60.0
"""Emulated seconds for which a webhook is delayed so that the next one overtakes it."""


@define(eq=False)
class _PendingWebhook:
    """A webhook that is being delivered."""

    provider: EmulatedProvider
    entry: Entry
    webhook: Webhook
    sent: asyncio.Event = field(factory=asyncio.Event)
    """Set once it has been sent for the first time."""
    overtaken: asyncio.Event | None = None
    """Set at the same time: a delayed webhook waits for it."""

    def mark_sent(self) -> None:
        """Wake everything that waits until it is sent."""
        self.sent.set()
        if self.overtaken is not None:
            self.overtaken.set()


class WebhookSender:
    """
    Sends the webhooks of the providers' tasks. Leaving it cancels the deliveries in progress.

    It never sends to a public address: an emulator's fake events must not reach a real service.

    :param only_loopback: whether it sends to this machine only, and to no other private address.
    :param speed: every duration is divided by it, except for the time that a receiver has to answer.
    :param clock: returns the time in Unix seconds.
    """

    def __init__(
        self,
        providers: Iterable[EmulatedProvider],
        *,
        log: WebhookLog,
        only_loopback: bool,
        speed: float,
        clock: Callable[[], float],
    ) -> None:
        self._providers = tuple(providers)
        self._log = log
        self._only_loopback = only_loopback
        self._speed = speed
        self._clock = clock
        self._background = Background()
        self._deliveries: set[asyncio.Task[None]] = set()
        # A receiver that closes a kept connection while a webhook is written to it would get one more attempt.
        connector = aiohttp.TCPConnector(resolver=FilteringResolver(self._check_addresses), force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "happyhorse-emulator"}
        )
        self._earlier = asyncio.Event()
        self._wakes_at = math.inf
        self._held: dict[EmulatedProvider, asyncio.Event] = {}

    async def __aenter__(self) -> Self:
        self._background.spawn(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._background.aclose()
        await self._session.close()
        self._log.close()

    async def after_call(self, provider: EmulatedProvider) -> None:
        """Send the webhooks caused by a call to *provider*. Returns once those that overtake its response were sent."""
        pending = self._send_ended(provider)
        if provider.webhook_queue.next_end() < self._wakes_at:
            self._earlier.set()
        for early in (webhook for webhook in pending if webhook.webhook.plan.early):
            await early.sent.wait()

    def drop_pending(self) -> None:
        """Cancel every delivery in progress."""
        for delivery in self._deliveries:
            delivery.cancel()
        self._held.clear()

    async def _run(self) -> None:
        while True:
            self._earlier.clear()
            for provider in self._providers:
                self._send_ended(provider)
            self._wakes_at = min((provider.webhook_queue.next_end() for provider in self._providers), default=math.inf)
            wait = None if self._wakes_at == math.inf else self._wakes_at - self._clock()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._earlier.wait()

    def _send_ended(self, provider: EmulatedProvider) -> list[_PendingWebhook]:
        """Begin to deliver the webhooks of the tasks that have ended, and return them."""
        ended = provider.webhook_queue.take(self._clock())
        pending = [_PendingWebhook(provider, entry, webhook) for entry, webhook in ended]
        for webhook in pending:
            delivery = self._background.spawn(self._deliver(webhook))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)
        return pending

    async def _deliver(self, pending: _PendingWebhook) -> None:
        plan = pending.webhook.plan
        try:
            if plan.lost:
                self._record(pending, attempt=1, lost=True)
                return
            pending.overtaken = self._held.pop(pending.provider, None)
            if plan.held and pending.overtaken is None:
                await self._hold(pending.provider)
            if plan.forged:
                await self._attempt(pending, 1, forged=True)
            async with asyncio.TaskGroup() as copies:
                for waits in plan.copies:
                    copies.create_task(self._deliver_copy(pending, waits))
        finally:
            pending.mark_sent()

    async def _deliver_copy(self, pending: _PendingWebhook, waits: tuple[float, ...]) -> None:
        for attempt, wait in enumerate(waits, start=1):
            if attempt > 1 or not pending.webhook.plan.early:
                await asyncio.sleep(wait / self._speed)
            delivery = await self._attempt(pending, attempt)
            pending.mark_sent()
            if delivery.delivered:
                return

    async def _hold(self, provider: EmulatedProvider) -> None:
        passed = self._held[provider] = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_HOLD / self._speed):
                await passed.wait()
        if self._held.get(provider) is passed:
            del self._held[provider]

    async def _attempt(self, pending: _PendingWebhook, attempt: int, *, forged: bool = False) -> WebhookDelivery:
        provider = pending.provider
        message = provider.callback(pending.entry, pending.webhook, now=self._clock(), forged=forged)
        rules = provider.emulated_api.callback_rules
        status, problem = await self._post(message, timeout=rules.timeout if rules else None)
        return self._record(pending, attempt=attempt, status=status, problem=problem, forged=forged)

    def _record(self, pending: _PendingWebhook, **outcome: Any) -> WebhookDelivery:
        delivery = WebhookDelivery(
            provider=pending.provider.emulated_api.name,
            task_id=pending.entry.id,
            url=redact_url(pending.webhook.url),
            **outcome,
        )
        self._log.add(delivery)
        return delivery

    async def _post(self, message: HttpRequest, *, timeout: float | None) -> tuple[int | None, str | None]:
        """Send *message*. Return the status of the response, or why there is none."""
        try:
            url = URL(message.url, encoded=True)
            # aiohttp does not call the resolver for a numeric address.
            if _is_address(url.host or ""):
                self._check_addresses([url.host or ""])
            async with self._session.request(
                message.method,
                url,
                headers=message.headers,
                data=message.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as response:
                return response.status, None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return None, _reason(error)

    def _check_addresses(self, addresses: list[str]) -> None:
        for address in addresses:
            if is_public(address):
                raise _ForbiddenHostError("the host is on the public internet, where an emulator sends nothing")
            if self._only_loopback and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
                raise _ForbiddenHostError(
                    "the host is not on this machine; an emulator with another `host` also sends to private networks"
                )


class _ForbiddenHostError(OSError):
    """Nothing is sent to this host."""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError) and isinstance(error.os_error, _ForbiddenHostError):
        error = error.os_error
    match error:
        case _ForbiddenHostError():
            return str(error)
        case TimeoutError():
            return "no response in time"
        case aiohttp.ClientConnectorDNSError():
            return "the host name cannot be resolved"
        case aiohttp.ClientConnectorError():
            return "no connection"
        case aiohttp.InvalidURL() | ValueError():
            return "the URL is not valid"
        case _:
            return "the connection broke"
