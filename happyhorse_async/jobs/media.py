"""
Local media of a request, made ready for sending: files are read and compared with what was planned, and what does not
travel in the request is uploaded.

All of it is over before the intent of the paid request is recorded. Whatever fails here is certain: nothing was paid.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import AsyncExitStack
from uuid import uuid4

import anyio.to_thread
from attrs import evolve, frozen

from ..adapter import UploadFile
from ..errors import (
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    PermissionDeniedError,
    ProviderError,
    TaskNotFoundError,
    TransportError,
)
from ..exchange import Exchange
from ..local_media import LocalMedium, digest_of, tokens_in
from ..media.formats import extension_of
from ..messages import HttpRequest
from .submit_errors import RefusedUploadError

_MAX_CONCURRENT = 4
"""Uploads at a time: after a restart, many jobs may need one."""


@frozen
class _Upload:
    url: str
    usable_until: float


class MediaSender:
    """Reads and uploads the local media of one account's requests, and remembers its uploads while they live."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._uploads: dict[tuple[str, str], _Upload] = {}
        self._places = asyncio.Semaphore(_MAX_CONCURRENT)
        self._uploading: dict[tuple[str, str], asyncio.Lock] = {}

    async def ready(self, message: HttpRequest, model: str) -> HttpRequest:
        """
        Return *message* as it is sent: with the URLs of uploads, and the bytes of inline pictures in memory.

        :raises InvalidRequestError: a file is gone or has changed, or was not kept.
        :raises HappyHorseError: an upload failed.
        """
        body, inline = message.body or b"", list[LocalMedium]()
        for medium in message.media:
            if medium.digest not in tokens_in(body):
                continue
            if medium.is_uploaded:
                body = _with_url(body, medium, await self.upload(medium, model))
            else:
                inline.append(await anyio.to_thread.run_sync(_loaded, medium))
        return evolve(message, body=body, media=tuple(inline))

    async def upload_all(self, message: HttpRequest, model: str) -> None:
        """Upload the media of *message* that do not travel in it; raises what `ready` raises."""
        for medium in message.media:
            if medium.is_uploaded:
                await self.upload(medium, model)

    async def upload(self, medium: LocalMedium, model: str) -> str:
        """Return the URL of *medium* in the provider's storage; raises what `ready` raises."""
        name = (model, medium.digest)
        async with AsyncExitStack() as stack:
            # The same content is uploaded once, for however many requests.
            lock = self._uploading.setdefault(name, asyncio.Lock())
            await stack.enter_async_context(lock)
            known = self._known(medium, model)
            if known is None:
                async with self._places:
                    known = await self._new_upload(medium, model)
                self._remember(name, known)
            medium.sent(medium.size)
            return known.url

    def is_uploaded(self, message: HttpRequest, model: str) -> bool:
        """Return whether every medium of *message* that does not travel in it is in the provider's storage."""
        return all(self._known(medium, model) is not None for medium in message.media if medium.is_uploaded)

    def _known(self, medium: LocalMedium, model: str) -> _Upload | None:
        known = self._uploads.get((model, medium.digest))
        return None if known is None or known.usable_until <= time.monotonic() else known

    def _remember(self, name: tuple[str, str], upload: _Upload) -> None:
        now = time.monotonic()
        for other in [other for other, found in self._uploads.items() if found.usable_until <= now]:
            del self._uploads[other]
            if (lock := self._uploading.get(other)) is not None and not lock.locked():
                del self._uploading[other]
        self._uploads[name] = upload

    async def _new_upload(self, medium: LocalMedium, model: str) -> _Upload:
        await anyio.to_thread.run_sync(_check_unchanged, medium)
        lifetime = self._exchange.adapter.upload_lifetime
        try:
            url = await self._send(medium, model)
        except HappyHorseError as error:
            failure = _certain(error)
        else:
            return _Upload(url, time.monotonic() + lifetime)
        raise failure

    async def _send(self, medium: LocalMedium, model: str) -> str:
        file = _file(medium, model)
        policy = await self._exchange.upload_policy(file)
        try:
            return await self._exchange.upload(file, medium, policy)
        except PermissionDeniedError:
            if policy is None:
                raise
        # The permission may have expired on the way.
        file = _file(medium, model)
        return await self._exchange.upload(file, medium, await self._exchange.upload_policy(file))


def _file(medium: LocalMedium, model: str) -> UploadFile:
    # The name is new for each upload: one that is there already is refused.
    name = f"{uuid4().hex}{extension_of(medium.mime)}"
    return UploadFile(name=name, mime=medium.mime, size=medium.size, token=medium.raw_token, model=model)


def _certain(error: HappyHorseError) -> HappyHorseError:
    """Return *error* as one of an upload: the paid request was certainly not sent."""
    match error:
        case TransportError():
            return TransportError(
                f"the upload failed: {error.message}", sent=False, retryable=error.retryable, provider=error.provider
            )
        case ProviderError() | InvalidResponseError():
            return ProviderError(
                f"the upload failed: {error.message}",
                not_accepted=True,
                retry_after=getattr(error, "retry_after", None),
                provider=error.provider,
                status_code=error.status_code,
                code=error.code,
                request_id=error.request_id,
            )
        case InvalidRequestError() | TaskNotFoundError():
            return RefusedUploadError(
                f"the upload was refused: {error.message}",
                provider=error.provider,
                status_code=error.status_code,
                code=error.code,
                request_id=error.request_id,
            )
        case _:
            return error


def _with_url(body: bytes, medium: LocalMedium, url: str) -> bytes:
    # A scheme stands before the token already, so that an adapter finds a URL in the request.
    planned = re.compile(rb"[a-z]+://" + medium.url_token.encode())
    return planned.sub(lambda _: json.dumps(url)[1:-1].encode(), body)


def _loaded(medium: LocalMedium) -> LocalMedium:
    if medium.content is not None:
        return medium
    try:
        content = b"".join(medium.pieces()) if medium.path is not None else None
    except OSError as error:
        raise _unreadable(medium, error) from None
    found = evolve(medium, content=content)
    _check_unchanged(found)
    return found


def _check_unchanged(medium: LocalMedium) -> None:
    if not medium.is_available:
        raise InvalidRequestError("a local picture was kept in memory only, by a process that is gone; submit it again")
    try:
        found = digest_of(medium.pieces())
    except OSError as error:
        raise _unreadable(medium, error) from None
    if found != medium.digest:
        raise InvalidRequestError(f"the file {medium.path} has changed since it was submitted; nothing was sent")


def _unreadable(medium: LocalMedium, error: OSError) -> InvalidRequestError:
    return InvalidRequestError(f"the file {medium.path} can no longer be read: {error.strerror}; nothing was sent")
