"""
The one place where an adapter and a transport meet: encode, wait for the budget, send once, decode.

Nothing is sent twice here. Who may try again, and when, is decided by the poller for queries and by the submitter for
the paid request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

from attrs import evolve

from .adapter import Account, Adapter, PageRequest, TaskPage
from .adapter_kit import read_object
from .errors import HappyHorseError, InvalidResponseError, RateLimitError, TransportError
from .messages import HttpRequest, HttpResponse
from .ratelimit import AccountLimits, RateLimiter
from .redaction import redact_text, redact_url
from .task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus
from .transports import Transport

T = TypeVar("T")

_log = logging.getLogger("happyhorse_async")

_QUERY_TIMEOUT = 30.0
# A provider may download and inspect the input before it answers a submit, and an answer that is not waited for leaves
# a paid task in the dark.
_SUBMIT_TIMEOUT = 120.0


class Slot:
    """
    A turn of a pacer, and then a place on a connection where those are few. Holds both as `async with`, as often as one
    likes; `take` and `leave` are the same by hand.
    """

    def __init__(self, limiter: RateLimiter, places: asyncio.Semaphore | None) -> None:
        self._limiter = limiter
        self._places = places

    async def acquire(self) -> None:
        """Wait for the turn. A caller that is cancelled holds nothing."""
        await self._limiter.acquire()
        if self._places is not None:
            try:
                await self._places.acquire()
            except BaseException:
                self._limiter.release()
                raise

    def release(self) -> None:
        """Give it back."""
        if self._places is not None:
            self._places.release()
        self._limiter.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Exchange:
    """Talks to one account of one provider."""

    def __init__(self, adapter: Adapter, account: Account, transport: Transport, budget: AccountLimits) -> None:
        self.adapter = adapter
        self.account = account
        self.transport = transport
        self.limits = budget

    def submit_slot(self) -> Slot:
        """Return what holds a turn to submit. Waiting for it can be cancelled without a trace: nothing is sent."""
        return Slot(self.limits.submits, self.transport.connection_slots)

    def query_slot(self) -> Slot:
        """Return what holds a turn to query, list or cancel."""
        return Slot(self.limits.queries, self.transport.connection_slots)

    async def submit(self, message: HttpRequest) -> Task:
        """
        Send the paid request, once. The caller holds a turn.

        :raises HappyHorseError: see `Adapter.decode_submit` and `Transport.send`.
        """
        task = await self._send(
            message,
            lambda response: self.adapter.decode_submit(response, self.account),
            limiter=self.limits.submits,
            timeout=_SUBMIT_TIMEOUT,
        )
        return self._redacted(task)

    async def fetch(self, ref: TaskRef) -> Task:
        """
        Look at a task, once. The caller holds a turn.

        :raises TaskNotFoundError: the provider does not know it.
        :raises InvalidResponseError: the answer cannot be understood, or is about another task.
        """
        try:
            task = await self._query(
                self.adapter.encode_fetch(ref.id, self.account),
                lambda response: self.adapter.decode_fetch(response, ref.id, self.account),
            )
        except HappyHorseError as error:
            error.about(ref=ref)
            raise
        if task.ref != ref:
            raise InvalidResponseError("the answer is about another task", path="id", ref=ref)
        return self._redacted(_with_output(task))

    def read_callback(self, message: HttpRequest) -> Task | TaskRef:
        """
        Read what the provider says of a task by calling us. A success without a video is worth a look, and no more.

        :raises InvalidResponseError: it cannot be understood.
        """
        try:
            said = self.adapter.decode_callback(message, self.account)
        except HappyHorseError as error:
            raise error.mask(self.account.api_key) from None
        except Exception as error:
            _log.exception("the adapter cannot read a callback")
            raise InvalidResponseError(f"the adapter cannot read the callback: {type(error).__name__}") from error
        if isinstance(said, TaskRef):
            return said
        return said.ref if _with_output(said) is not said else self._redacted(said)

    def _redacted(self, task: Task) -> Task:
        if task.error is None:
            return task
        message = redact_text(task.error.message, self.account.api_key)
        return evolve(task, error=evolve(task.error, message=message))

    async def list_page(self, page: PageRequest) -> TaskPage:
        """List a part of the account's tasks. The caller holds a turn."""
        found = await self._query(
            self.adapter.encode_list(page, self.account),
            lambda response: self.adapter.decode_list(response, page, self.account),
        )
        return evolve(found, tasks=tuple(self._redacted(task) for task in found.tasks))

    async def cancel(self, ref: TaskRef) -> bool:
        """Ask for a cancellation; `False` means that it came too late. The caller holds a turn."""
        try:
            return await self._query(
                self.adapter.encode_cancel(ref.id, self.account),
                lambda response: self.adapter.decode_cancel(response, self.account),
            )
        except HappyHorseError as error:
            error.about(ref=ref)
            raise

    async def _query(self, message: HttpRequest, decode: Callable[[HttpResponse], T]) -> T:
        return await self._send(message, decode, limiter=self.limits.queries, timeout=_QUERY_TIMEOUT)

    async def _carry(self, message: HttpRequest, *, timeout: float) -> HttpResponse:
        try:
            return await self.transport.send(message, timeout=timeout)
        except TransportError as error:
            # An answer may break off after all that matters of it: whoever reads a whole object reads the task's id.
            received, error.received = error.received, None
            if received is None or not _is_whole(received):
                raise
            return received

    async def _send(
        self,
        message: HttpRequest,
        decode: Callable[[HttpResponse], T],
        *,
        limiter: RateLimiter,
        timeout: float,
    ) -> T:
        try:
            response = await self._carry(message, timeout=timeout)
            self._observe_rate_limit(response, limiter)
            if 300 <= response.status < 400:
                raise _redirected(response)
            decoded = _read(decode, response, message)
        except HappyHorseError as error:
            if isinstance(error, RateLimitError):
                limiter.refused(error.retry_after)
            error.provider = error.provider or self.account.provider
            error.mask(self.account.api_key)
            raise
        limiter.accepted()
        return decoded

    def _observe_rate_limit(self, response: HttpResponse, limiter: RateLimiter) -> None:
        try:
            quota = self.adapter.rate_limit(response)
        except Exception:  # noqa: BLE001 - of what was answered, this matters least
            _log.exception("the adapter cannot read the quota of an answer")
            return
        if quota is not None:
            self.limits.observed(quota, limiter)


def _is_whole(response: HttpResponse) -> bool:
    try:
        read_object(response)
    except InvalidResponseError:
        return False
    return response.ok


def _read(decode: Callable[[HttpResponse], T], response: HttpResponse, message: HttpRequest) -> T:
    try:
        return decode(response)
    except InvalidResponseError as error:
        # Where a field is missed, only the body is at hand.
        error.status_code = error.status_code or response.status
        raise
    except HappyHorseError:
        raise
    except Exception as error:
        # An adapter that stumbles over an answer must not take the task along that the answer is about.
        _log.exception("the adapter cannot read the answer to %s %s", message.method, redact_url(message.url))
        raise InvalidResponseError(
            f"the adapter cannot read the answer: {type(error).__name__}", status_code=response.status
        ) from error


def _redirected(response: HttpResponse) -> InvalidResponseError:
    # Following one would send the key, or pay again, at a place nobody chose.
    host = _host(response.headers.get("location", ""))
    return InvalidResponseError(
        f"the provider redirects to {host}, which is not followed; check the base URL", status_code=response.status
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "itself"
    except ValueError:
        return "nowhere"


def _with_output(task: Task) -> Task:
    """Call a success that delivered no video a failure, which it is."""
    if task.status is not TaskStatus.SUCCEEDED or task.videos:
        return task
    failure = TaskFailure(
        message="the provider reports a success and delivers no video", reason=FailureReason.NO_OUTPUT
    )
    return evolve(task, status=TaskStatus.FAILED, error=failure)
