"""
KIE's file upload API: https://docs.kie.ai/file-upload-api/upload-file-stream.

It is free, on a host of its own that takes the same key. A file can be read by everyone who has its URL, and is deleted
after 24 hours by the newer edition of the page, after three days by the older one.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from attrs import define

from happyhorse_async.adapter import Account, UploadFile
from happyhorse_async.adapter_kit import BEARER, Lax, form_request, structure
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpRequest, HttpResponse

from .errors import Call, read

DEFAULT_URL = "https://kieai.redpandaai.co"

# Half of the 24 hours: a task may wait before its media are read.
LIFETIME = 12 * 3600.0


@define(kw_only=True)
class _WireUpload:
    """The quickstart has `fileUrl`, the page of each call `downloadUrl`."""

    downloadUrl: Lax[str] = None  # noqa: N815 - the provider's spelling
    fileUrl: Lax[str] = None  # noqa: N815 - the provider's spelling


def upload_request(file: UploadFile, root: str, account: Account) -> HttpRequest:
    """Encode the form. The file has a random name: an equal one would overwrite another file."""
    fields = {"uploadPath": f"{file.mime.partition('/')[0]}s/happyhorse", "fileName": file.name}
    headers = {BEARER.header: f"{BEARER.prefix}{account.api_key}", "Accept": "application/json"}
    return form_request(f"{root}/api/file-stream-upload", file, fields=fields, headers=headers)


def uploaded_url(response: HttpResponse, account: Account) -> str:
    """
    Return the URL of an upload. `success` and `code` decide, not the HTTP status.

    :raises HappyHorseError: it was refused.
    """
    envelope = read(response, account, Call.UPLOAD)
    wire = structure(envelope.data, _WireUpload, root="data")
    url = (wire.downloadUrl or wire.fileUrl or "").strip()
    if not _is_url(url):
        raise InvalidResponseError("the answer to an upload has no URL of the file", path="data.downloadUrl")
    return url


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
