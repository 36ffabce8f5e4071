"""
Where an adapter and a transport meet: encode, send once, decode.

Nothing is sent twice here. The poller decides whether and when a query is repeated, and the submitter does so for the
paid request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar, TypeVarTuple
from urllib.parse import urlsplit

import anyio.to_thread
from attrs import evolve

from . import telemetry
from .adapter import Account, Adapter, PageRequest, TaskPage, UploadFile, UploadPolicy
from .adapter_kit import read_object
from .errors import (
    ConfigurationError,
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    RateLimitError,
    TransportError,
)
from .job import Endpoint
from .local_media import LocalMedium
from .logs import get_logger
from .messages import HttpRequest, HttpResponse
from .ratelimit import AccountLimits, RateLimiter
from .redaction import contains_secret, redact_text, redact_url
from .task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus
from .timeouts import Timeouts
from .transports import Transport
from .transports.streamed_body import content_length, whole

T = TypeVar("T")
About = TypeVarTuple("About")

_log = get_logger(__name__)

_LONGEST_MESSAGE = 4_000
"""Characters of a provider's message."""
_UPLOAD_TIMEOUT = 120.0
_SLOWEST = 50_000.0
"""Bytes of local media a second: extends the timeout of a request with media."""


class ConnectionSlot:
    """A slot of a rate limiter, and then one of the transport's connections. Used like a rate limiter."""

    def __init__(self, limiter: RateLimiter, connections: asyncio.Semaphore) -> None:
        self._limiter = limiter
        self._connections = connections

    async def acquire(self) -> None:
        """Wait for the slot. A caller that is cancelled holds nothing."""
        await self._limiter.acquire()
        try:
            await self._connections.acquire()
        except BaseException:
            self._limiter.release()
            raise

    def release(self) -> None:
        """Release the slot."""
        self._connections.release()
        self._limiter.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Exchange:
    """
    Talks to one account of one provider.

    Its requests do not wait: wait for the `submit_slot` or the `query_slot` before each.
    """

    def __init__(
        self,
        adapter: Adapter,
        account: Account,
        transport: Transport,
        limits: AccountLimits,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - immutable
    ) -> None:
        self.adapter = adapter
        self.account = account
        self.transport = transport
        self.limits = limits
        self.submit_slot = _slot(limits.submits, transport)
        """The slot for a submit. Cancelling the wait for it is safe: nothing has been sent."""
        self.query_slot = _slot(limits.queries, transport)
        """The slot for a status, list or cancel request."""
        self.timeouts = timeouts
        self._reads_rate_limit = type(adapter).rate_limit is not Adapter.rate_limit
        self.last_answer_at: datetime | None = None
        """When the provider last answered, with whatever status."""
        self.last_error: str | None = None
        """The class of the error of the last request; `None` if it succeeded."""
        self.endpoint = Endpoint(provider=account.provider, adapter=adapter.name, base_url=account.base_url)

    async def submit(self, message: HttpRequest) -> Task:
        """
        Send the paid request, once. The caller holds the `submit_slot`.

        :raises HappyHorseError: see `Adapter.decode_submit` and `Transport.send`.
        """
        task = await self._send(
            message, self.adapter.decode_submit, limiter=self.limits.submits, timeout=self.timeouts.submit
        )
        # The id of a task is written to logs, stores and refs, where a key must never be.
        if contains_secret(task.id, self.account.api_key):
            raise InvalidResponseError("the id of the task contains the API key", path="id")
        return task if task.error is None else self._redacted(task)

    async def upload(self, file: UploadFile, medium: LocalMedium, policy: UploadPolicy | None) -> str:
        """
        Put a local file into the provider's storage, and return the URL by which a request names it.

        :param policy: what `upload_policy` has returned.
        :raises InvalidRequestError: the provider does not take a file of this size.
        :raises HappyHorseError: the upload failed.
        """
        if policy is not None and policy.max_size is not None and file.size > policy.max_size:
            raise InvalidRequestError(
                f"the file has {file.size} bytes; {self.account.provider} takes at most {policy.max_size}",
                provider=self.account.provider,
            )
        message = evolve(self.adapter.encode_upload(file, policy, self.account), media=(medium,))
        self._check_storage(message)
        self._check_key(message)
        # Not within the rate limit of the API: storage is another service.
        return await self._send(
            message, self.adapter.decode_upload, file, policy, limiter=None, timeout=_UPLOAD_TIMEOUT
        )

    async def upload_policy(self, file: UploadFile) -> UploadPolicy | None:
        """
        Ask for the permission to upload a file; `None` if none is needed.

        :raises HappyHorseError: it is refused, or there is no answer.
        """
        asking = self.adapter.encode_upload_policy(file, self.account)
        if asking is None:
            return None
        self._check_key(asking)
        # Without a connection slot: a submit that uploads again just before it is sent holds one already.
        async with self.limits.queries:
            return await self._query(asking, self.adapter.decode_upload_policy)

    def _check_storage(self, message: HttpRequest) -> None:
        """Make sure that a file is not sent in clear text, unless the API itself is used so."""
        if urlsplit(message.url).scheme != "https" and urlsplit(self.account.base_url).scheme == "https":
            raise InvalidResponseError("the provider names a storage that is not https; nothing was uploaded")

    def _check_key(self, message: HttpRequest) -> None:
        """Make sure that the API key is sent to the API and to the provider's declared hosts alone."""
        further = [self.adapter.further_url(option, self.account) for option in self.adapter.further_urls]
        own = [urlsplit(url)[:2] for url in (self.account.base_url, *further)]
        sent = (message.url, *message.headers.values(), (message.body or b"").decode(errors="replace"))
        if urlsplit(message.url)[:2] not in own and any(self.account.api_key in text for text in sent):
            raise InvalidResponseError("the adapter would send the API key to another host; nothing was sent")

    async def fetch(self, ref: TaskRef) -> Task:
        """
        Poll a task, once. The caller holds the `query_slot`.

        :raises TaskNotFoundError: the provider does not know it.
        :raises InvalidResponseError: the response cannot be understood, or is about another task.
        """
        try:
            message = self.adapter.encode_fetch(ref.id, self.account)
            task = await self._query(message, self.adapter.decode_fetch, ref.id)
            _check_ref(task, ref)
            # Some providers have a separate result request.
            further = self.adapter.encode_result(task, self.account)
            if further is not None:
                self._check_key(further)
                self.limits.queries.count_another()
                task = await self._query(further, self.adapter.decode_result, task)
                _check_ref(task, ref)
        except HappyHorseError as error:
            error.about(ref=ref)
            raise
        if task.status is TaskStatus.SUCCEEDED and not task.videos:
            task = _without_output(task)
        return task if task.error is None else self._redacted(task)

    async def check(self) -> str:
        """Send a free request, and return a few words about the account; raises the provider's refusal."""
        return await self._query(self.adapter.encode_check(self.account), self.adapter.decode_check)

    async def callback_keys(self) -> tuple[str, ...]:
        """
        Request the keys that the provider publishes for its callbacks; of several addresses the first that answers.

        :raises HappyHorseError: none of them answers with keys.
        """
        failure: HappyHorseError | None = None
        for message in self.adapter.encode_callback_keys(self.account):
            self._check_key(message)
            try:
                # Not within the rate limit of the API: strangers' requests must not slow down the polls.
                return await self._send(
                    message, self.adapter.decode_callback_keys, limiter=None, timeout=self.timeouts.query
                )
            except HappyHorseError as error:
                failure = failure or error
        raise failure or ConfigurationError(f"{self.adapter.title} publishes no keys for its callbacks")

    def read_callback(self, message: HttpRequest) -> Task | TaskRef:
        """
        Read a callback. A success without a video is only a hint to poll: its ref is returned.

        :raises InvalidResponseError: it cannot be understood.
        """
        try:
            received = self.adapter.decode_callback(message, self.account)
        except HappyHorseError as error:
            raise error.mask(self.account.api_key) from None
        except Exception as error:
            _log.exception("the adapter cannot read a callback")
            raise InvalidResponseError(f"the adapter cannot read the callback: {type(error).__name__}") from error
        if isinstance(received, TaskRef):
            return received
        is_empty = received.status is TaskStatus.SUCCEEDED and not received.videos
        return received.ref if is_empty else self._redacted(received)

    def _redacted(self, task: Task) -> Task:
        if task.error is None:
            return task
        message = redact_text(task.error.message[:_LONGEST_MESSAGE], self.account.api_key)
        return evolve(task, error=evolve(task.error, message=message))

    async def list_page(self, page: PageRequest) -> TaskPage:
        """List a page of the account's tasks. The caller holds the `query_slot`."""
        listed = await self._query(self.adapter.encode_list(page, self.account), self.adapter.decode_list, page)
        safe = [task for task in listed.tasks if not contains_secret(task.id, self.account.api_key)]
        return evolve(listed, tasks=tuple(map(self._redacted, safe)))

    async def cancel(self, ref: TaskRef) -> bool:
        """Request a cancellation; `False` means that it came too late. The caller holds the `query_slot`."""
        try:
            return await self._query(self.adapter.encode_cancel(ref.id, self.account), self.adapter.decode_cancel)
        except HappyHorseError as error:
            error.about(ref=ref)
            raise

    def _query(
        self, message: HttpRequest, decode: Callable[[HttpResponse, *About, Account], T], *about: *About
    ) -> Coroutine[Any, Any, T]:
        return self._send(message, decode, *about, limiter=self.limits.queries, timeout=self.timeouts.query)

    async def _send(
        self,
        message: HttpRequest,
        decode: Callable[[HttpResponse, *About, Account], T],
        *about: *About,
        limiter: RateLimiter | None,
        timeout: float,
    ) -> T:
        """
        Send *message* once, and decode its answer.

        :param about: what `decode` takes beside the answer and the account.
        :param limiter: the limit that the provider counts the request against; `None` for none.
        """
        try:
            if message.media:
                timeout += content_length(message) / _SLOWEST
                if not getattr(self.transport, "streams_media", False):
                    message = await anyio.to_thread.run_sync(whole, message)
            try:
                response = await self.transport.send(message, timeout=timeout)
            except TransportError as error:
                # A response may break off after its last important byte: a whole object has the task's id.
                received, error.received = error.received, None
                if received is None or not _is_whole(received):
                    raise
                response = received
            if limiter is not None:
                self.last_answer_at = datetime.now(UTC)
                if self._reads_rate_limit:
                    self._observe_rate_limit(response, limiter)
            if 300 <= response.status < 400:
                raise _redirected(response)
            decoded = self._decode(message, response, decode, *about)
        except HappyHorseError as error:
            if isinstance(error, RateLimitError) and limiter is not None:
                limiter.back_off(error.retry_after)
                telemetry.rate_limited(self.endpoint, limiter.name)
            self.last_error = type(error).__name__
            error.provider = error.provider or self.account.provider
            error.mask(self.account.api_key)
            raise
        self.last_error = None
        if limiter is not None:
            limiter.succeeded()
        return decoded

    def _decode(
        self,
        message: HttpRequest,
        response: HttpResponse,
        decode: Callable[[HttpResponse, *About, Account], T],
        *about: *About,
    ) -> T:
        try:
            return decode(response, *about, self.account)
        except InvalidResponseError as error:
            if _is_page(response):
                # The error stays in the context of the new one.
                raise _of_a_page(error.mask(self.account.api_key), response.status) from None
            # Code that misses a field has only the body.
            error.status_code = error.status_code or response.status
            raise
        except HappyHorseError:
            raise
        except Exception as error:
            # A bug in an adapter must not end the task of the response.
            _log.exception("the adapter cannot read the response to %s %s", message.method, redact_url(message.url))
            raise InvalidResponseError(
                f"the adapter cannot read the response: {type(error).__name__}", status_code=response.status
            ) from error

    def _observe_rate_limit(self, response: HttpResponse, limiter: RateLimiter) -> None:
        try:
            window = self.adapter.rate_limit(response)
        except Exception:  # noqa: BLE001 - the response itself matters more
            _log.exception("the adapter cannot read the rate limit of a response")
            return
        if window is not None:
            self.limits.apply_window(window, limiter)


def _slot(limiter: RateLimiter, transport: Transport) -> RateLimiter | ConnectionSlot:
    connections = transport.connection_slots
    return limiter if connections is None else ConnectionSlot(limiter, connections)


def _check_ref(task: Task, ref: TaskRef) -> None:
    if task.ref.id != ref.id or task.ref.provider != ref.provider:
        raise InvalidResponseError("the response is about another task", path="id", ref=ref)


def _is_whole(response: HttpResponse) -> bool:
    try:
        read_object(response)
    except InvalidResponseError:
        return False
    return response.ok


def _is_page(response: HttpResponse) -> bool:
    """Return whether a success is HTML: a login page, or that of a CDN or a proxy."""
    return response.ok and response.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _of_a_page(error: InvalidResponseError, status: int) -> TransportError:
    page = f"the answer does not come from the provider but is a page of something in between: {error.message}"
    return TransportError(page, sent=True, status_code=status)


def _redirected(response: HttpResponse) -> InvalidResponseError:
    # Following it would send the key to another host, or pay there.
    host = _host(response.headers.get("location", ""))
    return InvalidResponseError(
        f"the provider redirects to {host}, which is not followed; check the base URL", status_code=response.status
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "itself"
    except ValueError:
        return "nowhere"


def _without_output(task: Task) -> Task:
    """Return a success without a video as a failure."""
    failure = TaskFailure(message="the provider reported a success without a video", reason=FailureReason.NO_OUTPUT)
    return evolve(task, status=TaskStatus.FAILED, error=failure)
