"""
The upload of nexusflow, which no page documents: `POST /api/upload`, as its operator's public source has it.

https://github.com/Daemon4444/nexusflow, `backend/src`: up to 100 MB, ten a minute, a public URL in answer. How long the
file lives is not stated, and whether DashScope, behind the relay, can read it was not tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from attrs import define

from happyhorse_async.adapter import Account, UploadFile
from happyhorse_async.adapter_kit import Lax, form_request, structure
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpRequest


@define(kw_only=True)
class _WireFile:
    url: Lax[str] = None


@define(kw_only=True)
class _WireUpload:
    data: Lax[_WireFile] = None


def upload_request(file: UploadFile, account: Account) -> HttpRequest:
    """Encode the form, with the API key: the storage has the host of the API."""
    headers = {"Authorization": f"Bearer {account.api_key}", "Accept": "application/json"}
    return form_request(f"{account.base_url}/api/upload", file, headers=headers)


def uploaded(answer: Mapping[str, Any], account: Account) -> str:
    """
    Return the URL of an upload. Whether it is given whole or as a path is not stated.

    :raises InvalidResponseError: there is none.
    """
    found = structure(answer, _WireUpload).data
    if found is None or not found.url:
        raise InvalidResponseError("the answer to an upload has no URL", path="data.url", provider=account.provider)
    return urljoin(f"{account.base_url}/", found.url)
