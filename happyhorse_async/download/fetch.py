"""
Fetches a complete video: resumes after a break, or restarts if resuming is not safe.

A URL that has not expired is retried with backoff, whatever the storage answers: a file may appear minutes after its
task has succeeded. A body that does not begin like a video is treated like a broken download.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from typing import TypeAlias

from attrs import field, frozen

from ..errors import DownloadError, TransportError
from ..logs import get_logger
from ..messages import HttpRequest, HttpResponse
from ..redaction import SecretUrl
from ..timing import retry_after
from ..transports import Download, Transport
from ..transports.content_encoding import CompressionError, codings, uncompressed_chunks, unsupported
from .container import ContainerCheck, Verdict
from .expiry import ResultUrl
from .http_range import (
    content_length,
    content_range,
    is_same_object,
    not_video_type,
    redirected,
    scheme,
    server_time,
    validator,
)
from .policy import DownloadPolicy

Renewal: TypeAlias = Callable[[], Awaitable[ResultUrl | None]]
"""Returns a fresh URL of the same video, or `None` if there is none."""

Slot: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]
"""Returns the slot that is held during each attempt, and not during the pauses between them."""

_log = get_logger(__name__)

_MOST_REDIRECTS = 5
# Responses of a storage to an expired signature, or for an object that does not exist (yet).
_REFUSED = (400, 401, 403, 404, 410)
_MIB = 1024 * 1024


class UrlRefusedError(DownloadError):
    """The URL was refused and has expired: the video can no longer be fetched."""


class _AttemptFailedError(Exception):
    """An attempt failed, and the next one may succeed."""

    def __init__(
        self, message: str, *, response: Download | None = None, retry_after: float | None = None, refused: bool = False
    ) -> None:
        self.error = DownloadError(message, status_code=response.status if response else None)
        self.retry_after = retry_after
        self.expired_by: Mapping[str, str] | None = response.headers if response and refused else None
        """The headers of the response, if it refused the URL."""
        super().__init__(self.error.message)


@frozen
class Piece:
    """Some bytes of a video."""

    start: int
    """Their position. At 0 the video begins, possibly again: then discard all earlier pieces."""
    data: bytes = field(repr=False)
    """The bytes, at least one."""


class Fetch:
    """
    The download of one video.

    :param renew: returns a fresh URL; called at intervals while the URL is refused.
    :param slot: held during each attempt.
    :param public_only: refuse hosts that are not on the public internet.
    :param secrets: masked in the log.
    """

    def __init__(
        self,
        transport: Transport,
        url: ResultUrl,
        policy: DownloadPolicy,
        *,
        renew: Renewal | None = None,
        slot: Slot = nullcontext,
        public_only: bool = False,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self._transport = transport
        self._url = url
        self._policy = policy
        self._renew = renew
        self._next_renewal = 0.0
        self._slot = slot
        self._public_only = public_only
        self._secrets = secrets
        self._validator: str | None = None
        self._check = ContainerCheck()
        self.size = 0
        """The number of bytes that have arrived."""
        self.total: int | None = None
        """The announced length in bytes, if there is one."""

    @property
    def begins_like_video(self) -> bool:
        """Whether enough has arrived to know that it is a video."""
        return self._check.is_video is True

    async def pieces(self) -> AsyncGenerator[Piece]:
        """
        Yield the video, piece by piece.

        :raises UrlRefusedError: the URL is refused, and has expired.
        :raises DownloadError: all attempts failed, or further ones would fail too.
        """
        attempts, furthest, last_size = 0, 0, 0
        while True:
            try:
                async with self._slot(), aclosing(self._attempt()) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except _AttemptFailedError as error:
                failure = error
            if failure.expired_by is not None and await self._renewed(failure.expired_by):
                continue
            if self.size >= furthest + _MIB:
                attempts, furthest = 0, self.size
            is_last = attempts >= self._policy.retry.max_retries
            if (is_last or self.size == last_size) and self._is_whole_regardless(failure):
                return
            if is_last:
                raise failure.error from failure.__cause__
            await self._pause(failure, attempts)
            attempts, last_size = attempts + 1, self.size

    async def _pause(self, failure: _AttemptFailedError, attempts: int) -> None:
        delay = self._policy.retry.delay(attempts, failure.retry_after)
        _log.info("%s; next attempt in %.1f s", failure.error.mask(*self._secrets), delay)
        await asyncio.sleep(delay)

    async def _renewed(self, headers: Mapping[str, str]) -> bool:
        """
        Request a fresh URL, and return whether there is one; it is then used.

        :raises UrlRefusedError: there is none, and the old one has expired by the clock of the server that refused it.
        """
        fresh, old = await self._fresh_url(), self._url
        if fresh is not None:
            self._url = fresh
            if fresh.url != old.url:
                if fresh.url.value.partition("?")[0] != old.url.value.partition("?")[0]:
                    self._restart()
                return True
        now = server_time(headers)
        if self._url.has_expired(now):
            raise UrlRefusedError(
                f"the URL of the video has expired: {old.url} was refused at {now.isoformat(timespec='seconds')}"
            )
        return False

    async def _fresh_url(self) -> ResultUrl | None:
        now = asyncio.get_running_loop().time()
        if self._renew is None or now < self._next_renewal:
            return None
        self._next_renewal = now + self._policy.renew_interval
        return await self._renew()

    def _is_whole_regardless(self, failure: _AttemptFailedError) -> bool:
        # A server that announces too many bytes breaks off every time.
        if not self.size or self._check.verdict() is not Verdict.WHOLE:
            return False
        _log.warning("%s; the received bytes are a complete video, and are kept", failure.error.mask(*self._secrets))
        return True

    async def _attempt(self) -> AsyncGenerator[Piece]:
        url = self._url.url
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._response(url) as response:
                if 300 <= response.status < 400:
                    url = _followed(url, response)
                    continue
                if not self._is_complete(response):
                    self._prepare(response, url)
                    async with aclosing(self._receive(response, url)) as pieces:
                        async for piece in pieces:
                            yield piece
                self._check_end()
                return
        raise _AttemptFailedError(f"{self._url.url} redirects more than {_MOST_REDIRECTS} times")

    @asynccontextmanager
    async def _response(self, url: SecretUrl) -> AsyncGenerator[Download]:
        if scheme(url) not in ("http", "https"):
            raise DownloadError(f"only http(s) URLs are fetched, not {url}")
        request = HttpRequest(method="GET", url=url.value, headers=self._headers())
        stream = self._transport.stream(request, public_only=self._public_only)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._policy.patience):
                    response = await stack.enter_async_context(stream)
            except TimeoutError:
                raise _AttemptFailedError(f"{url} did not respond in time") from None
            except TransportError as error:
                raise _failed(error, "the video cannot be fetched") from error
            yield response

    def _headers(self) -> Mapping[str, str]:
        # The URL is its own credential. No header of the provider's API goes to the file host.
        headers = {"Accept": "*/*"}
        if self._validator is None:
            self._restart()
        elif self.size:
            headers |= {"Range": f"bytes={self.size}-", "If-Range": self._validator}
        return headers

    def _is_complete(self, response: Download) -> bool:
        """Whether the server says that the file ends here, whatever length it announced before."""
        if response.status != 416 or not self.size:
            return False
        _, self.total = content_range(response.headers)
        return self.total == self.size

    def _prepare(self, response: Download, url: SecretUrl) -> None:
        """Check that the body is of a video, and continues where the last one broke off."""
        # A proxy that has altered the headers answers 203.
        if response.status not in (200, 203, 206):
            raise self._refusal(response, url)
        kind = not_video_type(response.headers, is_part=response.status == 206)
        if kind is not None:
            if response.status == 206:
                self._restart()
            raise _AttemptFailedError(f"{url} is not a video but {kind}", response=response)
        coding = unsupported(response.headers)
        if coding is not None:
            raise _AttemptFailedError(f"{url} is compressed with {coding}, which was not asked for", response=response)
        if response.status == 206:
            self._continue(response, url)
        else:
            self._restart()
            self.total = content_length(response.headers)
        self._validator = validator(response.headers)
        if codings(response.headers):
            # Length and validator belong to the compressed bytes.
            self.total = self._validator = None
        if self.total is not None and self.total > self._policy.largest:
            raise DownloadError(f"the video has {self.total} bytes, more than the {self._policy.largest} allowed")

    def _refusal(self, response: Download, url: SecretUrl) -> _AttemptFailedError:
        if response.status == 416:
            self._restart()
        wait = retry_after(HttpResponse(status=response.status, headers=response.headers))
        return _AttemptFailedError(
            f"{url} answered {response.status}",
            response=response,
            retry_after=wait,
            refused=response.status in _REFUSED,
        )

    def _continue(self, response: Download, url: SecretUrl) -> None:
        start, total = content_range(response.headers)
        if not self.size:
            # No range was requested: this is the video, or its beginning.
            fits, self.total = start in (None, 0), content_length(response.headers) if start is None else total
        else:
            same_length = self.total is None or total in (None, self.total)
            fits = start == self.size and same_length and is_same_object(response.headers, self._validator)
            self.total = total or self.total
        if not fits:
            self._restart()
            raise _AttemptFailedError(f"{url} now has another object", response=response)

    def _restart(self) -> None:
        self.size, self.total, self._validator = 0, None, None
        self._check = ContainerCheck()

    async def _receive(self, response: Download, url: SecretUrl) -> AsyncGenerator[Piece]:
        chunks = _in_time(response.chunks(), self._policy)
        for coding in codings(response.headers):
            chunks = uncompressed_chunks(chunks, coding)
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    if chunk:
                        yield self._received(chunk, url)
        except TransportError as error:
            raise _failed(error, f"the video broke off after {self.size} bytes") from error
        except CompressionError as error:
            self._restart()
            raise _AttemptFailedError(f"{url}: {error}", response=response) from error

    def _received(self, chunk: bytes, url: SecretUrl) -> Piece:
        piece = Piece(self.size, chunk)
        self.size += len(chunk)
        if self.size > self._policy.largest:
            raise DownloadError(f"the video has more than the {self._policy.largest} bytes allowed")
        self._check.feed(chunk)
        if self._check.is_video is False:
            self._restart()
            begin = "" if piece.start else f": it begins with {chunk[:60].decode(errors='replace')!r}"
            raise _AttemptFailedError(f"{url} is not a video{begin}")
        return piece

    def _check_end(self) -> None:
        size, total = self.size, self.total
        if not size:
            raise _AttemptFailedError("the video has no bytes at all")
        if total is not None and size < total:
            raise _AttemptFailedError(f"the video ended after {size} bytes, {total} were announced")
        verdict = self._check.verdict()
        if total is not None and size > total:
            self._restart()
            raise _AttemptFailedError(f"the video has {size} bytes where {total} were announced")
        if verdict in (Verdict.WHOLE, Verdict.NOT_JUDGED):
            return
        if total is not None or verdict is Verdict.NOT_VIDEO:
            # The end has arrived, so the object itself is not a complete video, or not yet.
            self._restart()
        what = "not a video" if verdict is Verdict.NOT_VIDEO else "not a whole video: a part of it is missing"
        raise _AttemptFailedError(f"what arrived, {size} bytes, is {what}")


def _followed(url: SecretUrl, response: Download) -> SecretUrl:
    target = redirected(url, response.headers)
    if target is None:
        raise _AttemptFailedError(f"{url} redirects to nowhere", response=response)
    if scheme(target) not in ("http", "https"):
        raise DownloadError(f"{url} redirects to {target}, and only http(s) URLs are fetched")
    if scheme(url) == "https" and scheme(target) != "https":
        raise DownloadError(f"{url} redirects to {target}, which is not secure")
    return target


def _failed(error: TransportError, what: str) -> Exception:
    message = f"{what}: {error.message}"
    return _AttemptFailedError(message) if error.retryable else DownloadError(message)


async def _in_time(chunks: AsyncGenerator[bytes], policy: DownloadPolicy) -> AsyncGenerator[bytes]:
    """Yield *chunks* while they arrive fast enough, measured by the time spent waiting for them."""
    arrived, waited = 0, 0.0
    clock = asyncio.get_running_loop().time
    async with aclosing(chunks):
        while True:
            began = clock()
            try:
                async with asyncio.timeout(policy.patience - waited):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise _AttemptFailedError(
                    f"the video arrives too slowly: {arrived} of at least {policy.least} bytes in {policy.patience:g} s"
                ) from None
            arrived, waited = arrived + len(chunk), waited + clock() - began
            if arrived >= policy.least:
                arrived, waited = 0, 0.0
            yield chunk
