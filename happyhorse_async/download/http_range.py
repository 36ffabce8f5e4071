"""What the headers of a server that keeps files say. Pure; all header names are in lower case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from ..errors import DownloadError
from ..redaction import redact_url

_TEXT_TYPES = ("text/html", "text/xml", "application/json", "application/xml", "application/xhtml")
# https://www.rfc-editor.org/rfc/rfc9110#section-14.4
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)", re.IGNORECASE)


def check_scheme(url: str) -> None:
    """
    Refuse what is not fetched over HTTP.

    :raises DownloadError: it is a file, or anything else.
    """
    if _scheme(url) not in ("http", "https"):
        raise DownloadError(f"only http(s) URLs are fetched, not {redact_url(url)}")


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def redirected(url: str, headers: Mapping[str, str]) -> str:
    """
    Return where *url* redirects to.

    :raises DownloadError: nowhere, or where it must not be followed.
    """
    location = headers.get("location", "")
    try:
        target = urljoin(url, location)
    except ValueError:
        target = location
    if not location or _scheme(target) not in ("http", "https"):
        raise DownloadError(f"{redact_url(url)} redirects to {redact_url(location) or 'nowhere'}")
    if _scheme(url) == "https" and _scheme(target) != "https":
        raise DownloadError(f"{redact_url(url)} redirects to {redact_url(target)}, which is not secure")
    return target


def check_kind(headers: Mapping[str, str], place: str, status: int) -> None:
    """
    Refuse a body that cannot be a video.

    :raises DownloadError: it is compressed, or calls itself a text.
    """
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding not in ("", "identity"):
        raise DownloadError(f"{place} answered with a compressed body, which nobody asked for")
    kind = headers.get("content-type", "").lower()
    if kind.startswith(_TEXT_TYPES):
        raise DownloadError(f"{place} answered with {kind[:40]} instead of a video", status_code=status)


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return the length of the body, where it is announced."""
    length = headers.get("content-length", "")
    return int(length) if re.fullmatch("[0-9]{1,18}", length) else None


def content_range(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return where the body begins in the whole object, and how long that is; `None` for what is not said."""
    said = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if said is None:
        return None, None
    start, total = said.groups()
    return (None if start is None else int(start)), (None if total == "*" else int(total))


def validator(headers: Mapping[str, str]) -> str | None:
    """
    Return what tells this object from a later one at the same URL, byte for byte.

    A weak ETag does not: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
    """
    tag = headers.get("etag", "").strip()
    if tag.startswith('"'):
        return tag
    return headers.get("last-modified", "").strip() or None


def is_unchanged(headers: Mapping[str, str], validator: str) -> bool:
    """Whether nothing in the headers contradicts *validator*."""
    said = headers.get("etag" if validator.startswith('"') else "last-modified", "").strip()
    return said in ("", validator)
