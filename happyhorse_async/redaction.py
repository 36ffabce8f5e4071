"""
What nobody may read in a log, a repr or an exception.

An API key opens the account. A result URL carries its own signature in the query string, so whoever reads the URL can
fetch the video: it is a credential as well. Providers echo both in their messages, with control characters at times.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MASK = "***"

# The headers whose value is harmless. Any other may hold a credential of a provider we do not know yet.
_SHOWN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "date",
        "location",
        "retry-after",
        "x-dashscope-async",
        "x-dashscope-ossresourceresolve",
        "x-request-id",
    }
)

_URL_SECRETS = re.compile(r"""(?P<head>\b[a-z][a-z0-9+.-]*://[^\s"'<>?#]*)[?#][^\s"'<>]*""", re.IGNORECASE)
_URL_USER = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@\"'<>]+@", re.IGNORECASE)
_DATA_URI = re.compile(r"(?P<head>\bdata:[\w.+/-]*;base64,)[A-Za-z0-9+/=_-]+", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def redact_url(url: str) -> str:
    """Return *url* without its query, fragment, user and inline data, the places where secrets sit."""
    return redact_text(url)


def redact_text(text: str, *secrets: str) -> str:
    """Return *text* with *secrets* and the signed parts of URLs masked, and control characters escaped."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    text = _URL_SECRETS.sub(rf"\g<head>?{MASK}", text)
    text = _URL_USER.sub(rf"\g<scheme>{MASK}@", text)
    text = _DATA_URI.sub(rf"\g<head>{MASK}", text)
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return *headers* with every value masked that is not known to be harmless."""
    return {name: redact_text(value) if name.lower() in _SHOWN_HEADERS else MASK for name, value in headers.items()}
