"""
What nobody may read in a log, a repr or an exception.

An API key opens the account. A result URL carries its own signature in the query string, so whoever reads the URL can
fetch the video: it is a credential as well. Providers echo both in their messages, with control characters at times.
"""

from __future__ import annotations

import logging
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
        "x-request-id",
    }
)

# A URL may stand in broken JSON, whose slashes may be escaped. An apostrophe is a legal part of a URL; only one at its
# very end may be the quote around it. Providers choose the text, so each pattern must take time in proportion to it.
_URL_SECRETS = re.compile(
    r"""(?P<head>(?:\\?/){2}[^\s"<>?#]*)(?P<secret>[?#][^\s"<>]*?(?P<quote>'[^\s\w"<>]{0,3})?(?=[\s"<>]|\Z))?"""
)
_URL_USER = re.compile(r"""(?P<head>(?:\\?/){2})[^\s/"<>?#]*@""")
_DATA_URI = re.compile(r"""(?P<head>\bdata:(?=[\w.+\\-]*[/;])[\w.+/;=\\-]*,)[^\s"'<>]+""", re.IGNORECASE)
# Half of a surrogate pair cannot even be printed.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def redact_url(url: str) -> str:
    """Return *url* without its query, fragment, user and inline data, the places where secrets sit."""
    head = re.split("[?#]", url, maxsplit=1)[0]
    return redact_text(head) if head == url else f"{redact_text(head)}?{MASK}"


def redact_text(text: str, *secrets: str) -> str:
    """Return *text* with *secrets* and the signed parts of URLs masked, and control characters escaped."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            text = text.replace(secret, MASK)
    text = _URL_SECRETS.sub(_mask_query, text)
    text = _URL_USER.sub(rf"\g<head>{MASK}@", text)
    text = _DATA_URI.sub(rf"\g<head>{MASK}", text)
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


class RedactingFilter(logging.Filter):
    """Lets every record through as `redact_text` makes it: the id of a task is a provider's word too."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite *record*."""
        record.msg, record.args = redact_text(record.getMessage()), None
        return True


def _mask_query(match: re.Match[str]) -> str:
    return f"{match['head']}?{MASK}{match['quote'] or ''}" if match["secret"] else match["head"]


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return *headers* with every value masked that is not known to be harmless."""
    return {name: redact_url(value) if name.lower() in _SHOWN_HEADERS else MASK for name, value in headers.items()}
