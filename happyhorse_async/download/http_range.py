"""Reads the headers of a file server. Pure; all header names are in lower case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from ..redaction import SecretUrl

# A picture or a sound may begin like a video. For text, the bytes are a better test than the label.
_OTHER_TYPES = re.compile(r"(image|audio|multipart)/.*", re.DOTALL)
_TEXT_TYPES = re.compile(
    r"(text|message|font)/.*"
    r"|application/(.*\+)?(json|xml|yaml)"
    r"|application/(xhtml|javascript|ecmascript|problem|pdf|x-www-form-urlencoded).*"
    # Playlists list the pieces of a video: HLS, DASH, Smooth Streaming, XSPF.
    r"|application/(x-|vnd\.apple\.)?mpegurl|application/(dash|xspf|vnd\.ms-sstr).*",
    re.DOTALL,
)
# https://www.rfc-editor.org/rfc/rfc9110#section-14.4
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)", re.IGNORECASE)


def scheme(url: SecretUrl) -> str:
    """Return the scheme of *url* in lower case, empty where it has none."""
    try:
        return urlsplit(url.value).scheme
    except ValueError:
        return ""


def redirected(url: SecretUrl, headers: Mapping[str, str]) -> SecretUrl | None:
    """Return where *url* redirects to; `None` if the headers do not say so."""
    location = headers.get("location", "").strip()
    if not location:
        return None
    try:
        return SecretUrl(urljoin(url.value, location))
    except ValueError:
        return SecretUrl(location)


def not_video_type(headers: Mapping[str, str], *, is_part: bool) -> str | None:
    """
    Return the content type if it is not that of a video.

    :param is_part: whether the body begins in the middle, so its bytes cannot be checked.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind[:60] if _OTHER_TYPES.fullmatch(kind) or (is_part and _TEXT_TYPES.fullmatch(kind)) else None


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return the length of the body, if it is announced."""
    length = headers.get("content-length", "")
    return int(length) if re.fullmatch("[0-9]{1,18}", length) else None


def content_range(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return the start of the body in the whole object, and the length of that object; `None` for unknown values."""
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if found is None:
        return None, None
    start, total = found.groups()
    return (None if start is None else int(start)), (None if total == "*" else int(total))


def validator(headers: Mapping[str, str]) -> str | None:
    """
    Return the validator that distinguishes this object byte for byte from a later one at the same URL.

    A weak ETag does not: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
    """
    tag = headers.get("etag", "").strip()
    if tag.startswith('"'):
        return tag
    return headers.get("last-modified", "").strip() or None


def is_same_object(headers: Mapping[str, str], validator: str | None) -> bool:
    """Whether the headers repeat *validator*. Without it, a part may belong to another object of the same length."""
    name = "etag" if (validator or "").startswith('"') else "last-modified"
    return validator is not None and headers.get(name, "").strip() == validator


def server_time(headers: Mapping[str, str]) -> datetime:
    """Return the time by the server's clock, or by ours if the headers do not say so."""
    try:
        time = parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):
        return datetime.now(UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
