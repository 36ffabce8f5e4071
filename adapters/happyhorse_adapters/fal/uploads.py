"""
fal's storage: a URL to send a file to is requested with the key, the file is sent there without it.

https://github.com/fal-ai/fal-js, `libs/client/src/storage.ts`. Everyone who has the URL of a file can read it.
"""

from __future__ import annotations

import json

from attrs import frozen

from happyhorse_async.adapter import Account, UploadFile, UploadPolicy
from happyhorse_async.adapter_kit import KEY, json_request, plain_text, structure
from happyhorse_async.errors import (
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    PermissionDeniedError,
    ProviderError,
)
from happyhorse_async.messages import HttpRequest, HttpResponse

from .errors import read

_LIFE = 24 * 3600
"""Seconds for which a file is asked to be kept: as long as a request may wait in the queue, and no longer."""
LIFETIME = _LIFE / 2
"""Seconds for which it serves further requests."""


@frozen(kw_only=True)
class _WireGrant:
    upload_url: str
    file_url: str


def grant_request(file: UploadFile, rest_url: str, account: Account) -> HttpRequest:
    """Encode the request for a URL to send *file* to."""
    return json_request(
        "POST",
        f"{rest_url}/storage/upload/initiate?storage_type=fal-cdn-v3",
        account,
        body={"file_name": file.name, "content_type": file.mime},
        headers={"X-Fal-Object-Lifecycle-Preference": json.dumps({"expiration_duration_seconds": _LIFE})},
        auth=KEY,
    )


def granted(response: HttpResponse, account: Account) -> UploadPolicy:
    """
    Decode the answer to the request for a URL.

    :raises HappyHorseError: it was refused; a locked account is refused here already.
    """
    wire = structure(read(response, account), _WireGrant)
    for url in (wire.upload_url, wire.file_url):
        if not url.startswith(("https://", "http://")):
            raise InvalidResponseError("the storage names no URL for the file", path="upload_url")
    return UploadPolicy(url=wire.upload_url, file_url=wire.file_url)


def upload_request(file: UploadFile, policy: UploadPolicy) -> HttpRequest:
    """Encode the file as it is sent: alone in the body, without the key."""
    return HttpRequest(method="PUT", url=policy.url, headers={"Content-Type": file.mime}, body=file.token.encode())


def uploaded(response: HttpResponse, policy: UploadPolicy) -> str:
    """
    Return the URL of the file.

    :raises HappyHorseError: the storage refused it.
    """
    if response.ok and policy.file_url:
        return policy.file_url
    raise _refusal(response)


def _refusal(response: HttpResponse) -> HappyHorseError:
    status = response.status
    sentence = f"the storage refused the file: {plain_text(response) or status}"
    if status == 403:
        return PermissionDeniedError(sentence, status_code=status)
    if status == 413:
        return InvalidRequestError(sentence, status_code=status)
    return ProviderError(sentence, not_accepted=True, status_code=status)
