"""
Fetching a video to the end: on from where it broke off, or from the start where that cannot be trusted.

What comes is appended to a part file. The next try asks for the rest, on the condition that the object is still the
same. A server that ignores the question, or has another object by now, sends the whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from ..errors import DownloadError, TransportError
from ..messages import HttpResponse
from ..redaction import redact_url
from ..timing import retry_after
from ..transports import Download, Transport
from .container import Verdict
from .http_range import check_kind, check_scheme, content_length, content_range, is_unchanged, redirected, validator
from .part_file import PartFile
from .policy import DownloadPolicy

Progress: TypeAlias = Callable[[int, int | None], object]
"""Called with the bytes received and the bytes expected, `None` where the server does not say."""

Renewal: TypeAlias = Callable[[], Awaitable[str | None]]
"""Returns a fresh URL of the same video, or `None` where there is none any more."""

_log = logging.getLogger("happyhorse_async")

_MOST_REDIRECTS = 5
_GONE = (403, 404, 410)
_PASSING = (408, 425, 429)
_MIB = 1024 * 1024


class UrlRefusedError(DownloadError):
    """The URL is no longer good: it was refused or its object is gone."""


class _BrokenOffError(DownloadError):
    """A try has failed, and the next may fare better."""

    def __init__(self, message: str, *, retry_after: float | None = None, status_code: int | None = None) -> None:
        super().__init__(message, status_code=status_code)
        self.retry_after = retry_after


async def download(
    transport: Transport,
    url: str,
    target: Path,
    *,
    progress: Progress | None = None,
    policy: DownloadPolicy = DownloadPolicy(),  # noqa: B008 - immutable
    renew: Renewal | None = None,
    public_only: bool = False,
) -> Path:
    """
    Fetch *url* into *target*, whose folder must exist.

    :param renew: asked once, when the URL is refused.
    :param public_only: refuse hosts that are not on the public internet.
    :raises UrlRefusedError: the server answers 403, 404 or 410.
    :raises DownloadError: no answer; the body is short, broken, too slow, too large or no video; the disk refuses it.
    """
    part = PartFile(target)
    try:
        await part.open()
        await _Fetch(transport, url, part, _Meter(progress), policy, renew, public_only).run()
        await part.publish()
    finally:
        await part.discard()
    return target


class _Meter:
    """Reports progress, which never goes back: what has to be fetched again is not counted again."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._furthest = 0

    def report(self, received: int, expected: int | None) -> None:
        if self._progress is None or received <= self._furthest:
            return
        self._furthest = received
        try:
            self._progress(received, expected)
        except Exception:  # noqa: BLE001 - the caller's own code, and the video is paid for
            _log.exception("the progress callback of a download failed; the download goes on")


class _Fetch:
    """One video on its way into its part file."""

    def __init__(
        self,
        transport: Transport,
        url: str,
        part: PartFile,
        meter: _Meter,
        policy: DownloadPolicy,
        renew: Renewal | None,
        public_only: bool,
    ) -> None:
        self._transport = transport
        self._url = url
        self._part = part
        self._meter = meter
        self._policy = policy
        self._renew = renew
        self._public_only = public_only
        self._total: int | None = None
        self._validator: str | None = None

    async def run(self) -> None:
        """Try until the part file holds the whole video."""
        tries, furthest = 0, 0
        while True:
            try:
                return await self._try()
            except UrlRefusedError:
                if not await self._take_fresh_url():
                    raise
            except _BrokenOffError as failure:
                if self._part.size >= furthest + _MIB:
                    tries, furthest = 0, self._part.size
                if tries >= self._policy.retry.max_retries:
                    return await self._accept_or_raise(failure)
                delay = self._policy.retry.delay(tries, failure.retry_after)
                _log.info("%s; tried again in %.1f s", failure, delay)
                await asyncio.sleep(delay)
                tries += 1

    async def _take_fresh_url(self) -> bool:
        renew, self._renew = self._renew, None
        url = await renew() if renew is not None else None
        if url is None:
            return False
        if url.partition("?")[0] != self._url.partition("?")[0]:
            self._restart()
        self._url = url
        return True

    async def _accept_or_raise(self, failure: _BrokenOffError) -> None:
        # A server that announces more than it has breaks off every time.
        if self._part.size and await self._part.judge() is Verdict.WHOLE:
            _log.warning("%s; what came is a whole video, and is kept", failure)
            return
        raise failure

    async def _try(self) -> None:
        url = self._url
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._answer(url) as answer:
                if 300 <= answer.status < 400:
                    url = redirected(url, answer.headers)
                    continue
                if not self._is_all_there(answer):
                    self._prepare(answer, redact_url(url))
                    await self._save(answer)
                return await self._check_end()
        raise DownloadError(f"{redact_url(url)} redirects more than {_MOST_REDIRECTS} times")

    @asynccontextmanager
    async def _answer(self, url: str) -> AsyncGenerator[Download]:
        check_scheme(url)
        stream = self._transport.stream(url, self._headers(), public_only=self._public_only)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._policy.patience):
                    answer = await stack.enter_async_context(stream)
            except TimeoutError:
                raise _BrokenOffError(f"{redact_url(url)} did not answer in time") from None
            except TransportError as error:
                raise _broken_off(error, "the video cannot be fetched") from error
            yield answer

    def _headers(self) -> Mapping[str, str]:
        # The URL is its own credential. No header of the provider's API goes to the host that keeps the files.
        headers = {"Accept": "*/*"}
        if self._part.size and self._validator is None:
            self._restart()
        if self._part.size and self._validator is not None:
            headers |= {"Range": f"bytes={self._part.size}-", "If-Range": self._validator}
        return headers

    def _is_all_there(self, answer: Download) -> bool:
        """Whether the server says that nothing comes after what is there, whatever it announced before."""
        if answer.status != 416 or not self._part.size:
            return False
        _, self._total = content_range(answer.headers)
        return self._total == self._part.size

    def _prepare(self, answer: Download, place: str) -> None:
        """Make sure that the body is a part of a video that goes on from what is there."""
        _check_status(answer, place, asked_for_rest=bool(self._part.size))
        check_kind(answer.headers, place, answer.status)
        if answer.status == 200:
            self._restart()
            self._total = content_length(answer.headers)
            self._validator = validator(answer.headers)
        else:
            self._continue(answer, place)
        if self._total is not None and self._total > self._policy.largest:
            raise DownloadError(f"the video has {self._total} bytes, more than the {self._policy.largest} allowed")

    def _continue(self, answer: Download, place: str) -> None:
        start, total = content_range(answer.headers)
        known = {None, self._total} if self._total is not None else {None, total}
        same = total in known and is_unchanged(answer.headers, self._validator or "")
        if answer.status != 206 or start != self._part.size or not same:
            self._restart()
            raise _BrokenOffError(f"{place} has another object by now", status_code=answer.status)
        self._total = self._total if total is None else total

    def _restart(self) -> None:
        self._part.restart()
        self._total = self._validator = None

    async def _save(self, answer: Download) -> None:
        try:
            async with aclosing(_in_time(answer.chunks(), self._policy)) as chunks:
                async for chunk in chunks:
                    if self._part.size + len(chunk) > self._policy.largest:
                        raise DownloadError(f"the video has more than the {self._policy.largest} bytes allowed")
                    await self._part.add(chunk)
                    self._meter.report(self._part.size, self._total)
        except TransportError as error:
            raise _broken_off(error, f"the video broke off after {self._part.size} bytes") from error

    async def _check_end(self) -> None:
        size, total = self._part.size, self._total
        if total == 0:
            raise DownloadError("the video has no bytes at all")
        if not size or (total is not None and size < total):
            raise _BrokenOffError(f"the video ended after {size} bytes, {total or 'some'} were announced")
        if total is not None and size > total:
            self._restart()
            raise _BrokenOffError(f"the video has {size} bytes where {total} were announced")
        verdict = await self._part.judge()
        if verdict is Verdict.CUT or (verdict is Verdict.UNFINISHED and total is None):
            raise _BrokenOffError("the video ends before its last part")


def _check_status(answer: Download, place: str, *, asked_for_rest: bool) -> None:
    status = answer.status
    if status in _GONE:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        raise UrlRefusedError(
            f"the URL of the video has expired or was withdrawn: {place} refused it at {now}", status_code=status
        )
    if status in _PASSING or status >= 500:
        wish = retry_after(HttpResponse(status=status, headers=answer.headers, body=b""))
        raise _BrokenOffError(f"{place} answered {status}", retry_after=wish, status_code=status)
    if status != 200 and not (asked_for_rest and status in (206, 416)):
        raise DownloadError(f"{place} answered {status}", status_code=status)


def _broken_off(error: TransportError, what: str) -> DownloadError:
    kind = _BrokenOffError if error.retryable else DownloadError
    return kind(f"{what}: {error.message}")


async def _in_time(chunks: AsyncIterator[bytes], policy: DownloadPolicy) -> AsyncGenerator[bytes]:
    """Yield *chunks* as long as enough of them come, by the time that is spent waiting for them."""
    came, waited = 0, 0.0
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        try:
            async with asyncio.timeout(policy.patience - waited):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _BrokenOffError(
                f"the video comes too slowly: {came} bytes in {policy.patience:g} s, where {policy.least} must come"
            ) from None
        came, waited = came + len(chunk), waited + clock() - began
        if came >= policy.least:
            came, waited = 0, 0.0
        yield chunk
